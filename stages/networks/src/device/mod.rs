//! The devices that tensors are computed on: the CPU, and GPUs in a build with the feature `cuda` or `wgpu`.
//!
//! The name of a GPU, `cuda:0` or `wgpu:1`, is its backend and its place in the list of that backend. GPUs are listed
//! before one is used, because Burn panics for one that does not exist. Nothing here loads a driver unless a GPU is
//! asked for. Each tensor names its device; Burn's default device, to which the state of an optimiser is read, is the
//! CPU in each worker.

#[cfg(not(all(feature = "cuda", feature = "wgpu")))]
mod absent;
#[cfg(feature = "cuda")]
mod cuda;
mod gpu;
mod memory;
#[cfg(feature = "wgpu")]
mod wgpu;

use burn::tensor::Device;
use orchestrate_engine::schedule::machine_memory;
use orchestrate_engine::stage::{DeviceUse, StageError};
use orchestrate_stages::gpu as visible;
use serde::Deserialize;

use crate::model::Precision;
#[cfg(not(feature = "cuda"))]
use absent as cuda;
#[cfg(not(feature = "wgpu"))]
use absent as wgpu;

pub use gpu::{Backend, Gpu, GpuKind};

/// True if this program was built to compute on GPUs.
pub const GPU_SUPPORT: bool = cfg!(any(feature = "cuda", feature = "wgpu"));

/// The name of the CPU.
pub const CPU: &str = "cpu";

/// Returns a device by its name in [`orchestrate_engine::stage::Context::device`].
pub fn device(name: &str) -> Result<Device, StageError> {
    if name == CPU {
        return Ok(Device::flex());
    }
    let Some((backend, index)) = gpu::parsed(name) else {
        return Err(StageError::new(format!("`{name}` is no device; the names are cpu, cuda:0, wgpu:0 and so on")));
    };
    if !backend.is_built() {
        return Err(StageError::new(format!(
            "device `{name}`: this program was built without the feature `{backend}`; use `--device cpu`"
        )));
    }
    let opened = match backend {
        Backend::Cuda => cuda::open(index),
        Backend::Wgpu => wgpu::open(index),
    };
    opened.ok_or_else(|| {
        let count = backend.gpus().len();
        StageError::new(format!("device `{name}` is not there any more; {count} GPUs are"))
    })
}

/// Lists the types of numbers that a device computes in. Opens the device.
pub fn precisions(name: &str) -> Result<Vec<Precision>, StageError> {
    let device = device(name)?;
    Ok(Precision::ALL.into_iter().filter(|precision| precision.is_supported(&device)).collect())
}

/// Returns the memory of a GPU in bytes, if it is known; that of the machine if the GPU has none of its own. Opens a
/// device of CUDA.
pub fn memory(gpu: &Gpu) -> Option<u64> {
    match gpu.kind {
        GpuKind::Software | GpuKind::Integrated => machine_memory(),
        _ => memory::of_card(&gpu.pci.clone().or_else(|| identity(&gpu.name)?.1)?),
    }
}

/// Returns make and model of a GPU, if they are known. Opens a device of CUDA.
pub fn model(gpu: &Gpu) -> Option<String> {
    gpu.model.clone().or_else(|| Some(identity(&gpu.name)?.0))
}

fn identity(name: &str) -> Option<(String, Option<String>)> {
    match gpu::parsed(name)? {
        (Backend::Cuda, index) => cuda::identity(index),
        (Backend::Wgpu, _) => None,
    }
}

/// The use of a device by networks.
pub(crate) const DEVICE_USE: DeviceUse = DeviceUse { environment, describe, driver, refuses };

/// Returns the name of a device with its make, API and driver, for the record: `cuda:1 (NVIDIA H100 PCIe, driver
/// 570.86.15)`. Opens a device of CUDA.
fn describe(name: &str) -> String {
    described(name, identity(name).map(|(model, _)| model))
}

/// Returns the name of a GPU with the facts that are known without opening it; nothing for the CPU.
fn driver(name: &str) -> Option<String> {
    (name != CPU).then(|| described(name, None))
}

