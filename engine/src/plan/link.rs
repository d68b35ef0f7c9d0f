//! Resolves names in stages: kinds, axes and inputs; then hands axes down from inputs to stages that inherit them.
//! Thousands of wrong names cost linear time.

use std::collections::HashSet;

use serde_spanned::Spanned;

use super::order::order;
use crate::diagnostic::{Diagnostic, Names};
use crate::spec::{Spec, StageSpec};
use crate::stage::{AddedAxes, Port, Stage};

/// Links all stages, in the order of declaration. Also returns an order in which each stage follows those that feed it.
pub(super) fn links(
    spec: &Spec,
    kinds: &[&'static dyn Stage],
    problems: &mut Vec<Diagnostic>,
) -> (Vec<Link>, Vec<usize>) {
    let declared = DeclaredNames::new(spec);
    let mut links: Vec<_> = spec.stages.iter().map(|stage| link(&declared, stage, kinds, problems)).collect();
    let sorted = sort(spec, &mut links, problems);
    sorted.iter().for_each(|stage| inherit(spec, *stage, &mut links));
    (links, sorted)
}

/// Adds the axes that a stage has from its inputs, which have theirs: all, if its kind inherits, else those that the
/// run adds.
fn inherit(spec: &Spec, stage: usize, links: &mut [Link]) {
    let link = &links[stage];
    let Some(facts) = link.kind.map(Stage::facts) else { return };
    let inputs = || link.feeds.iter().map(|feed| &links[feed.stage]);
    let inherits = facts.inherits_axes();
    let is_added = |axis: &&usize| spec.axes[**axis].param.is_some();
    let (mut over, mut listed) = (link.over.clone(), Vec::new());
    match facts.added_axes {
        _ if inherits => over.extend(inputs().flat_map(|input| &input.over)),
        AddedAxes::Over => over.extend(inputs().flat_map(|input| &input.over).filter(is_added)),
        AddedAxes::Listed(_) => listed.extend(inputs().flat_map(|input| &input.over).filter(is_added)),
        AddedAxes::Gathered => {}
    }
    for axes in [&mut over, &mut listed] {
        axes.sort_unstable();
        axes.dedup();
    }
    listed.retain(|axis| !over.contains(axis));
    let axes_known = link.axes_known && inputs().all(|input| input.axes_known || !inherits);
    let link = &mut links[stage];
    link.whole &= axes_known || !inherits;
    (link.over, link.listed, link.axes_known) = (over, listed, axes_known && (link.whole || !inherits));
}

/// The names to which stages refer.
struct DeclaredNames<'a> {
    axes: Names<'a>,
    stages: Names<'a>,
    /// Axes and stages that could not be read: a reference to one of them is no second error.
    broken: HashSet<&'a str>,
}

impl<'a> DeclaredNames<'a> {
    fn new(spec: &'a Spec) -> Self {
        Self {
            axes: Names::new("declared axes", spec.axes.iter().map(|axis| axis.name.get_ref().as_str())),
            stages: Names::new("declared stages", spec.stages.iter().map(|stage| stage.name.get_ref().as_str())),
            broken: spec.broken.iter().map(String::as_str).collect(),
        }
    }
}

/// The most rounds of looking for cycles; after the last one all stages lose their inputs.
const CYCLE_ROUNDS: usize = 20;

/// Orders the stages. Stages of a cycle are reported, lose their inputs, and are not planned.
fn sort(spec: &Spec, links: &mut [Link], problems: &mut Vec<Diagnostic>) -> Vec<usize> {
    let mut rounds = 0;
    loop {
        let edges = links.iter().enumerate().flat_map(|(to, link)| link.feeds.iter().map(move |feed| (feed.stage, to)));
        let cycles = match order(links.len(), &edges.collect::<Vec<_>>()) {
            Ok(sorted) => return sorted,
            Err(cycles) => cycles,
        };
        rounds += 1;
        for cycle in cycles {
            problems.push(cycle_problem(spec, &cycle));
            for stage in cycle {
                links[stage].lose_inputs();
            }
        }
        if rounds == CYCLE_ROUNDS {
            links.iter_mut().for_each(Link::lose_inputs);
        }
    }
}

/// A stage with its names resolved.
pub(super) struct Link {
    pub(super) kind: Option<&'static dyn Stage>,
    /// True if all its axes and inputs are known. Otherwise it is not planned, as further errors might be wrong.
    pub(super) whole: bool,
    /// Indices into the spec's axes, ascending: those listed and those inherited.
    pub(super) over: Vec<usize>,
    /// Indices of gathered axes that a param lists, as the run adds them; see [`AddedAxes::Listed`].
    pub(super) listed: Vec<usize>,
    /// True if `over` has all its axes.
    pub(super) axes_known: bool,
    pub(super) feeds: Vec<LinkFeed>,
}

impl Link {
    fn lose_inputs(&mut self) {
        (self.whole, self.axes_known, self.feeds) = (false, false, Vec::new());
    }
}

