//! The devices that tensors are computed on. The CPU is always available, NVIDIA GPUs only in a build with the feature
//! `cuda`. GPUs are counted before one is used, because Burn panics for one that does not exist. Nothing here touches
//! CUDA unless a GPU is asked for.

use burn::tensor::Device;
use orchestrate_engine::stage::{DeviceUse, StageError};

use orchestrate_stages::gpu;

/// True if this program was built to compute on GPUs.
pub const GPU_SUPPORT: bool = cfg!(feature = "cuda");

/// The name of the CPU.
pub const CPU: &str = "cpu";

/// Returns a device by its name in [`orchestrate_engine::stage::Context::device`].
pub fn device(name: &str) -> Result<Device, StageError> {
    match name {
        CPU => Ok(Device::flex()),
        other => gpu_device(other),
    }
}

/// Lists the GPUs that this program can compute on, `cuda:0` and so on; none without the feature `cuda`.
/// The first call loads the driver, if there is one, which takes a fraction of a second.
pub fn gpus() -> Vec<String> {
    (0..gpu_count()).map(|index| format!("cuda:{index}")).collect()
}

/// The use of a device by networks.
pub(crate) const DEVICE_USE: DeviceUse = DeviceUse { environment, describe };

/// Returns the name of a device with its make and driver, for the record: `cuda:1 (NVIDIA H100 PCIe, driver
/// 570.86.15)`.
fn describe(name: &str) -> String {
    let facts = [gpu_make(name), gpu::driver().filter(|_| name != CPU).map(|version| format!("driver {version}"))];
    let facts: Vec<_> = facts.into_iter().flatten().collect();
    if facts.is_empty() { name.to_owned() } else { format!("{name} ({})", facts.join(", ")) }
}

/// Returns the environment variables for a process that computes on a device. Burn reads the state of an optimiser to
/// its default device, a GPU in a build with the feature `cuda`; `BURN_DEVICE` makes it the CPU for a process on the
/// CPU. Settings of the allocator from outside stay.
pub fn environment(name: &str) -> Vec<(&'static str, String)> {
    let default = if name == CPU { "flex" } else { "cuda" };
    let mut variables = vec![("BURN_DEVICE", default.to_owned()), (gpu::VISIBLE, gpu::visible_to(name))];
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

#[cfg(feature = "cuda")]
fn gpu_count() -> usize {
    Device::enumerate(burn::tensor::DeviceType::Cuda).len()
}

#[cfg(not(feature = "cuda"))]
fn gpu_count() -> usize {
    0
}

#[cfg(feature = "cuda")]
fn gpu_device(name: &str) -> Result<Device, StageError> {
    let count = gpu_count();
    let index = name.strip_prefix("cuda:").and_then(|index| index.parse::<usize>().ok());
    // A worker process sees only its own GPU, which CUDA counts as the first.
    match index.map(|index| if count == 1 { 0 } else { index }) {
        Some(index) if index < count => Ok(Device::cuda(index)),
        _ => Err(StageError::new(format!("device `{name}` is not there any more; {count} GPUs are"))),
    }
}

#[cfg(not(feature = "cuda"))]
fn gpu_device(name: &str) -> Result<Device, StageError> {
    Err(StageError::new(format!("device `{name}`: this build computes on the CPU only; use `--device cpu`")))
}

#[cfg(feature = "cuda")]
fn gpu_make(name: &str) -> Option<String> {
    if name == CPU {
        return None;
    }
    gpu_device(name).ok()?.identity().map(|identity| identity.name)
}

#[cfg(not(feature = "cuda"))]
fn gpu_make(_name: &str) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_for_the_cpu_sees_no_gpu_and_has_the_cpu_as_default() {
        let environment = environment(CPU);
        assert!(environment.contains(&("BURN_DEVICE", "flex".to_owned())), "{environment:?}");
        assert!(environment.contains(&("CUDA_VISIBLE_DEVICES", String::new())), "{environment:?}");
        assert_eq!(describe(CPU), "cpu");
    }

    #[test]
    fn freed_memory_is_kept_unless_somebody_decided_otherwise() {
        let kept = [("MALLOC_TRIM_THRESHOLD_", "4294967296"), ("MALLOC_MMAP_THRESHOLD_", "33554432")];
        assert!(allocator(|_| false).eq(kept.map(|(variable, bytes)| (variable, bytes.to_owned()))));
        assert_eq!(allocator(|variable| variable == "MALLOC_TRIM_THRESHOLD_").count(), 1);
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_and_no_panic() {
        let error = device("cuda:99").expect_err("there are fewer").to_string();
        assert!(error.starts_with("device `cuda:99`"), "{error}");
    }
}
