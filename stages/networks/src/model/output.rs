//! From tensors on a device to plain numbers.

use burn::tensor::Tensor;
use orchestrate_engine::stage::StageError;

/// Reads a tensor of floats, the last axis fastest.
pub(crate) fn numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, StageError> {
    tensor.into_data().try_into_vec_as().map_err(unreadable)
}

/// Reads a tensor of one float.
pub(crate) fn scalar(tensor: Tensor<1>) -> Result<f64, StageError> {
    tensor.try_into_scalar::<f32>().map(f64::from).map_err(unreadable)
}

/// The error of a tensor that the device cannot give.
pub(crate) fn unreadable(error: impl std::fmt::Display) -> StageError {
    StageError::new(format!("a tensor cannot be read from the device: {error}"))
}
