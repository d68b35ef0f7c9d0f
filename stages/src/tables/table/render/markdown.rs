//! As Markdown.

use super::Grid;

impl Grid {
    /// As a Markdown table below a heading in bold; published values are in italics.
    pub(crate) fn markdown(&self) -> String {
        let show = |cells: &[String]| format!("| {} |", cells.join(" | "));
        let escape = |cells: &[String]| cells.iter().map(|cell| escaped(cell)).collect::<Vec<_>>();
        let rule: Vec<_> =
            (0..self.header.len()).map(|column| if column < self.labels { ":---" } else { "---:" }).collect();
        let mut text =
            vec![format!("**{}**", escaped(self.title.as_ref().unwrap_or(&self.description))), String::new()];
        if self.title.is_some() {
            text.extend([escaped(&self.description), String::new()]);
        }
        text.push(show(&escape(&self.header)));
        text.push(format!("| {} |", rule.join(" | ")));
        for line in &self.lines {
            let mut cells = escape(&line.cells);
            if line.is_published {
                cells.iter_mut().filter(|cell| !cell.is_empty()).for_each(|cell| *cell = format!("*{cell}*"));
            }
            text.push(show(&cells));
        }
        for note in &self.notes {
            text.extend([String::new(), escaped(note)]);
        }
        text.join("\n") + "\n"
    }
}

fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| r"\|*<`".contains(c).then_some('\\').into_iter().chain([c])).collect()
}
