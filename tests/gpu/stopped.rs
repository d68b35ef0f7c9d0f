//! Trainings that are killed: the state of the optimiser returns to the device, and a driver costs one node.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::sandbox::{Sandbox, signal, wait_at_most};
use crate::study::{Api, classifier, device};

const TRAIN: &str = "model = \"tiny\"\nepochs = 6\nbatch_size = 4\noptimizer = \"adam\"";

fn wait_for(what: &str, done: impl FnMut() -> bool) {
    wait_at_most(Duration::from_secs(300), what, done);
}

/// Returns the process of a worker: a child of the engine, which also asks git.
fn worker_of(engine: u32) -> Option<u32> {
    let output =
        Command::new("pgrep").args(["-f", "-P", &engine.to_string(), "worker"]).output().expect("there is a `pgrep`");
    String::from_utf8_lossy(&output.stdout).lines().next()?.parse().ok()
}

#[test]
fn a_training_that_is_killed_goes_on_to_the_same_bytes_on_the_same_device() {
    let Some(name) = device(Api::Vulkan) else { return };
    let args = ["--only", "train[fold=1]", "--device", &name];
    let spec = classifier(24, TRAIN);
    let undisturbed = Sandbox::with_spec(&spec).run_well(&args).nodes["train[fold=1]"]["output"].clone();

    let sandbox = Sandbox::with_spec(&spec);
    let mut command = sandbox.command(&["run", "spec.toml", "--only", "train[fold=1]", "--device", &name]);
    let mut engine = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let saved = || {
        let found =
            Command::new("find").arg(sandbox.path(".orchestrate")).args(["-name", "epoch-*2.checkpoint"]).output();
        !found.expect("there is a `find`").stdout.is_empty()
    };
    wait_for("the checkpoint of the second epoch", saved);
    engine.kill().expect("it runs");
    engine.wait().expect("it has ended");
    let resumed = sandbox.run_well(&args);
    assert_eq!(resumed.ran(), ["train[fold=1]"]);
    assert_eq!(resumed.nodes["train[fold=1]"]["output"], undisturbed);
    let log = sandbox.orchestrate(&["logs", "train[fold=1]"]).out;
    assert!(!log.contains("epoch 1/6") && log.contains("epoch 6/6"), "it began where it was: {log}");
}

#[test]
fn a_worker_that_its_driver_kills_is_one_failed_node_with_the_name_of_the_driver() {
    let Some(name) = device(Api::Vulkan) else { return };
    let sandbox = Sandbox::with_spec(&classifier(24, TRAIN));
    sandbox.run_well(&["--until", "split"]);
    let mut command = sandbox.command(&["run", "spec.toml", "--until", "train", "--device", &name]);
    let engine = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut worker = None;
    wait_for("a worker", || {
        worker = worker_of(engine.id());
        worker.is_some()
    });
    // As a driver would that finds itself in a state that it does not know.
    signal(worker.expect("there is one"), "-ABRT");
    let output = engine.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("was killed by SIGABRT while it computed on {name} (llvmpipe")), "{error}");
    assert!(error.contains("Mesa") && error.contains("--device cpu"), "{error}");
    assert!(error.contains("1 failed") && error.contains("1 ran"), "the other fold is computed: {error}");
}
