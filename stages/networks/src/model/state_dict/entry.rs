//! A tensor of a file of weights, whatever the format.

use std::io;

use safetensors::Dtype;

/// A tensor of a file, not read yet.
pub(super) struct Entry<'a> {
    pub(super) name: String,
    /// Length of each axis.
    pub(super) shape: Vec<usize>,
    pub(super) dtype: Dtype,
    pub(super) size_bytes: usize,
    pub(super) read: Box<dyn Fn() -> io::Result<Vec<u8>> + 'a>,
}
