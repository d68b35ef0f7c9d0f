//! The program `orchestrate`: the command line over the stages of the domain.

use std::process::ExitCode;

fn main() -> ExitCode {
    orchestrate::main(orchestrate::stages())
}
