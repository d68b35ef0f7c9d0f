//! The part of a run that goes to a cluster: which stages, and what their batches ask for.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use orchestrate_cache::{ActionKey, Preimage};

use crate::cluster::{self, Leave, Request, Wants};
use crate::executor::OnCluster;
use crate::node::NodeId;
use crate::plan::{Plan, PlannedStage};
use crate::runlog::Durations;
use crate::spec::Cluster;
use crate::stage::Weight;

/// The cluster of a run.
#[derive(Clone)]
pub struct ClusterOptions {
    /// The cluster, as `orchestrate.toml` declares it.
    pub cluster: Cluster,
    /// True if light stages go there too.
    pub all: bool,
    /// True if networks can compute on GPUs there.
    pub gpus: bool,
    /// The program that tasks run, unless the cluster names another one.
    pub program: PathBuf,
    /// Asks whether this many tasks are to be cancelled, when a run is stopped.
    pub is_to_cancel: Leave,
}

impl fmt::Debug for ClusterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterOptions").field("cluster", &self.cluster).field("all", &self.all).finish_non_exhaustive()
    }
}

impl ClusterOptions {
    /// Returns whether the nodes of a stage go to the cluster: heavy ones, or those of the kinds that it names.
    pub fn takes(&self, stage: &PlannedStage) -> bool {
        let facts = stage.kind.facts();
        let by_default = || facts.weight == Weight::Heavy;
        let is_named = |kinds: &Vec<String>| kinds.iter().any(|kind| kind == facts.kind);
        self.all || self.cluster.kinds.as_ref().map_or_else(by_default, is_named)
    }

    /// Returns what a batch asks for, and the estimated duration of it.
    pub(super) fn on_cluster(
        &self,
        plan: &Plan,
        nodes: &[NodeId],
        preimages: Vec<Preimage>,
        forced: Vec<ActionKey>,
        durations: &Durations,
    ) -> OnCluster {
        let stage = plan.stage(nodes[0]);
        let asked = self.request(plan, stage, nodes.len(), durations).asked;
        OnCluster { preimages, forced, asked, estimate: self.estimate(plan, stage, nodes, durations) }
    }

    /// Returns what a batch of a stage asks for.
    pub(super) fn request(&self, plan: &Plan, stage: &PlannedStage, members: usize, durations: &Durations) -> Request {
        let declared = &plan.spec.stages[stage.declared];
        let wants = Wants {
            stage: &stage.name,
            resources: &declared.resources,
            timeout: declared.timeout_ms.map(Duration::from_millis),
            needs: durations.needs(&stage.name),
            members,
            uses_device: stage.kind.facts().device.is_some() && self.gpus,
        };
        cluster::ask(&self.cluster, &wants)
    }

    /// Returns the estimated duration of a batch.
    pub(super) fn estimate(
        &self,
        plan: &Plan,
        stage: &PlannedStage,
        nodes: &[NodeId],
        durations: &Durations,
    ) -> Option<Duration> {
        let known = |id: &NodeId| durations.estimate_ms(&plan.name(*id));
        let of_light = |estimate: Option<u64>| match stage.kind.facts().weight {
            Weight::Light => estimate.or(Some(LIGHT_MS)),
            Weight::Heavy => estimate,
        };
        nodes.iter().map(|id| of_light(known(id))).sum::<Option<u64>>().map(Duration::from_millis)
    }
}

/// The assumed duration of a light node that never ran, in milliseconds.
const LIGHT_MS: u64 = 50;
