//! Killed engines, killed workers, signals: the next run finishes with the same bytes.

use std::time::Duration;

use crate::rerun::LETTERS;
pub(crate) use crate::sandbox::signal;
use crate::sandbox::{Run, Said, Sandbox, wait_at_most};

/// The letters, slow enough to be interrupted: each `repeat` reports that it began, and waits for a file.
fn slow(sandbox: &Sandbox) -> String {
    let wait = format!(
        "echo began >> {0}/began; while [ ! -e {0}/go ]; do sleep 0.02; done; for i in",
        sandbox.path("").display()
    );
    LETTERS.replace("for i in", &wait)
}

pub(crate) fn wait_for(what: &str, done: impl Fn() -> bool) {
    wait_at_most(Duration::from_secs(30), what, done);
}

fn alive(pattern: &str) -> bool {
    let output = std::process::Command::new("pgrep").args(["-f", pattern]).output().expect("there is a `pgrep`");
    output.status.success()
}

#[test]
fn killed_engine_takes_its_workers_along_and_the_next_run_finishes_with_the_same_bytes() {
    let undisturbed = Sandbox::with_spec(LETTERS);
    let expected = undisturbed.run_well(&[]);
    let sandbox = Sandbox::new();
    sandbox.write("spec.toml", slow(&sandbox));
    let mut engine =
        sandbox.command(&["run", "spec.toml", "--json"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    wait_for("a repeat to begin", || sandbox.path("began").exists());
    signal(engine.id(), "-KILL");
    engine.wait().unwrap();
    let marker = sandbox.path("began").display().to_string();
    wait_for("the workers to end", || !alive(&marker));
    sandbox.write("spec.toml", LETTERS);
    let run = sandbox.run_well(&[]);
    assert!(run.with("hit").len() >= 2, "what had been reported was done");
    assert_eq!(run.outputs(), expected.outputs());
}

#[test]
fn killed_worker_fails_one_node_and_the_next_run_finishes() {
    let sandbox = Sandbox::with_spec(LETTERS);
    // The shell kills its parent, the worker process.
    sandbox.edit(
        "spec.toml",
        "tr a-c A-C < \"$1/text\"",
        "grep -q b \"$1/text\" && kill -KILL $PPID; tr a-c A-C < \"$1/text\"",
    );
    let run = sandbox.run(&[]);
    assert_eq!(run.with("failed"), ["upper[letter=b]"]);
    assert_eq!(run.ran().len(), 2 + 1 + 2);
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert!(said.err.contains("kill"), "{}", said.err);
    sandbox.write("spec.toml", LETTERS);
    assert_eq!(sandbox.run_well(&[]).with("failed"), [""; 0]);
}

#[test]
fn first_interrupt_ends_cleanly_with_exit_code_130() {
    let sandbox = Sandbox::new();
    sandbox.write("spec.toml", slow(&sandbox));
    let mut command = sandbox.command(&["run", "spec.toml", "--json"]);
    let engine = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    wait_for("a repeat to begin", || sandbox.path("began").exists());
    signal(engine.id(), "-INT");
    let run = Run::from(Said::from(engine.wait_with_output().unwrap(), &sandbox.path("")));
    assert_eq!(run.said.code, Some(130));
    assert!(run.said.err.contains("stopping: nodes that run here get a few seconds"), "{}", run.said.err);
    let done = run.ran().len();
    assert!(done >= 2);
    assert_eq!(run.summary["cancelled"], 9 - done);
    sandbox.write("go", "");
    assert_eq!(sandbox.run_well(&[]).with("hit").len(), done);
}

#[test]
fn second_interrupt_ends_at_once_and_takes_the_workers_along() {
    let sandbox = Sandbox::new();
    // Nodes that ignore the first signal.
    sandbox.write("spec.toml", slow(&sandbox).replace("echo began", "trap : TERM; echo began"));
    let mut command = sandbox.command(&["run", "spec.toml"]);
    let mut engine = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    wait_for("a repeat to begin", || sandbox.path("began").exists());
    signal(engine.id(), "-INT");
    let logs = || std::fs::read_dir(sandbox.path(".orchestrate/runs")).unwrap();
    let asked = |dir: std::fs::DirEntry| {
        std::fs::read_to_string(dir.path().join("events.jsonl")).is_ok_and(|log| log.contains("run_stopping"))
    };
    wait_for("the run to stop", || logs().any(|dir| asked(dir.unwrap())));
    assert!(engine.try_wait().unwrap().is_none(), "it waits for what runs");
    signal(engine.id(), "-INT");
    assert_eq!(engine.wait().unwrap().code(), Some(130));
    let marker = sandbox.path("began").display().to_string();
    wait_for("the workers to end", || !alive(&marker));
}

#[test]
fn lost_and_corrupt_files_of_the_store_are_recomputed() {
    let sandbox = Sandbox::new();
    // Files too large for a pack lie under objects/.
    sandbox.write("spec.toml", LETTERS.replace("printf %s \"$1\"", "printf \"$1%0200000d\" 0"));
    let first = sandbox.run_well(&[]);
    let objects = objects(&sandbox);
    assert!(!objects.is_empty());
    for (index, object) in objects.iter().enumerate() {
        if index % 2 == 0 {
            std::fs::remove_file(object).unwrap();
        } else {
            make_writable(object);
            std::fs::write(object, "other bytes").unwrap();
        }
    }
    sandbox.edit("spec.toml", "times = [1, 2]", "times = [1, 2, 3]");
    let run = sandbox.run_well(&[]);
    assert!(run.ran().contains(&"repeat[letter=b,times=3]"));
    for (node, output) in first.outputs() {
        if node != "all" {
            assert_eq!(&output, &run.outputs()[node], "{node}");
        }
    }
}

/// Several nodes notice the damage before one of them has the file recomputed.
#[test]
fn a_corrupt_file_that_many_nodes_read_at_once_is_recomputed_once() {
    let sandbox = Sandbox::new();
    let large = LETTERS.replace("printf %s \"$1\"", "printf \"$1%0200000d\" 0");
    sandbox.write("spec.toml", large.replace("[\"a\", \"b\"]", "[\"a\"]").replace("[1, 2]", "[2]"));
    let first = sandbox.run_well(&[]);
    let is_read = |object: &std::path::PathBuf| {
        let bytes = std::fs::read(object).unwrap();
        bytes.len() == 200_001 && bytes.starts_with(b"A")
    };
    let object = objects(&sandbox).into_iter().find(is_read).expect("what `upper` gave is large");
    make_writable(&object);
    std::fs::write(object, "other bytes").unwrap();
    sandbox.edit("spec.toml", "times = [2]", "times = \"2..=9\"");
    let run = sandbox.run_well(&["--jobs", "8"]);
    let new = (3..=9).map(|times| format!("repeat[letter=a,times={times}]"));
    let ran: Vec<_> = std::iter::once("all".to_owned()).chain(new).chain(["upper[letter=a]".to_owned()]).collect();
    assert_eq!(run.ran(), ran);
    assert_eq!(run.outputs()["upper[letter=a]"], first.outputs()["upper[letter=a]"]);
}

fn objects(sandbox: &Sandbox) -> Vec<std::path::PathBuf> {
    let shards = std::fs::read_dir(sandbox.path(".orchestrate/objects")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    let mut objects: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    objects.sort();
    objects
}

fn make_writable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}
