//! `orchestrate-noop`: the command line of orchestrate, all of it, over stages that do next to nothing, so that what is
//! left to measure is the engine. See `benches/README.md`.

mod trivial;

use std::process::ExitCode;

fn main() -> ExitCode {
    orchestrate::main(trivial::STAGES)
}
