//! A pool of threads of a stage's own.

use orchestrate_engine::stage::StageError;

/// Calls `run` on a pool of `threads` threads of its own, at least one.
///
/// Everything in it that uses rayon is bounded by that number. Errors: the threads cannot be started.
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
