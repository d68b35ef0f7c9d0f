//! Masks that are read when they are needed, and kept as runs of foreground, not as every pixel.
//!
//! Lesions are small, so the runs of all masks take some thousandths of the memory of their pixels.

use std::ops::Range;
use std::sync::OnceLock;

use orchestrate_engine::stage::{Item, StageError};

use super::grids::{is_mask, not_a_mask};
use super::{Masks, Rows, Table};

/// Masks of one size, in data set order: [`Masks`], or those of a network, whose foreground is read when asked for.
pub struct MaskReader {
    /// Names of the images.
    pub names: Vec<String>,
    /// Height of every mask, in pixels.
    pub height: usize,
    /// Width of every mask, in pixels.
    pub width: usize,
    foregrounds: Vec<OnceLock<Foreground>>,
    /// The table to read further foregrounds from; `None` if all are known.
    rows: Option<Rows>,
}

/// Pixels that are compared together.
const STRETCH: usize = 32;

/// Runs of foreground pixels, row by row and from left to right.
pub(crate) type Foreground = Vec<Run>;

/// Foreground pixels of one row of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The row, from 0 at the top.
    pub(crate) row: u32,
    /// The columns, from 0 at the left.
    pub(crate) columns: Range<u32>,
}

impl MaskReader {
    /// Opens an item of a port; see [`MaskReader::open`].
    pub fn from_item(item: &Item) -> Result<Self, StageError> {
        Self::open(Masks::open(item)?)
    }

    /// Reads the columns of a table of masks except the pixels, which are read on demand.
    pub fn open(rows: Rows) -> Result<Self, StageError> {
        let (names, height, width, _) = rows.frame()?;
        let foregrounds = vec![OnceLock::new(); names.len()];
        Ok(Self { names, height, width, foregrounds, rows: Some(rows) })
    }

    /// Reads the masks of the images in some rows, and keeps them.
    ///
    /// Each image is read once, and only the pixels that a thread works on are in memory. Errors: pixels that are no
    /// mask.
    pub fn load(&self, wanted: &[usize]) -> Result<(), StageError> {
        let Some(rows) = &self.rows else { return Ok(()) };
        let mut keep = vec![false; self.names.len()];
        wanted.iter().for_each(|&row| keep[row] = self.foregrounds[row].get().is_none());
        if !keep.contains(&true) {
            return Ok(());
        }
        let of_pixels = |pixels: &[u8]| is_mask(pixels).then(|| foreground(pixels, self.width));
        let read = rows.map_bytes("pixels", &keep, self.height * self.width, of_pixels)?;
        let kept = (0..keep.len()).filter(|&row| keep[row]);
        for (row, foreground) in kept.zip(read) {
            // Another thread may have been first, with the same result.
            let _ = self.foregrounds[row].set(foreground.ok_or_else(|| rows.error(not_a_mask(&self.names[row])))?);
        }
        Ok(())
    }

    /// Returns whether an image has a foreground.
    pub fn has_foreground(&self, image: usize) -> Result<bool, StageError> {
        Ok(!self.foreground(image)?.is_empty())
    }

    /// The mask of an image, 0 or 1, row by row.
    pub fn pixels(&self, image: usize) -> Result<Vec<u8>, StageError> {
        let mut pixels = vec![0; self.height * self.width];
        for Run { row, columns } in self.foreground(image)? {
            let start = *row as usize * self.width;
            pixels[start + columns.start as usize..start + columns.end as usize].fill(1);
        }
        Ok(pixels)
    }

    /// The foreground of the images in some rows; empty if an image has no mask. See [`MaskReader::load`].
    pub(crate) fn foregrounds(&self, wanted: &[usize]) -> Result<Vec<&Foreground>, StageError> {
        self.load(wanted)?;
        Ok(wanted.iter().map(|&row| self.foregrounds[row].get().expect("it is known, or was just read")).collect())
    }

    fn foreground(&self, image: usize) -> Result<&Foreground, StageError> {
        match self.foregrounds[image].get() {
            Some(foreground) => Ok(foreground),
            None => Ok(self.foregrounds(&[image])?[0]),
        }
    }

    /// Estimated size in memory once all is known, for one run in every row of every image.
    pub(crate) fn size_bytes(&self) -> usize {
        self.names.len() * (size_of::<(String, Foreground)>() + self.height * size_of::<Run>())
    }
}

impl From<&Masks> for MaskReader {
    fn from(masks: &Masks) -> Self {
        Self::held(&masks.names, (masks.height, masks.width), &masks.pixels)
    }
}

impl MaskReader {
    /// Finds the foreground of masks that are in memory.
    pub(super) fn held(names: &[String], (height, width): (usize, usize), pixels: &[u8]) -> Self {
        let foregrounds = pixels.chunks_exact((height * width).max(1)).map(|pixels| foreground(pixels, width).into());
        let mut foregrounds: Vec<_> = foregrounds.collect();
        // Masks without pixels have no foreground either.
        foregrounds.resize(names.len(), Foreground::new().into());
        Self { names: names.to_vec(), height, width, foregrounds, rows: None }
    }
}

