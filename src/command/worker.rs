//! The hidden `orchestrate worker`: runs one batch for an engine in a process of its own.

use std::process::ExitCode;

use orchestrate_engine::executor::worker::worker_main;
use orchestrate_stages::STAGES;

pub(crate) fn worker() -> ExitCode {
    worker_main(STAGES)
}
