//! spec → plan: joins each stage with its inputs on the axes that both have, gathers the axes that the stage lacks, and
//! checks stages against their kinds.
//!
//! A *feed* is one stage that feeds one port. [`links`] has resolved the names of feeds; here they get their nodes. A
//! point is a number, its *code* (`point.rs`): each axis is a digit with a weight, so joining is a sum.

use std::collections::HashMap;

use super::bind::{self, Binder, UsedKeys};
use super::link::{Link, LinkFeed, links, or};
use super::problems::Problems;
use super::recall::Recall;
use super::{Feed, Node, ParamSet, Plan, PlannedStage, Points, idle, inputs, publish_folders};
use crate::diagnostic::{Diagnostic, Names, Severity, SpecError};
use crate::node::NodeId;
use crate::spec::Spec;
use crate::spec::axis::Binding;
use crate::stage::Stage;

/// Plans a spec with the given kinds of stages. Errors: all problems at once.
pub fn build(spec: Spec, kinds: &[&'static dyn Stage]) -> Result<Plan, SpecError> {
    build_recalling(spec, kinds, None)
}

/// Plans a spec as [`build`] does; records of runs may stand in for external files. Each stage for which they do is a
/// warning, unless the plan is that of a run.
pub fn build_recalling(
    spec: Spec,
    kinds: &[&'static dyn Stage],
    recall: Option<&dyn Recall>,
) -> Result<Plan, SpecError> {
    let mut problems = Problems::new(spec.findings.clone());
    let (links, sorted) = links(&spec, kinds, &mut problems);
    let mut builder = PlanBuilder {
        spec: &spec,
        recall,
        problems,
        planned: vec![None; links.len()],
        used_keys: UsedKeys::new(),
        incomplete: false,
        stages: Vec::new(),
        nodes: Vec::new(),
        items: Vec::new(),
        feed_starts: vec![0],
    };
    for declared in sorted {
        builder.stage(declared, &links);
    }
    let is_recorded = recall.is_some_and(|recall| recall.comes_first());
    idle::check(&spec, &links, is_recorded, &mut builder.problems);
    builder.unused_keys();
    publish_folders::check(&spec, &builder.stages, &mut builder.problems);
    if recall.is_some() && !is_recorded {
        builder.warn_of_recalled();
    }
    let PlanBuilder { problems, stages, nodes, items, feed_starts, .. } = builder;
    let mut problems = problems.all();
    let mut plan = Plan { spec, stages, nodes, items, feed_starts };
    // A spec of an earlier run is read as it ran then.
    if !plan.spec.is_partial && !is_recorded {
        problems.extend(inputs::check(&plan));
    }
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(SpecError::new(plan.spec.sources, problems));
    }
    plan.spec.findings = problems;
    Ok(plan)
}

/// A plan under construction.
struct PlanBuilder<'a> {
    spec: &'a Spec,
    recall: Option<&'a dyn Recall>,
    problems: Problems,
    /// For each declared stage: its index in `stages`, once it is planned.
    planned: Vec<Option<usize>>,
    /// Keys of axis tables that are params of a stage.
    used_keys: UsedKeys,
    /// True if a stage could not be planned: its params are unknown, so no key is reported as unused.
    incomplete: bool,
    stages: Vec<PlannedStage>,
    nodes: Vec<Node>,
    /// The inputs of all nodes, feed after feed.
    items: Vec<NodeId>,
    /// The start in `items` of each feed of each node, and the end of the last one.
    feed_starts: Vec<u32>,
}

