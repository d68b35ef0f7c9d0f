//! `orchestrate sweep SPEC AXIS=VALUES`: finds the best-scoring value of an axis, and draws the curve.
//!
//! It runs the spec with other values of the axis, but only the `score` stages that vary over the axis and the nodes
//! they depend on. It publishes nothing.

use std::path::{Path, PathBuf};

use anyhow::Context;
use orchestrate_cache::Access;
use orchestrate_engine::diagnostic::{Diagnostic, SpecError};
use orchestrate_engine::node::NodeId;
use orchestrate_engine::plan::{self, Plan};
use orchestrate_engine::run::{ActionMaker, Selection, Summary};
use orchestrate_engine::spec::{self, Spec};
use orchestrate_engine::stage::Item;
use orchestrate_stages::pages::sweep::{self, Input, KIND, Question, Swept};

use super::output_files::{check_chart, write_chart};
use super::run::{RunRequest, closing, execute, outcome, progress};
use super::study::{self, Study};
use crate::Kinds;
use crate::args::SweepArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

pub(crate) fn sweep(kinds: Kinds, args: SweepArgs) -> anyhow::Result<Outcome> {
    let (plan, axis, folds) = plan(kinds, &args)?;
    let scores: Vec<usize> = score_stages(&plan).filter(|stage| varies(&plan, *stage, &axis)).collect();
    if args.nested {
        check_other_folds(&plan, &folds, &scores)?;
    }
    let nodes: Vec<NodeId> = scores.iter().flat_map(|stage| plan.stage_nodes(*stage)).collect();
    let selection = Selection::closure(&plan, &nodes);
    // Fails before the run, not after it.
    check_chart(&chart_path(&plan, &args, &axis))?;
    let devices = args.how.device.find()?;
    let study = Study::open(plan, &args.spec.store, Access::ReadWrite)?;
    let question = Question { axis: &axis, folds: &folds, metric: &args.metric, nested: args.nested };
    let request = RunRequest { study, selection, forced: Vec::new(), devices };
    let mut listener = progress(&request);
    execute(&request, &args.how, listener.as_mut(), |summary, efficiency| {
        terminal::complain_as_is(closing(&request.study, summary, efficiency).as_str());
        let outcome = outcome(summary);
        if outcome == Outcome::Done {
            let swept = sweep::sweep(&question, &inputs(&request.study, summary, &scores)?)?;
            let chart = draw_chart(&request.study.plan, &args, &swept)?;
            let answer = answer(&args, &swept, chart.as_deref())?;
            if args.json { terminal::say_as_is(&answer)? } else { terminal::say(&answer)? }
        }
        Ok(outcome)
    })
}

/// Returns the text to print; `chart` is the path of the chart, if one was drawn.
fn answer(args: &SweepArgs, swept: &Swept, chart: Option<&Path>) -> anyhow::Result<String> {
    if args.json {
        return Ok(serde_json::to_string(swept)? + "\n");
    }
    let chart_line = chart.map(|path| format!("{}\n", path.display())).unwrap_or_default();
    Ok(format!("{}\n{chart_line}", sweep::text(swept)))
}

/// Plans the spec with the values of the axis replaced; also returns the names of this axis and of the axes of folds.
fn plan(kinds: Kinds, args: &SweepArgs) -> anyhow::Result<(Plan, String, Vec<String>)> {
    let mut overrides = args.spec.overrides.to_vec();
    // Read before the sweep, as an axis with replaced values is no longer declared as folds.
    let folds = fold_axes(&spec::load(&args.spec.spec, &overrides)?);
    let (spec, axis) = spec::load_swept(&args.spec.spec, &overrides, &args.sweep)?;
    if folds.contains(axis.get_ref()) {
        let why = "has the folds, over which means are taken: no value of it can be best";
        let message = format!("axis `{}` {why}", axis.get_ref());
        let problem = Diagnostic::error(message).at(axis.span()).help("sweep another axis");
        return Err(SpecError { sources: spec.sources, diagnostics: vec![problem] }.into());
    }
    let mut plan = plan::build(unpublished(spec), kinds)?;
    if let Some(images) = &args.images {
        overrides.extend(images_overrides(&plan, axis.get_ref(), images));
        let (spec, _) = spec::load_swept(&args.spec.spec, &overrides, &args.sweep)?;
        plan = plan::build(unpublished(spec), kinds)?;
    }
    if let Some(problem) = unswept(&plan, axis.get_ref()) {
        let diagnostics = vec![problem.at(axis.span())];
        return Err(SpecError { sources: plan.spec.sources.clone(), diagnostics }.into());
    }
    study::warn(&plan);
    Ok((plan, axis.into_inner(), folds))
}

/// Lets no stage publish.
fn unpublished(mut spec: Spec) -> Spec {
    spec.stages.iter_mut().for_each(|stage| stage.publish = None);
    spec
}

