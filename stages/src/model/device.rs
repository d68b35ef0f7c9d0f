//! Where tensors are computed, and on how many threads.

use burn::tensor::Device;
use orchestrate_engine::stage::StageError;

/// The device of that name, as [`orchestrate_engine::stage::Context::device`] has it.
pub fn device(name: &str) -> Result<Device, StageError> {
    match name {
        "cpu" => Ok(Device::flex()),
        other => {
            Err(StageError::new(format!("device `{other}`: this build computes on the CPU only; use `--device cpu`")))
        }
    }
}

/// Runs something on a pool of its own with so many threads, which bounds what tensors use.
pub fn with_threads<T: Send>(
    threads: usize,
    run: impl FnOnce() -> Result<T, StageError> + Send,
) -> Result<T, StageError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .build()
        .map_err(|error| StageError::new(format!("cannot start {threads} threads: {error}")))?
        .install(run)
}
