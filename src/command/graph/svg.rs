//! A drawing as SVG. Colours are attributes, so that it looks the same in every program; its style sheet overrides
//! them by class in the dark.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};
use unicode_width::UnicodeWidthStr;

use super::alternative::alternative;
use super::drawing::{Drawing, Drawn};
use super::layout::{Layout, layout};
use super::stored::{Look, Stored};

const FONT: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif";
/// Height of a line of text in a box, in pixels.
const LINE: f64 = 17.0;
/// Width of a column of text in a box; wide letters are wider, but few texts have only those.
const COLUMN: f64 = 7.3;
const PADDING: f64 = 11.0;
/// Height of the bar that shows the shares of hits, misses and unknown nodes.
const BAR: f64 = 5.0;
const MARGIN: f64 = 18.0;
/// The most columns of a line; longer texts are cut, and whole in the tooltip.
const COLUMNS_MAX: usize = 44;
/// The font size of labels of arrows.
const LABEL: usize = 11;
/// The most arrows into a box that still get labels; more would hide each other, and have tooltips.
const LABELLED_MAX: usize = 4;

/// Draws the boxes and arrows as a file of its own.
pub(super) fn svg(drawing: &Drawing) -> String {
    draw(drawing, Some("http://www.w3.org/2000/svg"), &|_| None) + "\n"
}

/// Draws them for a page; `link` gives the address that a kind of stage leads to.
pub(crate) fn inline_svg(drawing: &Drawing, link: &dyn Fn(&str) -> Option<String>) -> String {
    draw(drawing, None, link)
}

fn draw(drawing: &Drawing, namespace: Option<&str>, link: &dyn Fn(&str) -> Option<String>) -> String {
    let sizes: Vec<(f64, f64)> = drawing.boxes.iter().map(size).collect();
    let arrows: Vec<(usize, usize, String)> = (0..drawing.arrows.len())
        .map(|index| (drawing.arrows[index].from, drawing.arrows[index].to, label(drawing, index)))
        .collect();
    let places = Frame::around(layout(&sizes, &arrows, LABEL), &sizes);
    let legend = legend(drawing);
    let width = places.width.max(420.0) + 2.0 * MARGIN;
    let legend_height = 22.0 * legend.len() as f64 + 6.0;
    let height = places.height + legend_height + 3.0 * MARGIN;
    let at = |text: f64| number(text);
    html! {
        svg xmlns=[namespace] viewBox=(format!("0 0 {} {}", at(width), at(height))) width=(at(width))
            height=(at(height)) style=[namespace.is_none().then_some("max-width: 100%; height: auto")] role="group"
            aria-labelledby="graph-title graph-text" font-family=(FONT) {
            title id="graph-title" { "Graph of " (drawing.title) }
            desc id="graph-text" { (alternative(drawing).join(". ")) }
            style { (PreEscaped(dark())) }
            rect class="graph-paper" width=(at(width)) height=(at(height)) fill="#ffffff" {}
            defs {
                marker id="graph-head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9"
                    markerUnits="userSpaceOnUse" orient="auto" {
                    path class="graph-head" d="M0 1 L10 5 L0 9 z" fill="#57606a" {}
                }
            }
            g transform=(format!("translate({} {})", at(MARGIN - places.left), at(MARGIN - places.top))) {
                @for (index, way) in places.layout.arrows.iter().enumerate() { (arrow(drawing, index, way)) }
                @for (index, drawn) in drawing.boxes.iter().enumerate() {
                    @match link(drawn.kind) {
                        Some(address) => a href=(address) { (shape(drawn, places.layout.boxes[index], sizes[index])) },
                        None => (shape(drawn, places.layout.boxes[index], sizes[index])),
                    }
                }
                @for (label, place) in &places.layout.labels {
                    text class="graph-label" x=(at(place.0)) y=(at(place.1)) font-size=(LABEL) text-anchor="middle"
                        dominant-baseline="middle" fill="#444c56" stroke="#ffffff" stroke-width="4"
                        paint-order="stroke" { (label) }
                }
            }
            g font-size="12" transform=(format!("translate({} {})", at(MARGIN), at(places.height + 2.0 * MARGIN))) {
                @for (row, line) in legend.iter().enumerate() {
                    g transform=(format!("translate(0 {})", 22 * row)) { (line) }
                }
            }
        }
    }
    .into_string()
}

