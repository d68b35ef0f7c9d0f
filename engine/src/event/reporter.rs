//! Listeners of a run: the run log, progress bars, `--json`.

use orchestrate_cache::ActionKey;

use super::{Event, TimedEvent};
use crate::known::KnownOutputs;
use crate::node::NodeId;
use crate::plan::Plan;

/// A listener of a run.
pub trait Reporter {
    /// Receives an event.
    fn report(&mut self, event: &TimedEvent);

    /// Receives nodes whose results were in the store; the same as [`Event::NodeHit`] for each of them.
    ///
    /// There may be a hundred thousand of them, so a listener that needs no event for each counts them instead.
    fn hits(&mut self, hits: &Hits<'_>) {
        hits.events().for_each(|event| self.report(&event));
    }

    /// Flushes and redraws. Called several times a second while nothing happens, and before a long wait.
    fn tick(&mut self) {}
}

/// Consecutive hits.
pub struct Hits<'a> {
    /// The plan of the nodes.
    pub plan: &'a Plan,
    /// Their outputs.
    pub outputs: &'a KnownOutputs,
    /// The nodes with their keys.
    pub nodes: &'a [(NodeId, ActionKey)],
    /// Time of the last of them, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Hits<'_> {
    /// Returns an event for each node.
    pub fn events(&self) -> impl Iterator<Item = TimedEvent> {
        self.nodes.iter().map(|(id, key)| {
            let outputs = self.outputs.named(self.plan, *id).unwrap_or_default();
            TimedEvent { at_ms: self.at_ms, event: Event::NodeHit { node: self.plan.name(*id), key: *key, outputs } }
        })
    }
}
