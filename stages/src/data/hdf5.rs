//! Bounded reading of HDF5: the sizes that a file claims are checked before memory is allocated for them.

use std::iter::successors;

use half::f16;
use hdf5_pure::{Dataset, Datatype, DatatypeByteOrder, Error, File, FloatingPointLayout, FormatError};

/// Length of the longest type of number, a `long double`.
const ELEMENT_BYTES_MAX: u64 = 16;

const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// The float16 of IEEE 754.
const BINARY_16: FloatingPointLayout = FloatingPointLayout {
    bit_offset: 0,
    bit_precision: 16,
    exponent_location: 10,
    exponent_size: 5,
    mantissa_location: 0,
    mantissa_size: 10,
    exponent_bias: 15,
};

/// Opens HDF5, with or without MATLAB's header of 512 bytes.
///
/// Errors: no HDF5, or a file that is shorter than it says.
pub(crate) fn open(bytes: Vec<u8>) -> Result<File, String> {
    // HDF5 begins at 0, 512, 1024 and so on, doubled.
    let begins = |at: &usize| bytes.get(*at..).is_some_and(|rest| rest.starts_with(SIGNATURE));
    let start =
        successors(Some(0), |&at: &usize| Some((2 * at).max(512))).take_while(|&at| at < bytes.len()).find(begins);
    let Some(start) = start else { return Err(without_hdf5(&bytes).to_owned()) };
    let there = bytes.len() as u64;
    let file = File::from_bytes(bytes).map_err(|error| sentence(&error))?;
    let superblock = file.superblock();
    let whole = superblock.eof_address.saturating_sub(superblock.base_address.get()).saturating_add(start as u64);
    if there < whole {
        return Err(format!("it is cut short: {there} of {whole} bytes are there"));
    }
    Ok(file)
}

/// Says what a file without HDF5 in it is.
fn without_hdf5(bytes: &[u8]) -> &'static str {
    let word = |at: usize| bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word));
    // Level 4 has no header: the type of the first variable comes first, as thousands, hundreds, tens and ones.
    let level_4 = [word(0), word(0).map(u32::swap_bytes)]
        .into_iter()
        .flatten()
        .any(|kind| kind < 5000 && kind / 100 % 10 == 0 && kind / 10 % 10 <= 5 && kind % 10 <= 2 && word(16).is_some());
    if bytes.is_empty() {
        "it is empty"
    } else if bytes.starts_with(b"MATLAB 5.0") {
        "it is a MATLAB file of level 5 (`-v7` or `-v6`); load it in MATLAB and save it again with \
         `save(..., '-v7.3')`"
    } else if bytes.starts_with(b"MATLAB 7.3") {
        "it is cut short or damaged: no HDF5 follows MATLAB's header"
    } else if level_4 {
        "it is no HDF5, but perhaps a MATLAB file of level 4 (`-v4`); load it in MATLAB and save it again with \
         `save(..., '-v7.3')`"
    } else {
        "it is no MATLAB v7.3 file: there is no HDF5 in it"
    }
}

/// Says what is wrong, and what to do about it.
pub(crate) fn sentence(error: &Error) -> String {
    use FormatError::{
        ChunkedReadError, InvalidLayoutVersion, TypeMismatch, UnsupportedExternalStorage, UnsupportedFilter,
        UnsupportedVersion, UnsupportedVirtualLayout,
    };
    let problem = match error {
        Error::Format(InvalidLayoutVersion(version)) => format!("version {version} of HDF5's data layout is not read"),
        Error::Format(
            ChunkedReadError(_)
            | UnsupportedExternalStorage
            | UnsupportedFilter(_)
            | UnsupportedVersion(_)
            | UnsupportedVirtualLayout,
        ) => error.to_string(),
        Error::Format(TypeMismatch { actual, .. }) => {
            return format!(
                "it holds no real numbers, but a {actual}; complex numbers, cells and structs are not read"
            );
        }
        error => return error.to_string(),
    };
    format!(
        "{problem}; if other programs read the file, save it again with `save(..., '-v7.3')` in MATLAB, or with \
         `h5py.File(..., libver=\"earliest\")`"
    )
}

/// Reads the shape and the numbers of an array, whatever their type: integers, float16, float32, float64, booleans.
///
/// Errors: an array, or one of its chunks, that claims to hold more than `values_max` numbers; no numbers.
pub(crate) fn numbers(dataset: &Dataset, values_max: u64) -> Result<(Vec<u64>, Vec<f64>), String> {
    let shape = bounded_shape(dataset, values_max, ELEMENT_BYTES_MAX)?;
    let values = match dataset.datatype().map_err(|error| sentence(&error))? {
        Datatype::FloatingPoint { size: 2, layout: BINARY_16, byte_order } => {
            let value = |bytes: [u8; 2]| match byte_order {
                DatatypeByteOrder::BigEndian => f16::from_be_bytes(bytes).to_f64(),
                _ => f16::from_le_bytes(bytes).to_f64(),
            };
            dataset.read_raw().map(|raw| raw.as_chunks().0.iter().copied().map(value).collect())
        }
        _ => dataset.read_f64(),
    };
    let values = values.map_err(|error| sentence(&error))?;
    // The crate gives nothing for numbers of fewer bits than their bytes have.
    if values.len() as u64 != shape.iter().product::<u64>() {
        let kind = dataset.dtype().map_or_else(|error| error.to_string(), |kind| kind.to_string());
        return Err(format!("it has {} readable numbers of the type {kind} for the shape {shape:?}", values.len()));
    }
    Ok((shape, values))
}

/// Returns the shape.
///
/// Errors: more than `values_max` elements in the array or in a chunk, or elements of more than `bytes_max` bytes.
pub(crate) fn bounded_shape(dataset: &Dataset, values_max: u64, bytes_max: u64) -> Result<Vec<u64>, String> {
    let shape = dataset.shape().map_err(|error| sentence(&error))?;
    let fits = |shape: &[u64]| {
        let values = shape.iter().try_fold(1_u64, |product, &length| product.checked_mul(length));
        values.is_some_and(|values| values <= values_max)
    };
    if !fits(&shape) {
        return Err(format!("it claims to have the shape {shape:?}, which is too large"));
    }
    let chunk = dataset.chunk_shape().map_err(|error| sentence(&error))?;
    if let Some(chunk) = chunk.filter(|chunk| !fits(chunk)) {
        return Err(format!("it claims to have chunks of the shape {chunk:?}, which are too large"));
    }
    let element = dataset.element_size().map_err(|error| sentence(&error))?;
    if element > bytes_max {
        return Err(format!("it claims to have elements of {element} bytes, which is too long"));
    }
    Ok(shape)
}
