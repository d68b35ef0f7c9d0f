//! Lookups of nodes in the store, and the record of the last use of hits.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use orchestrate_cache::{ActionKey, Store, StoreError, Using};

use crate::known::Known;
use crate::node::NodeId;
use crate::observe::Observed;
use crate::plan::Plan;
use crate::schedule::Scheduler;
use crate::selection::Selection;

/// The interval at which the last use of hits is recorded while nodes run; a run without misses records it once.
const TOUCH_INTERVAL: Duration = Duration::from_secs(10);

/// A node that was looked up.
#[derive(Clone, Copy)]
pub(super) struct Lookup {
    pub(super) id: NodeId,
    pub(super) key: ActionKey,
    pub(super) hit: bool,
}

/// The known outputs of all nodes, and the lookups that extend them.
pub(super) struct Lookups<'a> {
    store: &'a Store,
    pub(super) known: Known<'a>,
    /// Hits that are not yet reported.
    pub(super) hits: Vec<(NodeId, ActionKey)>,
    /// Nodes that run even if the store has their results.
    forced: HashSet<NodeId>,
    /// Hits whose last use is not yet recorded.
    untouched: Vec<ActionKey>,
    /// The time at which the last use of hits was recorded last.
    touched: Option<Instant>,
}

impl<'a> Lookups<'a> {
    pub(super) fn new(plan: &'a Plan, observed: &'a Observed, store: &'a Store, forced: &[NodeId]) -> Self {
        let forced = forced.iter().copied().collect();
        let known = Known::new(plan, observed);
        Self { store, known, hits: Vec::new(), forced, untouched: Vec::new(), touched: None }
    }

    /// Looks up the ready nodes, and those that hits make ready in turn, and tells the scheduler of the hits. Returns
    /// the rest: misses, and hits of nodes that are `published`.
    ///
    /// All hits are protected at once, while garbage collection still waits, so that they stay until this run ends.
    pub(super) fn pass_hits(
        &mut self,
        scheduler: &mut Scheduler,
        selection: &Selection,
        published: impl Fn(NodeId) -> bool,
    ) -> Result<Vec<Lookup>, StoreError> {
        let (mut found, mut rest) = (Vec::new(), Vec::new());
        let mut ready = scheduler.take_ready();
        if ready.is_empty() {
            return Ok(rest);
        }
        let using = self.store.using()?;
        while !ready.is_empty() {
            let ids: Vec<_> = ready.into_iter().map(|slot| selection.node(slot)).collect();
            let nodes = self.known.keys(&ids);
            for lookup in self.find(&nodes, &mut found) {
                let Lookup { id, key, hit } = lookup;
                if hit && !published(id) {
                    scheduler.hit(selection.slot(id));
                    self.hits.push((id, key));
                } else {
                    rest.push(lookup);
                }
            }
            ready = scheduler.take_ready();
        }
        protect(&using, &found);
        Ok(rest)
    }

    /// Looks up some nodes, and protects the hits from garbage collection.
    pub(super) fn look_up(&mut self, nodes: &[(NodeId, ActionKey)]) -> Result<Vec<Lookup>, StoreError> {
        let using = self.store.using()?;
        let mut found = Vec::new();
        let lookups = self.find(nodes, &mut found);
        protect(&using, &found);
        Ok(lookups)
    }

    /// Looks up some nodes and adds the keys of hits to `found`. A forced node is a miss. The caller keeps garbage
    /// collection waiting.
    fn find(&mut self, nodes: &[(NodeId, ActionKey)], found: &mut Vec<ActionKey>) -> Vec<Lookup> {
        let hits = self.known.look_up(self.store, nodes);
        let mut lookups = Vec::with_capacity(nodes.len());
        for ((id, key), mut hit) in nodes.iter().copied().zip(hits) {
            if hit && self.forced.contains(&id) {
                self.known.forget(id);
                hit = false;
            }
            if hit {
                found.push(key);
            }
            lookups.push(Lookup { id, key, hit });
        }
        lookups
    }

    /// Returns whether a node is forced to run.
    pub(super) fn is_forced(&self, id: NodeId) -> bool {
        self.forced.contains(&id)
    }

    /// Returns whether a node was forced to run. From then on it is looked up like any other.
    pub(super) fn take_forced(&mut self, id: NodeId) -> bool {
        self.forced.remove(&id)
    }

    /// Takes the hits that are not yet reported, and notes their keys for [`Self::touch`].
    pub(super) fn take_hits(&mut self) -> Vec<(NodeId, ActionKey)> {
        self.untouched.extend(self.hits.iter().map(|(_, key)| *key));
        std::mem::take(&mut self.hits)
    }

    /// Records the last use of hits if [`TOUCH_INTERVAL`] is over: a collection beside a long run spares what it uses.
    pub(super) fn touch_if_due(&mut self) {
        if self.touched.is_none_or(|touched| touched.elapsed() >= TOUCH_INTERVAL) {
            self.touch();
        }
    }

    /// Records now as the last use of the hits since the last call.
    pub(super) fn touch(&mut self) {
        self.touched = Some(Instant::now());
        let hits = std::mem::take(&mut self.untouched);
        if let Err(error) = self.store.touch(&hits) {
            tracing::debug!("last use is not recorded: {error}");
        }
    }
}

/// Keeps results from garbage collection until this run ends.
fn protect(using: &Using<'_>, found: &[ActionKey]) {
    if let Err(error) = using.note(found) {
        tracing::warn!("{error}; a garbage collection beside this run may take what it needs");
    }
}
