//! LaTeX with the rules of the package booktabs.

use super::Grid;

impl Grid<'_> {
    /// Renders a float for `\input{table.tex}`; it needs `\usepackage{booktabs}` and nothing else.
    pub(crate) fn latex(&self) -> String {
        let show = |cells: Vec<String>| format!("{} \\\\", cells.join(" & "));
        let (header, labels) = (self.header(), self.label_columns());
        let alignment = "l".repeat(labels) + &"r".repeat(header.len() - labels);
        let mut text = vec![
            "% needs \\usepackage{booktabs}".to_owned(),
            "\\begin{table}[htbp]".to_owned(),
            "\\centering".to_owned(),
            format!("\\caption{{{}}}", caption(self.figures.title.as_deref(), &self.description)),
            format!("\\begin{{tabular}}{{{alignment}}}"),
            "\\toprule".to_owned(),
            show(header.iter().map(|cell| escaped(cell)).collect()),
            "\\midrule".to_owned(),
        ];
        text.extend(self.lines().iter().map(|line| {
            let cell = |cell: &String| match line.is_reference && !cell.is_empty() {
                true => format!("\\textit{{{}}}", escaped(cell)),
                false => escaped(cell),
            };
            let indent = if line.is_reference { "\\quad " } else { "" };
            indent.to_owned() + &show(line.cells.iter().map(cell).collect())
        }));
        text.extend(["\\bottomrule".to_owned(), "\\end{tabular}".to_owned()]);
        text.extend(self.notes.iter().map(|note| format!("\n{{\\footnotesize {}\\par}}", escaped(note))));
        text.push("\\end{table}".to_owned());
        text.join("\n") + "\n"
    }
}

/// Joins title and description, without a leading `Table 3.`, as LaTeX numbers tables itself.
fn caption(title: Option<&str>, description: &str) -> String {
    let Some(title) = title else { return format!("{}.", escaped(description)) };
    let unnumbered = title.strip_prefix("Table ").and_then(|rest| rest.split_once(['.', ':']));
    let title = match unnumbered {
        Some((number, rest)) if number.chars().all(|c| c.is_ascii_digit()) && !rest.trim().is_empty() => rest,
        _ => title,
    };
    let title = title.trim();
    let stop = if title.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{stop} {}.", escaped(title), escaped(description))
}

/// Escapes the characters that LaTeX reads as commands, and spells out the signs that pdfTeX has no letters for.
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
    use crate::artifact::{Cell, Figures, Levels, ReferenceValue, Statistic};

    fn figures() -> Figures {
        let labels = ["vgg_16 & 50 %", "a|b~c^d\\e{f}#$\"<>", "–−≤≥×·…"];
        let cell = |label: &&str| Cell {
            labels: vec![(*label).to_owned()],
            mean: Some(-0.25),
            n: 3,
            reference: Some(ReferenceValue { mean: 0.5, sd: Some(0.125), precision: 0.0005 }),
            ..Cell::default()
        };
        let levels = Levels { name: "model".to_owned(), values: labels.map(str::to_owned).to_vec() };
        Figures {
            title: Some("Table 3. mIoU_x".to_owned()),
            rows: vec![levels],
            metric: Some("iou".to_owned()),
            statistic: Statistic::Difference,
            cells: labels.iter().map(cell).collect(),
            citation: Some("Kang et al. [2021]".to_owned()),
            ..Figures::default()
        }
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
        assert_eq!(Grid::of(&figures(), 2).latex(), expected);
    }

    #[test]
    fn only_a_number_is_left_out_of_the_caption() {
        let caption = |title: &str| caption(Some(title), "d");
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
            Grid::of(&figures(), 2).latex()
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
