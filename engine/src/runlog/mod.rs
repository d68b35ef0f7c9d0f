//! The event log of a run: `runs/<RunId>/events.jsonl`, one [`TimedEvent`](crate::event::TimedEvent) a line,
//! append-only. Beside it `logs/` has one file for each node with a log. Hits by the hundred are listed apart; see
//! `hits.rs`.
//!
//! `durations.json`, written at the end, summarises how long nodes took, so that estimates need not read whole logs.
//!
//! A run holds a lock on its log as long as it lives. Garbage collection removes logs of runs together with results;
//! see `collect.rs`, and so does forgetting; see `forget.rs`.
//!
//! The last line of a log seals it, and so does the end of `durations.json`, so `store verify` detects a changed byte;
//! see `check.rs`.
//!
//! The log is for people and estimates; no result depends on it. So a log that cannot be written is a warning, never an
//! error. A reader skips unreadable lines, such as a line torn by a crash or an event of a later version.

mod check;
mod collect;
mod durations;
mod files;
mod forget;
mod history;
mod hits;
mod layout;
mod writer;

pub use crate::run_id::RunId;
pub use check::{DamagedLog, check};
pub use collect::{Collection, collect};
pub use durations::Durations;
pub use files::{LogUsage, usage};
pub use forget::{Traces, forget, plan_forgetting, traces};
pub use history::{Finished, History, Latest, NodeEnd};
pub use writer::RunLog;
