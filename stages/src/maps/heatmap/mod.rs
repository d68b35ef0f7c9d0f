//! From a class activation map S to the heatmap H that is thresholded and scored. Source: Kang et al. 2021, section 3.3.
//!
//! `scale = "after"` (the default): bilinear up-sampling (align_corners = false) in f32 to the network's input size, then
//! min-max per image, × 255, truncated to u8; no ReLU. `scale = "before"`: min-max and u8 at native size, then OpenCV's
//! bilinear resize of bytes, as the script published with Zhou et al. 2016 does (`pytorch_CAM.py`).

mod bilinear;
mod fixed_point;
mod histogram;
mod profile;
#[cfg(test)]
mod tests;

use orchestrate_engine::stage::StageError;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::artifact::{Cams, Scale};

use bilinear::Bilinear;

pub use histogram::Histogram;
pub(crate) use profile::{Profile, profiles, recent, within};

/// Grey levels of one image at the network's input size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heatmap {
    /// Grey levels 0..=255, `[height, width]`, row by row; all 0 where the map is constant.
    pub pixels: Vec<u8>,
    /// Whether the map has the same value everywhere, so that nothing in it stands out.
    pub constant: bool,
}

/// A map with NaN or an infinite value, or whose values are so far apart that their difference is infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the class activation map has values that are not finite")]
pub struct NotFinite;

/// Gives the heatmap of each image of `cams`, with its row, to `each`, in parallel; results in the order of the rows.
///
/// Errors: values that are not finite, with the image's name; whatever `each` says.
pub fn each_heatmap<T: Send>(
    cams: &Cams,
    scale: Scale,
    each: impl Fn(usize, Heatmap) -> Result<T, StageError> + Sync,
) -> Result<Vec<T>, StageError> {
    let method = Method::of(cams, scale);
    let heatmap_of = |scratch: &mut Scratch, row: usize| {
        let heatmap = method.heatmap(map(cams, row), scratch).map_err(|error| not_finite(cams, row, error))?;
        each(row, heatmap)
    };
    (0..cams.names.len()).into_par_iter().map_init(Scratch::default, heatmap_of).collect()
}

/// The map of an image.
fn map(cams: &Cams, row: usize) -> &[f32] {
    let size = cams.height * cams.width;
    &cams.maps[row * size..(row + 1) * size]
}

/// Whether the map of each image of `cams` is constant, in the order of the rows.
///
/// Errors: values that are not finite, with the image's name.
pub(crate) fn each_is_constant(cams: &Cams) -> Result<Vec<bool>, StageError> {
    let nothing = cams.input_height * cams.input_width == 0;
    let is_constant = |row| is_constant(map(cams, row)).map_err(|error| not_finite(cams, row, error));
    (0..cams.names.len()).map(|row| Ok(is_constant(row)? || nothing)).collect()
}

fn not_finite(cams: &Cams, row: usize, error: NotFinite) -> StageError {
    StageError::new(format!("image `{}`: {error}", cams.names[row]))
}

/// Turns a map `[height, width]`, any scale, into grey levels `[input_height, input_width]`.
///
/// `size` is (height, width), `input_size` (input height, input width), both at least 1.
pub fn heatmap(
    map: &[f32],
    size: (usize, usize),
    input_size: (usize, usize),
    scale: Scale,
) -> Result<Heatmap, NotFinite> {
    Method::new(size, input_size, scale).heatmap(map, &mut Scratch::default())
}

/// How maps of one size become heatmaps of another.
struct Method {
    size: (usize, usize),
    input_size: (usize, usize),
    scale: Scale,
    bilinear: Bilinear,
}

/// Smallest and largest of the values that become grey levels: of the up-sampled map, or of the map where it is scaled before.
type Range = (f32, f32);

/// What a map leaves behind for the next one, so that no memory is asked for in between.
#[derive(Default)]
struct Scratch {
    stretched: Vec<f32>,
    row: Vec<f32>,
    levels: Vec<u8>,
}

impl Method {
    fn of(cams: &Cams, scale: Scale) -> Self {
        Self::new((cams.height, cams.width), (cams.input_height, cams.input_width), scale)
    }

    fn new(size: (usize, usize), input_size: (usize, usize), scale: Scale) -> Self {
        Self { size, input_size, scale, bilinear: Bilinear::new(size, input_size) }
    }

    fn heatmap(&self, map: &[f32], scratch: &mut Scratch) -> Result<Heatmap, NotFinite> {
        let mut heatmap = Heatmap { pixels: Vec::new(), constant: self.is_constant(map)? };
        if heatmap.constant {
            heatmap.pixels = vec![0; self.input_size.0 * self.input_size.1];
        } else {
            heatmap.pixels.reserve_exact(self.input_size.0 * self.input_size.1);
            self.rows(map, None, self.all_rows(), scratch, |_, levels| heatmap.pixels.extend_from_slice(levels));
        }
        Ok(heatmap)
    }