/// The places of everything, and the rectangle around them.
struct Frame {
    layout: Layout,
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Frame {
    fn around(layout: Layout, sizes: &[(f64, f64)]) -> Self {
        let corners =
            layout.boxes.iter().zip(sizes).flat_map(|(&(x, y), (width, height))| [(x, y), (x + width, y + height)]);
        // The first control point of an arrow's part may lie outside, the part hardly.
        let ways = layout.arrows.iter().flatten().flatten().copied();
        let labels = layout.labels.iter().flat_map(|(_, (x, y))| [(x - 60.0, y - 8.0), (x + 60.0, y + 8.0)]);
        let points: Vec<(f64, f64)> = corners.chain(ways).chain(labels).collect();
        let min = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).fold(f64::INFINITY, f64::min);
        let max = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
        let (left, top) = (min(|point| point.0), min(|point| point.1));
        Self { width: max(|point| point.0) - left, height: max(|point| point.1) - top, left, top, layout }
    }
}

/// The lines of a box below its name.
fn lines(drawn: &Drawn) -> impl Iterator<Item = &String> {
    drawn.about.iter().chain([&drawn.count]).filter(|line| !line.is_empty())
}

fn size(drawn: &Drawn) -> (f64, f64) {
    let widest = [&drawn.name].into_iter().chain(lines(drawn)).map(|line| cut(line).width()).max().unwrap_or_default();
    let height =
        (1 + lines(drawn).count()) as f64 * LINE + 2.0 * PADDING + if has_bar(drawn) { BAR + 3.0 } else { 0.0 };
    ((widest as f64 * COLUMN + 2.0 * PADDING).max(84.0), height)
}

/// Returns whether a box shows shares: those of more than one node.
fn has_bar(drawn: &Drawn) -> bool {
    drawn.stored.is_some_and(|Stored { hit, miss, unknown }| hit + miss + unknown > 1)
}

/// Shortens a text to the widest that fits.
fn cut(text: &str) -> String {
    if text.width() <= COLUMNS_MAX {
        return text.to_owned();
    }
    let mut shown = String::new();
    for letter in text.chars() {
        if shown.width() + 2 > COLUMNS_MAX {
            break;
        }
        shown.push(letter);
    }
    shown + "…"
}

fn shape(drawn: &Drawn, (x, y): (f64, f64), (width, height): (f64, f64)) -> Markup {
    let style = drawn.look().style();
    let baseline = |line: usize| number(y + PADDING + LINE * (line as f64 + 0.74));
    let middle = number(x + width / 2.0);
    html! {
        g {
            title { (drawn.name) @for line in lines(drawn) { ", " (line) } }
            rect class=(format!("graph-{}", style.class)) x=(number(x)) y=(number(y)) width=(number(width))
                height=(number(height)) rx="7" fill=(style.fill) stroke=(style.line) stroke-width="1.8"
                stroke-dasharray=[dashes(style.dash)] {}
            text class="graph-ink" x=(middle) y=(baseline(0)) font-size="14" font-weight="650" text-anchor="middle"
                fill="#1b1f24" { (cut(&drawn.name)) }
            @for (line, text) in lines(drawn).enumerate() {
                text class="graph-ink" x=(middle) y=(baseline(line + 1)) font-size="12.5" text-anchor="middle"
                    fill="#1b1f24" { (cut(text)) }
            }
            @if let Some(stored) = drawn.stored.filter(|_| has_bar(drawn)) {
                (bar(stored, (x + PADDING, y + height - PADDING - BAR + 4.0), width - 2.0 * PADDING))
            }
        }
    }
}