/// The foreground of one image. Lesions are small, so rows and stretches of a row without foreground are skipped at
/// once.
pub(crate) fn foreground(pixels: &[u8], width: usize) -> Foreground {
    let mut runs = Foreground::new();
    for (row, pixels) in (0..).zip(pixels.chunks_exact(width.max(1))).filter(|(_, pixels)| any(pixels)) {
        for (stretch, pixels) in pixels.chunks(STRETCH).enumerate().filter(|(_, pixels)| any(pixels)) {
            let mut end = (stretch * STRETCH) as u32;
            for pixels in pixels.chunk_by(|a, b| (*a != 0) == (*b != 0)) {
                let columns = end..end + pixels.len() as u32;
                end = columns.end;
                match runs.last_mut() {
                    _ if pixels[0] == 0 => {}
                    Some(run) if run.row == row && run.columns.end == columns.start => run.columns.end = columns.end,
                    _ => runs.push(Run { row, columns }),
                }
            }
        }
    }
    runs.shrink_to_fit();
    runs
}

/// Number of foreground pixels.
pub(crate) fn count(foreground: &[Run]) -> u64 {
    foreground.iter().map(|run| run.columns.len() as u64).sum()
}

/// Number of pixels that are foreground in both of two masks.
pub(crate) fn count_common(first: &[Run], second: &[Run]) -> u64 {
    let (mut first, mut second, mut common) = (first, second, 0);
    while let ([a, after_a @ ..], [b, after_b @ ..]) = (first, second) {
        if a.row == b.row {
            let (start, end) = (a.columns.start.max(b.columns.start), a.columns.end.min(b.columns.end));
            common += u64::from(end.saturating_sub(start));
        }
        // The run that ends first has nothing in common with later ones.
        if (a.row, a.columns.end) <= (b.row, b.columns.end) {
            first = after_a;
        } else {
            second = after_b;
        }
    }
    common
}

fn any(pixels: &[u8]) -> bool {
    pixels.iter().fold(0, |any, &pixel| any | pixel) != 0
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::artifact::Table;

    fn masks() -> Masks {
        let pixels = [[0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0], [1, 0, 1, 1, 1, 1]].concat();
        Masks { names: ["b", "a", "c"].map(str::to_owned).to_vec(), height: 2, width: 3, pixels }
    }

    fn open(masks: &Masks) -> MaskReader {
        MaskReader::open(Rows::open("masks.parquet", Bytes::from(masks.encode().unwrap())).unwrap()).unwrap()
    }

    fn run(row: u32, columns: Range<u32>) -> Run {
        Run { row, columns }
    }

    /// ```text
    /// b  . # #   a  . . .   c  # . #
    ///    . . .      . . .      # # #
    /// ```
    #[test]
    fn foreground_is_found_row_by_row() {
        let expected = [vec![run(0, 1..3)], vec![], vec![run(0, 0..1), run(0, 2..3), run(1, 0..3)]];
        for reader in [open(&masks()), MaskReader::from(&masks())] {
            assert_eq!(reader.foregrounds(&[2, 0]).unwrap(), [&expected[2], &expected[0]]);
            assert_eq!(
                reader.foregrounds(&[0, 1, 2]).unwrap(),
                expected.each_ref(),
                "with some that are known already"
            );
        }
    }

    #[test]
    fn a_run_goes_on_from_stretch_to_stretch_but_not_from_row_to_row() {
        let width = 3 * STRETCH;
        let mut pixels = vec![0; 2 * width];
        pixels[STRETCH - 1..width + 1].fill(1);
        pixels[2 * STRETCH + 5] = 0;
        let [start, gap, end] = [STRETCH - 1, 2 * STRETCH + 5, width].map(|column| column as u32);
        assert_eq!(foreground(&pixels, width), [run(0, start..gap), run(0, gap + 1..end), run(1, 0..1)]);
    }

    #[test]
    fn pixels_that_are_no_mask_are_refused() {
        let mut grey = masks();
        grey.pixels[17] = 2;
        assert!(open(&grey).foregrounds(&[0, 1]).is_ok(), "of what is not wanted nothing is read");
        assert!(open(&grey).foregrounds(&[2]).unwrap_err().to_string().contains("other than 0 and 1"));
    }

    #[test]
    fn masks_without_pixels_have_no_foreground() {
        let masks = Masks { names: vec!["a".to_owned()], height: 0, width: 0, pixels: Vec::new() };
        for reader in [open(&masks), MaskReader::from(&masks)] {
            assert_eq!(reader.foregrounds(&[0]).unwrap(), [&Foreground::new()]);
        }
    }

    #[test]
    fn pixels_come_out_as_they_went_in() {
        let masks = masks();
        for reader in [open(&masks), MaskReader::from(&masks)] {
            let pixels: Vec<u8> = (0..3).flat_map(|image| reader.pixels(image).unwrap()).collect();
            assert_eq!(pixels, masks.pixels);
            assert_eq!([0, 1, 2].map(|image| reader.has_foreground(image).unwrap()), [true, false, true]);
        }
    }

    #[test]
    fn common_pixels_are_those_of_a_comparison_pixel_by_pixel() {
        let (height, width) = (7, 67);
        let masks: Vec<Vec<u8>> = (1..9_usize)
            .map(|step| (0..height * width).map(|place| u8::from(place * step * 2654435761 % 97 < 12 * step)).collect())
            .collect();
        for (first, second) in masks.iter().flat_map(|first| masks.iter().map(move |second| (first, second))) {
            let common = first.iter().zip(second).filter(|&(&a, &b)| a != 0 && b != 0).count() as u64;
            assert_eq!(count_common(&foreground(first, width), &foreground(second, width)), common);
            assert_eq!(count(&foreground(first, width)), first.iter().map(|&pixel| u64::from(pixel)).sum::<u64>());
        }
    }
}
