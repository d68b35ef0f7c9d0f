//! Stories of runs: write a spec, run, see what ran; change one thing, run, see that only the right nodes ran.
//!
//! One binary that drives the built `orchestrate`. Most stories use `command` stages of `sh`, which need no training.

mod borders;
mod crash;
mod crowd;
mod data;
mod device;
mod disk;
mod errors;
mod experiments;
mod input;
mod limits;
mod long;
mod report;
mod rerun;
mod sandbox;
mod share;
mod store;
mod study;
mod sweep;
mod unet;
