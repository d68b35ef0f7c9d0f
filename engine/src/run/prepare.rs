//! The view of a plan that the scheduler needs: edges, classes of resources, groups of siblings, estimates.

use std::collections::HashMap;

use super::elsewhere::ClusterOptions;
use crate::diagnostic::{Diagnostic, SpecError};
use crate::node::NodeId;
use crate::plan::{Plan, PlannedStage};
use crate::resources::Resources;
use crate::runlog::Durations;
use crate::schedule::{Capacity, Class, Demand, Scheduler};
use crate::selection::Selection;
use crate::stage::Weight;

/// Assumed durations of nodes that never ran.
const LIGHT_MS: u32 = 5;
const HEAVY_MS: u32 = 10_000;

/// Sets up the scheduler for the selected nodes. Errors: a stage that asks for more than this machine has.
pub(super) fn scheduler(
    plan: &Plan,
    selection: &Selection,
    capacity: Capacity,
    cluster: Option<&ClusterOptions>,
) -> Result<Scheduler, SpecError> {
    let classes = classes(plan, &capacity, cluster)?;
    let inputs = |id: &NodeId| plan.inputs(*id).iter().map(|input| selection.slot(*input));
    let mut groups = Groups::default();
    let demand = |id: &NodeId| {
        let (class, group) = (plan.node(*id).stage, groups.of(plan, *id));
        Demand { class, group, estimate_ms: estimate_ms(plan, *id, None) }
    };
    let (edges, demands) =
        (selection.nodes().iter().map(inputs).collect(), selection.nodes().iter().map(demand).collect());
    Ok(Scheduler::new(edges, demands, &classes, capacity))
}

/// Returns the classes of the stages, in their order. Errors: a stage that asks for more than there is.
pub(super) fn classes(
    plan: &Plan,
    capacity: &Capacity,
    cluster: Option<&ClusterOptions>,
) -> Result<Vec<Class>, SpecError> {
    let class = |stage: &PlannedStage| {
        let declared = &plan.spec.stages[stage.declared];
        let facts = stage.kind.facts();
        if cluster.is_some_and(|cluster| cluster.takes(stage)) {
            let resources = Resources { threads: Some(0), memory_bytes: None, gpu: None };
            return Ok(Class { resources, weight: facts.weight });
        }
        let resources = capacity.resolve(&declared.resources, facts.device.is_some()).map_err(|error| {
            let message = format!("stage `{}` can never run: {error}", declared.name.get_ref());
            let diagnostic = Diagnostic::error(message)
                .at(declared.name.span())
                .help("ask for less in `resources`, or run on a machine that has it");
            SpecError::new(plan.spec.sources.clone(), vec![diagnostic])
        })?;
        Ok(Class { resources, weight: facts.weight })
    };
    plan.stages.iter().map(class).collect()
}

/// Estimates the duration of a node from earlier durations of it or its siblings.
pub(super) fn estimate_ms(plan: &Plan, id: NodeId, durations: Option<&Durations>) -> u32 {
    let stage = plan.stage(id);
    let heavy = stage.kind.facts().weight == Weight::Heavy;
    let known = durations.and_then(|durations| {
        if heavy { durations.estimate_ms(&plan.name(id)) } else { durations.stage_mean_ms(&stage.name) }
    });
    let guess = if heavy { HEAVY_MS } else { LIGHT_MS };
    known.map_or(guess, |known| u32::try_from(known).unwrap_or(u32::MAX))
}

/// Dense numbers for the groups of siblings that run together: same stage, same point except for the batch axes.
#[derive(Default)]
pub(super) struct Groups {
    numbers: HashMap<(u32, u32), u32>,
    /// The latest group: neighbours are often siblings.
    last: Option<((u32, u32), u32)>,
}

impl Groups {
    pub(super) fn of(&mut self, plan: &Plan, id: NodeId) -> Option<u32> {
        let node = plan.node(id);
        let stage = plan.stage(id);
        if stage.batch_axes.is_empty() {
            return None;
        }
        let siblings = (node.stage, stage.points.without(node.code, &stage.batch_axes));
        let last = self.last.filter(|(known, _)| *known == siblings).map(|(_, number)| number);
        let number = last.unwrap_or_else(|| {
            let next = u32::try_from(self.numbers.len()).expect("fewer groups than nodes");
            *self.numbers.entry(siblings).or_insert(next)
        });
        self.last = Some((siblings, number));
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{STUDY, plan};

    /// Returns the devices of the first trainings of two models in three folds, when all are ready and none is in the
    /// store.
    fn devices(overrides: &[&str], names: &[&str]) -> Vec<(String, String)> {
        let plan = plan(STUDY, overrides).expect("the study is valid");
        let selection = Selection::all(&plan);
        let devices = names.iter().map(|name| (*name).to_owned()).collect();
        let capacity = Capacity { threads: 16, cores: 16, memory_bytes: None, devices };
        let mut scheduler = scheduler(&plan, &selection, capacity, None).expect("it can be scheduled");
        loop {
            let ready = scheduler.take_ready();
            if ready.is_empty() {
                break;
            }
            for slot in ready {
                match plan.name(selection.node(slot)).stage() {
                    "train" => scheduler.miss(slot),
                    _ => scheduler.hit(slot),
                }
            }
        }
        let mut granted = Vec::new();
        while let Some(batch) = scheduler.next_batch() {
            let node = plan.name(selection.node(batch.nodes[0])).as_str().to_owned();
            granted.push((node, scheduler.device(&batch.grant)));
        }
        granted
    }

    fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(point, device)| (format!("train[{point}]"), (*device).to_owned())).collect()
    }

    #[test]
    fn folds_spread_over_the_devices() {
        let spread = [("model=a,fold=1", "cuda:0"), ("model=a,fold=2", "cuda:1")];
        assert_eq!(devices(&[], &["cuda:0", "cuda:1"]), expected(&spread));
        assert_eq!(devices(&[], &["cuda:1"]), expected(&[("model=a,fold=1", "cuda:1")]), "the one that was asked for");
    }

    #[test]
    fn halves_share_a_device() {
        let shared = [
            ("model=a,fold=1", "cuda:0"),
            ("model=a,fold=2", "cuda:0"),
            ("model=a,fold=3", "cuda:1"),
            ("model=b,fold=1", "cuda:1"),
        ];
        assert_eq!(devices(&["stages.train.resources={gpu=0.5}"], &["cuda:0", "cuda:1"]), expected(&shared));
    }

    #[test]
    fn without_a_device_or_with_none_asked_for_all_trainings_are_on_the_cpu() {
        for (overrides, names) in [(&[][..], &[][..]), (&["stages.train.resources={gpu=0}"], &["cuda:0", "cuda:1"])] {
            let granted = devices(overrides, names);
            assert_eq!(granted.len(), 6, "{granted:?}");
            assert!(granted.iter().all(|(_, device)| device == "cpu"), "{granted:?}");
        }
    }

    #[test]
    fn other_stages_take_no_device() {
        let plan = plan(STUDY, &[]).expect("the study is valid");
        let selection = Selection::all(&plan);
        let capacity = Capacity { threads: 16, cores: 16, memory_bytes: None, devices: vec!["cuda:0".to_owned()] };
        let mut scheduler = scheduler(&plan, &selection, capacity, None).expect("it can be scheduled");
        let dataset = scheduler.take_ready();
        dataset.iter().for_each(|slot| scheduler.miss(*slot));
        let batch = scheduler.next_batch().expect("the data set runs");
        assert_eq!(scheduler.device(&batch.grant), "cpu");
    }
}
