//! Pixels of images of one size: columns of a table, written some images at a time, read whole or chosen.

use std::path::{Path, PathBuf};

use orchestrate_engine::stage::{Content, Output, StageError};

use super::parquet::TableWriter;
use super::{Columns, Rows, Table, file};

/// The columns of some images `[height, width]`, given their names and pixels.
type GridColumns = for<'a> fn(&'a [String], (usize, usize), &'a [u8]) -> Result<Columns<'a>, StageError>;

/// A table of images or masks in a new file, of which only some images are in memory at a time.
///
/// The bytes are those of the table as a whole; see [`Table::encode`].
pub struct GridsWriter<'a> {
    output: &'static str,
    path: PathBuf,
    file: TableWriter,
    columns: GridColumns,
    /// Names of the images whose pixels are still to come.
    names: &'a [String],
    size: (usize, usize),
}

impl<'a> GridsWriter<'a> {
    /// Starts the file of a table in a folder.
    pub(super) fn create<T: Table>(
        dir: &Path,
        names: &'a [String],
        size: (usize, usize),
        columns: GridColumns,
    ) -> Result<Self, StageError> {
        let path = dir.join(file::<T>());
        let (name, pixels) = ([String::new()], vec![0; size.0 * size.1]);
        let file = TableWriter::create(&path, &columns(&name, size, &pixels)?)?;
        Ok(Self { output: T::OUTPUT, path, file, columns, names, size })
    }

    /// Number of images that the next [`GridsWriter::push`] takes: those of a row group, or the rest; 0 at the end.
    pub fn next_count(&self) -> usize {
        self.file.rows_per_group().min(self.names.len())
    }

    /// Writes the next images, `[image, height, width]`.
    ///
    /// Errors: another number of pixels than those of [`GridsWriter::next_count`] images.
    pub fn push(&mut self, pixels: &[u8]) -> Result<(), StageError> {
        let (names, rest) = self.names.split_at(self.next_count());
        self.file.push(&(self.columns)(names, self.size, pixels)?)?;
        self.names = rest;
        Ok(())
    }

    /// Returns the output with the table, after all images were pushed.
    pub fn finish(self) -> Result<Output, StageError> {
        assert!(self.names.is_empty(), "BUG: {} images of `{}` were not written", self.names.len(), self.output);
        self.file.finish()?;
        let name = format!("{}.parquet", self.output);
        Ok(Output { name: self.output.to_owned(), files: vec![(name, Content::File(self.path))] })
    }
}

/// The columns of grey images; pixels are not compressed.
pub(super) fn image_columns<'a>(
    names: &'a [String],
    size: (usize, usize),
    pixels: &'a [u8],
) -> Result<Columns<'a>, StageError> {
    Ok(frame_columns(names, size, pixels)?.raw_bytes("pixels", names.len(), pixels))
}

/// The columns of masks, whose pixels are compressed.
pub(super) fn mask_columns<'a>(
    names: &'a [String],
    size: (usize, usize),
    pixels: &'a [u8],
) -> Result<Columns<'a>, StageError> {
    Ok(frame_columns(names, size, pixels)?.bytes("pixels", names.len(), pixels))
}

/// The columns except `pixels`, of which only the number is checked.
fn frame_columns<'a>(
    names: &'a [String],
    (height, width): (usize, usize),
    pixels: &[u8],
) -> Result<Columns<'a>, StageError> {
    let rows = names.len();
    if pixels.len() != rows * height * width {
        return Err(StageError::new(format!(
            "{rows} images of {height} × {width} have {} pixels, but there are {}",
            rows * height * width,
            pixels.len()
        )));
    }
    Ok(Columns::new()
        .text("image", names)
        .integer("height", std::iter::repeat_n(height as i64, rows))
        .integer("width", std::iter::repeat_n(width as i64, rows)))
}

/// The problem of pixels that are no mask.
pub(super) const NOT_A_MASK: &str = "column `pixels` has values other than 0 and 1; a mask is 1 where the tumour is";

/// Reads [`grids`] and checks that all pixels are 0 or 1.
pub(super) fn mask_grids(
    rows: &Rows,
    wanted: impl Fn(&str) -> bool,
) -> Result<(Vec<String>, usize, usize, Vec<u8>), StageError> {
    let grids = grids(rows, wanted)?;
    if is_mask(&grids.3) { Ok(grids) } else { Err(rows.error(NOT_A_MASK)) }
}

