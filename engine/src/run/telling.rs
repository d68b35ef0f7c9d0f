//! Reports of a run to its log and to the listeners.

use std::path::{Path, PathBuf};

use crate::event::{Event, Hits, Reporter, TimedEvent};
use crate::node::NodeName;
use crate::runlog::{RunId, RunLog};

/// Tells the run log and all listeners of events.
pub(super) struct Teller<'l, 'r> {
    log: RunLog,
    listeners: &'l mut [&'r mut dyn Reporter],
}

impl<'l, 'r> Teller<'l, 'r> {
    /// Starts the log of a new run.
    pub(super) fn new(runs_dir: &Path, listeners: &'l mut [&'r mut dyn Reporter]) -> Self {
        Self { log: RunLog::create(runs_dir), listeners }
    }

    pub(super) fn run(&self) -> &RunId {
        self.log.id()
    }

    pub(super) fn node_log(&self, node: &NodeName) -> PathBuf {
        self.log.node_log(node)
    }

    pub(super) fn report(&mut self, event: Event) {
        let event = TimedEvent::now(event);
        self.log.report(&event);
        self.each(|listener| listener.report(&event));
        self.warn_of_log();
    }

    /// Tells listeners alone of what is no part of the log.
    pub(super) fn show(&mut self, event: Event) {
        let event = TimedEvent::now(event);
        self.each(|listener| listener.report(&event));
    }

    pub(super) fn warn(&mut self, message: String) {
        self.report(Event::Warning { message });
    }

    pub(super) fn hits(&mut self, hits: &Hits<'_>) {
        self.log.hits(hits);
        self.each(|listener| listener.hits(hits));
        self.warn_of_log();
    }

    pub(super) fn tick(&mut self) {
        self.log.tick();
        self.each(|listener| listener.tick());
    }

    fn warn_of_log(&mut self) {
        if let Some(message) = self.log.take_warning() {
            let warning = TimedEvent::now(Event::Warning { message });
            self.each(|listener| listener.report(&warning));
        }
    }

    fn each(&mut self, mut tell: impl FnMut(&mut dyn Reporter)) {
        self.listeners.iter_mut().for_each(|listener| tell(*listener));
    }
}