impl PlanBuilder<'_> {
    /// Plans one stage; the stages that feed it are planned before.
    fn stage(&mut self, declared: usize, links: &[Link]) {
        let link = &links[declared];
        let stage = &self.spec.stages[declared];
        let Some(kind) = link.kind else {
            self.incomplete = true;
            return;
        };
        if !link.whole {
            self.incomplete = true;
            bind::check_written(stage, kind, &mut self.problems);
            return;
        }
        let spec = self.spec;
        let inputs = link.feeds.iter().map(|feed| &links[feed.stage]);
        let shared = |axis: usize| inputs.clone().any(|input| !input.axes_known || input.over.contains(&axis));
        let binder = Binder::new(spec, stage, kind, link, shared, &mut self.problems).recalling(self.recall);
        self.used_keys.extend(binder.used_keys());
        let points = match Points::new(spec, link.over.clone()) {
            Ok(points) => points,
            Err(total) => {
                let message = format!("stage `{}` would have {total} nodes", stage.name.get_ref());
                self.problems.push(Diagnostic::error(message).at(stage.name.span()).help("vary it over fewer axes"));
                self.incomplete = true;
                return;
            }
        };
        if points.is_empty() {
            let message = format!("stage `{}` has no points: `exclude` or `zip` leaves none", stage.name.get_ref());
            let warning = Diagnostic::warning(message).at(stage.name.span());
            self.problems.push(warning.help("nothing of it runs; remove the stage, or exclude fewer points"));
            bind::check_written(stage, kind, &mut self.problems);
        }
        let problems_before = self.problems.len();
        let (param_sets, params) = self.param_sets(&binder, &points);
        let feeds: Option<Vec<_>> = link.feeds.iter().map(|feed| self.feed(feed, &points)).collect();
        let (Some(feeds), true) = (feeds, self.problems.len() == problems_before) else {
            self.incomplete = true;
            return;
        };
        let batch_axes = if kind.facts().batches { self.batch_axes(&points, &feeds) } else { Vec::new() };
        let first_node = NodeId::from_index(self.nodes.len());
        self.planned[declared] = Some(self.stages.len());
        let name = stage.name.get_ref().clone();
        self.stages.push(PlannedStage { name, declared, kind, points, first_node, feeds, param_sets, batch_axes });
        self.nodes(link, &params);
    }

    /// Returns the distinct params of a stage, and for each point the index of its params among them.
    fn param_sets(&mut self, binder: &Binder<'_>, points: &Points) -> (Vec<ParamSet>, Vec<u32>) {
        let mut sets = Vec::new();
        // Points that differ only on free axes, which bind no params, have the same params. The key is the code that
        // they share: that of the point with the first value on each free axis.
        let mut known: HashMap<u32, Option<u32>> = HashMap::new();
        let mut params = Vec::with_capacity(points.len());
        let binds = |position: &usize| binder.axes.contains(&points.axes()[*position]);
        let free: Vec<usize> = (0..points.axes().len()).filter(|position| !binds(position)).collect();
        let mut distinct = Vec::new();
        for code in points.codes() {
            let problems = &mut self.problems;
            let set = *known.entry(points.without(code, &free)).or_insert_with(|| {
                let value = |axis| points.value(code, points.position(axis).expect("a stage binds its own axes"));
                let mut whole = Vec::new();
                let set = binder.params(value, problems, &mut whole);
                distinct.push((binder.axes.iter().map(|axis| value(*axis)).collect(), whole));
                sets.push(set?);
                u32::try_from(sets.len() - 1).ok()
            });
            params.push(set.unwrap_or(0));
        }
        binder.place(&distinct, &mut self.problems);
        (sets, params)
    }

    /// Finds the output that a feed reads, and the axes that it gathers. `None` if that is impossible.
    fn feed(&mut self, feed: &LinkFeed, points: &Points) -> Option<Feed> {
        let upstream_index = self.planned[feed.stage]?;
        let upstream = &self.stages[upstream_index];
        let output = match output(feed, upstream) {
            Ok(output) => output,
            Err(diagnostic) => {
                self.problems.push_once(*diagnostic);
                return None;
            }
        };
        let gathered = axes_without(&upstream.points, points);
        let listed = feed.several || !gathered.is_empty();
        if listed && feed.port.is_some_and(|port| !port.many) {
            let axes: Vec<_> =
                gathered.iter().map(|p| self.spec.axes[upstream.points.axes()[*p]].name.get_ref().as_str()).collect();
            let problem = if axes.is_empty() {
                Diagnostic::error(format!("input `{}` takes one stage", feed.name)).help("name one stage")
            } else {
                let message = format!(
                    "input `{}` takes one artifact, but `{}` varies over {}",
                    feed.name,
                    upstream.name,
                    axes.join(", ")
                );
                Diagnostic::error(message).help(format!("add {} to `over`", quoted(&axes)))
            };
            self.problems.push(problem.at(feed.written.span()));
            return None;
        }
        Some(Feed {
            port: feed.name.clone(),
            span: feed.written.span(),
            stage: upstream_index,
            output,
            gathered,
            listed,
        })
    }

    /// Returns the axes along which nodes run as one batch: those that the closest feed lacks. It is the feed that
    /// lacks the fewest axes of the stage, but at least one. So scores of one fold run together for all thresholds.
    /// Scores of all folds do not, though they share the masks.
    fn batch_axes(&self, points: &Points, feeds: &[Feed]) -> Vec<usize> {
        let lacking = |feed: &Feed| axes_without(points, &self.stages[feed.stage].points);
        let closest = feeds.iter().map(lacking).filter(|axes| !axes.is_empty()).min_by_key(Vec::len);
        closest.unwrap_or_default()
    }

    /// Makes the nodes of the stage planned last, with their inputs.
    fn nodes(&mut self, link: &Link, params: &[u32]) {
        let index = self.stages.len() - 1;
        let stage = &self.stages[index];
        let gathers: Vec<_> = stage
            .feeds
            .iter()
            .map(|feed| Gather::new(&stage.points, &self.stages[feed.stage], &feed.gathered))
            .collect();
        self.nodes.reserve(stage.len());
        self.feed_starts.reserve(stage.len() * gathers.len());
        let mut starved = None;
        for (code, params) in stage.points.codes().zip(params) {
            let feeds = u32::try_from(self.feed_starts.len() - 1).expect("fewer than 2^32 feeds");
            self.nodes.push(Node { stage: u32::try_from(index).expect("few stages"), code, params: *params, feeds });
            for (position, gather) in gathers.iter().enumerate() {
                let before = self.items.len();
                gather.push(&stage.points, code, &mut self.items);
                self.feed_starts.push(u32::try_from(self.items.len()).expect("fewer than 2^32 inputs"));
                let port = &stage.feeds[position].port;
                let is_only_feed = || stage.feeds.iter().filter(|other| other.port == *port).count() == 1;
                if self.items.len() == before && is_only_feed() {
                    starved = starved.or(Some(position));
                }
            }
        }
        if let Some(position) = starved {
            let feed = &link.feeds[position];
            let message = format!(
                "a node of stage `{}` has nothing to read at `{}`: `exclude` or `zip` leaves no point of `{}` for it",
                stage.name,
                feed.name,
                feed.written.get_ref(),
            );
            let help = "exclude the point for this stage too, by naming only axes that it varies over";
            self.problems.push_once(Diagnostic::error(message).at(feed.written.span()).help(help));
        }
    }

    /// Warns of each stage whose data are gone.
    fn warn_of_recalled(&mut self) {
        for stage in &self.stages {
            let recalled = stage.param_sets.iter().find_map(|set| Some((set, set.recalled.as_ref()?)));
            let Some((set, recalled)) = recalled else { continue };
            let Some((field, path)) = bind::missing_path(&set.params, stage.kind) else { continue };
            let files = match recalled.files.len() {
                1 => "1 file is".to_owned(),
                number => format!("{number} files are"),
            };
            let message = format!(
                "the data of stage `{}` are gone: {} does not exist, and {files} taken as run {} had them",
                stage.name,
                path.display(),
                recalled.run
            );
            let written = set.spans.iter().find(|(name, _)| field.split('.').next() == Some(name));
            let span = written.map_or_else(|| self.spec.stages[stage.declared].name.span(), |(_, span)| span.clone());
            let warning = Diagnostic::warning(message).at(span);
            self.problems.push(warning.help("what is recorded can be shown; a run needs the data again"));
        }
    }

    /// Reports keys of axis tables that are no param of any stage; they are most likely misspelt.
    fn unused_keys(&mut self) {
        if self.incomplete {
            return;
        }
        for (index, axis) in self.spec.axes.iter().enumerate() {
            if axis.values.iter().all(|value| matches!(value.binding, Binding::Scalar(_))) {
                continue;
            }
            let stages: Vec<_> = self.stages.iter().filter(|stage| stage.points.position(index).is_some()).collect();
            if stages.is_empty() {
                continue;
            }
            let fields =
                Names::new("params", stages.iter().flat_map(|stage| stage.kind.facts().fields().iter().copied()));
            for value in &axis.values {
                let Binding::Table(table) = &value.binding else { continue };
                for key in table.keys() {
                    if !self.used_keys.contains(&(key.span().start, key.span().end)) {
                        let message =
                            format!("no stage over axis `{}` has a param `{}`", axis.name.get_ref(), key.get_ref());
                        let problem = Diagnostic::error(message).at(key.span());
                        self.problems.push(fields.unknown(problem, key.get_ref()));
                    }
                }
            }
        }
    }
}

