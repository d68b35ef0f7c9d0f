//! Node names on the command line: `train`, `train[model=tiny]`, `score[model=tiny,fold=3,threshold=200]`.

use super::Plan;
use crate::diagnostic::listed;
use crate::nearest::nearest;
use crate::node::NodeId;

/// A stage with labels for some of its axes; any other axis matches every value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    stage: String,
    point: Vec<(String, String)>,
}

/// The reason why a selector names no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default())]
pub struct SelectError {
    /// The problem.
    pub message: String,
    /// The remedy.
    pub help: Option<String>,
}

impl SelectError {
    fn new(message: String) -> Self {
        Self { message, help: None }
    }

    fn suggest<'a>(self, written: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let help = nearest(written, names).map(|near| format!("did you mean `{near}`?"));
        Self { help, ..self }
    }
}

impl Selector {
    /// Parses `STAGE` or `STAGE[AXIS=VALUE,…]`.
    pub fn parse(text: &str) -> Result<Self, SelectError> {
        let malformed = || {
            let help = "write STAGE or STAGE[AXIS=VALUE,…], for example 'score[model=tiny,fold=3]'".to_owned();
            SelectError { message: format!("`{text}` names no node"), help: Some(help) }
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

    /// Returns the matching nodes, at least one.
    pub fn nodes(&self, plan: &Plan) -> Result<Vec<NodeId>, SelectError> {
        let index = plan.stages.iter().position(|stage| stage.name == self.stage).ok_or_else(|| {
            let names: Vec<_> = plan.spec.stages.iter().map(|stage| stage.name.get_ref().as_str()).collect();
            let message = format!("there is no stage `{}`, only: {}", self.stage, listed(names.iter().copied()));
            SelectError::new(message).suggest(&self.stage, names)
        })?;
        let point = self.point.iter().map(|(axis, label)| self.value(plan, index, axis, label));
        let point = point.collect::<Result<Vec<_>, _>>()?;
        let matches = |id: &NodeId| point.iter().all(|(position, value)| plan.value(*id, *position).1 == *value);
        let nodes: Vec<_> = plan.stage_nodes(index).filter(matches).collect();
        if nodes.is_empty() {
            return Err(SelectError::new("no node has this point: the spec excludes it".to_owned()));
        }
        Ok(nodes)
    }

    /// Resolves an axis and a label to the axis' position in the stage and the value's index on the axis.
    fn value(&self, plan: &Plan, stage: usize, axis: &str, label: &str) -> Result<(usize, usize), SelectError> {
        let axes = plan.axes(&plan.stages[stage]);
        let found = axes.clone().enumerate().find(|(_, own)| own.name.get_ref() == axis);
        let Some((position, found)) = found else {
            let names = listed(axes.map(|own| own.name.get_ref().as_str()));
            let message = format!("stage `{}` does not vary over `{axis}`; its axes: {names}", self.stage);
            return Err(SelectError::new(message));
        };
        if let Some(value) = found.find(label) {
            return Ok((position, value));
        }
        let labels: Vec<_> = found.values.iter().map(|value| value.label.as_str()).collect();
        let message = format!("axis `{axis}` has no value `{label}`, only: {}", listed(labels.iter().copied()));
        Err(SelectError::new(message).suggest(label, labels))
    }
}
