//! Nodes whose keys other processes compute.
//!
//! **Other hosts.** Another host may compute a key at the same time: a light node, which has no claim there, or a heavy
//! one whose holder was taken for dead. So before a result is recorded, and again once it is durable, a node looks who
//! has its claim and which result everybody is served (`confirm`, `served`). `ran` is reported for that result alone. A
//! node with another one becomes a hit of that, with a warning, and the keys below it follow from that. Two hosts that
//! record results of a light node in the same moment cannot exclude each other without a file for each; readers choose
//! the same one of them, and runs that see both say so. Light stages give equal bytes anyway.

use std::collections::HashSet;
use std::time::Instant;

use orchestrate_cache::{ActionKey, Lease, StoreError};

use super::{Drive, Pending, Recorded, TICK};
use crate::cluster::submission_key;
use crate::event::Event;
use crate::node::NodeId;
use crate::run::lookup::Lookup;
use crate::run::summary::RunError;
use crate::schedule::NodeState;
use crate::stage::Weight;

impl Drive<'_, '_, '_> {
    /// Leases the keys of nodes that are about to run, and returns the nodes that this process computes. Another
    /// process computes the others, which are deferred, or has just computed them, so that they are hits.
    pub(super) fn lease(&mut self, nodes: Vec<NodeId>) -> Result<Vec<NodeId>, RunError> {
        let mut ours = Vec::with_capacity(nodes.len());
        let mut fresh = Vec::new();
        for id in nodes {
            let preimage = self.lookups.known.preimage(id).expect("all inputs of a queued node are known");
            let key = ActionKey(preimage.digest());
            // A node that waited for an input to be remade keeps its lease and its counts if its key is the same.
            if self.pending.get(&id).is_none_or(|pending| pending.key != key) {
                self.pending.insert(id, Pending { key, preimage: None, lease: None, attempts: 0, repairs: 0 });
            }
            let pending = self.pending(id);
            pending.preimage = Some(preimage);
            if pending.lease.is_some() {
                ours.push(id);
                continue;
            }
            // To compute a light node twice costs less than a claim for other hosts. A task on a cluster takes the
            // lease of the key itself.
            let lease = match self.plan.stage(id).kind.facts().weight {
                _ if self.cluster_of(id).is_some() => self.store.try_lease_across_hosts(&submission_key(&key))?,
                Weight::Heavy => self.store.try_lease_across_hosts(&key)?,
                Weight::Light => self.store.try_lease(&key)?,
            };
            if lease.is_none() {
                self.defer(id);
                continue;
            }
            self.pending(id).lease = lease;
            fresh.push((id, key));
        }
        if !fresh.is_empty() {
            self.store.refresh()?;
        }
        ours.extend(self.still_missing(&fresh)?.0);
        Ok(ours)
    }

    /// Looks up nodes that this process computes, as another one may have just recorded their results. Returns those
    /// that are still missing, and those that are hits.
    pub(super) fn still_missing(
        &mut self,
        nodes: &[(NodeId, ActionKey)],
    ) -> Result<(Vec<NodeId>, Vec<NodeId>), StoreError> {
        let mut nodes = self.lookups.look_up(nodes)?;
        self.publications.publish_hits(&mut nodes, &mut self.lookups.known, &mut self.teller);
        let (mut missing, mut hits) = (Vec::new(), Vec::new());
        for Lookup { id, key, hit } in nodes {
            if hit {
                self.pending.remove(&id);
                self.hit(id, key);
                hits.push(id);
            } else {
                missing.push(id);
            }
        }
        self.tell_hits()?;
        Ok((missing, hits))
    }

    /// Returns those of the nodes that ran whose results this process may record. Another host has recorded results for
    /// others, which become hits, or has taken over the rest, which are deferred.
    pub(super) fn confirm(&mut self, nodes: Vec<NodeId>) -> Result<HashSet<NodeId>, StoreError> {
        let (mut ours, mut unsure) = (HashSet::new(), Vec::new());
        let mut deadline = Instant::now();
        let is_shared = self.store.is_shared_with_hosts();
        for id in nodes {
            let pending = &self.pending[&id];
            match pending.lease.as_ref().map_or(Ok(Some(true)), Lease::confirm)? {
                Some(true) if !is_shared => drop(ours.insert(id)),
                Some(is_sure) => {
                    unsure.push((id, pending.key));
                    // Others of this run wait too, but only after this process was stopped for minutes.
                    deadline = if is_sure { deadline } else { Instant::now() + Lease::SHOWN_AFTER };
                }
                None => {
                    let node = self.name(id);
                    self.teller.warn(format!(
                        "{node} ran here, but another host took it over, as no heartbeat of this one was seen for \
                         minutes; its result is waited for, and the one of this run is dropped"
                    ));
                    self.wait_for(id);
                }
            }
        }
        while !unsure.is_empty() {
            self.store.refresh()?;
            let (missing, hits) = self.still_missing(&unsure)?;
            unsure.retain(|(id, _)| missing.contains(id));
            if Instant::now() >= deadline {
                ours.extend(missing);
                unsure.clear();
            } else if !unsure.is_empty() {
                std::thread::sleep(TICK);
            }
            for node in hits.into_iter().map(|id| self.name(id)).collect::<Vec<_>>() {
                self.teller.warn(format!(
                    "{node} ran here, but another host recorded its result meanwhile, which is used; the one of this \
                     run is dropped"
                ));
            }
        }
        Ok(ours)
    }

    /// Splits off recorded nodes for which everybody is served another result: they become hits of that one.
    pub(super) fn served(&mut self, recorded: Vec<Recorded>) -> Result<Vec<Recorded>, StoreError> {
        let is_lost = |one: &Recorded| self.pending[&one.id].lease.as_ref().is_some_and(|lease| !lease.is_ours());
        let lost: HashSet<_> = recorded.iter().filter(|one| is_lost(one)).map(|one| one.id).collect();
        if lost.is_empty() && !self.store.is_shared_with_hosts() {
            return Ok(recorded);
        }
        self.store.refresh()?;
        let (mut ours, mut others) = (Vec::with_capacity(recorded.len()), Vec::new());
        for one in recorded {
            let key = self.pending[&one.id].key;
            match self.store.served(&key, &one.outputs, lost.contains(&one.id))? {
                true => ours.push(one),
                false => others.push((one.id, key)),
            }
        }
        let (missing, hits) = self.still_missing(&others)?;
        for node in hits.into_iter().map(|id| self.name(id)).collect::<Vec<_>>() {
            self.teller.warn(format!(
                "{node} ran here and on another host at the same time, with different outputs; everybody uses those of \
                 the other host from now on, and this run does too"
            ));
        }
        // The result of the other host was lost at once; it is looked up anew.
        missing.into_iter().for_each(|id| self.wait_for(id));
        Ok(ours)
    }

    /// Leaves a node that ran to another host, unless the run is being stopped.
    pub(super) fn wait_for(&mut self, id: NodeId) {
        if self.stopping { self.cancel(id) } else { self.defer(id) }
    }

    /// Leaves a node to the process, or the node of this run, that computes the same key.
    pub(super) fn defer(&mut self, id: NodeId) {
        let key = self.pending.remove(&id).expect("a node that starts or runs is pending").key;
        if !self.scheduler.defer(self.slot(id)) {
            return self.fail(id, "an input that was lost could not be made again".to_owned(), None, 0);
        }
        if self.deferred.insert(id) {
            let computes = |(_, other): &(&NodeId, &Pending)| other.key == key && other.lease.is_some();
            let with = self.pending.iter().find(computes).map(|(other, _)| self.name(*other).as_str().to_owned());
            self.teller.report(Event::NodeDeferred { node: self.plan.name(id), key, with });
        }
    }

    /// Has deferred nodes looked up again, if the last time is a [`TICK`] ago.
    pub(super) fn recheck(&mut self) -> Result<(), RunError> {
        if self.scheduler.count(NodeState::Deferred) > 0 && self.rechecked.elapsed() >= TICK {
            self.rechecked = Instant::now();
            self.tell_of_wait();
            self.store.refresh()?;
            self.scheduler.recheck();
        }
        Ok(())
    }

    /// Warns of the process that this run waits for, if this run itself has run nothing for long.
    pub(super) fn tell_of_wait(&mut self) {
        if !self.active.is_empty() {
            self.waiting = None;
            return;
        }
        let Some(seconds) = self.waiting.get_or_insert_default().is_over() else { return };
        let slots: Vec<_> = self.scheduler.deferred().collect();
        let Some(id) = slots.iter().min().map(|slot| self.selection.node(*slot)) else { return };
        let key = self.lookups.known.keys(&[id])[0].1;
        let more = match slots.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let held = if self.cluster_of(id).is_some() { submission_key(&key) } else { key };
        let (node, holder) = (self.name(id), self.store.who_computes(&held));
        tracing::warn!("waiting for {seconds} s for {node}{more}: {holder} computes it");
    }
}
