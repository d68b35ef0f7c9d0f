//! `orchestrate man --to DIR`: writes a manual page for each command, from the same text as `--help`.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;

use crate::args::Cli;
use crate::outcome::Outcome;
use crate::terminal;

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orchestrate man --to ~/.local/share/man/man1
  orchestrate man --to man && man ./man/orchestrate-run.1")]
pub(crate) struct ManArgs {
    /// Folder to write to; made if it is missing
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

pub(crate) fn man(args: &ManArgs) -> anyhow::Result<Outcome> {
    let shown = args.to.display();
    fs::create_dir_all(&args.to).with_context(|| format!("cannot make {shown}"))?;
    clap_mangen::generate_to(Cli::command(), &args.to).with_context(|| format!("cannot write to {shown}"))?;
    let pages = fs::read_dir(&args.to).with_context(|| format!("cannot list {shown}"))?.count();
    Outcome::Done.after_saying(terminal::say(&format!("{pages} pages in {shown}\n")))
}
