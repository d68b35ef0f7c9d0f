//! The devices of a run, found once a node is left that could use one, so that a run of hits loads no driver.

use super::Drive;
use crate::diagnostic::{Diagnostic, SpecError};
use crate::event::Event;
use crate::node::NodeId;
use crate::plan::{Plan, PlannedStage};
use crate::run::options::{Devices, RunOptions};
use crate::run::prepare;
use crate::run::summary::RunError;

/// Returns the devices of a run whose nodes are not yet looked up; `None` if they are found later.
pub(super) fn at_the_start(plan: &Plan, options: &RunOptions) -> Option<Vec<String>> {
    // A stage whose kind uses no device but that asks for some, such as a command, is refused where there are too few,
    // before anything runs.
    let asks = |stage: &PlannedStage| {
        stage.kind.facts().device.is_none()
            && plan.spec.stages[stage.declared].resources.gpu.is_some_and(|gpu| gpu > 0.0)
    };
    match &options.devices {
        Devices::Given(names) => Some(names.clone()),
        Devices::Found(find) => plan.stages.iter().any(asks).then(find),
    }
}

impl Drive<'_, '_, '_> {
    /// Finds the devices, and checks that they suit what is left, before the first miss of a node that could use one,
    /// or of an earlier one that it waits for. Errors: params that one of the devices cannot compute with.
    pub(super) fn equip(&mut self, missed: NodeId) -> Result<(), RunError> {
        if self.devices_checked || (self.estimated && !self.could_use_a_device(missed)) {
            return Ok(());
        }
        let left = |id: &NodeId| self.could_use_a_device(*id) && !self.scheduler.state(self.slot(*id)).is_end();
        let left: Vec<_> = self.selection.nodes().iter().copied().filter(left).collect();
        if left.is_empty() {
            return Ok(());
        }
        self.devices_checked = true;
        if let (Devices::Found(find), false) = (&self.options.devices, self.devices_known) {
            let devices = find();
            self.teller.report(Event::DevicesFound { devices: devices.clone() });
            let mut capacity = self.scheduler.capacity().clone();
            capacity.devices.clone_from(&devices);
            let classes = prepare::classes(self.plan, &capacity, self.options.cluster.as_ref())?;
            self.scheduler.equip(devices, &classes);
        }
        self.check_params(&left)
    }

    fn could_use_a_device(&self, id: NodeId) -> bool {
        let stage = self.plan.stage(id);
        stage.kind.facts().device.is_some()
            && self.options.cluster.as_ref().is_none_or(|cluster| !cluster.takes(stage))
            && self.plan.spec.stages[stage.declared].resources.gpu.is_none_or(|gpu| gpu > 0.0)
    }

    /// Checks the params of nodes against the devices; reports each reason once a stage.
    fn check_params(&self, nodes: &[NodeId]) -> Result<(), RunError> {
        let devices = &self.scheduler.capacity().devices;
        if devices.is_empty() {
            return Ok(());
        }
        let mut found: Vec<(usize, String)> = Vec::new();
        for id in nodes {
            let stage = self.plan.stage(*id);
            let refuses = stage.kind.facts().device.map(|device| device.refuses);
            let reason = refuses.and_then(|refuses| refuses(&self.plan.params(*id).params, devices));
            let reason = reason.map(|reason| (stage.declared, reason));
            found.extend(reason.filter(|reason| !found.contains(reason)));
        }
        if found.is_empty() {
            return Ok(());
        }
        let diagnostic = |(stage, reason): (usize, String)| {
            let name = &self.plan.spec.stages[stage].name;
            Diagnostic::error(format!("stage `{}` can never run: {reason}", name.get_ref()))
                .at(name.span())
                .help("or choose another device by `--device`; `orchestrate devices` lists them")
        };
        let diagnostics = found.into_iter().map(diagnostic).collect();
        Err(RunError::Spec(SpecError::new(self.plan.spec.sources.clone(), diagnostics)))
    }
}
