//! Several processes, several folders, one store.

use std::process::Stdio;

use crate::rerun::LETTERS;
use crate::sandbox::{Run, Said, Sandbox};

#[test]
fn processes_at_once_compute_each_node_once_and_all_finish() {
    let sandbox = Sandbox::new();
    let began = sandbox.path("began");
    // Every command leaves a line: a node that is computed twice leaves two.
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

#[test]
fn same_bytes_whatever_the_jobs_and_the_folder() {
    let (one, four) = (Sandbox::with_spec(LETTERS), Sandbox::with_spec(LETTERS));
    let first = one.run_well(&["--jobs", "1"]);
    let second = four.run_well(&["--jobs", "4"]);
    assert_eq!(first.outputs(), second.outputs());
}
