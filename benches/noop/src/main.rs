//! `orchestrate-noop`: the whole command line of orchestrate over stages that do next to nothing, to measure the engine
//! alone. See `benches/README.md`.

mod trivial;

use std::process::ExitCode;

fn main() -> ExitCode {
    orchestrate::main(trivial::STAGES)
}
