//! Images that are read when a batch needs them.
//!
//! The trainings of a study run at the same time, each in its own process, and read the same images. No process holds
//! the pixels: they stay in the file of the table, which the kernel keeps in memory once for all. Only a table with
//! another layout, written by another program, is decoded and held by each reader.

use orchestrate_engine::stage::{Item, StageError};

use super::parquet::Strings;
use super::{Images, Table};

/// Grey images of one size, in data set order: [`Images`] whose pixels are read when asked for.
pub struct ImageReader {
    /// Unique names, one an image.
    pub names: Vec<String>,
    /// Height of every image, in pixels.
    pub height: usize,
    /// Width of every image, in pixels.
    pub width: usize,
    pixels: Strings,
}

impl ImageReader {
    /// Opens an item of a port: checks its bytes, and reads all columns but the pixels.
    pub fn from_item(item: &Item) -> Result<Self, StageError> {
        let rows = Images::open(item)?;
        let (names, height, width, size) = rows.frame()?;
        Ok(Self { names, height, width, pixels: rows.strings("pixels", size)? })
    }

    /// The grey levels 0..=255 of an image, row by row.
    ///
    /// Errors: the bytes changed since they were checked.
    pub fn pixels(&self, image: usize) -> Result<Vec<u8>, StageError> {
        self.batch(&[image])
    }

    /// The grey levels of several images, one after the other.
    pub fn batch(&self, images: &[usize]) -> Result<Vec<u8>, StageError> {
        let size = self.height * self.width;
        let mut batch = vec![0; images.len() * size];
        for (&image, pixels) in images.iter().zip(batch.chunks_exact_mut(size.max(1))) {
            self.pixels.read(image, pixels)?;
        }
        Ok(batch)
    }
}

