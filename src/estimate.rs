//! The estimated rest of a run: durations in earlier runs of the nodes that have not ended, divided by the jobs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use orchestrate_engine::event::{Event, Hits};
use orchestrate_engine::node::NodeName;
use orchestrate_engine::plan::Plan;
use orchestrate_engine::run::Selection;
use orchestrate_engine::runlog::History;

use crate::terminal;

/// The number of runs whose durations are read for the estimate.
const RUNS_FOR_ESTIMATE: usize = 20;

/// The estimated rest of a run, kept up by its events.
pub(crate) struct Estimate<'a> {
    plan: &'a Plan,
    selection: &'a Selection,
    history: History,
    /// For each node, whether it was a hit before any node ran.
    hit: Vec<bool>,
    /// The estimated duration of each node that has not ended, by name. Made when the first node starts, as a run of
    /// hits needs none.
    left: Option<HashMap<String, u64>>,
    running: HashMap<String, Instant>,
    jobs: usize,
}

impl<'a> Estimate<'a> {
    /// Returns the estimate of a run that has not begun.
    pub(crate) fn new(plan: &'a Plan, selection: &'a Selection, history: History) -> Self {
        let hit = vec![false; plan.nodes.len()];
        Self { plan, selection, history, hit, left: None, running: HashMap::new(), jobs: 1 }
    }

    /// Returns whether a node has started.
    pub(crate) fn has_begun(&self) -> bool {
        self.left.is_some()
    }

    /// Takes an event into account.
    pub(crate) fn report(&mut self, event: &Event) {
        match event {
            Event::RunStarted(started) => self.jobs = started.jobs.max(1),
            Event::NodeStarted { node, .. } => {
                if self.left.is_none() {
                    self.left = Some(self.estimates());
                }
                self.running.insert(node.as_str().to_owned(), Instant::now());
            }
            event => {
                if let Some(node) = ended(event) {
                    self.running.remove(node.as_str());
                    if let Some(left) = &mut self.left {
                        left.remove(node.as_str());
                    }
                }
            }
        }
    }

    /// Takes hits into account that are reported together.
    pub(crate) fn hits(&mut self, hits: &Hits<'_>) {
        match self.left {
            Some(_) => hits.events().for_each(|event| self.report(&event.event)),
            None => hits.nodes.iter().for_each(|(id, _)| self.hit[id.index()] = true),
        }
    }

    /// Returns the remaining time in milliseconds; 0 if no earlier run tells.
    fn left_ms(&self) -> u64 {
        let spent: u64 = self.running.values().map(|since| millis(since.elapsed())).sum();
        self.left.iter().flat_map(HashMap::values).sum::<u64>().saturating_sub(spent) / self.jobs as u64
    }

    /// Returns the remaining time in words, `about 5 s left`; `None` for less than a second.
    pub(crate) fn rest(&self) -> Option<String> {
        Some(self.left_ms()).filter(|left| *left >= 1000).map(|left| format!("about {} left", terminal::duration(left)))
    }

    /// Returns the durations in earlier runs of the nodes that are not known to be hits.
    fn estimates(&self) -> HashMap<String, u64> {
        let durations = self.history.durations(RUNS_FOR_ESTIMATE);
        let left = self.selection.nodes().iter().filter(|id| !self.hit[id.index()]);
        left.filter_map(|id| {
            let name = self.plan.name(*id);
            Some((name.as_str().to_owned(), durations.estimate_ms(&name)?))
        })
        .collect()
    }
}

/// Returns the node that an event ends.
pub(crate) fn ended(event: &Event) -> Option<&NodeName> {
    match event {
        Event::NodeHit { node, .. }
        | Event::NodeRan { node, .. }
        | Event::NodeFailed { node, .. }
        | Event::NodeBlocked { node, .. }
        | Event::NodeCancelled { node } => Some(node),
        _ => None,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
