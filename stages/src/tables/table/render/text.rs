//! As plain text, aligned for a font of fixed width.

use unicode_width::UnicodeWidthStr;

use super::Grid;

impl Grid {
    /// As plain text.
    pub(crate) fn text(&self) -> String {
        let mut grid: Vec<Vec<String>> = vec![self.header.clone()];
        grid.extend(self.lines.iter().map(|line| {
            let mut cells = line.cells.clone();
            if line.is_published {
                cells[0].insert_str(0, "  ");
            }
            cells
        }));
        for column in self.labels..self.header.len() {
            // Digits stay below each other where some figures carry a star.
            if grid.iter().any(|line| line[column].ends_with('*')) {
                let unstarred = grid.iter_mut().map(|line| &mut line[column]).filter(|cell| !cell.ends_with('*'));
                unstarred.for_each(|cell| cell.push(' '));
            }
        }
        let widths: Vec<usize> = (0..self.header.len())
            .map(|column| grid.iter().map(|line| line[column].width()).max().unwrap_or(0))
            .collect();
        let show = |line: &Vec<String>| {
            let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                let space = " ".repeat(width - cell.width());
                if column < self.labels { format!("{cell}{space}") } else { format!("{space}{cell}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let rule = "─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));
        let mut text: Vec<String> = self.title.iter().cloned().collect();
        text.extend([self.description.clone(), String::new(), show(&grid[0]), rule]);
        text.extend(grid[1..].iter().map(show));
        if !self.notes.is_empty() {
            text.push(String::new());
            text.extend(self.notes.iter().cloned());
        }
        text.join("\n") + "\n"
    }
}
