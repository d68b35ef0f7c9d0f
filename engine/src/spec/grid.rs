//! `--grid stages.train.learning_rate=1e-3,1e-4`: an axis that a run adds to the spec. It binds one param of one stage.
//!
//! The override `grid.stages.train.learning_rate=1e-3,1e-4` says the same, so that a recorded run can be planned again.
//! The axis is named by the path without `stages.`, as in `train[train.learning_rate=0.001]`; a declared axis has no
//! point in its name.

use std::path::{Path, PathBuf};

use serde_spanned::Spanned;

use super::Spec;
use super::axis::{Axis, AxisParam};
use super::parse::Sections;
use super::reader::Reader;
use super::values::{self, Assignment};
use crate::diagnostic::{Diagnostic, Names, SpecError};
use crate::params::STAGE_FIELDS;
use crate::source::SourceMap;

/// The beginning of an override that adds an axis.
pub const PREFIX: &str = "grid.";

const HELP: &str = "write stages.STAGE.PARAM=VALUES, for example stages.train.learning_rate=1e-3,1e-4";

/// Parses a path with its values, and adds it to the sources under the name `name`.
pub(super) fn parse(
    text: &str,
    name: &str,
    working_dir: &Path,
    sources: &mut SourceMap,
    problems: &mut Vec<Diagnostic>,
) -> Option<Assignment> {
    values::assignment(
        text,
        values::Words { source: name, subject: "a grid", target: "param", help: HELP },
        working_dir,
        sources,
        problems,
    )
}

/// The name of the axis of a path: the path without `stages.`.
pub(super) fn axis_name(path: &Spanned<String>) -> Spanned<String> {
    let name = path.get_ref().strip_prefix("stages.").unwrap_or(path.get_ref());
    let start = path.span().end - name.len();
    Spanned::new(start..path.span().end, name.to_owned())
}

/// Adds an axis to the spec, and to the stage whose param it binds. Its stages publish nothing then: their folders are
/// those of the spec.
pub(super) fn add(grid: Assignment, sections: &mut Sections, problems: &mut Vec<Diagnostic>) {
    let name = axis_name(&grid.name);
    let mut parts = name.get_ref().split('.').map(str::to_owned);
    let (stage, param): (String, Vec<String>) = (parts.next().unwrap_or_default(), parts.collect());
    if param.is_empty() || param.iter().any(String::is_empty) {
        let problem = Diagnostic::error(format!("`{}` names no param of a stage", name.get_ref())).at(name.span());
        return problems.push(problem.help(HELP));
    }
    if STAGE_FIELDS.contains(&param[0].as_str()) {
        let message = format!("`{}` is no param of stage `{stage}`, so it has no values to try", param[0]);
        return problems.push(Diagnostic::error(message).at(name.span()));
    }
    let names = Names::new("declared stages", sections.stages.iter().map(|stage| stage.name.get_ref().as_str()));
    let Some(index) = names.position(&stage) else {
        if !sections.broken.contains(&stage) {
            let problem = Diagnostic::error(format!("the spec has no stage `{stage}`")).at(name.span());
            problems.push(names.unknown(problem, &stage));
        }
        return;
    };
    if sections.axes.iter().any(|axis| axis.name.get_ref() == name.get_ref()) {
        let problem = Diagnostic::error(format!("`{}` is given twice", name.get_ref())).at(name.span());
        return problems.push(problem.help("list all of its values at once, with commas between them"));
    }
    let Some(axis) = Axis::parse(name.clone(), &grid.values, &mut Reader { problems }) else { return };
    sections.axes.push(Axis { param: Some(AxisParam { stage, path: param }), ..axis });
    sections.stages[index].over.push(name);
    for stage in &mut sections.stages {
        stage.kept_back = stage.publish.take().or(stage.kept_back.take());
    }
}

/// Lets the stages that a grid keeps back publish below a folder, each into one of its own name.
///
/// Errors: such a folder meets one of the spec.
pub fn publish_below(spec: &mut Spec, dir: &Path) -> Result<(), SpecError> {
    let written = dir.display().to_string();
    let base = spec.sources.add("--publish", &std::env::current_dir().unwrap_or_default(), written.as_str());
    let span = base..base + written.len();
    let below: PathBuf = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()).components().collect();
    let kept_back = spec.stages.iter().filter_map(|stage| stage.kept_back.as_ref());
    let own: Vec<PathBuf> = kept_back.map(|folder| spec.root.join(folder.get_ref()).components().collect()).collect();
    let mut problems = Vec::new();
    for stage in spec.stages.iter_mut().filter(|stage| stage.kept_back.is_some()) {
        let target = below.join(stage.name.get_ref());
        if let Some(own) = own.iter().find(|own| own.starts_with(&target) || target.starts_with(own)) {
            let (target, own) = (target.display(), own.display());
            let message =
                format!("`{target}` would hold results of the grid, but the spec itself publishes to `{own}`");
            problems.push(Diagnostic::error(message).at(span.clone()).help("name a folder for this grid alone"));
        }
        match target.into_os_string().into_string() {
            Ok(target) => stage.publish = Some(Spanned::new(span.clone(), target)),
            Err(_) => problems.push(Diagnostic::error("the folder is not UTF-8").at(span.clone())),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(SpecError::new(spec.sources.clone(), problems)) }
}