impl From<Images> for ImageReader {
    fn from(Images { names, height, width, pixels }: Images) -> Self {
        Self { names, height, width, pixels: Strings::held(pixels, height * width) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::FileExt;
    use std::sync::Arc;

    use ::parquet::arrow::ArrowWriter;
    use ::parquet::basic::{Compression, Encoding};
    use ::parquet::file::properties::{WriterProperties, WriterVersion};
    use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
    use orchestrate_engine::stage::Output;

    use super::*;
    use crate::testing::Bench;

    fn images(count: usize, height: usize, width: usize) -> Images {
        let pixels = (0..count * height * width).map(|place| ((place * 7919) >> 5) as u8).collect();
        Images { names: (0..count).map(|image| format!("{image}.png")).collect(), height, width, pixels }
    }

    fn stored(bench: &Bench, bytes: Vec<u8>) -> Item {
        Item { labels: Vec::new(), files: bench.store(Output::file("images", "images.parquet", bytes)) }
    }

    fn is_stored(reader: &ImageReader) -> bool {
        reader.pixels.is_stored()
    }

    /// A table as another program may write it; each string of pixels has its own length.
    fn written(pixels: &[&[u8]], nullable: bool, properties: WriterProperties) -> Vec<u8> {
        let rows = pixels.len();
        let columns: [(&str, ArrayRef, bool); 4] = [
            ("image", Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("{row}.png")))), true),
            ("height", Arc::new(Int64Array::from_iter_values(vec![2; rows])), true),
            ("width", Arc::new(Int64Array::from_iter_values(vec![3; rows])), true),
            ("pixels", Arc::new(BinaryArray::from_iter_values(pixels)), nullable),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn pixels_of_our_own_tables_stay_in_the_file() {
        // Of 40 MB, so that there are several row groups, and many pages in each.
        for images in [images(800, 224, 224), images(9000, 9, 9), images(7, 3, 5), images(0, 0, 0), images(3, 0, 4)] {
            let bench = Bench::new();
            let reader = ImageReader::from_item(&bench.item(&images, &[])).unwrap();
            assert!(is_stored(&reader));
            assert_eq!((&reader.names, reader.height, reader.width), (&images.names, images.height, images.width));
            let all: Vec<usize> = (0..images.names.len()).collect();
            assert!(reader.batch(&all).unwrap() == images.pixels);
            let size = images.height * images.width;
            for (image, _) in images.names.iter().enumerate().skip(all.len().saturating_sub(3)) {
                assert_eq!(*reader.pixels(image).unwrap(), images.pixels[image * size..(image + 1) * size]);
            }
        }
    }

    #[test]
    fn tables_of_other_writers_are_read_alike_and_held_where_pixels_do_not_lie_as_they_are() {
        let pixels: [&[u8]; 3] = [b"abcdef", b"ghijkl", b"abcdef"];
        let plain = || {
            let properties = WriterProperties::builder().set_dictionary_enabled(false);
            properties.set_compression(Compression::UNCOMPRESSED)
        };
        let second = WriterVersion::PARQUET_2_0;
        let delta = Encoding::DELTA_BYTE_ARRAY;
        let cases = [
            (true, false, plain()),
            (true, false, plain().set_writer_version(second).set_encoding(Encoding::PLAIN)),
            (true, false, plain().set_data_page_row_count_limit(1).set_write_batch_size(1)),
            (false, false, plain().set_writer_version(second).set_column_encoding("pixels".into(), delta)),
            (false, false, plain().set_compression(Compression::SNAPPY)),
            (false, false, plain().set_dictionary_enabled(true)),
            (false, true, plain()),
        ];
        for (case, (stays, nullable, properties)) in cases.into_iter().enumerate() {
            let bench = Bench::new();
            let item = stored(&bench, written(&pixels, nullable, properties.build()));
            let reader = ImageReader::from_item(&item).unwrap();
            assert_eq!(is_stored(&reader), stays, "case {case}");
            assert_eq!(reader.batch(&[2, 1]).unwrap(), b"abcdefghijkl", "case {case}");
        }
    }

    #[test]
    fn strings_of_other_lengths_are_named_even_if_they_add_up() {
        let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
        let bench = Bench::new();
        let item = stored(&bench, written(&[b"abcde", b"fghijkl"], false, properties));
        let error = ImageReader::from_item(&item).err().expect("a row is too short").to_string();
        assert_eq!(error, "`images.parquet`: column `pixels`, row 0: 5 bytes, not 6");
    }

    #[test]
    fn pixels_that_change_after_they_were_checked_are_an_error_that_names_the_file() {
        let bench = Bench::new();
        let item = bench.item(&images(40, 64, 64), &[]);
        let path = &item.files[0].location.path;
        let reader = ImageReader::from_item(&item).unwrap();
        let before = reader.batch(&[0, 39]).unwrap();
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let mut byte = [0];
        File::open(path).unwrap().read_exact_at(&mut byte, 90_000).unwrap();
        file.write_all_at(&[byte[0] ^ 4], 90_000).unwrap();
        let error = reader.pixels(21).unwrap_err();
        assert!(matches!(error, StageError::Corrupt { digest, .. } if digest == item.files[0].digest));
        assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
        assert!(reader.batch(&[0, 39]).unwrap() == before);
        file.set_len(1000).unwrap();
        assert!(matches!(reader.batch(&[0, 39]), Err(StageError::Corrupt { .. })));
        assert!(matches!(ImageReader::from_item(&item).err(), Some(StageError::Corrupt { .. })));
    }

    #[test]
    fn columns_that_change_after_they_were_checked_are_corrupt_and_not_only_unreadable() {
        let bench = Bench::new();
        let item = bench.item(&images(40, 64, 64), &[]);
        let rows = Images::open(&item).unwrap();
        OpenOptions::new().write(true).open(&item.files[0].location.path).unwrap().write_all_at(&[0; 900], 0).unwrap();
        let error = rows.text("image").unwrap_err();
        assert!(matches!(error, StageError::Corrupt { digest, .. } if digest == item.files[0].digest), "{error}");
    }

    #[test]
    fn damaged_tables_are_an_error_or_other_values_but_no_panic() {
        let whole = images(2, 2, 3).encode().unwrap();
        for place in 0..whole.len() {
            for bit in [0, 3, 7] {
                let mut damaged = whole.clone();
                damaged[place] ^= 1 << bit;
                let bench = Bench::new();
                let Ok(reader) = ImageReader::from_item(&stored(&bench, damaged)) else { continue };
                for image in 0..reader.names.len() {
                    let _ = reader.pixels(image);
                }
            }
        }
    }
}
