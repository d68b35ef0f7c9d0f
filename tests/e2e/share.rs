//! Several processes, several folders, one store.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::rerun::LETTERS;
use crate::sandbox::{Run, Said, Sandbox};

#[test]
fn processes_at_once_compute_each_node_once_and_all_finish() {
    let sandbox = Sandbox::new();
    let began = sandbox.path("began");
    // Every command appends a line, so a node that is computed twice leaves two.
    let note = |stage: &str| format!("'echo {stage} >> {}; sleep 0.05; ", began.display());
    let spec = LETTERS
        .replace("'printf", &(note("source") + "printf"))
        .replace("'tr", &(note("upper") + "tr"))
        .replace("'for", &(note("repeat") + "for"))
        .replace("'cat", &(note("all") + "cat"));
    sandbox.write("spec.toml", spec);
    let engines: Vec<_> = (0..4)
        .map(|_| {
            let mut command = sandbox.command(&["run", "spec.toml", "--json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let runs: Vec<_> = engines
        .into_iter()
        .map(|engine| Run::from(Said::from(engine.wait_with_output().unwrap(), &sandbox.path(""))))
        .collect();
    for run in &runs {
        assert_eq!(run.said.code, Some(0), "{}", run.said.err);
        assert_eq!(run.outputs(), runs[0].outputs());
    }
    assert_eq!(sandbox.read("began").lines().count(), 9);
    assert_eq!(runs.iter().map(|run| run.ran().len()).sum::<usize>(), 9);
}

#[test]
fn two_folders_that_share_a_store_share_its_hits() {
    let (one, two, shared) = (Sandbox::with_spec(LETTERS), Sandbox::with_spec(LETTERS), Sandbox::new());
    let store = shared.path("store").display().to_string();
    let first = one.run_well(&["--store", &store]);
    let second = two.run_well(&["--store", &store]);
    assert_eq!(second.ran(), [""; 0]);
    assert_eq!(first.outputs(), second.outputs());
    assert_eq!(two.read("results/text"), "AAABBB");
    assert!(!two.path(".orchestrate").exists());
}

/// Makes a store in `shared` where process 4711 of another host has claimed a key; returns the path of the claim.
pub(crate) fn claimed_by_another_host(sandbox: &Sandbox, key: &str) -> PathBuf {
    let (session, nonce) = ("aaaaaaaaaaaa-0", 5_u64);
    let claim = format!(r#"{{"host":"node7","process":4711,"session":"{session}","nonce":{nonce}}}"#);
    sandbox.write(&format!("shared/claims/{key}"), claim + "\n");
    // The nonce, one heartbeat, the name of the host, and no notes.
    let mut file = [nonce.to_le_bytes(), 1_u64.to_le_bytes()].concat();
    file.extend(b"node7");
    file.resize(72, 0);
    sandbox.write(&format!("shared/tmp/{session}.lock"), file);
    sandbox.write("shared/format", "orchestrate store 2\n");
    sandbox.path("shared/claims").join(key)
}

/// Runs the letters on a new store where another host has claimed one node, and stands still. Hearts beat once in so
/// many milliseconds. Calls `during` meanwhile.
fn beside_another_host(heartbeat_ms: u64, during: impl Fn(&Path)) -> Run {
    let sandbox = Sandbox::with_spec(LETTERS);
    let keys = sandbox.run_well(&[]);
    let key = keys.nodes["upper[letter=b]"]["key"].as_str().expect("a node has a key");
    let claim = claimed_by_another_host(&sandbox, key);
    let mut command = sandbox.command(&["run", "spec.toml", "--json", "--store", "shared"]);
    command.env("ORCHESTRATE_HEARTBEAT_MS", heartbeat_ms.to_string());
    let engine = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    during(&claim);
    let run = Run::from(Said::from(engine.wait_with_output().expect("it ends"), &sandbox.path("")));
    assert_eq!(run.said.code, Some(0), "{}", run.said.err);
    assert_eq!(run.ran().len(), 9);
    assert_eq!(run.outputs(), keys.outputs());
    assert!(!claim.exists());
    run
}

#[test]
fn a_node_of_another_host_is_waited_for_while_its_heart_beats() {
    let shared = |claim: &Path| claim.parent().and_then(Path::parent).map(|dir| dir.join("runs")).expect("in a store");
    beside_another_host(15_000, |claim| {
        let waits = || {
            let logs = std::fs::read_dir(shared(claim)).into_iter().flatten().flatten();
            let logs = logs.map(|run| std::fs::read_to_string(run.path().join("events.jsonl")).unwrap_or_default());
            logs.into_iter().any(|log| log.contains("node_deferred") && log.contains("repeat[letter=a,times=2]"))
        };
        crate::crash::wait_for("the engine to do all else and wait", waits);
        // The other host stops without a result.
        std::fs::remove_file(claim).expect("it is there while it is waited for");
    });
}

#[test]
fn a_node_of_a_dead_host_is_taken_over() {
    beside_another_host(50, |_| ());
}

#[test]
fn same_bytes_whatever_the_jobs_and_the_folder() {
    let (one, four) = (Sandbox::with_spec(LETTERS), Sandbox::with_spec(LETTERS));
    let first = one.run_well(&["--jobs", "1"]);
    let second = four.run_well(&["--jobs", "4"]);
    assert_eq!(first.outputs(), second.outputs());
}
