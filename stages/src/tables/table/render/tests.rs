//! One table drawn by all four renderers.

use super::Grid;
use crate::artifact::{
    Cell, Figures, Interval, Levels, PairedTest, ReferenceValue, Resampling, ResamplingUnit, Statistic,
};

/// The numbers of a figure as text, and whether it carries a mark.
type Shown = (Vec<String>, bool);

/// The numbers of a text and whether it has a star; a sign belongs to its number.
fn shown(text: &str) -> Shown {
    let text = text.replace("$-$", "−").replace(['{', '}'], "");
    let is_number = |c: char| c.is_ascii_digit() || "+-−±.".contains(c);
    let numbers = text.split(|c| !is_number(c)).filter(|number| number.chars().any(|c| c.is_ascii_digit()));
    (numbers.map(str::to_owned).collect(), text.contains('*'))
}

/// The figures of the lines of a format, by row and column, without labels and counts.
fn by_line<'a>(lines: impl Iterator<Item = &'a str>, separator: &str) -> Vec<Vec<Shown>> {
    let figures = |line: &'a str| {
        let cells = line.split(separator).filter(|cell| !cell.trim().is_empty());
        cells.skip(1).take(2).map(shown).collect()
    };
    lines.map(figures).collect()
}

fn text(grid: &Grid<'_>) -> Vec<Vec<Shown>> {
    let text = grid.text();
    let lines = text.lines().skip_while(|line| !line.starts_with('─')).skip(1);
    by_line(lines.take_while(|line| !line.is_empty()), "  ")
}

fn markdown(grid: &Grid<'_>) -> Vec<Vec<Shown>> {
    // Italics of reference values are stars too; a mark is an escaped one.
    let text = grid.markdown().replace("\\*", "MARK").replace('*', "").replace("MARK", "*");
    by_line(text.lines().filter(|line| line.starts_with("| ")).skip(2), "|")
}

fn latex(grid: &Grid<'_>) -> Vec<Vec<Shown>> {
    let text = grid.latex();
    let lines = text.lines().skip_while(|line| *line != "\\midrule").skip(1);
    by_line(lines.take_while(|line| *line != "\\bottomrule"), "&")
}

/// The same of the page, where a reference value stands in the cell of its figure, with the difference behind it.
fn html(grid: &Grid<'_>) -> Vec<Vec<Shown>> {
    let page = grid.html("", &[]).into_string();
    let (_, body) = page.split_once("<tbody>").expect("it has a body");
    let mut lines = Vec::new();
    for row in body.split("<tr>").skip(1) {
        let cells = || row.split("<td").skip(1).take(2).map(|cell| cell.split_once('>').expect("a tag ends").1);
        let part = |cell: &str, is_reference: bool| {
            let (figure, reference) = cell.split_once("<span class=\"word\">").unwrap_or((cell, ""));
            let reference = reference.split("<span class=\"difference").next().unwrap_or_default();
            let mut tag = false;
            let mut is_text = |c: char| {
                tag = (tag || c == '<') && c != '>';
                !tag && c != '>'
            };
            shown(&if is_reference { reference } else { figure }.chars().filter(|c| is_text(*c)).collect::<String>())
        };
        lines.push(cells().map(|cell| part(cell, false)).collect());
        if row.contains("class=\"word\"") {
            lines.push(cells().map(|cell| part(cell, true)).collect());
        }
    }
    lines
}

fn figures(statistic: Statistic) -> Figures {
    let levels = |name: &str, values: [&str; 2]| Levels { name: name.into(), values: values.map(String::from).into() };
    let cell = |row: &str, column: &str, mean: f64| Cell {
        labels: vec![row.to_owned(), column.to_owned()],
        mean: Some(mean),
        sd: Some(0.0625),
        n: 40,
        groups: 5,
        interval: Some(Interval { low: mean - 0.25, high: mean + 0.25, units: 20 }),
        ..Cell::default()
    };
    let mut cells = vec![cell("a", "x", 0.5), cell("a", "y", 0.125), cell("b", "x", 0.75), cell("b", "y", 0.375)];
    (cells[1].groups, cells[1].sd) = (4, Some(0.03125));
    cells[2].reference = Some(ReferenceValue { mean: 0.7, sd: Some(0.1), precision: 0.05 });
    cells[3].reference = Some(ReferenceValue { mean: 0.333, sd: None, precision: 0.0005 });
    if statistic == Statistic::Difference {
        cells.iter_mut().for_each(|cell| cell.test = Some(PairedTest { w: Some(1.0), p: Some(0.046), left_out: 2 }));
    }
    Figures {
        rows: vec![levels("model", ["a", "b"])],
        columns: vec![levels("label", ["x", "y"])],
        metric: Some("iou".to_owned()),
        statistic,
        across: vec!["fold".to_owned()],
        cells,
        citation: Some("a paper".to_owned()),
        resampling: Some(Resampling { level: 0.95, resamples: 2000, unit: ResamplingUnit::Image }),
        ..Figures::default()
    }
}

#[test]
fn all_renderers_show_the_same_digits_and_marks_in_every_cell() {
    for statistic in [Statistic::Mean, Statistic::Difference] {
        let figures = figures(statistic);
        for digits in [1, 2, 4] {
            let grid = Grid::of(&figures, digits);
            let expected = text(&grid);
            assert_eq!(expected.len(), 3, "two rows and one line of reference values");
            assert_eq!(markdown(&grid), expected, "Markdown, {statistic:?}, {digits} digits");
            assert_eq!(latex(&grid), expected, "LaTeX, {statistic:?}, {digits} digits");
            assert_eq!(html(&grid), expected, "HTML, {statistic:?}, {digits} digits");
        }
    }
}

#[test]
fn a_mean_over_fewer_folds_has_two_digits_and_a_star_everywhere() {
    let figures = figures(Statistic::Mean);
    let grid = Grid::of(&figures, 2);
    for (name, cells) in [("text", text(&grid)), ("md", markdown(&grid)), ("tex", latex(&grid)), ("page", html(&grid))]
    {
        let (numbers, is_starred) = &cells[0][1];
        assert_eq!((numbers.join(" ").as_str(), *is_starred), ("0.12 0.03 -0.12 0.38", true), "{name}");
        assert_eq!(cells.iter().flatten().filter(|(_, is_starred)| *is_starred).count(), 1, "{name}");
    }
    assert!(grid.html("", &[]).into_string().contains("* over fewer values of fold than the other 5"));
}
