//! A drawing for Graphviz.

use std::fmt::Write;

use super::drawing::Drawing;

/// Writes the drawing.
pub(super) fn dot(drawing: &Drawing) -> String {
    let mut text = format!("digraph {} {{\n", quoted(&[&drawing.title]));
    text += "  bgcolor=white; rankdir=TB; ranksep=0.6;\n";
    text += "  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=11, penwidth=1.6];\n";
    text += "  edge [fontname=\"Helvetica\", fontsize=9, color=\"#57606a\", fontcolor=\"#57606a\"];\n";
    for (index, drawn) in drawing.boxes.iter().enumerate() {
        let style = drawn.look().style();
        let lines: Vec<&str> = [&drawn.name]
            .into_iter()
            .chain(&drawn.about)
            .chain([&drawn.count])
            .map(String::as_str)
            .filter(|line| !line.is_empty())
            .collect();
        let _ = writeln!(
            text,
            "  n{index} [label={}, fillcolor=\"{}\", color=\"{}\", style=\"rounded,filled,{}\"];",
            quoted(&lines),
            style.fill,
            style.line,
            style.dot
        );
    }
    for arrow in &drawing.arrows {
        let label = arrow.label();
        let label = quoted(&label.iter().map(String::as_str).collect::<Vec<_>>());
        let width = if arrow.gathered.is_empty() { "" } else { ", penwidth=3" };
        let _ = writeln!(text, "  n{} -> n{} [label={label}{width}];", arrow.from, arrow.to);
    }
    let legend = drawing.looks().into_iter().map(|look| {
        let style = look.style();
        let (fill, line) = (style.fill, style.line);
        format!(
            "  \"legend {}\" [label={}, fillcolor=\"{fill}\", color=\"{line}\", style=\"filled,{}\", fontsize=9];\n",
            style.class,
            quoted(&[style.word]),
            style.dot
        )
    });
    text += &legend.collect::<String>();
    let gathers = drawing.gathers().then_some("thick arrows: all points of an axis");
    let lines: Vec<&str> = gathers.into_iter().chain(drawing.note.as_deref()).collect();
    if !lines.is_empty() {
        let _ = writeln!(text, "  label={}; fontname=\"Helvetica\"; fontsize=10;", quoted(&lines));
    }
    text + "}\n"
}

/// Writes lines as a quoted string.
fn quoted(lines: &[&str]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| line.replace('\\', "\\\\").replace('"', "\\\"")).collect();
    format!("\"{}\"", lines.join("\\n"))
}
