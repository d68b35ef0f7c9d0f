//! Plain text, aligned for a font of fixed width.

use unicode_width::UnicodeWidthStr;

use super::Grid;

impl Grid<'_> {
    /// Renders the table as plain text.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![self.header()];
        lines.extend(self.lines().into_iter().map(|mut line| {
            line.cells[0].insert_str(0, if line.is_reference { "  " } else { "" });
            line.cells
        }));
        for column in self.label_columns()..lines[0].len() {
            // Pads the other cells, so that digits stay below each other where some figures carry a star.
            if lines.iter().any(|line| line[column].ends_with('*')) {
                let unstarred = lines.iter_mut().map(|line| &mut line[column]).filter(|cell| !cell.ends_with('*'));
                unstarred.for_each(|cell| cell.push(' '));
            }
        }
        let title = self.figures.title.as_ref().map(|title| format!("{title}\n")).unwrap_or_default();
        let notes: String = self.notes.iter().map(|note| format!("{note}\n")).collect();
        let gap = if notes.is_empty() { "" } else { "\n" };
        format!("{title}{}\n\n{}{gap}{notes}", self.description, aligned(&lines, self.label_columns()))
    }
}

/// Aligns the cells of lines, labels to the left and numbers to the right, with a rule below the first line.
pub(crate) fn aligned(lines: &[Vec<String>], labels: usize) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let show = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let space = " ".repeat(width - cell.width());
            if column < labels { format!("{cell}{space}") } else { format!("{space}{cell}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let rule = "─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1)) + "\n";
    [show(&lines[0]), rule].into_iter().chain(lines[1..].iter().map(show)).collect()
}
