//! A pool of threads for one stage.

use orchestrate_engine::stage::StageError;

/// Calls `run` on a pool of its own with `threads` threads, at least one, which bounds all use of rayon.
///
/// Errors: the threads cannot be started.
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