/// Returns whether all pixels are 0 or 1.
pub(super) fn is_mask(pixels: &[u8]) -> bool {
    // The largest of many at a time, which processors find much faster than the first that is too large.
    pixels.chunks(1 << 12).all(|pixels| pixels.iter().fold(0, |max, &pixel| max.max(pixel)) <= 1)
}

impl Rows {
    /// Names, height, width and number of pixels of a table of images or masks.
    pub(super) fn frame(&self) -> Result<(Vec<String>, usize, usize, usize), StageError> {
        let names = self.text("image")?;
        let (height, width) = (self.constant("height")?, self.constant("width")?);
        let too_large = || self.error(format!("{} images of {height} × {width} do not fit in memory", names.len()));
        let size = height.checked_mul(width).ok_or_else(too_large)?;
        Ok((names, height, width, size))
    }
}

/// Names, height, width and pixels of the rows whose name is `wanted`.
pub(super) fn grids(
    rows: &Rows,
    wanted: impl Fn(&str) -> bool,
) -> Result<(Vec<String>, usize, usize, Vec<u8>), StageError> {
    let (mut names, height, width, size) = rows.frame()?;
    let keep: Vec<bool> = names.iter().map(|name| wanted(name)).collect();
    let pixels = rows.bytes("pixels", &keep, size)?;
    let mut kept = keep.into_iter();
    names.retain(|_| kept.next() == Some(true));
    Ok((names, height, width, pixels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{Images, Masks};

    /// Pushes all images group by group, and returns the bytes of the file.
    fn streamed(mut writer: GridsWriter<'_>, pixels: &[u8], size: usize) -> Vec<u8> {
        let mut rest = pixels;
        while writer.next_count() > 0 {
            let (group, after) = rest.split_at(writer.next_count() * size);
            writer.push(group).unwrap();
            rest = after;
        }
        let output = writer.finish().unwrap();
        let Content::File(path) = &output.files[0].1 else { panic!("it is a file") };
        assert_eq!(path.file_name().unwrap().to_str(), Some(&*output.files[0].0));
        std::fs::read(path).unwrap()
    }

    #[test]
    fn tables_written_group_by_group_have_the_bytes_of_the_whole() {
        let dir = tempfile::tempdir().unwrap();
        // Of 664 images a group: two groups and some, exactly two, one, none; small ones; some without pixels.
        let tables = [
            (1400, 224, 224),
            (1328, 224, 224),
            (5, 224, 224),
            (0, 224, 224),
            (20_000, 40, 41),
            (3, 0, 4),
            (9, 2000, 999),
        ];
        for (count, height, width) in tables {
            let size = height * width;
            let names: Vec<String> = (0..count).map(|image| format!("{image}.png")).collect();
            let pixels: Vec<u8> = (0..count * size).map(|place| ((place * 7919) >> 5) as u8).collect();
            let case = format!("{count} images of {height} × {width}");

            let writer = Images::writer(dir.path(), &names, (height, width)).unwrap();
            let streams = streamed(writer, &pixels, size);
            let images = Images { names, height, width, pixels };
            assert!(streams == images.encode().unwrap(), "{case}");

            let Images { names, mut pixels, .. } = images;
            pixels.iter_mut().for_each(|pixel| *pixel = u8::from(*pixel < 9));
            let writer = Masks::writer(dir.path(), &names, (height, width)).unwrap();
            let streams = streamed(writer, &pixels, size);
            assert!(streams == Masks { names, height, width, pixels }.encode().unwrap(), "masks of {case}");
        }
    }

    #[test]
    fn a_group_with_too_few_pixels_is_refused() {
        let (dir, names) = (tempfile::tempdir().unwrap(), ["a", "b"].map(str::to_owned));
        let mut writer = Masks::writer(dir.path(), &names, (2, 2)).unwrap();
        let error = writer.push(&[0; 4]).unwrap_err().to_string();
        assert_eq!(error, "2 images of 2 × 2 have 8 pixels, but there are 4");
    }
}
