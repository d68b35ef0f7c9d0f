//! From a class activation map S to the heatmap H that is thresholded and scored. Source: Kang et al. 2021, section 3.3.
//!
//! `scale = "after"` (the default): bilinear up-sampling (align_corners = false) in f32 to the network's input size, then
//! min-max per image, × 255, truncated to u8; no ReLU. `scale = "before"`: min-max and u8 at native size, then OpenCV's
//! bilinear resize of bytes, as the script published with Zhou et al. 2016 does (`pytorch_CAM.py`).

mod bilinear;
mod fixed_point;
mod histogram;
#[cfg(test)]
mod tests;

use orchestrate_engine::stage::StageError;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::artifact::Cams;

pub use histogram::Histogram;

/// When a map is scaled to grey levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// After up-sampling: the largest value of the up-sampled map is 255.
    #[default]
    After,
    /// Before up-sampling, at native size, as Zhou's script does.
    Before,
}

impl Scale {
    /// The word for it in specs and notes.
    pub fn name(self) -> &'static str {
        match self {
            Self::After => "after",
            Self::Before => "before",
        }
    }

    /// The scale of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::After, Self::Before].into_iter().find(|scale| scale.name() == name)
    }
}

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
    let size = (cams.height, cams.width);
    let input_size = (cams.input_height, cams.input_width);
    (0..cams.names.len())
        .into_par_iter()
        .map(|row| {
            let map = &cams.maps[row * size.0 * size.1..(row + 1) * size.0 * size.1];
            let heatmap = heatmap(map, size, input_size, scale).map_err(|error| not_finite(cams, row, error))?;
            each(row, heatmap)
        })
        .collect()
}

/// Whether the map of each image of `cams` is constant, in the order of the rows.
///
/// Errors: values that are not finite, with the image's name.
pub(crate) fn each_is_constant(cams: &Cams) -> Result<Vec<bool>, StageError> {
    let size = cams.height * cams.width;
    let nothing = cams.input_height * cams.input_width == 0;
    let answers = (0..cams.names.len()).map(|row| {
        let constant = is_constant(&cams.maps[row * size..(row + 1) * size]);
        Ok(constant.map_err(|error| not_finite(cams, row, error))? || nothing)
    });
    answers.collect()
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
    assert_eq!(map.len(), size.0 * size.1, "BUG: a map of {} × {} has {} values", size.0, size.1, map.len());
    // Decided on the map itself: up-sampling a constant leaves rounding errors that min-max would blow up to noise.
    if is_constant(map)? || input_size.0 * input_size.1 == 0 {
        return Ok(Heatmap { pixels: vec![0; input_size.0 * input_size.1], constant: true });
    }
    let pixels = match scale {
        Scale::After => grey_levels(&bilinear::resize(map, size, input_size)),
        Scale::Before => fixed_point::resize(&grey_levels(map), size, input_size),
    };
    Ok(Heatmap { pixels, constant: false })
}

/// Whether a map has the same value everywhere, so that nothing in its heatmap stands out.
fn is_constant(map: &[f32]) -> Result<bool, NotFinite> {
    let (min, max) = range(map);
    if !map.iter().all(|value| value.is_finite()) || !(max - min).is_finite() {
        return Err(NotFinite);
    }
    Ok(min == max)
}

/// Smallest and largest value, neither of them NaN; (inf, -inf) of nothing.
fn range(values: &[f32]) -> (f32, f32) {
    let smallest = extreme(values, f32::INFINITY, |value, smallest| value < smallest);
    (smallest, extreme(values, f32::NEG_INFINITY, |value, largest| value > largest))
}

/// The value that beats all others.
///
/// Several are kept at a time, so that a processor compares several at once.
fn extreme(values: &[f32], start: f32, beats: impl Fn(f32, f32) -> bool) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut best = [start; 16];
    for chunk in chunks {
        for (best, &value) in best.iter_mut().zip(chunk) {
            *best = if beats(value, *best) { value } else { *best };
        }
    }
    best.iter().chain(rest).fold(start, |best, &value| if beats(value, best) { value } else { best })
}

/// Min-max to 0..=1, × 255, truncated; 0 where all values are equal.
fn grey_levels(values: &[f32]) -> Vec<u8> {
    let (min, max) = range(values);
    let span = max - min;
    if span == 0.0 {
        return vec![0; values.len()];
    }
    values.iter().map(|value| truncated((value - min) / span * 255.0)).collect()
}

/// The whole part of a number in 0..=255.
///
/// From 2^23 on floats are whole numbers, and the last bits of the sum with it are the nearest one, perhaps one too much. Processors do
/// this for several values at once, unlike a cast, which asks about each what is no such number.
fn truncated(value: f32) -> u8 {
    const WHOLE: f32 = 8_388_608.0;
    let nearest = value + WHOLE;
    let too_much = u32::from(nearest - WHOLE > value);
    (nearest.to_bits() - too_much) as u8
}
