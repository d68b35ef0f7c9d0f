//! `orchestrate report`: publishes the page of each `report` stage, and adds facts that no stage may see: times,
//! devices, nodes, keys.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use orchestrate_cache::{Access, ActionKey};
use orchestrate_engine::event::Event;
use orchestrate_engine::node::NodeId;
use orchestrate_engine::plan::Plan;
use orchestrate_engine::publish::{self, NodeResult, PointNames, PublishError};
use orchestrate_engine::run::Selection;
use orchestrate_stages::pages::report::KIND;
use orchestrate_stages::pages::report::provenance::{self, NodeSource, Provenance};

use super::graph::{Drawing, alternative, inline_svg};
use super::recorded::Recorded;
use super::show::device_of;
use super::study::{Study, set_arguments};
use super::subject::Subject;
use crate::Kinds;
use crate::args::ReportArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

/// The name of the page among the files of a report.
const PAGE: &str = "report.html";

/// Help for a spec without a stage of kind `report`.
const HELP: &str = "add one to the spec, with the inputs that it should show:

[stages.report]
kind = \"report\"
inputs = { tables = [\"TABLE\", …], scores = \"SCORE\", cams = \"CAM\", thresholds = \"THRESHOLD\", \
images = \"DATASET\", masks = \"DATASET\" }

`orchestrate kinds` lists all of its inputs";

pub(crate) fn report(kinds: Kinds, args: ReportArgs) -> anyhow::Result<Outcome> {
    if args.spec.overrides.have_grid() && args.to.is_none() {
        let message = "the folder of the report belongs to the spec without `--grid`\nhelp: name another with --to DIR";
        return Err(UsageError(message.to_owned()).into());
    }
    let Subject { plan, run, store } = Subject::find(kinds, &args.spec.spec, &args.spec.overrides, &args.spec.store)?;
    let nodes: Vec<NodeId> = plan.ids().filter(|id| plan.stage(*id).kind.facts().kind == KIND).collect();
    if nodes.is_empty() {
        let message = format!("{} has no stage of kind `{KIND}`\nhelp: {HELP}", args.spec.spec.display());
        return Err(UsageError(message).into());
    }
    let study = Study::open(plan, &store, Access::ReadOnly)?;
    let recorded = Recorded::look_up(&study);
    // Of a run, the spec and the overrides are those of then.
    let spec = if run.is_some() { &study.plan.spec.path } else { &args.spec.spec };
    let run_command = format!("orchestrate run {}{}", spec.display(), set_arguments(&study.plan.spec.overrides));
    recorded.require(&nodes, &run_command)?;
    let mut page_paths = String::new();
    for id in &nodes {
        let (root, folder) = target(&study.plan, *id, args.to.as_deref(), nodes.len() > 1);
        let (_, items) = recorded.action(*id)?;
        let mut files = Vec::new();
        for file in items.iter().flat_map(|(_, item)| item.files.iter()).filter(|file| file.name == PAGE) {
            files.push((PAGE.to_owned(), with_provenance(&study, &recorded, *id, &file.read()?)?));
        }
        let (key, outputs) = recorded.result(*id).context("BUG: what is missing was told above")?;
        let run = study.history().latest(study.plan.name(*id).as_str()).map(|latest| latest.run.to_string());
        let result = NodeResult { node: *id, key, outputs, run: &run.unwrap_or_default() };
        let published = publish::publish_annotated(&study.plan, &study.store, &root, &folder, result, files);
        let warnings = published.map_err(|error| match error {
            // Nothing was published, so this is a usage error, as in a run.
            PublishError::Refused(refusal) => {
                anyhow::Error::new(UsageError(format!("{}\nhelp: {}", refusal.message, refusal.help)))
            }
            error => error.into(),
        })?;
        warnings.iter().for_each(|warning| terminal::complain(&format!("warning: {warning}\n")));
        page_paths += &format!("{}\n", root.join(folder).join(PAGE).display());
    }
    Outcome::Done.after_saying(terminal::say(&page_paths))
}

/// Returns the published folder of a report's stage, and below it the folder of the node's point.
fn target(plan: &Plan, id: NodeId, to: Option<&Path>, several: bool) -> (PathBuf, String) {
    let stage = plan.node(id).stage as usize;
    let point = PointNames::new(plan, stage).folder(plan, id);
    let name = &plan.stages[stage].name;
    match to {
        // A published folder belongs to one stage.
        Some(dir) if several => (dir.join(name), point),
        Some(dir) => (dir.to_owned(), String::new()),
        None => {
            let root = publish::root(plan, stage);
            (root.unwrap_or_else(|| plan.spec.root.join("results").join(&plan.spec.name).join(name)), point)
        }
    }
}

/// Returns the page with the provenance of its node added; `bytes` is the page as the stage made it.
fn with_provenance(study: &Study, recorded: &Recorded<'_>, id: NodeId, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (key, _) = recorded.result(id).context("the report has no result")?;
    let overrides = study.plan.spec.overrides.clone();
    let page = std::str::from_utf8(bytes).context("the page is no text")?;
    let graph = Some(drawing(study, recorded, page));
    let provenance = Provenance { overrides, facts: facts(study, &key)?, graph, nodes: sources(study, recorded, id)? };
    let page = provenance::add(page, &provenance).context("the page has no place for where its numbers came from")?;
    Ok(page.into_bytes())
}

/// Draws the stages of the study, with links to the sections of the page; also returns the same in words.
fn drawing(study: &Study, recorded: &Recorded<'_>, page: &str) -> (String, Vec<String>) {
    let drawing = Drawing::new(&study.plan, &Selection::all(&study.plan), false, Some(recorded.survey()), None);
    let link = |kind: &str| provenance::section(page, kind).map(|id| format!("#{id}"));
    (inline_svg(&drawing, &link), alternative(&drawing))
}

/// Describes the node, then all nodes that it depends on, in the order of the plan.
fn sources(study: &Study, recorded: &Recorded<'_>, id: NodeId) -> anyhow::Result<Vec<NodeSource>> {
    let plan = &study.plan;
    let closure = Selection::closure(plan, &[id]);
    let others = closure.nodes().iter().copied().filter(|other| *other != id);
    // An input of a hit may be no hit itself: if its files were garbage collected, only its digests are known.
    let nodes: Vec<NodeId> =
        std::iter::once(id).chain(others).filter(|other| recorded.result(*other).is_some()).collect();
    let index: HashMap<NodeId, usize> = nodes.iter().enumerate().map(|(index, node)| (*node, index)).collect();
    nodes
        .iter()
        .map(|node| {
            let (key, outputs) = recorded.result(*node).context("BUG: only hits are kept")?;
            let name = plan.name(*node);
            let result =
                study.store.recorded(&key).with_context(|| format!("the result of `{name}` cannot be read"))?;
            let mut inputs: Vec<usize> =
                plan.inputs(*node).iter().filter_map(|input| index.get(input)).copied().collect();
            inputs.sort_unstable();
            inputs.dedup();
            let point = plan.point(*node).into_iter().map(|(axis, label)| (axis.to_owned(), label.to_owned()));
            Ok(NodeSource {
                name: name.to_string(),
                stage: plan.stage(*node).name.clone(),
                kind: result.kind,
                point: point.collect(),
                key: key.0.to_string(),
                params: result.preimage.get("params").cloned().unwrap_or_default(),
                outputs: outputs.iter().map(|(output, digest)| (output.clone(), digest.0.to_string())).collect(),
                inputs,
                device: result.device,
                elapsed_ms: result.elapsed_ms,
                recorded_ms: result.recorded_ms,
            })
        })
        .collect()
}

/// Lists facts about the study and the run that made the report.
fn facts(study: &Study, key: &ActionKey) -> anyhow::Result<Vec<(String, String)>> {
    let spec = &study.plan.spec;
    let shown = |path: &Path| spec.in_project(path).display().to_string();
    let mut facts = vec![("experiment".to_owned(), spec.name.clone()), ("spec".to_owned(), shown(&spec.path))];
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    if !spec.overrides.is_empty() {
        add("overrides", spec.overrides.join(", "));
    }
    // The run that recorded the result, not the latest one: that may have made another page, with other overrides.
    let result = study.store.recorded(key).context("the result of the report cannot be read")?;
    add("made by run", result.run.clone());
    let records = result.run.parse().ok().and_then(|run| study.history().events(&run).ok());
    let records = records.unwrap_or_default();
    for record in &records {
        match &record.event {
            Event::RunStarted(started) => {
                if started.spec != spec.path {
                    add("spec of that run", shown(&started.spec));
                }
                if started.overrides != spec.overrides {
                    let none = || "none".to_owned();
                    let overrides = Some(started.overrides.join(", ")).filter(|text| !text.is_empty());
                    add("overrides of that run", overrides.unwrap_or_else(none));
                }
                let device = device_of(&started.device, &records);
                add("device and threads", format!("{device}, {}", started.jobs));
                add("orchestrate", started.version.clone());
            }
            Event::RunFinished { counts, elapsed_ms, .. } => {
                let took = terminal::duration(*elapsed_ms);
                add("that run", format!("{took}: {} hit, {} ran, {} failed", counts.hit, counts.ran, counts.failed));
            }
            _ => {}
        }
    }
    Ok(facts)
}