/// Returns the axes of `points` that `others` lack, as positions among those of `points`.
fn axes_without(points: &Points, others: &Points) -> Vec<usize> {
    let axes = points.axes().iter().enumerate();
    axes.filter(|(_, axis)| others.position(**axis).is_none()).map(|(position, _)| position).collect()
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// Finds the nodes of an upstream stage that have the values of a point on the shared axes.
///
/// The code of such a node is the sum of a part from the shared axes and a part from the gathered ones.
struct Gather<'a> {
    upstream: &'a PlannedStage,
    /// For each shared axis: its weight in a code of the upstream stage, and its position among the reader's axes.
    shared: Vec<(u32, usize)>,
    /// The part of the code for each combination of gathered values, in gather order.
    offsets: Vec<u32>,
}

impl<'a> Gather<'a> {
    fn new(points: &Points, upstream: &'a PlannedStage, gathered: &[usize]) -> Self {
        let theirs = &upstream.points;
        let axes = theirs.axes().iter().enumerate();
        let shared =
            axes.filter_map(|(position, axis)| Some((theirs.weight(position), points.position(*axis)?))).collect();
        let mut offsets = vec![0];
        for position in gathered {
            let steps =
                |offset: u32| (0..theirs.radix(*position)).map(move |digit| offset + digit * theirs.weight(*position));
            offsets = offsets.into_iter().flat_map(steps).collect();
        }
        Self { upstream, shared, offsets }
    }