/// Draws the shares of hits, misses and unknown nodes, in this order.
fn bar(stored: Stored, (x, y): (f64, f64), width: f64) -> Markup {
    let counts = [(stored.hit, Look::Hit), (stored.miss, Look::Miss), (stored.unknown, Look::Unknown)];
    let of_all = width / (stored.hit + stored.miss + stored.unknown) as f64;
    let mut before = 0;
    let parts = counts.map(|(count, look)| {
        before += count;
        (x + of_all * (before - count) as f64, of_all * count as f64, look.style())
    });
    html! {
        @for (start, length, style) in parts.iter().filter(|(_, length, _)| *length > 0.0) {
            rect class=(format!("graph-bar-{}", style.class)) x=(number(*start)) y=(number(y)) width=(number(*length))
                height=(number(BAR)) fill=(style.line) {}
        }
    }
}

fn arrow(drawing: &Drawing, index: usize, way: &[[(f64, f64); 2]]) -> Markup {
    let arrow = &drawing.arrows[index];
    let (from, to) = (&drawing.boxes[arrow.from].name, &drawing.boxes[arrow.to].name);
    let width = if arrow.gathered.is_empty() { "1.3" } else { "3" };
    html! {
        g {
            title { (from) " → " (to) ": " (arrow.label().join(", ")) }
            path class="graph-arrow" d=(path(way)) fill="none" stroke="#57606a" stroke-width=(width)
                marker-end="url(#graph-head)" {}
        }
    }
}

/// Returns the path of a way: a curve to the second point, then smooth ones.
fn path(way: &[[(f64, f64); 2]]) -> String {
    let point = |(x, y): (f64, f64)| format!("{} {}", number(x), number(y));
    let [first, second, rest @ ..] = way else { return String::new() };
    let mut text = format!("M{} C{} {} {}", point(first[0]), point(first[1]), point(second[0]), point(second[1]));
    for [control, end] in rest {
        let _ = write!(text, " S{} {}", point(*control), point(*end));
    }
    text
}

/// Returns the ports of an arrow, or an empty text. Its tooltip also has the axes that it gathers.
fn label(drawing: &Drawing, index: usize) -> String {
    let arrow = &drawing.arrows[index];
    let into = drawing.arrows.iter().filter(|other| other.to == arrow.to).count();
    if drawing.by_node || into > LABELLED_MAX { String::new() } else { cut(&arrow.ports.join(", ")) }
}

/// The lines of the legend.
fn legend(drawing: &Drawing) -> Vec<Markup> {
    let text = |text: &str| html! { text class="graph-ink" x="40" y="12" fill="#1b1f24" { (text) } };
    let of_look = |look: Look| {
        let style = look.style();
        html! {
            rect class=(format!("graph-{}", style.class)) width="28" height="15" rx="4" fill=(style.fill)
                stroke=(style.line) stroke-width="1.8" stroke-dasharray=[dashes(style.dash)] {}
            (text(style.word))
        }
    };
    let mut lines: Vec<Markup> = drawing.looks().into_iter().map(of_look).collect();
    if drawing.gathers() {
        lines.push(html! {
            path class="graph-arrow" d="M0 8 L28 8" stroke="#57606a" stroke-width="3" marker-end="url(#graph-head)" {}
            (text("one node gets all points of an axis"))
        });
    }
    if let Some(note) = &drawing.note {
        lines.push(text(note));
    }
    lines
}

fn dashes(dash: &str) -> Option<&str> {
    Some(dash).filter(|dash| !dash.is_empty())
}

/// The style sheet for the dark. Classes begin with `graph-`, as the page of a report holds the drawing.
fn dark() -> String {
    let mut text =
        "@media screen and (prefers-color-scheme: dark) { .graph-paper { fill: #14171b } .graph-ink { fill: \
                    #e6e9ed } .graph-arrow { stroke: #a2abb6 } .graph-head { fill: #a2abb6 } .graph-label { fill: \
                    #c3c8ce; stroke: #14171b }"
            .to_owned();
    for look in Look::ALL {
        let style = look.style();
        let _ = write!(
            text,
            " .graph-{0} {{ fill: {1}; stroke: {2} }} .graph-bar-{0} {{ fill: {2} }}",
            style.class, style.dark_fill, style.dark_line
        );
    }
    text + " }"
}

/// Formats a coordinate with at most one digit after the point.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
