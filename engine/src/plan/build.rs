//! spec → plan: joins stages on the axes that they share, gathers the axes that the consumer lacks, and checks stages
//! against their kinds.

use std::collections::HashMap;

use super::bind::{self, Binder, UsedKeys};
use super::link::{Link, LinkFeed, links, or};
use super::problems::Problems;
use super::{Feed, Node, ParamSet, Plan, PlannedStage, Points, publish_folders};
use crate::diagnostic::{Diagnostic, Names, Severity, SpecError};
use crate::node::NodeId;
use crate::spec::Spec;
use crate::spec::axis::Binding;
use crate::stage::Stage;

/// Plans a spec over the given kinds of stages. Errors: all problems at once.
pub fn build(spec: Spec, kinds: &[&'static dyn Stage]) -> Result<Plan, SpecError> {
    let mut problems = Problems::new(spec.findings.clone());
    let (links, sorted) = links(&spec, kinds, &mut problems);
    let mut builder = PlanBuilder {
        spec: &spec,
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
        builder.stage(declared, &links[declared]);
    }
    builder.unused_keys();
    publish_folders::check(&spec, &builder.stages, &mut builder.problems);
    let PlanBuilder { problems, stages, nodes, items, feed_starts, .. } = builder;
    let problems = problems.all();
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(SpecError::new(spec.sources, problems));
    }
    Ok(Plan { spec: Spec { findings: problems, ..spec }, stages, nodes, items, feed_starts })
}

/// A plan under construction.
struct PlanBuilder<'a> {
    spec: &'a Spec,
    problems: Problems,
    /// Planned index of each declared stage, once it is planned.
    planned: Vec<Option<usize>>,
    used_keys: UsedKeys,
    /// True if a stage could not be planned, so that unused keys cannot be told.
    incomplete: bool,
    stages: Vec<PlannedStage>,
    nodes: Vec<Node>,
    items: Vec<NodeId>,
    feed_starts: Vec<u32>,
}

impl PlanBuilder<'_> {
    fn stage(&mut self, declared: usize, link: &Link) {
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
        let shared = |axis: usize| {
            link.feeds.iter().any(|feed| {
                spec.stages[feed.stage].over.iter().any(|over| over.get_ref() == spec.axes[axis].name.get_ref())
            })
        };
        let binder = Binder::new(spec, stage, kind, &link.over, shared, &mut self.problems);
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
        let before = self.problems.len();
        let (param_sets, params) = self.param_sets(&binder, &points);
        let feeds: Option<Vec<_>> = link.feeds.iter().map(|feed| self.feed(feed, &points)).collect();
        let (Some(feeds), true) = (feeds, self.problems.len() == before) else {
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

    /// The distinct params of a stage, and for each point the index of its own.
    fn param_sets(&mut self, binder: &Binder<'_>, points: &Points) -> (Vec<ParamSet>, Vec<u32>) {
        let mut sets = Vec::new();
        // By the code of a point, set to the first value on each axis that binds nothing.
        let mut known: HashMap<u32, Option<u32>> = HashMap::new();
        let mut params = Vec::with_capacity(points.len());
        let binds = |position: &usize| binder.axes.contains(&points.axes()[*position]);
        let free: Vec<usize> = (0..points.axes().len()).filter(|position| !binds(position)).collect();
        for code in points.codes() {
            let problems = &mut self.problems;
            let set = *known.entry(points.without(code, &free)).or_insert_with(|| {
                let value = |axis| points.value(code, points.position(axis).expect("a stage binds its own axes"));
                let set = binder.params(value, problems)?;
                sets.push(set);
                u32::try_from(sets.len() - 1).ok()
            });
            params.push(set.unwrap_or(0));
        }
        (sets, params)
    }

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
        let own = upstream.points.axes().iter().enumerate();
        let gathered: Vec<_> =
            own.filter(|(_, axis)| points.position(**axis).is_none()).map(|(position, _)| position).collect();
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

    /// Axes along which siblings share their closest input: of the feeds that lack an axis, the one that shares the
    /// most axes with the stage. So scores of one fold run together for all thresholds. Scores of all folds do not,
    /// though they share the masks.
    fn batch_axes(&self, points: &Points, feeds: &[Feed]) -> Vec<usize> {
        let lacking = |feed: &Feed| -> Vec<usize> {
            let upstream = &self.stages[feed.stage].points;
            let own = points.axes().iter().enumerate();
            own.filter(|(_, axis)| upstream.position(**axis).is_none()).map(|(position, _)| position).collect()
        };
        let closest = feeds.iter().map(lacking).filter(|axes| !axes.is_empty()).min_by_key(Vec::len);
        closest.unwrap_or_default()
    }

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
                let is_alone = || stage.feeds.iter().filter(|other| other.port == *port).count() == 1;
                if self.items.len() == before && is_alone() {
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

    /// Reports keys of axis tables that are no param of any stage: slips of the pen.
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

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// Finds the nodes of an upstream stage that agree with a point on the shared axes.
struct Gather<'a> {
    upstream: &'a PlannedStage,
    /// For each shared axis: its weight in a code of the upstream stage, and its position among our axes.
    shared: Vec<(u32, usize)>,
    /// The offset in a code for each combination of gathered values, in gather order.
    offsets: Vec<u32>,
}

impl<'a> Gather<'a> {
    fn new(points: &Points, upstream: &'a PlannedStage, gathered: &[usize]) -> Self {
        let own = &upstream.points;
        let axes = own.axes().iter().enumerate();
        let shared = axes.filter_map(|(theirs, axis)| Some((own.weight(theirs), points.position(*axis)?))).collect();
        let mut offsets = vec![0];
        for position in gathered {
            let steps =
                |offset: u32| (0..own.radix(*position)).map(move |digit| offset + digit * own.weight(*position));
            offsets = offsets.into_iter().flat_map(steps).collect();
        }
        Self { upstream, shared, offsets }
    }

    /// Appends the nodes in gather order.
    fn push(&self, points: &Points, code: u32, items: &mut Vec<NodeId>) {
        let digit = |ours: usize| u32::try_from(points.value(code, ours)).expect("a digit");
        let joined: u32 = self.shared.iter().map(|(weight, ours)| weight * digit(*ours)).sum();
        let node = |rank: usize| NodeId::from_index(self.upstream.first_node.index() + rank);
        items.extend(self.offsets.iter().filter_map(|offset| self.upstream.points.rank(joined + offset)).map(node));
    }
}

/// The output that a port reads: the one named in the spec, else the first that the port asks for. If the spec declares
/// the outputs of the kind, it may also be the only one.
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
