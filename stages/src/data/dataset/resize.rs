//! Resizing, byte for byte as in Pillow: nearest neighbour, and convolution filters with antialiasing. Source: Pillow's
//! documentation of `Image.resize` and of its filters; [`Kernel`] has its 8-bit arithmetic.
//!
//! The crate `fast_image_resize` lost: it differs from Pillow by a level here and there, and chooses instructions by
//! the processor.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Filter for an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// The pixel at the centre of the new one.
    Nearest,
    /// A triangle of the width of two pixels of the coarser grid.
    #[default]
    Bilinear,
    /// Cubic convolution with a = −0.5, of the width of four pixels of the coarser grid.
    Bicubic,
}

/// Filter for a mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MaskFilter {
    /// The pixel at the centre of the new one.
    #[default]
    Nearest,
    /// As for images, on grey levels 0 and 255; results above 127 are foreground.
    Bilinear,
}

/// Grey levels or a mask: `[height, width]`, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) pixels: Vec<u8>,
}

impl Grid {
    /// Returns height and width.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// Returns the foreground of either mask of one size.
    pub(super) fn united(mut self, other: &Self) -> Self {
        self.pixels.iter_mut().zip(&other.pixels).for_each(|(pixel, other)| *pixel |= other);
        self
    }

    /// Returns the number of foreground pixels of a mask.
    pub(super) fn foreground(&self) -> usize {
        self.pixels.iter().map(|&pixel| usize::from(pixel)).sum()
    }

    /// Resizes grey levels; a grid of that size is returned unchanged.
    pub(super) fn resized(self, size: (usize, usize), filter: Filter) -> Self {
        if self.size() == size {
            return self;
        }
        let (height, width) = size;
        let (filter, support): (fn(f64) -> f64, f64) = match filter {
            Filter::Nearest => return self.nearest(height, width),
            Filter::Bilinear => (bilinear, 1.0),
            Filter::Bicubic => (bicubic, 2.0),
        };
        // Rows first, as in Pillow, because levels are rounded to bytes between the passes.
        self.convolved(width, filter, support).transposed().convolved(height, filter, support).transposed()
    }

    fn nearest(&self, height: usize, width: usize) -> Self {
        let (rows, columns) = (nearest(self.height, height), nearest(self.width, width));
        let row = |row: &usize| &self.pixels[row * self.width..][..self.width];
        let pixels = rows.iter().flat_map(|y| columns.iter().map(move |&x| row(y)[x])).collect();
        Self { height, width, pixels }
    }

    /// Changes the width by a filter that reaches `support` pixels of the coarser grid to either side.
    fn convolved(self, width: usize, filter: fn(f64) -> f64, support: f64) -> Self {
        if self.width == width {
            return self;
        }
        let kernels: Vec<Kernel> = (0..width).map(|x| Kernel::new(x, self.width, width, filter, support)).collect();
        let rows = self.pixels.chunks_exact(self.width);
        let pixels = rows.flat_map(|row| kernels.iter().map(move |kernel| kernel.apply(row))).collect();
        Self { height: self.height, width, pixels }
    }

    /// Swaps rows and columns.
    pub(super) fn transposed(self) -> Self {
        let (height, width) = (self.width, self.height);
        let pixels =
            (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| self.pixels[x * height + y]);
        Self { height, width, pixels: pixels.collect() }
    }

    /// Resizes a mask of 0 and 1.
    pub(super) fn resized_mask(mut self, size: (usize, usize), filter: MaskFilter) -> Self {
        if self.size() == size {
            return self;
        }
        match filter {
            MaskFilter::Nearest => self.resized(size, Filter::Nearest),
            MaskFilter::Bilinear => {
                self.pixels.iter_mut().for_each(|pixel| *pixel *= 255);
                let mut mask = self.resized(size, Filter::Bilinear);
                mask.pixels.iter_mut().for_each(|pixel| *pixel = u8::from(*pixel > 127));
                mask
            }
        }
    }
}

/// Returns the old pixel at the centre of each new one. For a centre between two pixels, the rounding of the summed
/// steps decides, as in Pillow.
fn nearest(from: usize, to: usize) -> Vec<usize> {
    let step = from as f64 / to as f64;
    let centres = std::iter::successors(Some(step * 0.5), |centre| Some(centre + step));
    centres.take(to).map(|centre| (centre as usize).min(from - 1)).collect()
}

/// Weights of the old pixels in one new pixel.
struct Kernel {
    /// The first old pixel.
    start: usize,
    /// In units of 2⁻²², rounded.
    weights: Vec<i64>,
}

impl Kernel {
    /// Fraction bits of the weights.
    const PRECISION: u32 = 22;

    /// Makes the kernel of new pixel `index` of `to`, from `from` old ones.
    fn new(index: usize, from: usize, to: usize, filter: fn(f64) -> f64, support: f64) -> Self {
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let reach = support * stretch;
        let centre = (index as f64 + 0.5) * scale;
        let start = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from);
        let inverse = 1.0 / stretch;
        let weights: Vec<f64> = (start..end).map(|pixel| filter((pixel as f64 - centre + 0.5) * inverse)).collect();
        let sum: f64 = weights.iter().sum();
        let unit = f64::from(1_u32 << Self::PRECISION);
        let weights = weights.into_iter().map(|weight| (weight / sum * unit).round() as i64).collect();
        Self { start, weights }
    }

    fn apply(&self, row: &[u8]) -> u8 {
        let half = 1_i64 << (Self::PRECISION - 1);
        let pixels = &row[self.start..][..self.weights.len()];
        let sum: i64 = pixels.iter().zip(&self.weights).map(|(&pixel, weight)| i64::from(pixel) * weight).sum();
        ((sum + half) >> Self::PRECISION).clamp(0, 255) as u8
    }
}

fn bilinear(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys' cubic convolution with a = −0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Reference {
        height: usize,
        width: usize,
        image: Vec<u8>,
        mask: Vec<u8>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        height: usize,
        width: usize,
        nearest: Vec<u8>,
        bilinear: Vec<u8>,
        bicubic: Vec<u8>,
        mask_nearest: Vec<u8>,
        mask_bilinear: Vec<u8>,
    }

    /// `tests/reference/resize.py` made the values.
    #[test]
    fn every_filter_gives_the_bytes_of_pillow() {
        let Reference { height, width, image, mask, cases } =
            serde_json::from_str(include_str!("../../../tests/reference/resize.json")).unwrap();
        let grid = |pixels: &[u8]| Grid { height, width, pixels: pixels.to_vec() };
        for case in cases {
            let size = (case.height, case.width);
            assert_eq!(grid(&image).resized(size, Filter::Nearest).pixels, case.nearest, "nearest {size:?}");
            assert_eq!(grid(&image).resized(size, Filter::Bilinear).pixels, case.bilinear, "bilinear {size:?}");
            assert_eq!(grid(&image).resized(size, Filter::Bicubic).pixels, case.bicubic, "bicubic {size:?}");
            let resized = |filter| grid(&mask).resized_mask(size, filter).pixels;
            assert_eq!(resized(MaskFilter::Nearest), case.mask_nearest, "nearest mask {size:?}");
            assert_eq!(resized(MaskFilter::Bilinear), case.mask_bilinear, "bilinear mask {size:?}");
        }
    }
}
