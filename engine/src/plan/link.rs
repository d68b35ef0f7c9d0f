//! Resolves what stages refer to by name: their kinds, axes and inputs. Thousands of names that are wrong cost linear time.

use std::collections::HashSet;

use serde_spanned::Spanned;

use super::order::order;
use crate::diagnostic::Diagnostic;
use crate::nearest::Names;
use crate::spec::{Spec, StageSpec};
use crate::stage::{Port, Stage};

/// Links of all stages, in the order of declaration, and an order in which each stage comes after those that feed it.
pub(super) fn links(
    spec: &Spec,
    kinds: &[&'static dyn Stage],
    problems: &mut Vec<Diagnostic>,
) -> (Vec<Link>, Vec<usize>) {
    let declared = Declared::new(spec);
    let mut links: Vec<_> = spec.stages.iter().map(|stage| link(&declared, stage, kinds, problems)).collect();
    let sorted = sort(spec, &mut links, problems);
    (links, sorted)
}

/// The names that stages refer to.
struct Declared<'a> {
    axes: Names<'a>,
    stages: Names<'a>,
    /// What could not be read: a reference to it is not wrong as well.
    broken: HashSet<&'a str>,
}

impl<'a> Declared<'a> {
    fn new(spec: &'a Spec) -> Self {
        Self {
            axes: Names::new("declared axes", spec.axes.iter().map(|axis| axis.name.get_ref().as_str())),
            stages: Names::new("declared stages", spec.stages.iter().map(|stage| stage.name.get_ref().as_str())),
            broken: spec.broken.iter().map(String::as_str).collect(),
        }
    }
}

/// In how many rounds cycles are looked for; groups of stages in which there are more lose all their inputs.
const CYCLE_ROUNDS: usize = 20;

/// Orders the stages; those of a cycle are reported, lose their inputs, and are not planned.
fn sort(spec: &Spec, links: &mut [Link], problems: &mut Vec<Diagnostic>) -> Vec<usize> {
    let mut rounds = 0;
    loop {
        let edges = links.iter().enumerate().flat_map(|(to, link)| link.feeds.iter().map(move |feed| (feed.stage, to)));
        let Err(cycles) = order(links.len(), &edges.collect::<Vec<_>>()) else { break };
        rounds += 1;
        for cycle in cycles {
            problems.push(cycle_problem(spec, &cycle));
            for stage in cycle {
                links[stage].feeds.clear();
                links[stage].whole = false;
            }
        }
        if rounds == CYCLE_ROUNDS {
            links.iter_mut().for_each(|link| (link.whole, link.feeds) = (false, Vec::new()));
        }
    }
    let edges = links.iter().enumerate().flat_map(|(to, link)| link.feeds.iter().map(move |feed| (feed.stage, to)));
    order(links.len(), &edges.collect::<Vec<_>>()).unwrap_or_default()
}

/// A stage with its names resolved.
pub(super) struct Link {
    pub(super) kind: Option<&'static dyn Stage>,
    /// Whether all its axes and inputs are known. One that is not is not planned: what else would be said of it may be wrong.
    pub(super) whole: bool,
    /// Indices into the spec's axes.
    pub(super) over: Vec<usize>,
    pub(super) feeds: Vec<LinkFeed>,
}

pub(super) struct LinkFeed {
    pub(super) port: Option<&'static Port>,
    pub(super) name: String,
    pub(super) stage: usize,
    /// The output, where the spec names it: `inputs = { masks = "images.masks" }`.
    pub(super) output: Option<String>,
    pub(super) source: Spanned<String>,
    pub(super) several: bool,
}

fn link(
    declared: &Declared<'_>,
    stage: &StageSpec,
    kinds: &[&'static dyn Stage],
    problems: &mut Vec<Diagnostic>,
) -> Link {
    let kind = kinds.iter().copied().find(|kind| kind.facts().kind == stage.kind.get_ref());
    if kind.is_none() {
        let names: Vec<_> = kinds.iter().map(|kind| kind.facts().kind).collect();
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
        match declared.axes.position(written.get_ref()) {
            Some(axis) => over.push(axis),
            None if declared.broken.contains(written.get_ref().as_str()) => whole = false,
            None => {
                whole = false;
                let message = format!(
                    "stage `{}` varies over `{}`, which is not declared",
                    stage.name.get_ref(),
                    written.get_ref()
                );
                let problem = Diagnostic::error(message).at(written.span());
                problems.push(declared.axes.unknown(problem, written.get_ref()));
            }
        }
    }
    over.sort_unstable();
    let mut feeds = Vec::new();
    for (name, port_spec) in &stage.inputs {
        let port = kind.and_then(|kind| kind.facts().ports.iter().find(|port| port.name == name));
        if let Some(kind) = kind.filter(|kind| port.is_none() && !kind.facts().takes_any_port) {
            let names: Vec<_> = kind.facts().ports.iter().map(|port| port.name).collect();
            let message = format!("kind {} has no input `{name}`", kind.facts().kind);
            problems.push(Diagnostic::error(message).at(port_spec.span.clone()).names("its inputs", name, names));
        }
        for source in &port_spec.sources {
            let Some((feeding, output)) = find_source(declared, stage, source, problems) else {
                whole = false;
                continue;
            };
            let several = port_spec.sources.len() > 1;
            let source = source.clone();
            feeds.push(LinkFeed { port, name: name.clone(), stage: feeding, output, source, several });
        }
    }
    if let Some(kind) = kind {
        let missing = kind.facts().ports.iter().filter(|port| !port.optional && !stage.inputs.contains_key(port.name));
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
        if let (true, Err(message)) = (problems.len() == before, (kind.facts().check_ports)(&connected)) {
            let message = format!("stage `{}`: {message}", stage.name.get_ref());
            problems.push(Diagnostic::error(message).at(stage.name.span()));
        }
        // The order of ports is the stage's, not the spec's, so that reordered keys change no key.
        let rank =
            |feed: &LinkFeed| kind.facts().ports.iter().position(|port| port.name == feed.name).unwrap_or(usize::MAX);
        feeds.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name)));
    }
    Link { kind, whole, over, feeds }
}

pub(super) fn or(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}

/// Resolves `STAGE` or `STAGE.OUTPUT`.
fn find_source(
    declared: &Declared<'_>,
    stage: &StageSpec,
    source: &Spanned<String>,
    problems: &mut Vec<Diagnostic>,
) -> Option<(usize, Option<String>)> {
    let written = source.get_ref();
    let (name, output) =
        written.split_once('.').map_or((written.as_str(), None), |(name, output)| (name, Some(output)));
    let found = declared.stages.position(name);
    if found.is_none() && !declared.broken.contains(name) {
        let message = format!("stage `{}` reads `{name}`, which is not declared", stage.name.get_ref());
        problems.push(declared.stages.unknown(Diagnostic::error(message).at(source.span()), name));
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
