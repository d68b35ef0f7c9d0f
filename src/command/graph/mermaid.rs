//! A drawing as Mermaid, which GitHub shows in a fenced block.

use std::fmt::Write;

use super::drawing::Drawing;

/// Writes the drawing; boxes have pale fills and dark text in every theme.
pub(super) fn mermaid(drawing: &Drawing) -> String {
    let mut text = "flowchart TD\n".to_owned();
    let _ = writeln!(text, "  accTitle: {}", escaped(&drawing.title));
    for (index, drawn) in drawing.boxes.iter().enumerate() {
        let mut lines = vec![format!("<b>{}</b>", escaped(&drawn.name))];
        lines.extend(drawn.about.iter().chain([&drawn.count]).filter(|it| !it.is_empty()).map(|it| escaped(it)));
        let _ = writeln!(text, "  n{index}[\"{}\"]:::{}", lines.join("<br>"), drawn.look().style().class);
    }
    for arrow in &drawing.arrows {
        let label: Vec<_> = arrow.label().iter().map(|line| escaped(line)).collect();
        let line = if arrow.gathered.is_empty() { "-->" } else { "==>" };
        let _ = writeln!(text, "  n{} {line}|\"{}\"| n{}", arrow.from, label.join("<br>"), arrow.to);
    }
    for look in drawing.looks() {
        let style = look.style();
        let dash = if style.dash.is_empty() { String::new() } else { format!(",stroke-dasharray:{}", style.dash) };
        let _ = writeln!(
            text,
            "  classDef {} fill:{},stroke:{},stroke-width:2px,color:#1b1f24{dash}",
            style.class, style.fill, style.line
        );
    }
    let looks = drawing.looks().into_iter().map(|look| (look.style().class, look.style().word)).collect::<Vec<_>>();
    text += "  subgraph Legend\n    direction LR\n";
    for (class, word) in &looks {
        let _ = writeln!(text, "    legend-{class}[\"{word}\"]:::{class}");
    }
    if drawing.gathers() {
        text += "    legend-from[\" \"] ==>|\"all points of an axis\"| legend-to[\" \"]\n";
    }
    text += "  end\n";
    if let Some(note) = &drawing.note {
        let _ = writeln!(text, "  note[\"{}\"]:::plain", escaped(note));
    }
    text
}

/// Escapes a text for a quoted label: Mermaid reads `#…;` as a character, and HTML within quotes.
fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        match letter {
            '"' | '\'' | '<' | '>' | '&' | '#' | ';' | '`' | '\\' | '*' | '_' | '|' | '[' | ']' | '{' | '}' | '%'
            | '$' | '~' => {
                let _ = write!(shown, "#{};", letter as u32);
            }
            letter => shown.push(letter),
        }
    }
    shown
}
