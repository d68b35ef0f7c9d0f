//! Heatmaps: class activation maps at the network's input size, as grey levels. Source: Kang et al. 2021, section 3.3.
//!
//! `scale = "after"` (the default): bilinear up-sampling (align_corners = false) in f32 to the network's input size, then
//! min-max per image, × 255, truncated to u8; no ReLU. `scale = "before"`: min-max and u8 at native size, then OpenCV's
//! bilinear resize of bytes, as in the script of Zhou et al. 2016 (`pytorch_CAM.py`).

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

/// Grey levels of one image at the network's input size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heatmap {
    /// Grey levels 0..=255, `[height, width]`, row by row; all 0 if the map is constant.
    pub pixels: Vec<u8>,
    /// True if the map has the same value everywhere, so that nothing in it stands out.
    pub constant: bool,
}

/// Passes the heatmap of each image of `cams`, with its row, to `each`, in parallel; results in the order of the rows.
///
/// Errors: values that are not finite, with the image's name; errors of `each`.
pub fn each_heatmap<T: Send>(
    cams: &Cams,
    scale: Scale,
    each: impl Fn(usize, Heatmap) -> Result<T, StageError> + Sync,
) -> Result<Vec<T>, StageError> {
    let method = Method::of(cams, scale);
    let heatmap_of = |scratch: &mut Scratch, row: usize| {
        let heatmap = convert(&method, map_of(cams, row), scratch).map_err(|error| error.of(cams, row))?;
        each(row, heatmap)
    };
    (0..cams.names.len()).into_par_iter().map_init(Scratch::default, heatmap_of).collect()
}

/// Returns true for each image of `cams` with a constant map, in the order of the rows.
///
/// Errors: values that are not finite, with the image's name.
pub(crate) fn each_is_constant(cams: &Cams) -> Result<Vec<bool>, StageError> {
    let method = Method::of(cams, Scale::default());
    let constant = |row| method.constant(map_of(cams, row)).map_err(|error| error.of(cams, row));
    (0..cams.names.len()).map(|row| Ok(constant(row)?.is_some())).collect()
}

/// Converts a map `[height, width]`, in any range, to grey levels `[input_height, input_width]`.
///
/// `size` is (height, width), `input_size` (input height, input width), both at least 1.
pub fn heatmap(
    map: &[f32],
    size: (usize, usize),
    input_size: (usize, usize),
    scale: Scale,
) -> Result<Heatmap, NotFinite> {
    convert(&Method::new(size, input_size, scale), map, &mut Scratch::default())
}

fn convert(method: &Method, map: &[f32], scratch: &mut Scratch) -> Result<Heatmap, NotFinite> {
    let range = method.constant(map)?;
    let mut pixels = Vec::new();
    method.rows(map, range, method.all_rows(), scratch, |_, levels| pixels.extend_from_slice(levels));
    Ok(Heatmap { pixels, constant: range.is_some() })
}
