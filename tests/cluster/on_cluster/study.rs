//! Real studies on three nodes: the bytes of one machine.
//!
//! `CLUSTER_STUDY=experiments/paper-phantom.toml` plays a whole one and prints its numbers, with more arguments of
//! `run` in `CLUSTER_ARGS`; the suite plays a small one.
#![expect(clippy::print_stderr, reason = "its numbers are what people wait for")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::lab::{Lab, well};
use crate::sandbox::Run;
use crate::slurm::Cluster;

/// A partition that gives a task to the least loaded node.
const SPREAD: &str = "partition = \"other\"\nmemory = \"2GB\"\nmax_jobs = 6";

/// The shape of the quickstart, in seconds.
fn quickstart() -> String {
    let spec = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/quickstart.toml")).unwrap();
    let small = [("count = 300", "count = 60"), ("size = 64", "size = 32"), ("epochs = 12", "epochs = 2")];
    let small = small.iter().fold(spec, |spec, (was, now)| {
        assert!(spec.contains(was), "{was}");
        spec.replace(was, now)
    });
    small.replace("folds = 5", "folds = 2").replace("[200, 225, \"q90\", \"q95\", \"otsu\"]", "[200, \"otsu\"]")
}

#[test]
fn quickstart_has_the_digests_of_one_machine() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, SPREAD, &quickstart());
    let run = lab.run_well(&[]);
    let tasks = lab.tasks();
    assert!(tasks.iter().all(|task| task.state == "COMPLETED"), "{tasks:#?}");
    // Two models in two folds, their maps, and the report.
    assert_eq!(tasks.len(), 4 + 4 + 1, "{tasks:#?}");
    let nodes: BTreeSet<_> = tasks.iter().map(|task| task.node.as_str()).collect();
    // Others load the nodes too.
    assert!(nodes.len() >= 2, "{nodes:?}");
    let alone = Lab::new(cluster, "", &quickstart());
    let alone = alone.sandbox.run_well(&[]);
    assert_eq!(run.outputs(), alone.outputs());
    assert_eq!(run.ran().len(), alone.ran().len());
    let again: Run = well(lab.run(&[]));
    assert_eq!(again.ran(), [""; 0]);
}

#[test]
fn whole_study_of_a_file_has_the_digests_of_one_machine() {
    let Ok(path) = std::env::var("CLUSTER_STUDY") else { return };
    let Some(cluster) = Cluster::shared() else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let lab = Lab::new(cluster, SPREAD, "");
    // It may extend another one, and read files beside it.
    let copied = Command::new("cp").arg("-r").arg(path.parent().unwrap().join(".")).arg(lab.dir()).status();
    assert!(copied.unwrap().success());
    std::fs::copy(&path, lab.sandbox.path("spec.toml")).unwrap();
    let more = std::env::var("CLUSTER_ARGS").unwrap_or_default();
    let timed = |args: &[&str], on_cluster: bool| {
        let args = &[args, &more.split_whitespace().collect::<Vec<_>>()].concat();
        let began = Instant::now();
        let run = if on_cluster { lab.run_well(args) } else { lab.sandbox.run_well(args) };
        (run, began.elapsed().as_secs_f64())
    };
    let (run, seconds) = timed(&[], true);
    let (again, again_seconds) = timed(&[], true);
    let (alone, alone_seconds) = timed(&["--store", "alone"], false);
    let mut stages: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let there = alone.outputs();
    for (node, output) in run.outputs() {
        let stage = stages.entry(node.split('[').next().unwrap()).or_default();
        *stage = (stage.0 + 1, stage.1 + usize::from(there.get(node) == Some(&output)));
    }
    stages.iter().for_each(|(stage, (nodes, same))| eprintln!("{stage}: {same} of {nodes} nodes the same"));
    let (tasks, jobs) = (lab.tasks(), lab.jobs().len());
    let hosts: BTreeSet<_> = tasks.iter().map(|task| task.node.clone()).collect();
    eprintln!(
        "{} nodes, {} tasks in {jobs} jobs on {hosts:?}: {seconds:.1} s, again {again_seconds:.1} s; one machine \
         {alone_seconds:.1} s",
        run.nodes.len(),
        tasks.len()
    );
    assert_eq!(again.ran(), [""; 0]);
    assert_eq!(run.outputs(), there);
}
