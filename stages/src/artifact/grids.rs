//! Pixels of images of one size: columns of a table, written some images at a time, read whole or chosen.

use std::ops::Range;
use std::path::{Path, PathBuf};

use orchestrate_engine::stage::{Content, Output, StageError};

use super::parquet::TableWriter;
use super::{Columns, Rows, Table};

/// The columns of the rows in a range, given their pixels.
type ColumnsOf<'a> = dyn for<'p> Fn(Range<usize>, &'p [u8]) -> Result<Columns<'p>, StageError> + Send + 'a;

/// A table of images or masks in a new file, of which at most a row group is in memory at a time.
///
/// The bytes are those of the table as a whole; see [`Table::encode`].
pub struct GridsWriter<'a> {
    output: &'static str,
    path: PathBuf,
    file: TableWriter,
    columns: Box<ColumnsOf<'a>>,
    /// Pixels of an image.
    size: usize,
    /// Number of images that are written, and that the table will have.
    written: usize,
    count: usize,
    /// Pixels of images that are too few to be written: less than a row group.
    held: Vec<u8>,
}

impl<'a> GridsWriter<'a> {
    /// Starts the file of a table of `count` images of `size` pixels.
    pub(super) fn create<T: Table>(
        path: &Path,
        (count, size): (usize, usize),
        columns: impl for<'p> Fn(Range<usize>, &'p [u8]) -> Result<Columns<'p>, StageError> + Send + 'a,
    ) -> Result<Self, StageError> {
        let file = TableWriter::create(path, &columns(0..0, &[])?)?;
        let columns = Box::new(columns);
        Ok(Self { output: T::OUTPUT, path: path.to_owned(), file, columns, size, written: 0, count, held: Vec::new() })
    }

    /// Adds the next images, `[image, height, width]`; written once there are enough.
    ///
    /// Errors: more pixels than those of all images.
    pub fn push(&mut self, pixels: &[u8]) -> Result<(), StageError> {
        let mut rest = pixels;
        while !rest.is_empty() {
            let needed = self.file.rows_per_push().min(self.count - self.written) * self.size;
            if needed == 0 {
                let extra = rest.len();
                return Err(StageError::new(format!("`{}` has {extra} pixels too many for its images", self.output)));
            }
            if self.held.is_empty() && rest.len() >= needed {
                self.write(&rest[..needed])?;
                rest = &rest[needed..];
                continue;
            }
            let (added, after) = rest.split_at(rest.len().min(needed - self.held.len()));
            self.held.extend_from_slice(added);
            rest = after;
            if self.held.len() == needed {
                let mut held = std::mem::take(&mut self.held);
                self.write(&held)?;
                held.clear();
                self.held = held;
            }
        }
        Ok(())
    }

    /// Returns the output with the table.
    ///
    /// Errors: fewer pixels than those of all images.
    pub fn finish(mut self) -> Result<Output, StageError> {
        // The last images were written, unless they have no pixels.
        while self.written < self.count {
            let held = std::mem::take(&mut self.held);
            self.write(&held)?;
        }
        self.file.finish()?;
        let name = format!("{}.parquet", self.output);
        Ok(Output { name: self.output.to_owned(), files: vec![(name, Content::File(self.path))] })
    }

    /// Writes the next images: as many as can be pushed, or the last ones.
    fn write(&mut self, pixels: &[u8]) -> Result<(), StageError> {
        let rows = self.written..self.count.min(self.written + self.file.rows_per_push());
        self.written = rows.end;
        self.file.push(&(self.columns)(rows, pixels)?)
    }
}

/// The columns of grey images; pixels are not compressed.
pub(super) fn image_columns<'p>(
    names: &[String],
    size: (usize, usize),
    pixels: &'p [u8],
) -> Result<Columns<'p>, StageError> {
    Ok(frame_columns(names, size, pixels)?.raw_bytes("pixels", (names.len(), size.0 * size.1), pixels))
}