    /// Decided on the map itself: up-sampling a constant leaves rounding errors that min-max would blow up to noise.
    fn is_constant(&self, map: &[f32]) -> Result<bool, NotFinite> {
        let (height, width) = self.size;
        assert_eq!(map.len(), height * width, "BUG: a map of {height} × {width} has {} values", map.len());
        Ok(is_constant(map)? || self.input_size.0 * self.input_size.1 == 0)
    }

    fn all_rows(&self) -> std::ops::Range<usize> {
        0..self.input_size.0
    }

    /// Gives the grey levels of some rows of the heatmap of a map, which is not constant, to `take`, each with its number.
    ///
    /// `range` is what an earlier call for the map gave; without it, all rows of an up-sampled map are looked at.
    fn rows(
        &self,
        map: &[f32],
        range: Option<Range>,
        wanted: impl Iterator<Item = usize>,
        scratch: &mut Scratch,
        mut take: impl FnMut(usize, &[u8]),
    ) -> Range {
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
                let width = self.input_size.1;
                wanted.for_each(|row| take(row, &pixels[row * width..(row + 1) * width]));
                range
            }
        }
    }
}

/// From stretched rows to grey levels, compiled for the instructions of the machine.
struct UpSampled<'a, W, T> {
    method: &'a Method,
    range: Option<Range>,
    wanted: W,
    scratch: &'a mut Scratch,
    take: T,
}

impl<W: Iterator<Item = usize>, T: FnMut(usize, &[u8])> WithSimd for UpSampled<'_, W, T> {
    type Output = Range;

    /// Makes each row twice, for the range and for its grey levels, as that takes less time than to keep all of them.
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

/// Whether a map has the same value everywhere, so that nothing in its heatmap stands out.
fn is_constant(map: &[f32]) -> Result<bool, NotFinite> {
    let (min, max) = Extremes::of(map).range();
    if !map.iter().all(|value| value.is_finite()) || !(max - min).is_finite() {
        return Err(NotFinite);
    }
    Ok(min == max)
}

/// The smallest and the largest of some values, neither of them NaN.
///
/// Several are kept at a time, so that a processor compares several at once.
struct Extremes {
    smallest: [f32; 32],
    largest: [f32; 32],
}

impl Default for Extremes {
    fn default() -> Self {
        Self { smallest: [f32::INFINITY; 32], largest: [f32::NEG_INFINITY; 32] }
    }
}

impl Extremes {
    fn of(values: &[f32]) -> Self {
        let mut extremes = Self::default();
        extremes.add(values);
        extremes
    }

    #[inline(always)]
    fn add(&mut self, values: &[f32]) {
        let (chunks, rest) = values.as_chunks::<32>();
        // Copies of a known length stay in registers.
        let (mut smallest, mut largest) = (self.smallest, self.largest);
        for values in chunks {
            for ((smallest, largest), &value) in smallest.iter_mut().zip(&mut largest).zip(values) {
                widen(smallest, largest, value);
            }
        }
        for ((smallest, largest), &value) in smallest.iter_mut().zip(&mut largest).zip(rest) {
            widen(smallest, largest, value);
        }
        (self.smallest, self.largest) = (smallest, largest);
    }

    /// (inf, -inf) of nothing.
    fn range(&self) -> (f32, f32) {
        (
            self.smallest.iter().copied().fold(f32::INFINITY, f32::min),
            self.largest.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        )
    }
}

#[inline(always)]
fn widen(smallest: &mut f32, largest: &mut f32, value: f32) {
    *smallest = if value < *smallest { value } else { *smallest };
    *largest = if value > *largest { value } else { *largest };
}

/// Min-max to 0..=1, × 255, truncated; 0 where all values are equal.
#[inline(always)]
fn grey_levels(values: &[f32], (min, max): (f32, f32), levels: &mut [u8]) {
    let span = max - min;
    if span == 0.0 {
        return levels.fill(0);
    }
    for (level, value) in levels.iter_mut().zip(values) {
        *level = truncated((value - min) / span * 255.0);
    }
}

/// The whole part of a number in 0..=255.
///
/// From 2^23 on floats are whole numbers, and the last bits of the sum with it are the nearest one, perhaps one too much. Processors do
/// this for several values at once, unlike a cast, which asks about each what is no such number.
#[inline(always)]
fn truncated(value: f32) -> u8 {
    const WHOLE: f32 = 8_388_608.0;
    let nearest = value + WHOLE;
    let too_much = u32::from(nearest - WHOLE > value);
    (nearest.to_bits() - too_much) as u8
}
