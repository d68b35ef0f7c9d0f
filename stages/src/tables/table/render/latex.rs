//! As LaTeX with rules of the package booktabs.

use super::Grid;

impl Grid {
    /// As a float to be included with `\input{table.tex}`; needs `\usepackage{booktabs}` and nothing else.
    pub(crate) fn latex(&self) -> String {
        let show = |cells: &[String]| format!("{} \\\\", cells.join(" & "));
        let escape = |cells: &[String]| cells.iter().map(|cell| escaped(cell)).collect::<Vec<_>>();
        let alignment = "l".repeat(self.labels) + &"r".repeat(self.header.len() - self.labels);
        let mut text = vec![
            "% needs \\usepackage{booktabs}".to_owned(),
            "\\begin{table}[htbp]".to_owned(),
            "\\centering".to_owned(),
            format!("\\caption{{{}}}", self.caption()),
            format!("\\begin{{tabular}}{{{alignment}}}"),
            "\\toprule".to_owned(),
            show(&escape(&self.header)),
            "\\midrule".to_owned(),
        ];
        for line in &self.lines {
            let mut cells = escape(&line.cells);
            if line.is_published {
                cells.iter_mut().filter(|cell| !cell.is_empty()).for_each(|cell| *cell = format!("\\textit{{{cell}}}"));
                cells[0].insert_str(0, "\\quad ");
            }
            text.push(show(&cells));
        }
        text.extend(["\\bottomrule".to_owned(), "\\end{tabular}".to_owned()]);
        for note in &self.notes {
            text.push(format!("\n{{\\footnotesize {}\\par}}", escaped(note)));
        }
        text.push("\\end{table}".to_owned());
        text.join("\n") + "\n"
    }

    /// Title and description; LaTeX numbers tables itself, so a leading `Table 3.` is left out.
    fn caption(&self) -> String {
        let Some(title) = &self.title else { return format!("{}.", escaped(&self.description)) };
        let unnumbered = title.strip_prefix("Table ").and_then(|rest| rest.split_once(['.', ':']));
        let title = match unnumbered {
            Some((number, rest)) if number.chars().all(|c| c.is_ascii_digit()) && !rest.trim().is_empty() => {
                rest.trim()
            }
            _ => title.trim(),
        };
        let stop = if title.ends_with(['.', '!', '?']) { "" } else { "." };
        format!("{}{stop} {}.", escaped(title), escaped(&self.description))
    }
}

/// Text with what LaTeX would take as commands, and the signs that pdfTeX has no letters for, in its own words.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' => escaped += "\\textbackslash{}",
            '~' => escaped += "\\~{}",
            '^' => escaped += "\\^{}",
            '<' => escaped += "$<$",
            '>' => escaped += "$>$",
            '|' => escaped += "\\textbar{}",
            '"' => escaped += "\\char34{}",
            '[' | ']' => escaped.extend(['{', c, '}']), // after `\\` a bracket would be a length
            '–' => escaped += "--",
            '−' => escaped += "$-$",
            '≤' => escaped += "$\\leq$",
            '≥' => escaped += "$\\geq$",
            '×' => escaped += "$\\times$",
            '·' => escaped += "$\\cdot$",
            '…' => escaped += "\\ldots{}",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::artifact::{Cell, Figures, Levels, Published, Statistic};

    fn grid() -> Grid {
        let labels = ["vgg_16 & 50 %", "a|b~c^d\\e{f}#$\"<>", "–−≤≥×·…"];
        let cell = |label: &&str| Cell {
            labels: vec![(*label).to_owned()],
            mean: Some(-0.25),
            n: 3,
            published: Some(Published { mean: 0.5, sd: Some(0.125), precision: 0.0005 }),
            ..Cell::default()
        };
        let levels = Levels { name: "model".to_owned(), values: labels.map(str::to_owned).to_vec() };
        let figures = Figures {
            title: Some("Table 3. mIoU_x".to_owned()),
            rows: vec![levels],
            metric: Some("iou".to_owned()),
            statistic: Statistic::Difference,
            cells: labels.iter().map(cell).collect(),
            source: Some("Kang et al. [2021]".to_owned()),
            ..Figures::default()
        };
        Grid::of(&figures, 2)
    }

    #[test]
    fn latex_has_booktabs_rules_and_escapes_what_it_would_take_as_commands() {
        let expected = r#"% needs \usepackage{booktabs}
\begin{table}[htbp]
\centering
\caption{mIoU\_x. iou: mean difference, by model.}
\begin{tabular}{lrr}
\toprule
model & difference & n \\
\midrule
vgg\_16 \& 50 \% & $-$0.25 & 3 \\
\quad \textit{published} & \textit{+0.50 (0.12)} &  \\
a\textbar{}b\~{}c\^{}d\textbackslash{}e\{f\}\#\$\char34{}$<$$>$ & $-$0.25 & 3 \\
\quad \textit{published} & \textit{+0.50 (0.12)} &  \\
--$-$$\leq$$\geq$$\times$$\cdot$\ldots{} & $-$0.25 & 3 \\
\quad \textit{published} & \textit{+0.50 (0.12)} &  \\
\bottomrule
\end{tabular}

{\footnotesize published: Kang et al. {[}2021{]}\par}
\end{table}
"#;
        assert_eq!(grid().latex(), expected);
    }

    #[test]
    fn only_a_number_is_left_out_of_the_caption() {
        let caption =
            |title: &str| Grid { title: Some(title.to_owned()), description: "d".to_owned(), ..grid() }.caption();
        assert_eq!(caption("Table 12: IoU"), "IoU. d.");
        assert_eq!(caption("Table of IoU. All"), "Table of IoU. All. d.");
        assert_eq!(caption("Table 3."), "Table 3. d.");
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn latex_compiles() {
        let folder = tempfile::tempdir().unwrap();
        let document = format!(
            "\\documentclass{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n{}\\end{{document}}\n",
            grid().latex()
        );
        std::fs::write(folder.path().join("table.tex"), document).unwrap();
        let tex = Command::new("pdflatex")
            .args(["-interaction=nonstopmode", "-halt-on-error", "table.tex"])
            .current_dir(folder.path())
            .output();
        let Ok(output) = tex else { return eprintln!("skipped: there is no pdflatex on this machine") };
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains("`booktabs.sty' not found") {
            return eprintln!("skipped: pdflatex has no package booktabs");
        }
        assert!(output.status.success() && folder.path().join("table.pdf").exists(), "{said}");
    }
}
