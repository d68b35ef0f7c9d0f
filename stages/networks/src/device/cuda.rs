//! GPUs of NVIDIA, through CUDA.

use burn::tensor::{Device, DeviceType};

use super::gpu::{Gpu, GpuKind};
use super::visible;

pub(super) fn list() -> Vec<Gpu> {
    let driver = visible::driver();
    let gpu = |index| Gpu {
        name: format!("cuda:{index}"),
        model: None,
        kind: GpuKind::Discrete,
        api: "CUDA".to_owned(),
        driver: driver.clone(),
        pci: None,
        precisions: None,
    };
    (0..count()).map(gpu).collect()
}

/// Opens a GPU. A worker process sees only its own, which CUDA counts as the first.
pub(super) fn open(index: usize) -> Option<Device> {
    let count = count();
    let index = if count == 1 { 0 } else { index };
    (index < count).then(|| Device::cuda(index))
}

/// Returns make and model of a GPU, and its address on the PCI bus. Opens it.
pub(super) fn identity(index: usize) -> Option<(String, Option<String>)> {
    let identity = open(index)?.identity()?;
    let address = identity.physical.and_then(|physical| physical.pci_address);
    Some((identity.name, address.map(|address| address.to_string())))
}

fn count() -> usize {
    Device::enumerate(DeviceType::Cuda).len()
}