fn described(name: &str, model: Option<String>) -> String {
    let gpu = gpu::parsed(name).and_then(|(backend, index)| backend.gpus().into_iter().nth(index));
    let Some(gpu) = gpu else { return name.to_owned() };
    let api = (gpu.api != "CUDA").then_some(gpu.api);
    let driver = gpu.driver.map(|driver| format!("driver {driver}"));
    let facts: Vec<_> = [model.or(gpu.model), api, driver].into_iter().flatten().collect();
    if facts.is_empty() { name.to_owned() } else { format!("{name} ({})", facts.join(", ")) }
}

/// Returns the reason why a stage with these params cannot compute on one of the devices, if it is known without
/// opening them.
fn refuses(params: &serde_json::Value, devices: &[String]) -> Option<String> {
    let precision = params.get("precision").and_then(|value| Precision::deserialize(value).ok())?;
    if precision == Precision::F32 {
        return None;
    }
    let gpus: Vec<Gpu> =
        Backend::ALL.into_iter().filter(|backend| backend.is_of(devices)).flat_map(Backend::gpus).collect();
    let lacks = |gpu: &&Gpu| gpu.precisions.as_ref().is_some_and(|known| !known.contains(&precision));
    let gpu = gpus.iter().filter(|gpu| devices.contains(&gpu.name)).find(lacks)?;
    let known: Vec<_> = gpu.precisions.iter().flatten().map(|known| format!("\"{known}\"")).collect();
    let known = known.join(" or ");
    Some(format!("precision = \"{precision}\": {} does not compute in this type; use {known}", driver(&gpu.name)?))
}

/// Returns the environment variables for a process that computes on a device. Settings of the allocator from outside
/// stay.
pub fn environment(name: &str) -> Vec<(&'static str, String)> {
    let mut variables = vec![("BURN_DEVICE", "flex".to_owned())];
    variables.extend(visible::visible_to(name).map(|list| (visible::VISIBLE, list)));
    variables.extend(allocator(|variable| std::env::var_os(variable).is_some()));
    variables
}

fn allocator(is_set: impl Fn(&str) -> bool) -> impl Iterator<Item = (&'static str, String)> {
    let unset = ALLOCATOR.into_iter().filter(move |(variable, _)| !is_set(variable));
    unset.map(|(variable, bytes)| (variable, bytes.to_string()))
}

/// Settings of glibc's allocator: bytes of free memory that it keeps, and the largest allocation served from them.
/// Every training step allocates tensors of the same sizes. The kernel clears new pages first, which took a tenth of
/// the time of a small network. The second value is glibc's largest; other allocators ignore both.
const ALLOCATOR: [(&str, u64); 2] = [("MALLOC_TRIM_THRESHOLD_", 4 << 30), ("MALLOC_MMAP_THRESHOLD_", 32 << 20)];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn burns_default_device_is_the_cpu_and_a_process_for_the_cpu_sees_no_gpu_of_cuda() {
        for name in [CPU, "cuda:1", "wgpu:0"] {
            assert!(environment(name).contains(&("BURN_DEVICE", "flex".to_owned())), "{name}");
        }
        let variables = environment(CPU);
        assert!(variables.contains(&("CUDA_VISIBLE_DEVICES", String::new())), "{variables:?}");
        assert_eq!(describe(CPU), "cpu");
        assert_eq!(driver(CPU), None);
    }

    #[test]
    fn freed_memory_is_kept_unless_somebody_decided_otherwise() {
        let kept = [("MALLOC_TRIM_THRESHOLD_", "4294967296"), ("MALLOC_MMAP_THRESHOLD_", "33554432")];
        assert!(allocator(|_| false).eq(kept.map(|(variable, bytes)| (variable, bytes.to_owned()))));
        assert_eq!(allocator(|variable| variable == "MALLOC_TRIM_THRESHOLD_").count(), 1);
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_and_no_panic() {
        for name in ["cuda:99", "wgpu:99"] {
            let error = device(name).expect_err("there are fewer").to_string();
            assert!(error.starts_with(&format!("device `{name}`")), "{error}");
        }
        let error = device("gpu").expect_err("it is no name").to_string();
        assert!(error.starts_with("`gpu` is no device"), "{error}");
    }

    #[test]
    fn the_cpu_computes_in_every_precision() {
        assert_eq!(precisions(CPU), Ok(Precision::ALL.to_vec()));
        assert_eq!(refuses(&json!({ "precision": "bf16" }), &[CPU.to_owned()]), None);
        assert_eq!(refuses(&json!({ "epochs": 3 }), &["wgpu:0".to_owned()]), None);
    }
}
