//! The conversion of maps of one size to grey levels of another, row by row.

use orchestrate_engine::stage::StageError;
use pulp::{Arch, Simd, WithSimd};

use super::bilinear::Bilinear;
use super::fixed_point;
use super::min_max::{Extremes, Range, grey_levels};
use crate::artifact::{Cams, Scale};

/// A map with NaN or an infinite value, or with an infinite difference between its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the class activation map has values that are not finite")]
pub struct NotFinite;

impl NotFinite {
    /// Returns the error of the map in that row.
    pub(super) fn of(self, cams: &Cams, row: usize) -> StageError {
        StageError::new(format!("image `{}`: {self}", cams.names[row]))
    }
}

/// Returns the map of an image.
pub(super) fn map_of(cams: &Cams, row: usize) -> &[f32] {
    let size = cams.height * cams.width;
    &cams.maps[row * size..(row + 1) * size]
}

/// The range of a constant map; all its grey levels are 0.
const CONSTANT: Range = (0.0, 0.0);

/// Sizes and scale of a conversion, with all that follows from them.
pub(super) struct Method {
    size: (usize, usize),
    input_size: (usize, usize),
    scale: Scale,
    bilinear: Bilinear,
}

/// Buffers that are reused from map to map.
#[derive(Default)]
pub(super) struct Scratch {
    stretched: Vec<f32>,
    row: Vec<f32>,
    levels: Vec<u8>,
}

impl Method {
    pub(super) fn of(cams: &Cams, scale: Scale) -> Self {
        Self::new((cams.height, cams.width), (cams.input_height, cams.input_width), scale)
    }

    pub(super) fn new(size: (usize, usize), input_size: (usize, usize), scale: Scale) -> Self {
        Self { size, input_size, scale, bilinear: Bilinear::new(size, input_size) }
    }

    /// Returns the range of a constant map, and `None` for other maps.
    ///
    /// The map itself decides: up-sampling a constant leaves rounding errors that min-max would amplify to noise.
    pub(super) fn constant(&self, map: &[f32]) -> Result<Option<Range>, NotFinite> {
        let (height, width) = self.size;
        assert_eq!(map.len(), height * width, "BUG: a map of {height} × {width} has {} values", map.len());
        let (min, max) = Extremes::of(map).range();
        if !map.iter().all(|value| value.is_finite()) || !(max - min).is_finite() {
            return Err(NotFinite);
        }
        Ok((min == max || self.input_size.0 * self.input_size.1 == 0).then_some(CONSTANT))
    }

    pub(super) fn all_rows(&self) -> std::ops::Range<usize> {
        0..self.input_size.0
    }

    /// Passes the grey levels of the `wanted` rows of a map's heatmap to `take`, each with its number.
    ///
    /// `range` is the result of [`Method::constant`] or of an earlier call for the map; without it, all rows are made twice.
    /// Returns the range of the values that become grey levels: of the up-sampled map, or of the map if it is scaled before.
    pub(super) fn rows(
        &self,
        map: &[f32],
        range: Option<Range>,
        wanted: impl Iterator<Item = usize>,
        scratch: &mut Scratch,
        mut take: impl FnMut(usize, &[u8]),
    ) -> Range {
        let width = self.input_size.1;
        if range == Some(CONSTANT) {
            scratch.levels.clear();
            scratch.levels.resize(width, 0);
            wanted.for_each(|row| take(row, &scratch.levels));
            return CONSTANT;
        }
        match self.scale {
            Scale::After => {
                self.bilinear.stretch(map, &mut scratch.stretched);
                Arch::new().dispatch(UpSampled { method: self, range, wanted, scratch, take })
            }
            Scale::Before => {
                let range = Extremes::of(map).range();
                scratch.levels.resize(map.len(), 0);
                grey_levels(map, range, &mut scratch.levels);
                let pixels = fixed_point::resize(&scratch.levels, self.size, self.input_size);
                wanted.for_each(|row| take(row, &pixels[row * width..(row + 1) * width]));
                range
            }
        }
    }
}

/// The conversion from stretched rows to grey levels, compiled for the instructions of the machine.
struct UpSampled<'a, W, T> {
    method: &'a Method,
    range: Option<Range>,
    wanted: W,
    scratch: &'a mut Scratch,
    take: T,
}

impl<W: Iterator<Item = usize>, T: FnMut(usize, &[u8])> WithSimd for UpSampled<'_, W, T> {
    type Output = Range;

    /// Makes each row twice, for the range and for its grey levels; keeping all rows would take longer.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Range {
        let Self { method, range, wanted, scratch: Scratch { stretched, row, levels }, mut take } = self;
        let range = match range {
            Some(range) => range,
            None => {
                let mut extremes = Extremes::default();
                method.bilinear.rows(stretched, method.all_rows(), row, |_, row| extremes.add(row));
                extremes.range()
            }
        };
        levels.resize(method.input_size.1, 0);
        method.bilinear.rows(stretched, wanted, row, |number, row| {
            grey_levels(row, range, levels);
            take(number, levels);
        });
        range
    }
}
