//! Naming nodes on the command line: `train`, `train[model=tiny]`, `score[model=tiny,fold=3,threshold=200]`.

use super::Plan;
use crate::diagnostic::listed;
use crate::nearest;
use crate::node::NodeId;

/// A stage and some labels of its axes; axes that are left out match every value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    stage: String,
    point: Vec<(String, String)>,
}

/// Why a selector names no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default())]
pub struct SelectError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl SelectError {
    fn new(message: String, help: Option<String>) -> Self {
        Self { message, help }
    }
}

impl Selector {
    /// Parses `STAGE` or `STAGE[AXIS=VALUE,…]`.
    pub fn parse(text: &str) -> Result<Self, SelectError> {
        let malformed = || {
            let help = "write STAGE or STAGE[AXIS=VALUE,…], for example 'score[model=tiny,fold=3]'".to_owned();
            SelectError::new(format!("`{text}` names no node"), Some(help))
        };
        let Some((stage, rest)) = text.split_once('[') else {
            let named = !text.is_empty() && !text.contains([']', ',', '=']);
            return if named { Ok(Self { stage: text.to_owned(), point: Vec::new() }) } else { Err(malformed()) };
        };
        let inner = rest.strip_suffix(']').ok_or_else(malformed)?;
        let point = inner
            .split(',')
            .map(|pair| pair.split_once('=').map(|(axis, label)| (axis.trim().to_owned(), label.trim().to_owned())))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(malformed)?;
        Ok(Self { stage: stage.to_owned(), point })
    }

    /// The nodes that match, at least one.
    pub fn nodes(&self, plan: &Plan) -> Result<Vec<NodeId>, SelectError> {
        let index = plan.stages.iter().position(|stage| stage.name == self.stage).ok_or_else(|| {
            let names: Vec<_> = plan.spec.stages.iter().map(|stage| stage.name.get_ref().as_str()).collect();
            SelectError::new(
                format!("there is no stage `{}`, only: {}", self.stage, listed(names.iter().copied())),
                nearest(&self.stage, names.iter().copied()).map(|near| format!("did you mean `{near}`?")),
            )
        })?;
        let point = self.point.iter().map(|(axis, label)| self.value(plan, index, axis, label));
        let point = point.collect::<Result<Vec<_>, _>>()?;
        let matches = |id: &NodeId| point.iter().all(|(position, value)| plan.value(*id, *position).1 == *value);
        let nodes: Vec<_> = plan.stage_nodes(index).filter(matches).collect();
        if nodes.is_empty() {
            return Err(SelectError::new("no node has this point: the spec excludes it".to_owned(), None));
        }
        Ok(nodes)
    }

    /// A position among the axes of the stage, and the index of a value of that axis.
    fn value(&self, plan: &Plan, stage: usize, axis: &str, label: &str) -> Result<(usize, usize), SelectError> {
        let axes = plan.stages[stage].points.axes().iter().map(|index| &plan.spec.axes[*index]);
        let found = axes.clone().enumerate().find(|(_, own)| own.name.get_ref() == axis);
        let Some((position, found)) = found else {
            let names: Vec<_> = axes.map(|own| own.name.get_ref().as_str()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let message = format!("stage `{}` does not vary over `{axis}`; its axes: {names}", self.stage);
            return Err(SelectError::new(message, None));
        };
        if let Some(value) = found.find(label) {
            return Ok((position, value));
        }
        let labels: Vec<_> = found.values.iter().map(|value| value.label.as_str()).collect();
        let near = nearest(label, labels.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        Err(SelectError::new(format!("axis `{axis}` has no value `{label}`, only: {}", listed(labels)), near))
    }
}
