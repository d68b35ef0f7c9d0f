//! Warnings about parts of a spec without effect: axes over which no stage varies, and points that no stage has.

use std::collections::{HashMap, HashSet};

use super::link::Link;
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::spec::Spec;

/// Adds a warning for each axis and each entry of `exclude` that concerns no stage.
pub(super) fn check(spec: &Spec, links: &[Link], problems: &mut Vec<Diagnostic>) {
    // Stages that could not be read, or planned, may vary over anything.
    if !spec.broken.is_empty() || links.iter().any(|link| !link.axes_known) {
        return;
    }
    exclusions(spec, links, problems);
    let used: HashSet<&str> =
        spec.stages.iter().flat_map(|stage| &stage.over).map(|over| over.get_ref().as_str()).collect();
    for axis in spec.axes.iter().filter(|axis| !used.contains(axis.name.get_ref().as_str())) {
        let warning = Diagnostic::warning(format!("no stage varies over axis `{}`", axis.name.get_ref()));
        let near = nearest(axis.name.get_ref(), used.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        let help = near.unwrap_or_else(|| "add it to the `over` of a stage, or remove it".to_owned());
        problems.push(warning.at(axis.name.span()).help(help));
    }
}

fn exclusions(spec: &Spec, links: &[Link], problems: &mut Vec<Diagnostic>) {
    let mut concerns: HashMap<Vec<usize>, bool> = HashMap::new();
    for point in &spec.exclude {
        let axes: Vec<usize> = point.get_ref().iter().map(|(axis, _)| *axis).collect();
        let varies = |link: &Link| axes.iter().all(|axis| link.over.contains(axis));
        if !*concerns.entry(axes.clone()).or_insert_with(|| links.iter().any(varies)) {
            let names: Vec<&str> = axes.iter().map(|axis| spec.axes[*axis].name.get_ref().as_str()).collect();
            let warning = Diagnostic::warning(format!("no stage varies over {}", names.join(" and "))).at(point.span());
            problems.push(warning.help("so nothing is excluded here; name only axes that one stage varies over"));
        }
    }
}
