//! The remote of a project: the bucket of its settings, and `orchestrate store push | pull` and `store gc --remote`.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context;
use orchestrate_cache::remote::{Mode, Remote, RemoteCounts, RemotePolicy};
use orchestrate_cache::{Access, ActionKey, Store};
use orchestrate_engine::resources::display_size;
use orchestrate_engine::run::Stop;
use orchestrate_engine::runlog::History;
use orchestrate_engine::spec::{RemoteSettings, project_root};
use orchestrate_engine::survey::Answer;

use super::run::stop_on_signals;
use super::study::{self, STORE, Study, dir_for_store, nearby_project, nearby_trust};
use super::subject::{find_run, is_run_name};
use crate::Kinds;
use crate::args::StoreArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

/// The interval at which the progress of a planned move is told.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Results to move between the store and its remote.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orchestrate store push experiments/quickstart.toml --dry-run
  orchestrate store pull experiments/quickstart.toml")]
pub(crate) struct MoveArgs {
    /// A run (`latest`, -1, or its id), or a spec; all results without it
    #[arg(value_name = "RUN|SPEC", allow_hyphen_values = true)]
    what: Option<String>,
    /// Override a value of the spec as in `run` (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Show how much would be moved, and move nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Names the remote of these settings; connects when it is first needed. A set flag ends all calls.
pub(super) fn of(settings: &RemoteSettings, stop: &Arc<AtomicBool>) -> Remote {
    let RemoteSettings { url, endpoint, region, timeout, .. } = settings.clone();
    // Two servers may have buckets of one name.
    let shown = endpoint.as_ref().map_or_else(|| url.clone(), |endpoint| format!("{url} at {endpoint}"));
    let place = orchestrate_remote::Settings { url, endpoint, region, timeout };
    let stop = Arc::clone(stop);
    let connect = Box::new(move || orchestrate_remote::open(&place, Arc::clone(&stop)));
    Remote::new(&shown, settings.mode, connect)
}

/// Sums up a run: `remote: 12 hits (1.2 GB), 3 uploads (40 MB), 0 failed`.
pub(super) fn closing(counts: &RemoteCounts) -> String {
    let moved = |count: u64, word: &str, bytes: u64| {
        let size = if count > 0 { format!(" ({})", display_size(bytes)) } else { String::new() };
        terminal::count(count as usize, word) + &size
    };
    let RemoteCounts { hits, hit_bytes, uploads, upload_bytes, failed, left } = *counts;
    let left = if left > 0 { format!(", {left} left for the next run") } else { String::new() };
    format!(
        "remote: {}, {}, {failed} failed{left}",
        moved(hits, "hit", hit_bytes),
        moved(uploads, "upload", upload_bytes)
    )
}

/// Uploads results of the store that the remote lacks.
pub(crate) fn push(kinds: Kinds, args: &MoveArgs) -> anyhow::Result<Outcome> {
    study::nearby_dir(&study::store_of(&args.store, args.what.iter().map(Path::new)))?;
    let chosen = Chosen::find(kinds, args)?;
    let (store, mover) = (chosen.store(), Mover::new(&chosen.settings()?, "uploaded")?);
    if mover.remote_mode == Mode::Read {
        return Err(UsageError(READ_ONLY.to_owned()).into());
    }
    let keys = match &chosen {
        Chosen::All(store, _) => store.results().map(|(key, ..)| key).collect(),
        Chosen::Run(_, _, keys) => keys.clone(),
        Chosen::Spec(study) => study.survey(&HashSet::new()).answers.iter().filter_map(Answer::hit).collect(),
    };
    let keys: BTreeSet<_> = keys.into_iter().filter(|key| store.hit(key).is_some()).collect();
    let keys: Vec<_> = keys.into_iter().collect();
    let Some((lacked, bytes)) = mover.remote.lacked(store, &keys) else { return mover.end(None) };
    let there = keys.len() - lacked.len();
    if args.dry_run {
        let results = terminal::count(lacked.len(), "result");
        return mover
            .end(Some(format!("would upload {results} of at most {}; {there} more are there\n", display_size(bytes))));
    }
    mover.remote.push(store, &lacked, &mut mover.progress(lacked.len()));
    mover.end(Some(String::new()))
}

/// Reads results of the remote that the store lacks.
pub(crate) fn pull(kinds: Kinds, args: &MoveArgs) -> anyhow::Result<Outcome> {
    let chosen = Chosen::find(kinds, args)?;
    let (store, mover) = (chosen.store(), Mover::new(&chosen.settings()?, "read")?);
    let mut asked = BTreeSet::new();
    loop {
        // A key follows from the outputs of inputs, so each round of a spec makes others known.
        let keys = match &chosen {
            Chosen::All(..) => None,
            Chosen::Run(_, _, keys) => Some(keys.clone()),
            Chosen::Spec(study) => Some(misses(study).into_iter().filter(|key| asked.insert(*key)).collect()),
        };
        let Some((lacking, bytes)) = mover.remote.lacking(store, keys.as_deref()) else { return mover.end(None) };
        if args.dry_run {
            let results = terminal::count(lacking.len(), "result");
            let more = if matches!(chosen, Chosen::Spec(_)) { ", and then what follows from them" } else { "" };
            return mover.end(Some(format!("would read {results} of {}{more}\n", display_size(bytes))));
        }
        let found = mover.remote.fetch(store, &lacking, &mut mover.progress(lacking.len()));
        if found.is_empty() || !matches!(chosen, Chosen::Spec(_)) {
            return mover.end(Some(String::new()));
        }
    }
}

/// Deletes results that were uploaded long ago, and bytes that nothing needs any more.
pub(crate) fn collect(max_age: Duration, dry_run: bool, args: &StoreArgs) -> anyhow::Result<Outcome> {
    // Pins of all count, whoever signed the results.
    let store = study::nearby_store(args, Access::ReadWrite)?;
    let mover = Mover::new(&remote_of(nearby_project()?.remote)?, "collected")?;
    if mover.remote_mode == Mode::Read {
        return Err(UsageError(READ_ONLY.to_owned()).into());
    }
    let done = mover.remote.collect(&store, &RemotePolicy::new(max_age, dry_run));
    mover.tell();
    let done = done.map_err(|error| UsageError(error.to_string()))?;
    let (verb, free, keep) =
        if dry_run { ("would delete", "would free", "would keep") } else { ("deleted", "freed", "kept") };
    let mut text = format!(
        "{verb} {}, {free} {} in {}, {keep} {} of {}\n",
        terminal::count(done.results as usize, "result"),
        display_size(done.bytes_freed),
        terminal::count(done.objects as usize, "object"),
        terminal::count(done.kept as usize, "result"),
        display_size(done.bytes_kept),
    );
    if done.bytes_waiting > 0 {
        let size = display_size(done.bytes_waiting);
        let _ = writeln!(text, "{size} that no result needs wait: a collection deletes them a day after it found that");
    }
    if done.joined > 0 {
        let _ = writeln!(text, "{} written anew", terminal::count(done.joined as usize, "index"));
    }
    Outcome::Done.after_saying(terminal::say(&text))
}

/// Advice to who may not write.
const READ_ONLY: &str = "the project may only read its remote\nhelp: write `mode = \"read-write\"` in `[store.remote]`";

/// The keys of nodes that are misses, as far as they are known.
fn misses(study: &Study) -> Vec<ActionKey> {
    let miss = |answer: Answer| match answer {
        Answer::Miss { key, .. } => Some(key),
        _ => None,
    };
    study.survey(&HashSet::new()).answers.into_iter().filter_map(miss).collect()
}

fn remote_of(settings: Option<RemoteSettings>) -> Result<RemoteSettings, UsageError> {
    settings.ok_or_else(|| {
        let help = "write `[store.remote]` with `url = \"s3://BUCKET/PREFIX\"` in the orchestrate.toml of its root";
        UsageError(format!("the project has no remote\nhelp: {help}"))
    })
}

/// The results to move, with the store.
enum Chosen {
    All(Store, Option<RemoteSettings>),
    Run(Store, Option<RemoteSettings>, Vec<ActionKey>),
    Spec(Box<Study>),
}

impl Chosen {
    fn find(kinds: Kinds, args: &MoveArgs) -> anyhow::Result<Self> {
        let spec = args.what.as_deref().filter(|what| Path::new(what).exists() || !is_run_name(what));
        if let Some(spec) = spec {
            let plan = study::plan(kinds, Path::new(spec), &args.overrides)?;
            return Ok(Self::Spec(Box::new(Study::open(plan, &args.store, Access::ReadWrite)?)));
        }
        if !args.overrides.is_empty() {
            return Err(UsageError("--set changes a spec; name one".to_owned()).into());
        }
        // A new machine has no store yet.
        let project = nearby_project()?;
        let mut dir = dir_for_store(&args.store)?;
        if args.store.dir().is_none() && !dir.is_dir() {
            let working_dir = std::env::current_dir().context("cannot tell the working directory")?;
            dir = project_root(&working_dir).join(STORE);
        }
        let store = Store::open_trusting(&dir, Access::ReadWrite, nearby_trust()?)?;
        let Some(run) = &args.what else { return Ok(Self::All(store, project.remote)) };
        let history = History::new(store.runs_dir());
        let run = find_run(&history, run)?;
        let keys = history.keys(&run).with_context(|| format!("cannot tell what run {run} used"))?;
        Ok(Self::Run(store, project.remote, keys))
    }

