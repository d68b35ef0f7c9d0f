//! Boxes and arrows of a plan, before they have a place or a format.

use std::collections::HashMap;

use orchestrate_engine::node::NodeId;
use orchestrate_engine::plan::{Feed, Plan};
use orchestrate_engine::run::Selection;
use orchestrate_engine::survey::Survey;

use super::stored::{Look, Stored};
use crate::terminal;

/// Everything that is drawn. All texts are in one line, without characters that nobody sees.
pub(crate) struct Drawing {
    /// The experiment.
    pub(super) title: String,
    pub(super) boxes: Vec<Drawn>,
    pub(super) arrows: Vec<Arrow>,
    /// A sentence below the drawing.
    pub(super) note: Option<String>,
    /// True if boxes are nodes.
    pub(super) by_node: bool,
}

/// A stage or a node.
pub(super) struct Drawn {
    pub(super) name: String,
    /// The kind and axes of a stage, or the point of a node.
    pub(super) about: Vec<String>,
    /// The number of nodes, and how many the store has.
    pub(super) count: String,
    pub(super) stored: Option<Stored>,
    pub(super) kind: &'static str,
}

/// The inputs that one box gives to another.
pub(super) struct Arrow {
    /// Places in `boxes`.
    pub(super) from: usize,
    pub(super) to: usize,
    /// The ports; with the output if it has another name.
    pub(super) ports: Vec<String>,
    /// Axes whose points are gathered.
    pub(super) gathered: Vec<String>,
}

impl Drawn {
    pub(super) fn look(&self) -> Look {
        Look::of(self.stored)
    }
}

impl Arrow {
    /// Returns the label: ports, and the axes that are gathered.
    pub(super) fn label(&self) -> Vec<String> {
        let mut lines = vec![self.ports.join(", ")];
        if !self.gathered.is_empty() {
            lines.push(format!("all of {}", self.gathered.join(", ")));
        }
        lines
    }
}

impl Drawing {
    /// Draws the selected nodes of a plan, each or by stage.
    pub(crate) fn new(
        plan: &Plan,
        selection: &Selection,
        by_node: bool,
        survey: Option<&Survey>,
        note: Option<String>,
    ) -> Self {
        let (boxes, arrows) = if by_node { nodes(plan, selection, survey) } else { stages(plan, selection, survey) };
        let title = terminal::visible_line(&plan.spec.name);
        Self { title, boxes, arrows, note: note.map(|note| terminal::visible_line(&note)), by_node }
    }

    /// Returns the looks that occur, in order.
    pub(super) fn looks(&self) -> Vec<Look> {
        Look::ALL.into_iter().filter(|look| self.boxes.iter().any(|drawn| drawn.look() == *look)).collect()
    }

    /// Returns whether an axis is gathered anywhere.
    pub(super) fn gathers(&self) -> bool {
        self.arrows.iter().any(|arrow| !arrow.gathered.is_empty())
    }
}

fn stages(plan: &Plan, selection: &Selection, survey: Option<&Survey>) -> (Vec<Drawn>, Vec<Arrow>) {
    let (mut boxes, mut arrows, mut places) = (Vec::new(), Arrows::default(), HashMap::new());
    for (index, stage) in plan.stages.iter().enumerate() {
        let nodes: Vec<NodeId> = plan.stage_nodes(index).filter(|id| selection.contains(*id)).collect();
        if nodes.is_empty() {
            continue;
        }
        let axes: Vec<_> = plan.axes(stage).map(|axis| terminal::visible_line(axis.name.get_ref())).collect();
        let kind = stage.kind.facts().kind;
        let mut about = Vec::new();
        if kind != stage.name {
            about.push(kind.to_owned());
        }
        if !axes.is_empty() {
            about.push(format!("over {}", axes.join(", ")));
        }
        let stored = survey.map(|survey| Stored::count(nodes.iter().map(|id| &survey.answers[id.index()])));
        let told = stored.map(|stored| format!(": {}", stored.told())).unwrap_or_default();
        let count = format!("{}{told}", terminal::count(nodes.len(), "node"));
        places.insert(index, boxes.len());
        boxes.push(Drawn { name: terminal::visible_line(&stage.name), about, count, stored, kind });
        for feed in &stage.feeds {
            let gathered = gathered(plan, feed);
            arrows.add(places[&feed.stage], places[&index], port(feed), gathered);
        }
    }
    (boxes, arrows.list)
}

fn nodes(plan: &Plan, selection: &Selection, survey: Option<&Survey>) -> (Vec<Drawn>, Vec<Arrow>) {
    let (mut boxes, mut arrows, mut places) = (Vec::new(), Arrows::default(), HashMap::new());
    for id in selection.nodes() {
        let stage = plan.stage(*id);
        let stored = survey.map(|survey| Stored::count(std::iter::once(&survey.answers[id.index()])));
        let count = stored.map(|stored| stored.told().trim_start_matches("1 ").to_owned()).unwrap_or_default();
        let point = plan.point(*id).into_iter();
        let about = point.map(|(axis, label)| terminal::visible_line(&format!("{axis}={label}"))).collect();
        places.insert(*id, boxes.len());
        let name = terminal::visible_line(&stage.name);
        boxes.push(Drawn { name, about, count, stored, kind: stage.kind.facts().kind });
        for (index, feed) in stage.feeds.iter().enumerate() {
            let gathered = gathered(plan, feed);
            for input in plan.feed_items(*id, index) {
                arrows.add(places[input], places[id], port(feed), gathered.clone());
            }
        }
    }
    (boxes, arrows.list)
}

/// The names of the axes that a feed gathers.
fn gathered(plan: &Plan, feed: &Feed) -> Vec<String> {
    let upstream = &plan.stages[feed.stage];
    let axes: Vec<&str> = plan.axes(upstream).map(|axis| axis.name.get_ref().as_str()).collect();
    feed.gathered.iter().map(|position| terminal::visible_line(axes[*position])).collect()
}

fn port(feed: &Feed) -> String {
    let (port, output) = (terminal::visible_line(&feed.port), terminal::visible_line(&feed.output));
    if port == output { port } else { format!("{port} ({output})") }
}

/// Arrows, one between two boxes.
#[derive(Default)]
struct Arrows {
    list: Vec<Arrow>,
    places: HashMap<(usize, usize), usize>,
}

impl Arrows {
    fn add(&mut self, from: usize, to: usize, port: String, gathered: Vec<String>) {
        let place = *self.places.entry((from, to)).or_insert(self.list.len());
        if place == self.list.len() {
            self.list.push(Arrow { from, to, ports: Vec::new(), gathered: Vec::new() });
        }
        let arrow = &mut self.list[place];
        if !arrow.ports.contains(&port) {
            arrow.ports.push(port);
        }
        let new = gathered.into_iter().filter(|axis| !arrow.gathered.contains(axis)).collect::<Vec<_>>();
        arrow.gathered.extend(new);
    }
}
