//! The command line of orchestrate: parse, call the phases in order, map the outcome to an exit code.
//!
//! A library, so that another program can offer the same commands over its own kinds of stages, as `benches/` does.

mod args;
mod command;
mod complete;
mod device;
mod diagnostic;
mod efficiency;
mod estimate;
#[cfg(fuzzing)]
pub mod fuzz;
mod outcome;
mod overrides;
mod progress;
mod reporter;
mod stages;
mod terminal;
mod threads;
mod transfer;

use std::process::ExitCode;

use clap::Parser;
use orchestrate_engine::executor::worker::worker_main;
use orchestrate_engine::spec::StoreLimits;
use orchestrate_engine::stage::Stage;

use args::{Cli, Command, DataCommand, StoreCommand};
use outcome::Outcome;

pub use stages::stages;

/// The kinds of stages that a spec can name.
pub type Kinds = &'static [&'static dyn Stage];

/// Runs the command in the arguments of this process, and returns the exit code.
pub fn main(kinds: Kinds) -> ExitCode {
    if complete::answered(kinds) {
        return Outcome::Done.into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return Outcome::of_arguments(&said).into(),
    };
    if let Command::Worker = cli.command {
        return worker_main(kinds);
    }
    start_tracing();
    threads::explain_panics();
    if let Err(error) = threads::bound(jobs(&cli.command)) {
        return Outcome::from_error(error).into();
    }
    let outcome = match cli.command {
        Command::Run(args) => command::run::run(kinds, args),
        Command::Sweep(args) => command::sweep::sweep(kinds, args),
        Command::Plan(args) => command::plan::plan(kinds, args),
        Command::Graph(args) => command::graph::graph(kinds, &args),
        Command::New(args) => command::new::new(&args),
        Command::Explain(args) => command::explain::explain(kinds, args),
        Command::Report(args) => command::report::report(kinds, args),
        Command::Export(command) => command::export::export(kinds, command),
        Command::Path(args) => command::path::path(kinds, &args),
        Command::Runs(args) => command::runs::runs(&args),
        Command::Show(args) => command::show::show(kinds, &args),
        Command::Diff(args) => command::diff::diff(kinds, &args),
        Command::VerifyResults(args) => command::verify_results::verify_results(kinds, &args),
        Command::Logs(args) => command::logs::logs(args),
        Command::Store(StoreCommand::Init { shared, store }) => command::store::init(shared, store),
        Command::Store(StoreCommand::Ls(args)) => command::ls::ls(kinds, args),
        Command::Store(StoreCommand::Show { key, store }) => command::store::show(&key, store),
        Command::Store(StoreCommand::Verify { quick, store }) => command::store::verify(quick, store),
        Command::Store(StoreCommand::Repair(args)) => command::repair::repair(&args),
        Command::Store(StoreCommand::Gc { remote: true, max_age, dry_run, store, .. }) => {
            command::remote::collect(max_age.unwrap_or_default(), dry_run, &store)
        }
        Command::Store(StoreCommand::Push(args)) => command::remote::push(kinds, &args),
        Command::Store(StoreCommand::Pull(args)) => command::remote::pull(kinds, &args),
        Command::Store(StoreCommand::Gc { max_size, max_age, dry_run, store, .. }) => {
            command::gc::gc(StoreLimits { max_size_bytes: max_size, max_age, ..StoreLimits::default() }, dry_run, store)
        }
        Command::Store(StoreCommand::Forget(args)) => command::forget::forget(args),
        Command::Store(StoreCommand::Pin(args)) => command::pin::pin(kinds, args),
        Command::Store(StoreCommand::Unpin { name, store }) => command::pin::unpin(&name, store),
        Command::Store(StoreCommand::Pins(args)) => command::pin::list(args),
        Command::Store(StoreCommand::Keygen { show }) => command::keygen::keygen(show),
        Command::Data(DataCommand::BrainTumor(args)) => command::data::brain_tumor(args),
        Command::Data(DataCommand::Check(args)) => command::data_check::run(kinds, &args),
        Command::Kinds(args) => command::kinds::kinds(kinds, &args),
        Command::Devices(args) => command::devices::devices(&args),
        Command::Schema(args) => command::schema::schema(kinds, &args),
        Command::Completions(args) => complete::script(&args),
        Command::Man(args) => command::man::man(&args),
        Command::Attach(args) => command::attach::attach(&args),
        Command::Cancel(args) => command::cancel::cancel(&args),
        Command::Task(args) => command::task::task(kinds, &args),
        Command::Worker => unreachable!("handled above"),
    };
    outcome.unwrap_or_else(Outcome::from_error).into()
}

fn jobs(command: &Command) -> Option<u16> {
    match command {
        Command::Run(args) => args.how.jobs,
        Command::Sweep(args) => args.how.jobs,
        Command::VerifyResults(args) => args.how.jobs,
        // Light stages of a task use the threads of this process.
        Command::Task(_) => command::task::cpus_given().and_then(|cpus| u16::try_from(cpus.max(1)).ok()),
        _ => None,
    }
}

/// Sets up tracing to standard error: warnings, or more with `RUST_LOG=debug`.
fn start_tracing() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| terminal::Visible(std::io::stderr()))
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .init();
}
