//! spec → plan: joins stages on the axes they share, gathers those that the consumer lacks, and checks all that the kinds
//! of stages can tell.

use std::collections::HashMap;

use serde_spanned::Spanned;

use super::bind::{self, Binder, UsedKeys, push_once};
use super::order::order;
use super::{Feed, Node, ParamSet, Plan, PlannedStage, Points, targets};
use crate::diagnostic::{Diagnostic, Severity, SpecError};
use crate::node::NodeId;
use crate::spec::axis::Binding;
use crate::spec::{Spec, StageSpec};
use crate::stage::{Port, Stage};

/// Makes the plan of a spec from the kinds of stages that exist; all problems at once.
pub fn build(spec: Spec, kinds: &[&'static dyn Stage]) -> Result<Plan, SpecError> {
    let mut problems = spec.findings.clone();
    let mut links: Vec<_> = spec.stages.iter().map(|stage| link(&spec, stage, kinds, &mut problems)).collect();
    let sorted = sort(&spec, &mut links, &mut problems);
    let mut builder = Builder { planned: vec![None; links.len()], ..Builder::new(&spec, problems) };
    for declared in sorted {
        builder.stage(declared, &links[declared]);
    }
    builder.unused_keys();
    targets::check(&spec, &builder.stages, &mut builder.problems);
    let Builder { problems, stages, nodes, items, feed_starts, .. } = builder;
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(SpecError::new(spec.sources, problems));
    }
    // Only warnings are left.
    let spec = Spec { findings: problems, ..spec };
    Ok(Plan { spec, stages, nodes, items, feed_starts })
}

/// Orders the stages; those of a cycle are reported, lose their inputs, and are not planned.
fn sort(spec: &Spec, links: &mut [Link], problems: &mut Vec<Diagnostic>) -> Vec<usize> {
    loop {
        let edges = links.iter().enumerate().flat_map(|(to, link)| link.feeds.iter().map(move |feed| (feed.stage, to)));
        match order(links.len(), &edges.collect::<Vec<_>>()) {
            Ok(sorted) => return sorted,
            Err(cycle) => {
                problems.push(cycle_problem(spec, &cycle));
                for stage in cycle {
                    links[stage].feeds.clear();
                    links[stage].whole = false;
                }
            }
        }
    }
}

/// A stage with its names resolved.
struct Link {
    kind: Option<&'static dyn Stage>,
    /// Whether all its axes and inputs are known. One that is not is not planned: what else would be said of it may be wrong.
    whole: bool,
    /// Indices into the spec's axes.
    over: Vec<usize>,
    feeds: Vec<LinkFeed>,
}

struct LinkFeed {
    port: Option<&'static Port>,
    name: String,
    stage: usize,
    /// The output, where the spec names it: `inputs = { masks = "images.masks" }`.
    output: Option<String>,
    source: Spanned<String>,
    several: bool,
}

fn link(spec: &Spec, stage: &StageSpec, kinds: &[&'static dyn Stage], problems: &mut Vec<Diagnostic>) -> Link {
    let kind = kinds.iter().copied().find(|kind| kind.kind() == stage.kind.get_ref());
    if kind.is_none() {
        let names: Vec<_> = kinds.iter().map(|kind| kind.kind()).collect();
        problems.push(
            Diagnostic::error(format!("unknown stage kind `{}`", stage.kind.get_ref())).at(stage.kind.span()).names(
                "kinds",
                stage.kind.get_ref(),
                names,
            ),
        );
    }
    let mut whole = true;
    let mut over = Vec::new();
    for written in &stage.over {
        match spec.axes.iter().position(|axis| axis.name.get_ref() == written.get_ref()) {
            Some(axis) => over.push(axis),
            None if spec.broken.contains(written.get_ref()) => whole = false,
            None => {
                whole = false;
                let names: Vec<_> = spec.axes.iter().map(|axis| axis.name.get_ref().as_str()).collect();
                let message = format!(
                    "stage `{}` varies over `{}`, which is not declared",
                    stage.name.get_ref(),
                    written.get_ref()
                );
                problems.push(Diagnostic::error(message).at(written.span()).names(
                    "declared axes",
                    written.get_ref(),
                    names,
                ));
            }
        }
    }
    over.sort_unstable();
    let mut feeds = Vec::new();
    for (name, port_spec) in &stage.inputs {
        let port = kind.and_then(|kind| kind.ports().iter().find(|port| port.name == name));
        if let Some(kind) = kind.filter(|kind| port.is_none() && !kind.takes_any_port()) {
            let names: Vec<_> = kind.ports().iter().map(|port| port.name).collect();
            let message = format!("kind {} has no input `{name}`", kind.kind());
            problems.push(Diagnostic::error(message).at(port_spec.span.clone()).names("its inputs", name, names));
        }
        for source in &port_spec.sources {
            let Some((feeding, output)) = find_source(spec, stage, source, problems) else {
                whole = false;
                continue;
            };
            let several = port_spec.sources.len() > 1;
            let source = source.clone();
            feeds.push(LinkFeed { port, name: name.clone(), stage: feeding, output, source, several });
        }
    }
    if let Some(kind) = kind {
        let missing = kind.ports().iter().filter(|port| !port.optional && !stage.inputs.contains_key(port.name));
        let before = problems.len();
        for port in missing {
            whole = false;
            problems.push(
                Diagnostic::error(format!("stage `{}` lacks the input `{}`", stage.name.get_ref(), port.name))
                    .at(stage.name.span())
                    .help(format!(
                        "add `inputs = {{ {} = \"STAGE\" }}`, where STAGE gives {}",
                        port.name,
                        or(port.reads)
                    )),
            );
        }
        let connected: Vec<&str> = stage.inputs.keys().map(String::as_str).collect();
        if let (true, Err(message)) = (problems.len() == before, kind.check_ports(&connected)) {
            let message = format!("stage `{}`: {message}", stage.name.get_ref());
            problems.push(Diagnostic::error(message).at(stage.name.span()));
        }
        // The order of ports is the stage's, not the spec's, so that reordered keys change no key.
        let rank = |feed: &LinkFeed| kind.ports().iter().position(|port| port.name == feed.name).unwrap_or(usize::MAX);
        feeds.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name)));
    }
    Link { kind, whole, over, feeds }
}

