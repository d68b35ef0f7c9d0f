//! What the scheduler must know of a plan: edges, classes of resources, groups of siblings, estimates.

use std::collections::HashMap;

use super::Selection;
use crate::node::NodeId;
use crate::plan::Plan;
use crate::runlog::Durations;
use crate::schedule::{Capacity, Class, Demand, Edges, ScheduleError, Scheduler};
use crate::stage::Weight;

/// What an unknown node is taken to last.
const LIGHT_MS: u32 = 5;
const HEAVY_MS: u32 = 10_000;

/// Sets up the scheduler for the selected nodes. Errors name the stage by its index.
pub(super) fn scheduler(plan: &Plan, selection: &Selection, capacity: Capacity) -> Result<Scheduler, ScheduleError> {
    let classes: Vec<_> = plan
        .stages
        .iter()
        .map(|stage| Class { resources: plan.spec.stages[stage.declared].resources, weight: stage.kind.weight() })
        .collect();
    let mut edges = Edges::new();
    let mut demands = Vec::with_capacity(selection.nodes().len());
    let mut groups = Groups::default();
    for id in selection.nodes() {
        edges.push(plan.inputs(*id).iter().map(|input| selection.number(*input)));
        let class = plan.node(*id).stage;
        demands.push(Demand { class, group: groups.of(plan, *id), estimate_ms: estimate_ms(plan, *id, None) });
    }
    Scheduler::new(edges, demands, &classes, capacity)
}

/// How long a node will run, from how long it or its siblings ran before.
pub(super) fn estimate_ms(plan: &Plan, id: NodeId, durations: Option<&Durations>) -> u32 {
    let stage = plan.stage(id);
    let heavy = stage.kind.weight() == Weight::Heavy;
    let known = durations.and_then(|durations| {
        if heavy { durations.estimate_ms(&plan.name(id)) } else { durations.stage_mean_ms(&stage.name) }
    });
    let guess = if heavy { HEAVY_MS } else { LIGHT_MS };
    known.map_or(guess, |known| u32::try_from(known).unwrap_or(u32::MAX))
}

/// Dense numbers for the groups of siblings that run together: same stage, same point but for the batch axes.
#[derive(Default)]
struct Groups {
    numbers: HashMap<(u32, u32), u32>,
}

impl Groups {
    fn of(&mut self, plan: &Plan, id: NodeId) -> Option<u32> {
        let node = plan.node(id);
        let stage = plan.stage(id);
        if stage.batch_axes.is_empty() {
            return None;
        }
        let rest = stage.points.without(node.code, &stage.batch_axes);
        let next = u32::try_from(self.numbers.len()).expect("fewer groups than nodes");
        Some(*self.numbers.entry((node.stage, rest)).or_insert(next))
    }
}
