//! Lines of `run --json`.

use std::path::Path;

use orchestrate_cache::remote::RemoteCounts;
use orchestrate_cache::{ActionKey, OutputDigest};
use serde::Serialize;

use super::{Counts, Event};
use crate::node::{NodeName, Point};

impl Event {
    /// Returns the event as a line of `run --json`, without its line end; most events have none.
    pub fn json_line(&self) -> Option<String> {
        let node = match self {
            Self::NodeHit { node, key, outputs } => {
                NodeLine { key: Some(key), output: output_json(outputs), ..NodeLine::new(node, "hit") }
            }
            Self::NodeRan { node, key, outputs, elapsed_ms } => {
                let output = output_json(outputs);
                NodeLine { key: Some(key), output, elapsed_ms: *elapsed_ms, ..NodeLine::new(node, "ran") }
            }
            Self::NodeFailed { node, key, cause, log, elapsed_ms } => NodeLine {
                key: key.as_ref(),
                elapsed_ms: *elapsed_ms,
                cause: Some(cause),
                log: log.as_deref(),
                ..NodeLine::new(node, "failed")
            },
            Self::NodeBlocked { node, by } => NodeLine { by: Some(by), ..NodeLine::new(node, "blocked") },
            Self::NodeCancelled { node } => NodeLine::new(node, "cancelled"),
            Self::JobSubmitted { job, name, tasks, is_adopted } => {
                let (reason, is_adopted) = ("job", *is_adopted);
                return Some(text(&JobLine { reason, job, name, tasks: *tasks, is_adopted }));
            }
            Self::Warning { message } => return Some(message_line("warning", message, None)),
            Self::RunFinished { counts, elapsed_ms, remote, .. } => {
                let (reason, counts, elapsed_ms, remote) = ("summary", *counts, *elapsed_ms, *remote);
                return Some(text(&SummaryLine { reason, counts, elapsed_ms, remote }));
            }
            _ => return None,
        };
        Some(text(&node))
    }
}

fn text(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("a line is plain data")
}

#[derive(Serialize)]
struct JobLine<'a> {
    reason: &'static str,
    job: &'a str,
    name: &'a str,
    tasks: usize,
    #[serde(rename = "adopted")]
    is_adopted: bool,
}

#[derive(Default, Serialize)]
struct NodeLine<'a> {
    reason: &'static str,
    stage: &'a str,
    point: Option<&'a Point>,
    status: &'static str,
    key: Option<&'a ActionKey>,
    output: serde_json::Value,
    elapsed_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
}

impl<'a> NodeLine<'a> {
    fn new(node: &'a NodeName, status: &'static str) -> Self {
        Self { reason: "node", stage: node.stage(), point: Some(node.point()), status, ..Self::default() }
    }
}

#[derive(Serialize)]
struct MessageLine<'a> {
    reason: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<&'a str>,
}

/// Returns a line of `run --json` that is about no node, without its line end; `at` is a location in the spec.
pub fn message_line(reason: &'static str, message: &str, at: Option<&str>) -> String {
    text(&MessageLine { reason, message, at })
}

#[derive(Serialize)]
struct SummaryLine {
    reason: &'static str,
    #[serde(flatten)]
    counts: Counts,
    elapsed_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<RemoteCounts>,
}

/// Returns the digest of a single output; an object by name for several; null for none.
pub fn output_json(outputs: &[(String, OutputDigest)]) -> serde_json::Value {
    let text = |digest: &OutputDigest| serde_json::Value::String(digest.0.to_string());
    match outputs {
        [] => serde_json::Value::Null,
        [(_, digest)] => text(digest),
        several => several.iter().map(|(name, digest)| (name.clone(), text(digest))).collect(),
    }
}
