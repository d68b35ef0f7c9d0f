//! Publication of outputs during a run.

use std::path::PathBuf;

use orchestrate_cache::{ActionKey, StoreError};

use super::lookup::Lookup;
use super::telling::Teller;
use crate::known::Known;
use crate::node::NodeId;
use crate::plan::Plan;
use crate::publish::{MergeTables, PublishError, Publisher};

/// Publishes outputs, and collects failures for the end of the run.
pub(super) struct Publications<'a> {
    plan: &'a Plan,
    publisher: Publisher<'a>,
    pub(super) failures: Vec<String>,
}

impl<'a> Publications<'a> {
    pub(super) fn new(plan: &'a Plan, publisher: Publisher<'a>) -> Self {
        Self { plan, publisher, failures: Vec::new() }
    }

    /// Returns whether the stage of a node publishes.
    pub(super) fn concern(&self, id: NodeId) -> bool {
        self.publisher.publishes(id)
    }

    /// Returns the folders to which this run published, or in which it found everything published.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        self.publisher.folders()
    }

    /// Publishes the outputs of nodes that have just run.
    pub(super) fn publish_new(
        &mut self,
        nodes: &[(NodeId, ActionKey)],
        known: &Known<'_>,
        teller: &mut Teller<'_, '_>,
    ) {
        for ((id, _), published) in nodes.iter().zip(self.publish(nodes, known, teller)) {
            self.note(*id, published);
        }
    }

    /// Publishes the outputs of hits. A hit becomes a miss if reading shows that the store has lost it.
    pub(super) fn publish_hits(&mut self, nodes: &mut [Lookup], known: &mut Known<'_>, teller: &mut Teller<'_, '_>) {
        let hits: Vec<_> = nodes.iter().filter(|node| node.hit).map(|node| (node.id, node.key)).collect();
        let published = self.publish(&hits, known, teller);
        for (node, published) in nodes.iter_mut().filter(|node| node.hit).zip(published) {
            match published {
                Err(PublishError::Store(error @ (StoreError::Corrupt { .. } | StoreError::Missing { .. }))) => {
                    known.forget(node.id);
                    teller.warn(format!("{}: {error}; it is made again", self.plan.name(node.id)));
                    node.hit = false;
                }
                published => self.note(node.id, published),
            }
        }
    }

    /// Brings the published folders to one state at the end of a run.
    pub(super) fn finish(
        &mut self,
        known: &Known<'_>,
        teller: &mut Teller<'_, '_>,
        interrupted: bool,
        merge_tables: Option<MergeTables>,
    ) {
        let outputs = |id| known.outputs(id).expect("published outputs are known");
        let finished = self.publisher.finish(teller.run().as_str(), interrupted, merge_tables, &outputs);
        self.failures.extend(finished.failures);
        finished.warnings.into_iter().for_each(|warning| teller.warn(warning));
    }

    /// Copies known outputs to the folders that their stages name; returns one result for each node.
    fn publish(
        &mut self,
        nodes: &[(NodeId, ActionKey)],
        known: &Known<'_>,
        teller: &mut Teller<'_, '_>,
    ) -> Vec<Result<(), PublishError>> {
        let outputs = |id: &NodeId| match self.publisher.publishes(*id) {
            true => known.outputs(*id).expect("the outputs of a node that succeeded are known"),
            false => Vec::new(),
        };
        let nodes: Vec<_> = nodes.iter().map(|(id, key)| (*id, *key, outputs(id))).collect();
        let published = self.publisher.publish(teller.run().as_str(), &nodes);
        self.publisher.take_warnings().into_iter().for_each(|warning| teller.warn(warning));
        published
    }

    fn note(&mut self, id: NodeId, published: Result<(), PublishError>) {
        if let Err(error) = published {
            self.failures.push(format!("{}: {error}", self.plan.name(id)));
        }
    }
}
