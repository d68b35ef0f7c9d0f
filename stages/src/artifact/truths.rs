//! Ground truth for scores: the foreground as runs, not every pixel.

use std::ops::Range;
use std::sync::OnceLock;

use orchestrate_engine::stage::StageError;

use super::images::{NOT_A_MASK, is_mask};
use super::{Masks, Rows};

/// The foreground of each image of [`Masks`], in their order; takes some thousandths of their memory.
pub(crate) struct Truths {
    /// Names of the images.
    pub(crate) names: Vec<String>,
    /// Height of every mask, in pixels.
    pub(crate) height: usize,
    /// Width of every mask, in pixels.
    pub(crate) width: usize,
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

impl Truths {
    /// Finds the foreground of masks.
    pub(crate) fn of(masks: &Masks) -> Self {
        let size = (masks.height * masks.width).max(1);
        let foregrounds = masks.pixels.chunks_exact(size).map(|pixels| foreground(pixels, masks.width).into());
        let mut foregrounds: Vec<_> = foregrounds.collect();
        // Masks without pixels have no foreground either.
        foregrounds.resize(masks.names.len(), Foreground::new().into());
        Self { names: masks.names.clone(), height: masks.height, width: masks.width, foregrounds, rows: None }
    }

    /// Reads the columns of [`Masks`] except the pixels, which are read on demand.
    pub(crate) fn open(rows: Rows) -> Result<Self, StageError> {
        let (names, height, width, _) = rows.frame()?;
        let foregrounds = vec![OnceLock::new(); names.len()];
        Ok(Self { names, height, width, foregrounds, rows: Some(rows) })
    }

    /// The foreground of the images in some rows; empty if an image has no mask.
    ///
    /// Each image is read once, and only the pixels that a thread works on are in memory. Errors: pixels that are no
    /// mask.
    pub(crate) fn foregrounds(&self, wanted: &[usize]) -> Result<Vec<&Foreground>, StageError> {
        if let Some(rows) = &self.rows {
            let mut keep = vec![false; self.names.len()];
            wanted.iter().for_each(|&row| keep[row] = self.foregrounds[row].get().is_none());
            let of_pixels = |pixels: &[u8]| is_mask(pixels).then(|| foreground(pixels, self.width));
            let read = rows.map_bytes("pixels", &keep, self.height * self.width, of_pixels)?;
            let kept = (0..keep.len()).filter(|&row| keep[row]);
            for (row, foreground) in kept.zip(read) {
                // Another thread may have been first, with the same result.
                let _ = self.foregrounds[row].set(foreground.ok_or_else(|| rows.error(NOT_A_MASK))?);
            }
        }
        Ok(wanted.iter().map(|&row| self.foregrounds[row].get().expect("it is known, or was just read")).collect())
    }

    /// Estimated size in memory once all is known, for one run in every row of every image.
    pub(crate) fn size_bytes(&self) -> usize {
        let image = size_of::<(String, Foreground)>() + self.height * size_of::<Run>();
        self.names.len() * image + self.rows.as_ref().map_or(0, Rows::size_bytes)
    }
}

/// The foreground of one image. Lesions are small, so rows and stretches of a row without foreground are skipped at
/// once.
fn foreground(pixels: &[u8], width: usize) -> Foreground {
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
    runs
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

    fn open(masks: &Masks) -> Truths {
        Truths::open(Rows::open("masks.parquet", Bytes::from(masks.encode().unwrap())).unwrap()).unwrap()
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
        for truths in [open(&masks()), Truths::of(&masks())] {
            assert_eq!(truths.foregrounds(&[2, 0]).unwrap(), [&expected[2], &expected[0]]);
            assert_eq!(
                truths.foregrounds(&[0, 1, 2]).unwrap(),
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
        for truths in [open(&masks), Truths::of(&masks)] {
            assert_eq!(truths.foregrounds(&[0]).unwrap(), [&Foreground::new()]);
        }
    }
}
