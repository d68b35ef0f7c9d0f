//! One slice of Cheng's set: class and patient, image and mask.

use super::CLASSES;
use super::field::{Matrix, Struct};
use crate::data::dataset::load::text;
use crate::data::dataset::raster::{Raster, Samples, Values};
use crate::data::dataset::resize::Grid;
use crate::data::hdf5;

/// The most levels of a mask that an error lists.
const LEVELS_MAX: usize = 5;

/// Class and patient of a slice.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Annotation {
    /// Class index into [`CLASSES`].
    pub(in super::super) label: u32,
    pub(in super::super) patient: Option<String>,
}

/// Reads class and patient from the bytes of a file.
///
/// The label is 1, 2 or 3, as a number of any type or as text, or the name of a class in any case. The patient is text
/// or a whole number, which becomes text: `100360`, `'100360'` and `{'100360'}` are the same patient.
pub(in super::super) fn read_annotation(bytes: Vec<u8>) -> Result<Annotation, String> {
    let file = hdf5::open(bytes)?;
    let cjdata = Struct::find(&file, "cjdata")?;
    let label = cjdata.field("label")?.text()?.unwrap_or_default();
    let is_label = |(number, class): (usize, &&str)| label == number.to_string() || label.eq_ignore_ascii_case(class);
    let Some(class) = (1..).zip(&CLASSES).position(is_label) else {
        return Err(format!("`cjdata/label` is `{label}`; 1, 2, 3 or one of {} is expected", CLASSES.join(", ")));
    };
    Ok(Annotation { label: class as u32, patient: cjdata.field("PID")?.text()? })
}

/// Reads the image in the units of the file, and the mask as 0 or 1, both as MATLAB shows them.
pub(in super::super) fn read_slice(bytes: Vec<u8>) -> Result<(Raster, Grid), String> {
    let file = hdf5::open(bytes)?;
    let cjdata = Struct::find(&file, "cjdata")?;
    let Matrix { height, width, values, kind, .. } = cjdata.field("image")?.matrix()?;
    let mask = foreground(&cjdata.field("tumorMask")?.matrix()?)?;
    if mask.size() != (height, width) {
        return Err(format!("the mask is {}, but the image {}", text(mask.size()), text((height, width))));
    }
    let samples = Samples { channels: 1, depth: kind };
    Ok((Raster { height, width, values: Values::Deep(values), samples }, mask))
}

/// Returns the mask as 0 or 1; foreground is all that is not 0.
///
/// Errors: more than one value beside 0; a mask of two values of which none is 0; NaN or infinity.
fn foreground(mask: &Matrix) -> Result<Grid, String> {
    let Matrix { path, height, width, values, .. } = mask;
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        return Err(format!("`{path}` holds the value {value}; a mask of 0 and 1 is expected"));
    }
    let mut levels: Vec<f64> = Vec::new();
    for value in values {
        if !levels.contains(value) {
            levels.push(*value);
        }
        if levels.len() > LEVELS_MAX {
            break;
        }
    }
    levels.sort_by(f64::total_cmp);
    if levels.len() > 2 || (levels.len() == 2 && !levels.contains(&0.0)) {
        let more = if levels.len() > LEVELS_MAX { " and more" } else { "" };
        let levels: Vec<String> = levels.iter().take(LEVELS_MAX).map(f64::to_string).collect();
        return Err(format!("`{path}` holds the values {}{more}; a mask of 0 and 1 is expected", levels.join(", ")));
    }
    let pixels = values.iter().map(|&value| (value != 0.0).into()).collect();
    Ok(Grid { height: *height, width: *width, pixels })
}
