//! Bounds for reading HDF5: what a file claims of its arrays is looked at before memory is taken for them.

use hdf5_pure::{Dataset, Error};

/// No number is longer, the longest being a `long double`.
const ELEMENT_BYTES_MAX: u64 = 16;

/// The shape of an array; an error where it, one of its chunks or an element claims to be too large for `values_max` numbers.
pub(crate) fn bounded_shape(dataset: &Dataset, values_max: u64) -> Result<Vec<u64>, String> {
    let wrong = |error: Error| error.to_string();
    let shape = dataset.shape().map_err(wrong)?;
    let fits = |shape: &[u64]| {
        let values = shape.iter().try_fold(1_u64, |product, &length| product.checked_mul(length));
        values.is_some_and(|values| values <= values_max)
    };
    if !fits(&shape) {
        return Err(format!("it claims to have the shape {shape:?}, which is too large"));
    }
    if let Some(chunk) = dataset.chunk_shape().map_err(wrong)?.filter(|chunk| !fits(chunk)) {
        return Err(format!("it claims to have chunks of the shape {chunk:?}, which are too large"));
    }
    let element = dataset.element_size().map_err(wrong)?;
    if element > ELEMENT_BYTES_MAX {
        return Err(format!("it claims to have elements of {element} bytes, which is too long for numbers"));
    }
    Ok(shape)
}
