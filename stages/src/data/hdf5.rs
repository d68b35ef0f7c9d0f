//! Bounded reading of HDF5: the sizes that a file claims are checked before memory is allocated for them.

use hdf5_pure::{Dataset, Error, File};

/// Length of the longest type of number, a `long double`.
const ELEMENT_BYTES_MAX: u64 = 16;

/// Reads the shape and the values of the array at `path`, by `read`.
///
/// Errors: no such array; an array, or one of its chunks, that claims to hold more than `values_max` numbers.
pub(crate) fn array<T>(
    file: &File,
    path: &str,
    values_max: u64,
    read: impl FnOnce(&Dataset) -> Result<Vec<T>, Error>,
) -> Result<(Vec<u64>, Vec<T>), String> {
    let bounded = || {
        let dataset = file.dataset(path).map_err(|error| error.to_string())?;
        let shape = bounded_shape(&dataset, values_max)?;
        Ok((shape, read(&dataset).map_err(|error| error.to_string())?))
    };
    bounded().map_err(|problem: String| format!("cannot read `{path}`: {problem}"))
}

fn bounded_shape(dataset: &Dataset, values_max: u64) -> Result<Vec<u64>, String> {
    let shape = dataset.shape().map_err(|error| error.to_string())?;
    let fits = |shape: &[u64]| {
        let values = shape.iter().try_fold(1_u64, |product, &length| product.checked_mul(length));
        values.is_some_and(|values| values <= values_max)
    };
    if !fits(&shape) {
        return Err(format!("it claims to have the shape {shape:?}, which is too large"));
    }
    let chunk = dataset.chunk_shape().map_err(|error| error.to_string())?;
    if let Some(chunk) = chunk.filter(|chunk| !fits(chunk)) {
        return Err(format!("it claims to have chunks of the shape {chunk:?}, which are too large"));
    }
    let element = dataset.element_size().map_err(|error| error.to_string())?;
    if element > ELEMENT_BYTES_MAX {
        return Err(format!("it claims to have elements of {element} bytes, which is too long for numbers"));
    }
    Ok(shape)
}
