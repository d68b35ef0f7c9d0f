//! Stories of runs on a cluster: throw-away clusters of Slurm and Grid Engine on one machine, whose nodes are virtual.
//!
//! "Rule N" names one of the fifteen rules of `docs/cluster.md`. Tests that need a daemon which is not installed say so
//! and are skipped; `.ci/run` installs what it can.

mod answers;
mod asked;
mod commands;
mod ends;
mod head;
mod lab;
mod pilot;
#[path = "../e2e/sandbox.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod sandbox;
mod slurm;
mod study;
