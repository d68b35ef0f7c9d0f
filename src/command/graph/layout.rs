//! Places of boxes and ways of arrows, in layers, by the crate `layout-rs`.

use layout::core::base::Orientation;
use layout::core::format::{ClipHandle, RenderBackend};
use layout::core::geometry::{Point, Position};
use layout::core::style::{LineStyleKind, StyleAttr};
use layout::std_shapes::shapes::{Arrow, Element, LineEndKind, ShapeKind};
use layout::topo::layout::VisualGraph;

/// Space between boxes, and between layers, in pixels.
const SPACE: (f64, f64) = (26.0, 54.0);

/// The number of arrows from which on they may cross more often.
const ARROWS_MAX: usize = 200;

/// Height of a smooth turn of an arrow, in pixels.
const CURVE: f64 = 32.0;

/// The distance of a label's centre from its point, at most.
const LABEL_NEAR: f64 = 20.0;

/// Places in pixels, from the top left.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The top left corner of each box.
    pub(super) boxes: Vec<(f64, f64)>,
    /// The way of each arrow: a point with its control point leaves a box, the others have it before them.
    pub(super) arrows: Vec<Vec<[(f64, f64); 2]>>,
    /// Each label with its centre.
    pub(super) labels: Vec<(String, (f64, f64))>,
}

/// Places boxes of these sizes.
///
/// - `arrows`: places of two boxes, and a label or an empty text
pub(super) fn layout(boxes: &[(f64, f64)], arrows: &[(usize, usize, String)], font: usize) -> Layout {
    let look = StyleAttr { font_size: font, ..StyleAttr::simple() };
    let direction = Orientation::TopToBottom;
    let mut graph = VisualGraph::new(direction);
    let handles: Vec<_> = boxes
        .iter()
        .enumerate()
        .map(|(index, &(width, height))| {
            let (shape, size) = (ShapeKind::new_box(""), Point::new(width, height));
            let mut element = Element::create_with_properties(shape, look.clone(), direction, size, index.to_string());
            element.pos = Position::new(Point::zero(), size, Point::zero(), Point::new(SPACE.0, SPACE.1));
            graph.add_node(element)
        })
        .collect();
    for (index, (from, to, label)) in arrows.iter().enumerate() {
        let (start, end, solid) = (LineEndKind::None, LineEndKind::Arrow, LineStyleKind::Normal);
        let arrow = Arrow::with_properties(start, end, solid, label, &look, index.to_string(), &None, &None);
        graph.add_edge(arrow, handles[*from], handles[*to]);
    }
    let places =
        Layout { boxes: vec![(0.0, 0.0); boxes.len()], arrows: vec![Vec::new(); arrows.len()], labels: Vec::new() };
    let mut canvas = Canvas(places);
    // Its search for fewer crossings takes minutes with hundreds of arrows.
    graph.do_it(false, arrows.len() > ARROWS_MAX, false, &mut canvas);
    let Layout { boxes: corners, arrows: mut ways, mut labels } = canvas.0;
    for (way, (from, to, text)) in ways.iter_mut().zip(arrows) {
        let (start, end) = (corners[*from].1 + boxes[*from].1, corners[*to].1);
        descend(way, start, end, |[_, point], by| {
            let is_here = |(x, y): (f64, f64)| (point.0 - x).abs() < 1.0 && (point.1 - y).abs() < LABEL_NEAR;
            let label = labels.iter_mut().find(|(label, place)| label == text && is_here(*place));
            label.map(|(_, place)| place.1 += by).is_some()
        });
    }
    Layout { boxes: corners, arrows: ways, labels }
}

/// Lets the points of a way lie below each other. The crate moves some past the next ones, to keep clear of boxes
/// beside them, and the way would have loops.
///
/// - `moves_label`: moves the label at a point down, and returns whether there is one; other points are left out
fn descend(
    way: &mut Vec<[(f64, f64); 2]>,
    start: f64,
    end: f64,
    mut moves_label: impl FnMut(&[(f64, f64); 2], f64) -> bool,
) {
    let mut below = end;
    for at in (1..way.len().saturating_sub(1)).rev() {
        let y = way[at][1].1;
        if y <= below - CURVE && y >= start {
            below = y;
            continue;
        }
        let by = (below - CURVE).max(start + CURVE / 2.0) - y;
        if moves_label(&way[at], by) {
            way[at].iter_mut().for_each(|point| point.1 += by);
            below = y + by;
        } else {
            way.remove(at);
            continue;
        }
        // The way ended at the side of its box, seen from the old place.
        if at + 2 == way.len() {
            let x = way[at][1].0;
            way[at + 1] = [(x, end - CURVE * 0.6), (x, end)];
        }
    }
}

/// A canvas that notes places and draws nothing.
struct Canvas(Layout);

impl RenderBackend for Canvas {
    fn draw_rect(&mut self, at: Point, _: Point, _: &StyleAttr, index: Option<String>, _: Option<ClipHandle>) {
        if let Some(place) = index.and_then(|index| index.parse::<usize>().ok()) {
            self.0.boxes[place] = (at.x, at.y);
        }
    }

    fn draw_line(&mut self, _: Point, _: Point, _: &StyleAttr, _: Option<String>) {}

    fn draw_circle(&mut self, _: Point, _: Point, _: &StyleAttr, _: Option<String>) {}

    fn draw_text(&mut self, at: Point, text: &str, _: &StyleAttr) {
        if !text.is_empty() {
            self.0.labels.push((text.to_owned(), (at.x, at.y)));
        }
    }

    fn draw_arrow(
        &mut self,
        path: &[(Point, Point)],
        _: bool,
        _: (bool, bool),
        _: &StyleAttr,
        index: Option<String>,
        _: &str,
    ) {
        if let Some(place) = index.and_then(|index| index.parse::<usize>().ok()) {
            self.0.arrows[place] = path.iter().map(|(a, b)| [(a.x, a.y), (b.x, b.y)]).collect();
        }
    }

    fn create_clip(&mut self, _: Point, _: Point, _: usize) -> ClipHandle {
        0
    }
}
