//! The command line of orchestrate: parse, call the phases in order, map the outcome to an exit code.

mod args;
mod command;
mod device;
mod diagnostic;
mod outcome;
mod progress;
mod reporter;
mod terminal;
mod transfer;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, DataCommand, StoreCommand};
use outcome::Outcome;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Worker = cli.command {
        return command::worker::worker();
    }
    start_tracing();
    let outcome = match cli.command {
        Command::Run(args) => command::run::run(args),
        Command::Plan(args) => command::plan::plan(args),
        Command::Explain(args) => command::explain::explain(args),
        Command::Report(args) => command::report::report(args),
        Command::Export(command) => command::export::export(command),
        Command::Logs(args) => command::logs::logs(args),
        Command::Store(StoreCommand::Ls(args)) => command::store::ls(args),
        Command::Store(StoreCommand::Show { key, store }) => command::store::show(&key, store),
        Command::Store(StoreCommand::Verify(args)) => command::store::verify(args),
        Command::Store(StoreCommand::Gc { max_size, max_age, dry_run, store }) => {
            command::store::gc(max_size, max_age, dry_run, store)
        }
        Command::Data(DataCommand::BrainTumor(args)) => command::data::brain_tumor(args),
        Command::Kinds => command::kinds::kinds(),
        Command::Worker => unreachable!("handled above"),
    };
    outcome.unwrap_or_else(Outcome::from_error).into()
}

/// `RUST_LOG=debug` shows what the engine does; warnings are always shown.
fn start_tracing() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal::colours_on_stderr())
        .without_time()
        .with_target(false)
        .init();
}
