//! Real studies on three nodes: the bytes of one machine.
//!
//! `CLUSTER_STUDY=experiments/paper-phantom.toml` plays a whole one and prints its numbers; the suite a small one.
#![expect(clippy::print_stderr, reason = "its numbers are what people wait for")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use crate::lab::{Lab, well};
use crate::sandbox::Run;
use crate::slurm::Cluster;

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
    let lab = Lab::new(cluster, "memory = \"1GB\"", &quickstart());
    let run = lab.run_well(&[]);
    let nodes: Vec<_> = lab.tasks().iter().map(|task| task.node.clone()).collect();
    // Two models in two folds, their maps, and the report.
    assert!(nodes.len() > 4 + 4, "{:#?}", lab.tasks());
    assert!(lab.tasks().iter().all(|task| task.state == "COMPLETED"), "{:#?}", lab.tasks());
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
    let lab = Lab::new(cluster, "memory = \"2GB\"\nthreads = 1\nmax_jobs = 6", "");
    // It may extend another one.
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap().flatten() {
        if file.path().extension().is_some_and(|extension| extension == "toml") {
            lab.sandbox.write(&file.file_name().to_string_lossy(), std::fs::read(file.path()).unwrap());
        }
    }
    std::fs::copy(&path, lab.sandbox.path("spec.toml")).unwrap();
    let timed = |args: &[&str], on_cluster: bool| {
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
    let hosts: std::collections::BTreeSet<_> = tasks.iter().map(|task| task.node.clone()).collect();
    eprintln!(
        "{} nodes, {} tasks in {jobs} jobs on {hosts:?}: {seconds:.1} s, again {again_seconds:.1} s; one machine \
         {alone_seconds:.1} s",
        run.nodes.len(),
        tasks.len()
    );
    assert_eq!(again.ran(), [""; 0]);
    assert_eq!(run.outputs(), there);
}
