//! The commands of the processes that are killed, and of those that inspect the store afterwards.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use orchestrate_cache::{
    Access, ActionKey, ActionResult, CHECKPOINT_HEADER_BYTES, Checkpoints, Digest, FileDigests, Forgetting, GcPolicy,
    PutContent, Store, Value,
};
use orchestrate_engine::event::{Event, Reporter, TimedEvent};
use orchestrate_engine::executor::WorkerCommand;
use orchestrate_engine::observe::observe;
use orchestrate_engine::run::{self, Devices, RunOptions, Selection, Stop};
use orchestrate_engine::stage::LOG_MAX_BYTES;
use orchestrate_engine::{plan, runlog, spec};

use crate::result::{Ended, Outputs};
use crate::stages::STAGES;

type Anyhow<T> = Result<T, Box<dyn std::error::Error>>;

/// Name of the store in a project's folder.
pub(crate) const STORE: &str = "store";

/// Environment variable with an override for the study, as for `--set`.
pub(crate) const SET: &str = "STUDY_SET";

/// Runs the study of a project, and reports each finished node as soon as the engine does.
pub(crate) fn run(project: &Path) -> Anyhow<ExitCode> {
    let set: Vec<String> = std::env::var(SET).into_iter().collect();
    let plan = plan::build(spec::load(&project.join("study.toml"), &set)?, STAGES)?;
    let store = Store::open(&project.join(STORE), Access::ReadWrite)?;
    let digests = FileDigests::open(store.dir());
    let observed = observe(&plan, &digests)?;
    if let Err(error) = digests.save() {
        say(&format!("warning {error}"));
    }
    let options = RunOptions {
        jobs: Some(2),
        devices: Devices::Given(Vec::new()),
        fail_fast: false,
        forced: Vec::new(),
        worker: WorkerCommand::this_program(["worker"]),
        grace: Duration::from_secs(1),
        log_max_bytes: LOG_MAX_BYTES,
        merge_tables: None,
        find_tables: None,
        invocation: Default::default(),
        cluster: None,
        remote: None,
    };
    let selection = Selection::all(&plan);
    let summary = run::run(&plan, &observed, &store, &selection, &options, &mut [&mut Teller], &Stop::default())?;
    summary.failures.iter().for_each(|failure| say(&format!("failed {}", failure.cause.replace('\n', " "))));
    summary.unpublished.iter().for_each(|message| say(&format!("unpublished {message}")));
    let well = summary.counts.failed == 0 && summary.unpublished.is_empty();
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Writes each promise at once, before this process can be killed.
struct Teller;

impl Reporter for Teller {
    fn report(&mut self, event: &TimedEvent) {
        match &event.event {
            Event::NodeRan { node, key, outputs, .. } => say(&Ended::new("ran", node.as_str(), *key, outputs).line()),
            Event::NodeHit { node, key, outputs } => say(&Ended::new("hit", node.as_str(), *key, outputs).line()),
            Event::Warning { message } => say(&format!("warning {message}")),
            _ => {}
        }
    }
}

fn say(line: &str) {
    // The reader may be gone.
    let _ = std::io::stdout().write_all(format!("{}\n", line.replace('\n', " ")).as_bytes());
}

/// Inspects a store from a separate process: lists all hits with their verified outputs, then the findings of `verify`.
pub(crate) fn check(project: &Path) -> Anyhow<ExitCode> {
    let store = Store::open(&project.join(STORE), Access::ReadWrite)?;
    for (key, result, _) in store.results().collect::<Vec<_>>() {
        if store.hit(&key).is_none() {
            continue;
        }
        let outputs: Outputs = result.outputs.clone();
        let whole = outputs.iter().all(|(_, output)| {
            let files = store.artifact(output).map(|artifact| artifact.files);
            files.is_some_and(|files| files.iter().all(|file| store.read(&file.digest).is_ok()))
        });
        let status = if whole { "hit" } else { "half" };
        say(&Ended::new(status, &result.node, key, &outputs).line());
    }
    let report = store.verify()?;
    report.problems.iter().for_each(|problem| say(&format!("problem {problem}")));
    for entry in std::fs::read_dir(store.dir().join("tmp"))? {
        let path = entry?.path();
        if path.is_dir() {
            say(&format!("problem {} is left by a dead session", path.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists everything in the store that is damaged.
pub(crate) fn verify(project: &Path) -> Anyhow<ExitCode> {
    let store = Store::open(&project.join(STORE), Access::ReadWrite)?;
    let report = store.verify()?;
    report.problems.iter().for_each(|problem| say(&format!("problem {problem}")));
    report.torn.iter().for_each(|torn| say(&format!("torn {torn}")));
    for log in runlog::check(&store.runs_dir()) {
        say(&format!("problem {}: {}", log.path.display(), log.message));
    }
    Ok(ExitCode::SUCCESS)
}

/// Repairs the store.
pub(crate) fn repair(project: &Path) -> Anyhow<ExitCode> {
    let dir = project.join(STORE);
    let report = Store::repair(&dir)?;
    report.problems.iter().for_each(|problem| say(&format!("problem {problem}")));
    report.done.iter().for_each(|done| say(&format!("done {done}")));
    report.failed.iter().for_each(|left| say(&format!("left {left}")));
    for log in runlog::check(&dir.join("runs")) {
        say(&format!("done {}", log.mend(&dir.join("quarantine"))?));
    }
    Ok(ExitCode::SUCCESS)
}

/// Records candidates for a collection: old results, a forgotten result, an artifact without a result, an old run.
pub(crate) fn litter(project: &Path) -> Anyhow<ExitCode> {
    let store = Store::open(&project.join(STORE), Access::ReadWrite)?;
    for number in 0..12_u8 {
        let large = number % 4 == 0;
        let bytes = vec![number; if large { 80_000 } else { 3_000 }];
        let (output, _) = store.put_artifact(vec![("file".to_owned(), PutContent::Bytes(bytes))])?;
        let key = litter_key(number);
        let result = ActionResult {
            outputs: vec![("out".to_owned(), output)],
            preimage: serde_json::json!([number, 99]),
            node: format!("litter-{number}"),
            kind: "litter".to_owned(),
            run: "litter".to_owned(),
            elapsed_ms: 1,
            recorded_ms: 1,
            device: "cpu".to_owned(),
            producer: None,
        };
        if number % 3 != 0 {
            store.put_result(&key, result)?;
        }
        if number % 3 == 1 {
            store.commit()?;
            store.forget_result(&key);
        }
    }
    store.commit()?;
    let key = ActionKey(Digest::of(b"a training that was stopped"));
    let checkpoints = Checkpoints::new(&store.checkpoint_dir(&key), key);
    checkpoints.save(1, vec![7; CHECKPOINT_HEADER_BYTES + 999])?;
    let run = store.runs_dir().join("20200131-174502-318-9f02ac");
    fs::create_dir_all(run.join("logs"))?;
    for name in ["logs/a.log", "logs/b.log", "events.jsonl"] {
        let file = File::create(run.join(name))?;
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_580_492_702))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The key of a candidate for a collection.
fn litter_key(number: u8) -> ActionKey {
    let preimage = Value::List(vec![Value::Int(number.into()), Value::Int(99)]);
    ActionKey(preimage.digest().expect("a key can hold whole numbers"))
}

/// Forgets the candidates for a collection, all but every third; says what is left of them.
pub(crate) fn forget(project: &Path) -> Anyhow<ExitCode> {
    let store = Store::open(&project.join(STORE), Access::ReadWrite)?;
    let keys = (0..12_u8).filter(|number| number % 3 != 0).map(litter_key);
    let checkpoints = [ActionKey(Digest::of(b"a training that was stopped"))].into();
    let runs = ["20200131-174502-318-9f02ac".to_owned()].into();
    let what = Forgetting { keys: keys.collect(), checkpoints, runs, ..Forgetting::default() };
    runlog::forget(&store, &what)?;
    let logs = [store.runs_dir().join("20200131-174502-318-9f02ac"), store.dir().join("forgetting")];
    logs.iter().filter(|path| path.exists()).for_each(|path| say(&format!("left {}", path.display())));
    for (key, result, _) in store.results().filter(|(key, _, _)| what.keys.contains(key)) {
        say(&format!("left {} {}", key.0, result.node));
    }
    Ok(ExitCode::SUCCESS)
}

/// Collects results unused for a day.
pub(crate) fn gc(project: &Path) -> Anyhow<ExitCode> {
    let store = Store::open(&project.join(STORE), Access::ReadWrite)?;
    let day = Some(Duration::from_secs(24 * 60 * 60));
    let done = runlog::collect(&store, &GcPolicy { max_age: day, ..GcPolicy::default() }, &HashSet::new())?;
    say(&format!("gc {:?}", done.report));
    Ok(ExitCode::SUCCESS)
}