    /// Appends the nodes for a point of the reader, in gather order. Excluded points have no node.
    fn push(&self, points: &Points, code: u32, items: &mut Vec<NodeId>) {
        let digit = |ours: usize| u32::try_from(points.value(code, ours)).expect("a digit");
        let joined: u32 = self.shared.iter().map(|(weight, ours)| weight * digit(*ours)).sum();
        let node = |rank: usize| NodeId::from_index(self.upstream.first_node.index() + rank);
        items.extend(self.offsets.iter().filter_map(|offset| self.upstream.points.rank(joined + offset)).map(node));
    }
}

/// Returns the output that a feed reads: the one named in the spec, else the first that the port asks for, else the one
/// named like the input. If either kind takes any port, as `command` does, the only output needs no name.
fn output(feed: &LinkFeed, upstream: &PlannedStage) -> Result<String, Box<Diagnostic>> {
    let Some(set) = upstream.param_sets.first() else {
        // A stage without nodes has no readers.
        return Ok(feed.output.clone().unwrap_or_else(|| feed.name.clone()));
    };
    let outputs = &set.outputs;
    let names = || outputs.iter().map(String::as_str).collect::<Vec<_>>();
    if let Some(output) = &feed.output {
        if outputs.contains(output) {
            return Ok(output.clone());
        }
        let message =
            format!("stage `{}` (kind {}) has no output `{output}`", upstream.name, upstream.kind.facts().kind);
        return Err(Box::new(Diagnostic::error(message).at(feed.written.span()).names("its outputs", output, names())));
    }
    let wanted: &[&str] = feed.port.map_or(&[], |port| port.reads);
    let by_name =
        wanted.iter().copied().chain([feed.name.as_str()]).find(|name| outputs.iter().any(|output| output == name));
    let free = upstream.kind.facts().takes_any_port || feed.port.is_none();
    match (by_name, outputs.as_slice()) {
        (Some(name), _) => Ok(name.to_owned()),
        (None, [only]) if free => Ok(only.clone()),
        _ => {
            let message = match wanted {
                [] => format!("input `{}` does not say which output of `{}` it reads", feed.name, upstream.name),
                _ => format!(
                    "input `{}` reads {}, which stage `{}` (kind {}) does not give",
                    feed.name,
                    or(wanted),
                    upstream.name,
                    upstream.kind.facts().kind
                ),
            };
            Err(Box::new(
                Diagnostic::error(message)
                    .at(feed.written.span())
                    .note(format!("its outputs: {}", names().join(", ")))
                    .help(format!("name an output as \"{}.OUTPUT\", or read another stage", upstream.name)),
            ))
        }
    }
}
