//! Results that tasks on a cluster have recorded.

use std::time::{Duration, Instant};

use orchestrate_cache::StoreError;

use super::{ActiveBatch, Drive, Recorded, milliseconds};
use crate::event::Event;
use crate::executor::{Failure, Finished};
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
            let unseen = || Failure::NotStarted { message: UNSEEN.to_owned() };
            let failure = result.err().or_else(|| missing.iter().any(|lookup| lookup.id == id).then(unseen));
            match failure {
                Some(failure) => self.handle_failure(id, &failure, &active, elapsed_ms),
                None => {
                    let outputs = self.lookups.known.outputs(id).expect("it was just looked up");
                    recorded.push(Recorded { id, outputs, elapsed_ms });
                }
            }
        }
        Ok(())
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