fn or(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}

/// Resolves `STAGE` or `STAGE.OUTPUT`.
fn find_source(
    spec: &Spec,
    stage: &StageSpec,
    source: &Spanned<String>,
    problems: &mut Vec<Diagnostic>,
) -> Option<(usize, Option<String>)> {
    let written = source.get_ref();
    let (name, output) =
        written.split_once('.').map_or((written.as_str(), None), |(name, output)| (name, Some(output)));
    let found = spec.stages.iter().position(|other| other.name.get_ref() == name);
    if found.is_none() && !spec.broken.iter().any(|broken| broken == name) {
        let names: Vec<_> = spec.stages.iter().map(|other| other.name.get_ref().as_str()).collect();
        let message = format!("stage `{}` reads `{name}`, which is not declared", stage.name.get_ref());
        problems.push(Diagnostic::error(message).at(source.span()).names("declared stages", name, names));
    }
    Some((found?, output.map(str::to_owned)))
}

fn cycle_problem(spec: &Spec, cycle: &[usize]) -> Diagnostic {
    let names: Vec<_> = cycle.iter().map(|stage| spec.stages[*stage].name.get_ref().as_str()).collect();
    let reader = &spec.stages[cycle[1]];
    let back = reader
        .inputs
        .values()
        .flat_map(|port| &port.sources)
        .find(|source| source.get_ref().split('.').next() == Some(names[0]));
    let span = back.map_or(reader.name.span(), Spanned::span);
    Diagnostic::error(format!("stages feed each other in a circle: {}", names.join(" → ")))
        .at(span)
        .help("remove one of these inputs")
}

struct Builder<'a> {
    spec: &'a Spec,
    problems: Vec<Diagnostic>,
    /// Planned index of each declared stage, once it is planned.
    planned: Vec<Option<usize>>,
    used_keys: UsedKeys,
    /// Whether a stage could not be planned, so that what hangs on it cannot be checked.
    incomplete: bool,
    stages: Vec<PlannedStage>,
    nodes: Vec<Node>,
    items: Vec<NodeId>,
    feed_starts: Vec<u32>,
}

