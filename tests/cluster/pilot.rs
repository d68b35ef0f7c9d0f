//! A pilot: one job that runs the engine itself.

use crate::lab::{Lab, letters, signal, well};
use crate::slurm::Cluster;

const WAITS: &str = "while [ ! -e LAB/go ]; do sleep 0.1; done";
const PILOT: &str = "[cluster.pilot]\nmemory = \"500MB\"\nthreads = 2\n";

#[test]
fn pilot_runs_a_whole_study_in_one_job() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, PILOT, &letters(&["a", "b", "c"], ""));
    let run = lab.run_well(&["--pilot"]);
    lab.assert_each_once(&["a", "b", "c"]);
    assert_eq!((run.nodes.len(), lab.tasks().len()), (3, 1), "{:#?}", lab.tasks());
    let alone = lab.sandbox.run_well(&["--store", "alone"]);
    assert_eq!(alone.outputs(), run.outputs());
}

#[test]
fn pilot_whose_watcher_dies_is_found_by_the_next() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, PILOT, &letters(&["a"], WAITS));
    let mut head = lab.start(&["--pilot"]);
    lab.wait_for_work(1);
    signal(head.id(), "-KILL");
    head.wait().unwrap();
    let head = lab.start(&["--pilot"]);
    std::thread::sleep(std::time::Duration::from_secs(1));
    lab.sandbox.write("go", "");
    assert_eq!(well(lab.end(head)).nodes.len(), 1);
    lab.assert_each_once(&["a"]);
    assert_eq!(lab.tasks().len(), 1, "{:#?}", lab.tasks());
}

#[test]
fn study_longer_than_a_pilot_goes_on_in_the_next_one() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = "[cluster.pilot]\nmemory = \"500MB\"\nthreads = 1\ntime = \"1m\"\n";
    let labels = ["a", "b", "c", "d"];
    let lab = Lab::new(cluster, config, &letters(&labels, "sleep 19"));
    lab.run_well(&["--pilot"]);
    let tasks = lab.tasks();
    assert!(tasks.len() == 2 && tasks.iter().all(|task| task.state == "COMPLETED"), "{tasks:#?}");
    let worked: std::collections::BTreeSet<_> = lab.worked().into_iter().map(|worked| worked.label).collect();
    assert_eq!(worked.into_iter().collect::<Vec<_>>(), labels);
    // The third is stopped at the deadline.
    assert!(lab.worked().len() <= 5, "{:#?}", lab.worked());
}

#[test]
fn failure_in_a_pilot_is_a_failure() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, PILOT, &letters(&["a", "b"], "[ $1 = a ] || ( echo no $1 >&2; exit 3 )"));
    let head = lab.start(&["--pilot"]);
    let said = head.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert!(text.contains("no b"), "{text}");
    assert_eq!(lab.tasks().len(), 1);
}
