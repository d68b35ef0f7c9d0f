//! Stories of runs: write a spec, run, see what ran; change one thing, run, see that only the right nodes ran.
//!
//! One binary that drives the built `orchestrate`. Most stories use `command` stages of `sh`, which need no training.

mod borders;
mod clocks;
mod cluster;
mod command;
mod crash;
mod crowd;
mod data;
mod datasets;
mod device;
mod disk;
mod errors;
mod experiments;
mod features;
mod foreseen;
mod forget;
mod graph;
mod grid;
mod help;
mod history;
mod hosts;
mod input;
mod limits;
mod logs;
mod long;
mod machine;
mod new;
mod path;
mod publish;
mod report;
mod rerun;
mod sandbox;
mod share;
mod store;
mod study;
mod sweep;
mod terminal;
mod trust;
mod unet;
mod users;