/// One stage that feeds one port, with its name resolved.
pub(super) struct LinkFeed {
    pub(super) port: Option<&'static Port>,
    pub(super) name: String,
    pub(super) stage: usize,
    /// The output, if the spec names it: `inputs = { masks = "images.masks" }`.
    pub(super) output: Option<String>,
    /// The text in the spec: `STAGE` or `STAGE.OUTPUT`.
    pub(super) written: Spanned<String>,
    /// True if several stages feed the port.
    pub(super) several: bool,
}

fn link(
    declared: &DeclaredNames<'_>,
    stage: &StageSpec,
    kinds: &[&'static dyn Stage],
    problems: &mut Vec<Diagnostic>,
) -> Link {
    let (stage_name, kind_name) = (stage.name.get_ref(), stage.kind.get_ref());
    let kind = kinds.iter().copied().find(|kind| kind.facts().kind == kind_name);
    if kind.is_none() {
        let names: Vec<_> = kinds.iter().map(|kind| kind.facts().kind).collect();
        let problem = Diagnostic::error(format!("unknown stage kind `{kind_name}`")).at(stage.kind.span());
        problems.push(problem.names("kinds", kind_name, names));
    }
    let mut whole = true;
    let mut over = Vec::new();
    for written in &stage.over {
        let axis = written.get_ref();
        match declared.axes.position(axis) {
            Some(index) => over.push(index),
            None if declared.broken.contains(axis.as_str()) => whole = false,
            None => {
                whole = false;
                let message = format!("stage `{stage_name}` varies over `{axis}`, which is not declared");
                problems.push(declared.axes.unknown(Diagnostic::error(message).at(written.span()), axis));
            }
        }
    }
    over.sort_unstable();
    // An unknown kind may inherit.
    let axes_known = whole && kind.is_some();
    let mut feeds = Vec::new();
    let facts = kind.map(|kind| kind.facts());
    for (name, port_spec) in &stage.inputs {
        let port = facts.and_then(|facts| facts.ports.iter().find(|port| port.name == name));
        if let Some(facts) = facts.filter(|facts| port.is_none() && !facts.takes_any_port) {
            let names: Vec<_> = facts.ports.iter().map(|port| port.name).collect();
            let message = format!("kind {kind_name} has no input `{name}`");
            problems.push(Diagnostic::error(message).at(port_spec.span.clone()).names("its inputs", name, names));
        }
        for written in &port_spec.stages {
            let Some((feeding, output)) = find_output(declared, stage, written, problems) else {
                whole = false;
                continue;
            };
            let (written, several) = (written.clone(), port_spec.stages.len() > 1);
            feeds.push(LinkFeed { port, name: name.clone(), stage: feeding, output, written, several });
        }
    }
    if let Some(facts) = facts {
        let missing = facts.ports.iter().filter(|port| !port.optional && !stage.inputs.contains_key(port.name));
        let before = problems.len();
        for Port { name, reads, .. } in missing {
            whole = false;
            let message = format!("stage `{stage_name}` lacks the input `{name}`");
            let help = format!("add `inputs = {{ {name} = \"STAGE\" }}`, where STAGE gives {}", or(reads));
            problems.push(Diagnostic::error(message).at(stage.name.span()).help(help));
        }
        let connected: Vec<&str> = stage.inputs.keys().map(String::as_str).collect();
        if let (true, Err(message)) = (problems.len() == before, (facts.check_ports)(&connected)) {
            let message = format!("stage `{stage_name}`: {message}");
            problems.push(Diagnostic::error(message).at(stage.name.span()));
        }
        // The kind decides the order of ports, so that reordering `inputs` in the spec changes no key.
        let rank = |feed: &LinkFeed| facts.ports.iter().position(|port| port.name == feed.name).unwrap_or(usize::MAX);
        feeds.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name)));
    }
    Link { kind, whole, over, listed: Vec::new(), axes_known, feeds }
}

pub(super) fn or(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}

/// Resolves `STAGE` or `STAGE.OUTPUT` to the index of a declared stage and the output.
fn find_output(
    declared: &DeclaredNames<'_>,
    stage: &StageSpec,
    written: &Spanned<String>,
    problems: &mut Vec<Diagnostic>,
) -> Option<(usize, Option<String>)> {
    let text = written.get_ref();
    let (name, output) = text.split_once('.').map_or((text.as_str(), None), |(name, output)| (name, Some(output)));
    let found = declared.stages.position(name);
    if found.is_none() && !declared.broken.contains(name) {
        let message = format!("stage `{}` reads `{name}`, which is not declared", stage.name.get_ref());
        problems.push(declared.stages.unknown(Diagnostic::error(message).at(written.span()), name));
    }
    Some((found?, output.map(str::to_owned)))
}

fn cycle_problem(spec: &Spec, cycle: &[usize]) -> Diagnostic {
    let names: Vec<_> = cycle.iter().map(|stage| spec.stages[*stage].name.get_ref().as_str()).collect();
    let reader = &spec.stages[cycle[1]];
    let back = reader
        .inputs
        .values()
        .flat_map(|port| &port.stages)
        .find(|written| written.get_ref().split('.').next() == Some(names[0]));
    let span = back.map_or(reader.name.span(), Spanned::span);
    Diagnostic::error(format!("stages feed each other in a circle: {}", names.join(" → ")))
        .at(span)
        .help("remove one of these inputs")
}
