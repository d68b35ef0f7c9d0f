//! Markdown.

use super::Grid;

impl Grid<'_> {
    /// Renders a Markdown table below a heading in bold; reference values are in italics.
    pub(crate) fn markdown(&self) -> String {
        let show = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let header = self.header();
        let rule = (0..header.len()).map(|column| if column < self.label_columns() { ":---" } else { "---:" });
        let title = self.figures.title.as_ref();
        let mut text = vec![format!("**{}**", escaped(title.unwrap_or(&self.description))), String::new()];
        if title.is_some() {
            text.extend([escaped(&self.description), String::new()]);
        }
        text.push(show(header.iter().map(|cell| escaped(cell)).collect()));
        text.push(show(rule.map(str::to_owned).collect()));
        text.extend(self.lines().iter().map(|line| {
            let cell = |cell: &String| match line.is_reference && !cell.is_empty() {
                true => format!("*{}*", escaped(cell)),
                false => escaped(cell),
            };
            show(line.cells.iter().map(cell).collect())
        }));
        text.extend(self.notes.iter().flat_map(|note| [String::new(), escaped(note)]));
        text.join("\n") + "\n"
    }
}

fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| r"\|*<`".contains(c).then_some('\\').into_iter().chain([c])).collect()
}