impl<'a> Builder<'a> {
    fn new(spec: &'a Spec, problems: Vec<Diagnostic>) -> Self {
        Self {
            spec,
            problems,
            planned: Vec::new(),
            used_keys: UsedKeys::new(),
            incomplete: false,
            stages: Vec::new(),
            nodes: Vec::new(),
            items: Vec::new(),
            feed_starts: vec![0],
        }
    }

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
        let points = match Points::new(spec, link.over.clone()) {
            Ok(points) => points,
            Err(total) => {
                let message = format!("stage `{}` would have {total} nodes", stage.name.get_ref());
                self.problems.push(Diagnostic::error(message).at(stage.name.span()).help("vary it over fewer axes"));
                self.incomplete = true;
                return;
            }
        };
        let before = self.problems.len();
        let (param_sets, params) = self.param_sets(&binder, &points);
        let feeds: Option<Vec<_>> = link.feeds.iter().map(|feed| self.feed(feed, &points)).collect();
        let (Some(feeds), true) = (feeds, self.problems.len() == before) else {
            self.incomplete = true;
            return;
        };
        let batch_axes = if kind.batches() { self.batch_axes(&points, &feeds) } else { Vec::new() };
        let first_node = NodeId::from_index(self.nodes.len());
        self.planned[declared] = Some(self.stages.len());
        let name = stage.name.get_ref().clone();
        self.stages.push(PlannedStage { name, declared, kind, points, first_node, feeds, param_sets, batch_axes });
        self.nodes(link, &params);
    }

    /// The distinct params of a stage, and which of them each point has.
    fn param_sets(&mut self, binder: &Binder<'_>, points: &Points) -> (Vec<ParamSet>, Vec<u32>) {
        let mut sets = Vec::new();
        // By the code of a point with the first value on each axis that binds nothing.
        let mut known: HashMap<u32, Option<u32>> = HashMap::new();
        let mut params = Vec::with_capacity(points.len());
        let binds = |position: &usize| binder.axes.contains(&points.axes()[*position]);
        let free: Vec<usize> = (0..points.axes().len()).filter(|position| !binds(position)).collect();
        for code in points.codes() {
            let (used, problems) = (&mut self.used_keys, &mut self.problems);
            let set = *known.entry(points.without(code, &free)).or_insert_with(|| {
                let value = |axis| points.value(code, points.position(axis).expect("a stage binds its own axes"));
                let set = binder.params(value, used, problems)?;
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
                push_once(&mut self.problems, *diagnostic);
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
            self.problems.push(problem.at(feed.source.span()));
            return None;
        }
        Some(Feed {
            port: feed.name.clone(),
            span: feed.source.span(),
            stage: upstream_index,
            output,
            gathered,
            listed,
        })
    }

    /// Axes along which siblings share the input that is closest to them: of the feeds that lack an axis, those that share
    /// the most axes with the stage. So scores of one fold are computed together for all thresholds, but not those of all
    /// folds only because they share the masks.
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
                feed.source.get_ref(),
            );
            let help = "exclude the point for this stage too, by naming only axes that it varies over";
            push_once(&mut self.problems, Diagnostic::error(message).at(feed.source.span()).help(help));
        }
    }

    /// Keys of axis tables that no stage has as a param: slips of the pen.
    fn unused_keys(&mut self) {
        if self.incomplete {
            return;
        }
        for (index, axis) in self.spec.axes.iter().enumerate() {
            let stages: Vec<_> = self.stages.iter().filter(|stage| stage.points.position(index).is_some()).collect();
            if stages.is_empty() {
                continue;
            }
            for value in &axis.values {
                let Binding::Table(table) = &value.binding else { continue };
                for key in table.keys() {
                    if !self.used_keys.contains(&(key.span().start, key.span().end)) {
                        let fields = stages.iter().flat_map(|stage| stage.kind.fields().iter().copied());
                        let fields: Vec<_> = fields.collect();
                        let message =
                            format!("no stage over axis `{}` has a param `{}`", axis.name.get_ref(), key.get_ref());
                        self.problems.push(Diagnostic::error(message).at(key.span()).names(
                            "params",
                            key.get_ref(),
                            fields,
                        ));
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
    /// For each shared axis what a step along it adds to a code of the upstream stage, and where it stands among our axes.
    shared: Vec<(u32, usize)>,
    /// What each combination of values of the gathered axes adds to a code, in gather order.
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

/// The output that a port reads: the one that the spec names, else the first that the port asks for, else, for kinds whose
/// outputs the spec declares, the only one.
fn output(feed: &LinkFeed, upstream: &PlannedStage) -> Result<String, Box<Diagnostic>> {
    let outputs = upstream.param_sets.first().map(|set| set.outputs.clone()).unwrap_or_default();
    let names = || outputs.iter().map(String::as_str).collect::<Vec<_>>();
    if let Some(output) = &feed.output {
        if outputs.contains(output) {
            return Ok(output.clone());
        }
        let message = format!("stage `{}` (kind {}) has no output `{output}`", upstream.name, upstream.kind.kind());
        return Err(Box::new(Diagnostic::error(message).at(feed.source.span()).names("its outputs", output, names())));
    }
    let wanted: &[&str] = feed.port.map_or(&[], |port| port.reads);
    let by_name =
        wanted.iter().copied().chain([feed.name.as_str()]).find(|name| outputs.iter().any(|output| output == name));
    let free = upstream.kind.takes_any_port() || feed.port.is_none();
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
                    upstream.kind.kind()
                ),
            };
            Err(Box::new(
                Diagnostic::error(message)
                    .at(feed.source.span())
                    .note(format!("its outputs: {}", names().join(", ")))
                    .help(format!("name an output as \"{}.OUTPUT\", or read another stage", upstream.name)),
            ))
        }
    }
}