    fn store(&self) -> &Store {
        match self {
            Self::All(store, _) | Self::Run(store, ..) => store,
            Self::Spec(study) => &study.store,
        }
    }

    fn settings(&self) -> Result<RemoteSettings, UsageError> {
        remote_of(match self {
            Self::All(_, remote) | Self::Run(_, remote, _) => remote.clone(),
            Self::Spec(study) => study.remote.clone(),
        })
    }
}

/// A remote that a command uses, and what the command says of it.
struct Mover {
    remote: Remote,
    remote_mode: Mode,
    /// The word for the move of results: `uploaded`.
    verb: &'static str,
    stop: Stop,
}

impl Mover {
    fn new(settings: &RemoteSettings, verb: &'static str) -> anyhow::Result<Self> {
        let stop = Stop::default();
        let remote = of(settings, &stop.flag());
        stop_on_signals(&stop)?;
        Ok(Self { remote, remote_mode: settings.mode, verb, stop })
    }

    /// Tells warnings as they come, and on a terminal or every few seconds how much is done.
    fn progress(&self, results: usize) -> impl FnMut() + '_ {
        let mut told = Instant::now();
        move || {
            self.tell();
            if told.elapsed() >= TOLD_EVERY {
                told = Instant::now();
                let counts = self.remote.counts().unwrap_or_default();
                let (done, bytes) = match self.verb {
                    "uploaded" => (counts.uploads, counts.upload_bytes),
                    _ => (counts.hits, counts.hit_bytes),
                };
                let size = display_size(bytes);
                terminal::complain(&format!("{done} of {results} {} ({size})\n", self.verb));
            }
        }
    }

    fn tell(&self) {
        for warning in self.remote.take_warnings() {
            terminal::complain(&format!("warning: {warning}\n"));
        }
    }

    /// Says how it ended; `None` if the remote did not answer.
    fn end(&self, said: Option<String>) -> anyhow::Result<Outcome> {
        self.tell();
        let counts = self.remote.counts().unwrap_or_default();
        let outcome = match said.is_none() || self.remote.is_off() || counts.failed > 0 {
            _ if self.stop.asked() => Outcome::Interrupted,
            true => Outcome::Failed,
            false => Outcome::Done,
        };
        let text = said.filter(|said| !said.is_empty()).unwrap_or_else(|| closing(&counts) + "\n");
        outcome.after_saying(terminal::say(&text))
    }
}
