//! Real studies on three nodes: the bytes of one machine.

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