/// The columns of masks, whose pixels are compressed.
pub(super) fn mask_columns<'p>(
    names: &[String],
    size: (usize, usize),
    pixels: &'p [u8],
) -> Result<Columns<'p>, StageError> {
    Ok(frame_columns(names, size, pixels)?.bytes("pixels", (names.len(), size.0 * size.1), pixels))
}

/// The columns except `pixels`, of which only the number is checked.
fn frame_columns<'p>(
    names: &[String],
    (height, width): (usize, usize),
    pixels: &[u8],
) -> Result<Columns<'p>, StageError> {
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

/// The problem of an image whose pixels are no mask.
pub(super) fn not_a_mask(image: &str) -> String {
    format!("column `pixels`, image `{image}`: it has values other than 0 and 1; a mask is 1 where the tumour is")
}

/// Reads [`grids`] and checks that all pixels are 0 or 1.
pub(super) fn mask_grids(
    rows: &Rows,
    wanted: impl Fn(&str) -> bool,
) -> Result<(Vec<String>, usize, usize, Vec<u8>), StageError> {
    let grids = grids(rows, wanted)?;
    if is_mask(&grids.3) {
        return Ok(grids);
    }
    let wrong = grids.3.iter().position(|&pixel| pixel > 1).unwrap_or(0) / (grids.1 * grids.2).max(1);
    Err(rows.error(not_a_mask(&grids.0[wrong])))
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

    /// Pushes all images, so many at a time, and returns the bytes of the file.
    fn streamed(mut writer: GridsWriter<'_>, pixels: &[u8], step: usize) -> Vec<u8> {
        pixels.chunks(step.max(1)).for_each(|pixels| writer.push(pixels).unwrap());
        let output = writer.finish().unwrap();
        let Content::File(path) = &output.files[0].1 else { panic!("it is a file") };
        std::fs::read(path).unwrap()
    }

    #[test]
    fn tables_written_group_by_group_have_the_bytes_of_the_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table");
        // Of 664 images a group: two groups and some, exactly two, one, none; small ones; without pixels; large ones.
        let tables = [
            (1400, 224, 224),
            (1328, 224, 224),
            (5, 224, 224),
            (0, 224, 224),
            (20_000, 40, 41),
            (3, 0, 4),
            (70_000, 0, 0),
            (19, 1100, 999),
        ];
        for (count, height, width) in tables {
            let size = height * width;
            let names: Vec<String> = (0..count).map(|image| format!("{image}.png")).collect();
            let pixels: Vec<u8> = (0..count * size).map(|place| ((place * 7919) >> 5) as u8).collect();
            let mask = pixels.iter().map(|&pixel| u8::from(pixel < 9)).collect();
            let images = Images { names: names.clone(), height, width, pixels };
            let masks = Masks { names: names.clone(), height, width, pixels: mask };
            let (all_images, all_masks) = (images.encode().unwrap(), masks.encode().unwrap());
            for step in [1, 7, 664, count] {
                let case = format!("{count} images of {height} × {width}, {step} at a time");
                let writer = Images::writer(&path, &names, (height, width)).unwrap();
                assert!(streamed(writer, &images.pixels, step * size) == all_images, "{case}");
                let writer = Masks::writer(&path, &names, (height, width)).unwrap();
                assert!(streamed(writer, &masks.pixels, step * size) == all_masks, "masks of {case}");
            }
        }
    }

    #[test]
    fn another_number_of_pixels_is_refused() {
        let (dir, names) = (tempfile::tempdir().unwrap(), ["a", "b"].map(str::to_owned));
        let writer = || Masks::writer(&dir.path().join("table"), &names, (2, 2)).unwrap();
        let mut short = writer();
        short.push(&[0; 4]).unwrap();
        let error = short.finish().unwrap_err().to_string();
        assert_eq!(error, "2 images of 2 × 2 have 8 pixels, but there are 4");
        let error = writer().push(&[0; 12]).unwrap_err().to_string();
        assert_eq!(error, "`masks` has 4 pixels too many for its images");
    }
}
