//! Results that tasks on a cluster have recorded.

use std::time::{Duration, Instant};

use orchestrate_cache::StoreError;

use super::{ActiveBatch, Drive, REPAIRS_MAX, Recorded, milliseconds};
use crate::event::Event;
use crate::executor::{Failure, Finished};
use crate::node::NodeId;
use crate::usage::{Asked, Usage};

/// The time in which the results of a task on another machine must show themselves: a file server shows files late.
const SHOWN_LATE: Duration = Duration::from_secs(60);

/// The failure of a node whose results do not.
const UNSEEN: &str = "its task on the cluster recorded the result, which cannot be seen here: does the cluster have \
                      the same filesystem as this machine at the store's folder?";

impl Drive<'_, '_, '_> {
    /// Looks up the results of a batch that tasks on a cluster have recorded. The file server may show them late; then
    /// they are looked up again later.
    pub(super) fn find_stored(
        &mut self,
        finished: Finished,
        since: Instant,
        recorded: &mut Vec<Recorded>,
    ) -> Result<(), StoreError> {
        let Some(active) = self.active.get(&finished.batch) else { return Ok(()) };
        let done = active.nodes.iter().zip(&finished.results).filter(|(_, result)| result.is_ok());
        let done: Vec<_> = done.map(|(id, _)| (*id, self.pending[id].key)).collect();
        self.store.refresh()?;
        for (id, _) in &done {
            self.lookups.take_forced(*id);
        }
        let missing: Vec<_> = self.lookups.look_up(&done)?.into_iter().filter(|lookup| !lookup.hit).collect();
        if !missing.is_empty() && since.elapsed() < SHOWN_LATE {
            self.late.push((finished, since));
            return Ok(());
        }
        let Finished { batch, results, elapsed, used, asked, .. } = finished;
        let active = self.active.remove(&batch).expect("it was found above");
        let elapsed_ms = milliseconds(elapsed) / u64::try_from(active.nodes.len()).unwrap_or(1).max(1);
        self.report_use(&active, used, asked);
        for (id, result) in active.nodes.iter().copied().zip(results) {
            match result {
                Err(failure) => self.handle_failure(id, &failure, &active, elapsed_ms),
                Ok(_) if missing.iter().any(|lookup| lookup.id == id) => self.handle_unseen(id, &active, elapsed_ms),
                Ok(_) => {
                    let outputs = self.lookups.known.outputs(id).expect("it was just looked up");
                    recorded.push(Recorded { id, outputs, elapsed_ms });
                }
            }
        }
        Ok(())
    }

    /// Computes a node again whose result does not show itself, a few times.
    fn handle_unseen(&mut self, id: NodeId, active: &ActiveBatch, elapsed_ms: u64) {
        let slot = self.slot(id);
        self.pending(id).repairs += 1;
        if self.pending(id).repairs <= REPAIRS_MAX && self.scheduler.retry(slot) {
            self.teller.report(Event::NodeRetried { node: self.plan.name(id), cause: UNSEEN.to_owned() });
        } else {
            self.handle_failure(id, &Failure::NotStarted { message: UNSEEN.to_owned() }, active, elapsed_ms);
        }
    }

    /// Notes the results that tasks on a cluster will record, so that no collection takes them before they are seen.
    pub(super) fn note_results(&self, nodes: &[NodeId]) -> Result<(), StoreError> {
        let keys: Vec<_> = nodes.iter().map(|id| self.pending[id].key).collect();
        self.store.using()?.note(&keys)
    }

    pub(super) fn report_use(&mut self, active: &ActiveBatch, used: Option<Usage>, asked: Option<Asked>) {
        if let Some(used) = used {
            let (node, members) = (self.name(active.nodes[0]), active.nodes.len());
            self.teller.report(Event::BatchUsed { node, members, used, asked });
        }
    }

    /// Looks up results again that a file server shows late.
    pub(super) fn find_late(&mut self, recorded: &mut Vec<Recorded>) -> Result<(), StoreError> {
        std::mem::take(&mut self.late)
            .into_iter()
            .try_for_each(|(finished, since)| self.find_stored(finished, since, recorded))
    }
}
