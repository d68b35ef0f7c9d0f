//! A backend that this program was built without.

use burn::tensor::Device;

use super::gpu::Gpu;

pub(super) fn list() -> Vec<Gpu> {
    Vec::new()
}

pub(super) fn open(_index: usize) -> Option<Device> {
    None
}

/// Asked of CUDA alone.
#[cfg_attr(feature = "cuda", expect(dead_code, reason = "wgpu is absent"))]
pub(super) fn identity(_index: usize) -> Option<(String, Option<String>)> {
    None
}
