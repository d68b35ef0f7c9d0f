//! Completion in the shell: commands and options by clap, and names of specs, stages, nodes, axes, params, kinds and
//! runs by asking the spec and the store.
//!
//! The script of a shell calls this program again, with the words so far and `COMPLETE=SHELL` in its environment.
//! A word that cannot be completed, for example because the spec has errors, gets no candidates and no message.

mod bash;
mod candidates;

use std::ffi::{OsStr, OsString};
use std::io::Write;

use clap::{CommandFactory, ValueEnum};
use clap_complete::CompletionCandidate;
use clap_complete::engine::{ArgValueCompleter, PathCompleter, ValueCompleter};
use clap_complete::env::{CompleteEnv, Fish, Shells, Zsh};
use indexmap::IndexSet;

use crate::Kinds;
use crate::args::Cli;
use crate::outcome::Outcome;
use crate::terminal;
use bash::Bash;
use candidates::Asked;

/// The environment variable that asks for candidates; its value names the shell.
const VARIABLE: &str = "COMPLETE";

const PROGRAM: &str = "orchestrate";

const SHELLS: Shells<'static> = Shells(&[&Bash, &Zsh, &Fish]);

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orchestrate completions bash >> ~/.bashrc
  orchestrate completions fish >> ~/.config/fish/config.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// The shells with completion.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script that a shell loads, for the program as it was called.
pub(crate) fn script(args: &CompletionsArgs) -> anyhow::Result<Outcome> {
    let shell = args.shell.to_possible_value().expect("no shell is skipped");
    let shell = SHELLS.completer(shell.get_name()).expect("every shell has a completer");
    // A name without a folder is found by the shell, also after an update.
    let called = std::env::args().next().unwrap_or_else(|| PROGRAM.to_owned());
    let called = if called.contains('/') { std::path::absolute(called)?.display().to_string() } else { called };
    let mut text = Vec::new();
    shell.write_registration(VARIABLE, PROGRAM, PROGRAM, &called, &mut text)?;
    Outcome::Done.after_saying(terminal::written(std::io::stdout().write_all(&text)))
}

/// Prints candidates for a word and returns true, if a shell asks for them.
pub(crate) fn answered(kinds: Kinds) -> bool {
    if std::env::var_os(VARIABLE).is_none_or(|shell| shell.is_empty()) {
        return false;
    }
    let env = CompleteEnv::with_factory(|| with_candidates(Cli::command(), kinds)).var(VARIABLE).shells(SHELLS);
    // A shell shows messages in the middle of the line, so an error is no candidates.
    env.try_complete(std::env::args_os(), std::env::current_dir().ok().as_deref()).unwrap_or(true)
}

/// Adds candidates to every argument whose value has a [`Source`].
fn with_candidates(command: clap::Command, kinds: Kinds) -> clap::Command {
    command.mut_args(|arg| arg_with_candidates(arg, kinds)).mut_subcommands(|command| with_candidates(command, kinds))
}

fn arg_with_candidates(arg: clap::Arg, kinds: Kinds) -> clap::Arg {
    let named = arg.get_value_names().into_iter().flatten().map(|name| name.to_string());
    // A positional argument without a name of its value is shown by its own.
    let names = named.chain([arg.get_id().as_str().to_uppercase()]).collect::<Vec<_>>().join(" ");
    let words = names.split(|letter: char| !letter.is_ascii_uppercase());
    let sources: IndexSet<_> = words.filter_map(Source::named).collect();
    if sources.is_empty() {
        return arg;
    }
    arg.add(ArgValueCompleter::new(Candidates { sources, kinds }))
}

/// Origin of candidates, by a word in the name of a value, such as `[SPEC] NODE` or `SPEC|STAGE|KIND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    Spec,
    Stage,
    Node,
    Axis,
    Key,
    Kind,
    Run,
}

impl Source {
    fn named(word: &str) -> Option<Self> {
        match word {
            "SPEC" => Some(Self::Spec),
            "STAGE" => Some(Self::Stage),
            "NODE" | "NODES" => Some(Self::Node),
            "AXIS" => Some(Self::Axis),
            "PATH" | "KEY" => Some(Self::Key),
            "KIND" => Some(Self::Kind),
            "RUN" => Some(Self::Run),
            _ => None,
        }
    }
}

/// The candidates for one argument.
struct Candidates {
    sources: IndexSet<Source>,
    kinds: Kinds,
}

impl ValueCompleter for Candidates {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let asked = Asked::new(self.kinds, words());
        // Zsh and fish pass the quote that opens the word, and expect candidates without it.
        let text = current.to_str().unwrap_or_default().trim_start_matches(['\'', '"']);
        let of = |source: &Source| match source {
            Source::Spec => specs(current),
            Source::Stage => named(asked.stages(), text),
            Source::Node => named(asked.nodes(text), text),
            Source::Axis => named(asked.axes(), text),
            Source::Key => named(asked.keys(), text),
            Source::Kind => named(self.kinds.iter().map(|kind| kind.facts().kind.to_owned()).collect(), text),
            Source::Run => named(asked.runs(), text),
        };
        self.sources.iter().flat_map(of).collect()
    }
}

/// The words of the command line that is completed.
fn words() -> Vec<OsString> {
    std::env::args_os().skip_while(|word| word != "--").skip(1).collect()
}

fn specs(current: &OsStr) -> Vec<CompletionCandidate> {
    let is_spec = |path: &std::path::Path| path.is_dir() || path.extension().is_some_and(|ending| ending == "toml");
    PathCompleter::any().filter(is_spec).complete(current)
}

fn named(names: Vec<String>, current: &str) -> Vec<CompletionCandidate> {
    // A name that would act on the terminal is not offered.
    let fits = |name: &String| name.starts_with(current) && !name.contains(terminal::is_hidden);
    names.into_iter().filter(fits).map(CompletionCandidate::new).collect()
}