/// Returns the problem that no `score` stage varies over the axis, if that is so.
fn unswept(plan: &Plan, axis: &str) -> Option<Diagnostic> {
    let stages: Vec<usize> = score_stages(plan).collect();
    if stages.iter().any(|stage| varies(plan, *stage, axis)) {
        return None;
    }
    if stages.is_empty() {
        let message = format!("the spec has no stage of kind `{KIND}`, so no value of `{axis}` can be best");
        return Some(Diagnostic::error(message).help(format!("add one that varies over `{axis}`")));
    }
    let problem = Diagnostic::error(format!("no stage of kind `{KIND}` varies over `{axis}`"));
    Some(stages.into_iter().fold(problem, |problem, stage| {
        let stage = &plan.stages[stage];
        let axes: Vec<_> = plan.axes(stage).map(|axis| axis.name.get_ref().as_str()).collect();
        let axes = if axes.is_empty() { "no axis".to_owned() } else { axes.join(", ") };
        problem.note(format!("stage `{}` varies over {axes}", stage.name))
    }))
}

/// Returns the overrides of `--images`: one for each `score` stage that varies over the axis.
fn images_overrides(plan: &Plan, axis: &str, images: &str) -> Vec<String> {
    let stages = score_stages(plan).filter(|stage| varies(plan, *stage, axis));
    stages.map(|stage| format!("stages.{}.images=\"{images}\"", plan.stages[stage].name)).collect()
}

/// Lists the stages of kind `score`, in the order of their declaration.
fn score_stages(plan: &Plan) -> impl Iterator<Item = usize> + '_ {
    let mut stages: Vec<usize> =
        (0..plan.stages.len()).filter(|stage| plan.stages[*stage].kind.facts().kind == KIND).collect();
    stages.sort_by_key(|stage| plan.stages[*stage].declared);
    stages.into_iter()
}

fn varies(plan: &Plan, stage: usize, axis: &str) -> bool {
    plan.axes(&plan.stages[stage]).any(|own| own.name.get_ref() == axis)
}

/// Lists the axes over which means are taken: those declared as folds, and one named `fold`.
fn fold_axes(spec: &Spec) -> Vec<String> {
    let axes = spec.axes.iter().filter(|axis| axis.folds.is_some() || axis.name.get_ref() == "fold");
    axes.map(|axis| axis.name.get_ref().clone()).collect()
}

/// Rejects `--nested` for a stage with fewer than two folds: it has no other folds to choose on.
fn check_other_folds(plan: &Plan, folds: &[String], scores: &[usize]) -> Result<(), UsageError> {
    for stage in scores {
        let own_folds = plan.axes(&plan.stages[*stage]).filter(|own| folds.contains(own.name.get_ref()));
        // Without an axis of folds the product is 1.
        if own_folds.map(|own| own.values.len()).product::<usize>() < 2 {
            return Err(UsageError(format!(
                "--nested chooses on other folds than it scores on, but stage `{}` has no others\n\
                 help: let it vary over an axis such as `fold = {{ folds = 5 }}`, or leave --nested out",
                plan.stages[*stage].name
            )));
        }
    }
    Ok(())
}

/// Reads the scores of the run by stage, with the labels of their points.
fn inputs(study: &Study, summary: &Summary, stages: &[usize]) -> anyhow::Result<Vec<Input>> {
    let plan = &study.plan;
    let maker = ActionMaker::new(plan, &study.observed, &study.store);
    let item = |id: NodeId| -> anyhow::Result<Item> {
        let lost = || format!("the store has lost the output of `{}`; run again", plan.name(id));
        let digest = summary.outputs.digests(id).and_then(|digests| digests.first()).with_context(lost)?;
        maker.item(id, *digest).with_context(lost)
    };
    let input = |stage: &usize| -> anyhow::Result<Input> {
        let items = plan.stage_nodes(*stage).map(item).collect::<anyhow::Result<_>>()?;
        Ok(Input { stage: plan.stages[*stage].name.clone(), items })
    };
    stages.iter().map(input).collect()
}

/// Draws the chart and returns its path; `None` if there is nothing to draw.
fn draw_chart(plan: &Plan, args: &SweepArgs, swept: &Swept) -> anyhow::Result<Option<PathBuf>> {
    let Some(svg) = sweep::svg(swept) else { return Ok(None) };
    let path = chart_path(plan, args, &swept.axis);
    write_chart(&path, svg)?;
    Ok(Some(path))
}

/// Returns the path of the chart: `--plot`, or one below `results`.
fn chart_path(plan: &Plan, args: &SweepArgs, axis: &str) -> PathBuf {
    args.plot.clone().unwrap_or_else(|| {
        let file = format!("sweep-{axis}-{}.svg", args.metric);
        plan.spec.root.join("results").join(&plan.spec.name).join(file)
    })
}
