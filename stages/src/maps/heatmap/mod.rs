//! Heatmaps: class activation maps at the network's input size, as grey levels. Source: Kang et al. 2021, section 3.3.
//!
//! `scale = "after"` (the default): bilinear up-sampling (align_corners = false) in f32 to the network's input size,
//! then min-max per image, × 255, truncated to u8; no ReLU. `scale = "before"`: min-max and u8 at native size, then
//! OpenCV's bilinear resize of bytes, as in the script of Zhou et al. 2016 (`pytorch_CAM.py`).

mod bilinear;
mod fixed_point;
mod histogram;
mod method;
mod min_max;
mod profile;
#[cfg(test)]
mod tests;

use orchestrate_engine::stage::StageError;
use rayon::prelude::*;

use crate::artifact::{Cams, Scale};

use method::{Method, Scratch, map_of};

pub use histogram::Histogram;
pub use method::NotFinite;
pub(crate) use profile::{Profile, cached_profiles, profiles, within};

/// Makes the heatmap of each image of `cams` and passes it to `each`, for several images in parallel.
///
/// - `each`: receives the row of the image in `cams`, and its grey levels `[input_height, input_width]`, row by row
/// - returns: the results of `each`, in the order of the rows of `cams`
///
/// Errors: values that are not finite, with the image's name; errors of `each`.
pub fn each_heatmap<T: Send>(
    cams: &Cams,
    scale: Scale,
    each: impl Fn(usize, Vec<u8>) -> Result<T, StageError> + Sync,
) -> Result<Vec<T>, StageError> {
    let method = Method::of(cams, scale);
    let heatmap_of = |scratch: &mut Scratch, row: usize| {
        each(row, method.heatmap(map_of(cams, row), scratch).map_err(|error| error.of(cams, row))?)
    };
    (0..cams.names.len()).into_par_iter().map_init(Scratch::default, heatmap_of).collect()
}

/// Finds the constant maps: returns one flag per image of `cams`, in the order of the rows.
///
/// Errors: values that are not finite, with the image's name.
pub(crate) fn each_is_constant(cams: &Cams) -> Result<Vec<bool>, StageError> {
    let method = Method::of(cams, Scale::default());
    let constant = |row| method.constant(map_of(cams, row)).map_err(|error| error.of(cams, row));
    (0..cams.names.len()).map(|row| Ok(constant(row)?.is_some())).collect()
}

/// Makes the heatmap of the image in one row of `cams`.
///
/// Errors: values that are not finite, with the image's name.
pub(crate) fn heatmap_of(cams: &Cams, row: usize, scale: Scale) -> Result<Vec<u8>, StageError> {
    let heatmap = Method::of(cams, scale).heatmap(map_of(cams, row), &mut Scratch::default());
    heatmap.map_err(|error| error.of(cams, row))
}

/// Makes the heatmap of one map.
///
/// - `map`: `[height, width]`, row by row, in any range
/// - `size`: (height, width) of the map, each at least 1
/// - `input_size`: (height, width) of the network's input, each at least 1
/// - returns: grey levels `[input_height, input_width]`, row by row; all 0 for a constant map
pub fn heatmap(
    map: &[f32],
    size: (usize, usize),
    input_size: (usize, usize),
    scale: Scale,
) -> Result<Vec<u8>, NotFinite> {
    Method::new(size, input_size, scale).heatmap(map, &mut Scratch::default())
}
