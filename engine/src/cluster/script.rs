//! The script of a job.

use crate::spec::Cluster;

/// Returns a script that sets up as the cluster says, and then runs some lines.
pub fn script(cluster: &Cluster, lines: &[String]) -> String {
    let first = "#!/bin/sh".to_owned();
    let lines = [&first].into_iter().chain(&cluster.setup).chain(lines);
    lines.map(|line| format!("{line}\n")).collect()
}
