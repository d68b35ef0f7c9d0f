//! Names of files in the folder of a run.

use std::fs;
use std::time::UNIX_EPOCH;

use crate::publish::name::node_file;

/// The event log.
pub(super) const EVENTS: &str = "events.jsonl";

/// The largest size of an event log that is read; it would have tens of millions of nodes.
pub(super) const EVENTS_BYTES_MAX: u64 = 1 << 34;

/// The summary of durations.
pub(super) const DURATIONS: &str = "durations.json";

/// The folder of node logs.
pub(super) const LOGS: &str = "logs";

/// Returns a file name for the log of a node: readable, and different for different nodes.
pub(super) fn log_name(node: &str) -> String {
    format!("{}.log", node_file(node))
}

/// Returns the time of the last write, in milliseconds since 1970.
pub(super) fn written_ms(file: &fs::Metadata) -> u64 {
    let written = file.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    u64::try_from(written.as_millis()).unwrap_or(u64::MAX)
}
