//! Findings about parts of a spec without effect: axes over which no stage varies, and points that no stage has.

use std::collections::{HashMap, HashSet};

use super::link::Link;
use crate::diagnostic::{Diagnostic, Severity};
use crate::nearest::nearest;
use crate::source::Span;
use crate::spec::Spec;

/// Fields of `[experiment]`.
const EXPERIMENT: [&str; 2] = ["name", "seed"];

/// Adds a warning for each axis and each entry of `exclude` that concerns no stage; an error if an override adds it, as
/// the run would silently be that of the spec. The spec of a run `is_recorded`: it ran.
pub(super) fn check(spec: &Spec, links: &[Link], is_recorded: bool, problems: &mut Vec<Diagnostic>) {
    // Stages that could not be read, or planned, may vary over anything.
    if !spec.broken.is_empty() || links.iter().any(|link| !link.axes_known) {
        return;
    }
    let severity = |span: &Span| {
        let is_set = !is_recorded && spec.sources.source_at(span.start).is_some_and(|source| !source.is_file);
        if is_set { Severity::Error } else { Severity::Warning }
    };
    exclusions(spec, links, severity, problems);
    let used: HashSet<&str> =
        spec.stages.iter().flat_map(|stage| &stage.over).map(|over| over.get_ref().as_str()).collect();
    for axis in spec.axes.iter().filter(|axis| !used.contains(axis.name.get_ref().as_str())) {
        let name = axis.name.get_ref();
        let severity = severity(&axis.name.span());
        let stages = || spec.stages.iter().map(|stage| stage.name.get_ref().as_str());
        let mut near = nearest(name, used.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        if severity == Severity::Error {
            let other = || nearest(name, stages()).map(|near| format!("did you mean `stages.{near}`?"));
            let field = || nearest(name, EXPERIMENT).map(|near| format!("did you mean `experiment.{near}`?"));
            near = near.or_else(other).or_else(field);
        }
        let remedy = match severity {
            Severity::Error => "set the values of a declared axis, or add this one to the `over` of a stage",
            Severity::Warning => "add it to the `over` of a stage, or remove it",
        };
        let problem = Diagnostic::error(format!("no stage varies over axis `{name}`")).at(axis.name.span());
        let problem = problem.help(near.unwrap_or_else(|| remedy.to_owned()));
        problems.push(Diagnostic { severity, ..problem });
    }
}

fn exclusions(spec: &Spec, links: &[Link], severity: impl Fn(&Span) -> Severity, problems: &mut Vec<Diagnostic>) {
    let mut concerns: HashMap<Vec<usize>, bool> = HashMap::new();
    for point in &spec.exclude {
        let axes: Vec<usize> = point.get_ref().iter().map(|(axis, _)| *axis).collect();
        let varies = |link: &Link| axes.iter().all(|axis| link.over.contains(axis));
        if !*concerns.entry(axes.clone()).or_insert_with(|| links.iter().any(varies)) {
            let names: Vec<&str> = axes.iter().map(|axis| spec.axes[*axis].name.get_ref().as_str()).collect();
            let problem = Diagnostic::error(format!("no stage varies over {}", names.join(" and "))).at(point.span());
            let problem = problem.help("so nothing is excluded here; name only axes that one stage varies over");
            problems.push(Diagnostic { severity: severity(&point.span()), ..problem });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::Severity;
    use crate::fake::{STUDY, plan};

    #[test]
    fn an_axis_without_effect_is_an_error_if_an_override_adds_it() {
        for (set, near) in [("axes.treshold=[200]", "`threshold`"), ("axes.tabl=[1]", "`stages.table`")] {
            let said = plan(STUDY, &[set]).err().expect("it has no effect").to_string();
            assert!(said.contains("no stage varies over axis") && said.contains(near), "{said}");
        }
        let declared = STUDY.replace("[axes]", "[axes]\nunused = [1]");
        let findings = plan(&declared, &["axes.unused=[2]"]).unwrap_or_else(|error| panic!("{error}")).spec.findings;
        assert!(findings.iter().any(|it| it.severity == Severity::Warning && it.message.contains("`unused`")));
    }
}
