//! Published values beside ours: a CSV file whose columns are named as the rows and columns of the table.
//!
//! ```csv
//! # Kang et al. 2021, Table 3
//! model,threshold,mean,sd
//! alexnet,200,0.021,0.008
//! unet-vgg16,,0.666,0.041
//! ```
//!
//! Comment lines at the top say where the values come from. An empty label, or "–", is that of an input that does not vary
//! along the column. A dimension of the table that the file leaves out may have any label. `sd` and `precision` may be
//! missing; the precision of a value is half a unit of its last digit unless the file says otherwise.

use std::collections::HashMap;

use orchestrate_engine::nearest;

use super::query::Query;
use crate::artifact::{Figures, ReferenceValue};

/// Columns that hold numbers, not labels.
const NUMBERS: [&str; 3] = ["mean", "sd", "precision"];

/// Published values with the labels that say where they belong.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceTable {
    /// What the comment lines say.
    source: Option<String>,
    /// Names of the columns of labels.
    names: Vec<String>,
    /// One label a name, and the value.
    values: Vec<(Vec<String>, ReferenceValue)>,
}

impl ReferenceTable {
    /// Reads the file; errors are one sentence each, with the line.
    pub(super) fn read(bytes: &[u8], query: &Query) -> Result<Self, Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(bytes);
        let header: Vec<String> = match reader.headers() {
            Ok(header) => header.iter().map(str::to_owned).collect(),
            Err(error) => return Err(vec![format!("the header cannot be read: {error}")]),
        };
        let columns = Columns::find(&header, query)?;
        let mut problems = Vec::new();
        let mut values = Vec::new();
        let mut lines: HashMap<Vec<String>, u64> = HashMap::new();
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    problems.push(error.to_string());
                    continue;
                }
            };
            let line = record.position().map_or(0, csv::Position::line);
            let label =
                |&column: &usize| if &record[column] == "–" { String::new() } else { record[column].to_owned() };
            let labels: Vec<String> = columns.labels.iter().map(label).collect();
            match columns.value(&record) {
                Ok(value) => values.push((labels.clone(), value)),
                Err(wrong) => problems.extend(wrong.into_iter().map(|problem| format!("line {line}: {problem}"))),
            }
            if let Some(first) = lines.insert(labels, line) {
                problems.push(format!("line {line} has the labels of line {first}"));
            }
        }
        let names = columns.labels.iter().map(|&column| header[column].clone()).collect();
        if problems.is_empty() { Ok(Self { source: comments(bytes), names, values }) } else { Err(problems) }
    }

    /// Puts each value into its cell, and names those that belong to none.
    pub(super) fn attach(&self, figures: &mut Figures, file: &str) {
        figures.citation = Some(self.source.clone().unwrap_or_else(|| file.to_owned()));
        let places: Vec<usize> =
            self.names.iter().filter_map(|name| figures.dimensions().position(|levels| levels.name == *name)).collect();
        let mut is_used = vec![false; self.values.len()];
        for cell in &mut figures.cells {
            let fits = |(labels, _): &(Vec<String>, ReferenceValue)| {
                labels.iter().zip(&places).all(|(label, &place)| *label == cell.labels[place])
            };
            if let Some(index) = self.values.iter().position(fits) {
                is_used[index] = true;
                cell.reference = Some(self.values[index].1);
            }
        }
        let unused = self.values.iter().zip(is_used).filter(|(_, is_used)| !is_used).map(|((labels, _), _)| labels);
        figures.remarks.extend(self.unused(&unused.collect::<Vec<_>>(), figures, &places));
    }

    /// One sentence about values without a cell: labels that the study does not have, else the places.
    fn unused(&self, unused: &[&Vec<String>], figures: &Figures, places: &[usize]) -> Option<String> {
        if unused.is_empty() {
            return None;
        }
        let levels: Vec<_> = figures.dimensions().collect();
        let mut unknown: Vec<(&str, Vec<&str>)> = self.names.iter().map(|name| (name.as_str(), Vec::new())).collect();
        let mut places_unused = Vec::new();
        for labels in unused {
            let mut is_known = true;
            for ((label, &place), (_, strange)) in labels.iter().zip(places).zip(&mut unknown) {
                let occurs = if label.is_empty() {
                    figures.cells.iter().any(|cell| cell.labels[place].is_empty())
                } else {
                    levels[place].values.contains(label)
                };
                if !occurs {
                    is_known = false;
                    if !strange.contains(&label.as_str()) {
                        strange.push(label);
                    }
                }
            }
            if is_known {
                places_unused.push(labels.join(" "));
            }
        }
        let strange = unknown.iter().filter(|(_, labels)| !labels.is_empty());
        let shown = |label: &&str| if label.is_empty() { "–".to_owned() } else { (*label).to_owned() };
        let strange =
            strange.map(|(name, labels)| format!("{name} {}", labels.iter().map(shown).collect::<Vec<_>>().join(", ")));
        let all: Vec<String> = strange.chain(places_unused).collect();
        Some(format!("published, but not in this study: {}", all.join("; ")))
    }
}

/// Where the columns are.
struct Columns {
    labels: Vec<usize>,
    mean: usize,
    sd: Option<usize>,
    precision: Option<usize>,
}

impl Columns {
    fn find(header: &[String], query: &Query) -> Result<Self, Vec<String>> {
        let known: Vec<&str> = query.dimensions().map(|dimension| dimension.name()).collect();
        let mut problems = Vec::new();
        let place = |name: &str| header.iter().position(|column| column == name);
        let is_label = |column: &usize| !NUMBERS.contains(&header[*column].as_str());
        let labels: Vec<usize> = (0..header.len()).filter(is_label).collect();
        for name in labels.iter().map(|&column| &header[column]).filter(|name| !known.contains(&name.as_str())) {
            let near = nearest(name, known.iter().copied().chain(NUMBERS));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("those are: {}", known.join(", ")),
            };
            problems.push(format!("column `{name}` is none of the rows and columns of the table; {help}"));
        }
        if labels.is_empty() && !known.is_empty() {
            problems.push(format!("it needs a column of labels; the table has {}", known.join(", ")));
        }
        if let Some(name) = crate::artifact::repeated(header.iter().map(String::as_str)) {
            problems.push(format!("two columns are named `{name}`"));
        }
        match place("mean") {
            Some(mean) if problems.is_empty() => {
                Ok(Self { labels, mean, sd: place("sd"), precision: place("precision") })
            }
            mean => {
                if mean.is_none() {
                    problems.push("it needs a column `mean`".to_owned());
                }
                Err(problems)
            }
        }
    }

    fn value(&self, record: &csv::StringRecord) -> Result<ReferenceValue, Vec<String>> {
        let mut problems = Vec::new();
        let mut number = |name: &str, column: Option<usize>, least: f64| -> Option<f64> {
            let text = column.map(|column| &record[column]).filter(|text| !text.is_empty())?;
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= least);
            if number.is_none() {
                let bound = if least == 0.0 { " of at least 0" } else { "" };
                problems.push(format!("column `{name}` must be a number{bound}, not `{text}`"));
            }
            number
        };
        let mean = number("mean", Some(self.mean), f64::NEG_INFINITY);
        let sd = number("sd", self.sd, 0.0);
        let precision = number("precision", self.precision, 0.0);
        match mean {
            Some(mean) if problems.is_empty() => {
                let precision = precision.unwrap_or_else(|| half_a_digit(&record[self.mean]));
                Ok(ReferenceValue { mean, sd, precision })
            }
            _ => {
                if problems.is_empty() {
                    problems.push("column `mean` is empty".to_owned());
                }
                Err(problems)
            }
        }
    }
}

/// Half a unit of the last digit of a number as written: 0.0005 of `0.021`.
fn half_a_digit(written: &str) -> f64 {
    let (digits, exponent) = written.split_once(['e', 'E']).unwrap_or((written, "0"));
    let after_point = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i32);
    let exponent = exponent.parse().unwrap_or(0) - after_point - 1;
    // Read as text, so that it is the nearest number to the decimal one.
    format!("5e{exponent}").parse().unwrap_or(0.0)
}

/// The comment lines before the header, as one text.
fn comments(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map_while(|line| line.trim_start().strip_prefix('#')).map(str::trim);
    let text = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Params;
    use super::*;
    use crate::artifact::{Cell, Levels};

    fn read(csv: &str) -> Result<ReferenceTable, Vec<String>> {
        let params: Params =
            serde_json::from_value(json!({ "rows": [["model", "unet"]], "columns": ["threshold"] })).unwrap();
        ReferenceTable::read(csv.as_bytes(), &params.query())
    }

    fn figures(cells: &[[&str; 2]]) -> Figures {
        let levels = |name: &str, index: usize| {
            let mut values: Vec<String> = Vec::new();
            for label in cells.iter().map(|cell| cell[index]).filter(|label| !label.is_empty()) {
                if !values.iter().any(|value| value == label) {
                    values.push(label.to_owned());
                }
            }
            Levels { name: name.to_owned(), values }
        };
        Figures {
            rows: vec![levels("model", 0)],
            columns: vec![levels("threshold", 1)],
            cells: cells
                .iter()
                .map(|labels| Cell { labels: labels.map(str::to_owned).to_vec(), ..Cell::default() })
                .collect(),
            ..Figures::default()
        }
    }

    fn means(figures: &Figures) -> Vec<Option<f64>> {
        figures.cells.iter().map(|cell| Some(cell.reference?.mean)).collect()
    }

    #[test]
    fn values_go_to_their_cells_with_sd_precision_and_source() {
        let csv =
            "# A paper,\n# Table 3\nmodel,threshold,mean,sd\nalex,200,0.021,0.008\nunet-vgg16,,0.67,\nalex,q90,1e-1,\n";
        let reference = read(csv).unwrap();
        let mut figures = figures(&[["alex", "q90"], ["alex", "200"], ["unet-vgg16", ""], ["vgg", "200"]]);
        reference.attach(&mut figures, "table3.csv");
        assert_eq!(means(&figures), [Some(0.1), Some(0.021), Some(0.67), None]);
        let value = |cell: usize| figures.cells[cell].reference.unwrap();
        assert_eq!(value(1), ReferenceValue { mean: 0.021, sd: Some(0.008), precision: 0.0005 });
        assert_eq!(value(2), ReferenceValue { mean: 0.67, sd: None, precision: 0.005 });
        assert_eq!(value(0).precision, 0.05);
        assert_eq!(figures.citation.as_deref(), Some("A paper, Table 3"));
        assert!(figures.remarks.is_empty());
    }

    #[test]
    fn the_file_may_state_its_precision_and_name_itself() {
        let mut figures = figures(&[["alex", "200"]]);
        read("threshold,model,precision,mean\n200,alex,0.005,0.860\n").unwrap().attach(&mut figures, "x.csv");
        assert_eq!(figures.cells[0].reference, Some(ReferenceValue { mean: 0.86, sd: None, precision: 0.005 }));
        assert_eq!(figures.citation.as_deref(), Some("x.csv"));
    }

    #[test]
    fn a_dimension_that_the_file_leaves_out_may_have_any_label() {
        let mut figures = figures(&[["alex", "200"], ["alex", "q90"]]);
        read("model,mean\nalex,0.5\n").unwrap().attach(&mut figures, "x.csv");
        assert_eq!(means(&figures), [Some(0.5), Some(0.5)]);
    }

    #[test]
    fn labels_that_the_study_lacks_are_named_all_at_once() {
        let csv = "model,threshold,mean\nalex,200,1\nvgg,200,1\nvgg,q95,1\ntiny,200,1\nalex,–,1\nbig,q90,1\n";
        let mut figures = figures(&[["alex", "200"], ["alex", "q90"], ["big", "200"]]);
        read(csv).unwrap().attach(&mut figures, "x.csv");
        let expected = "published, but not in this study: model vgg, tiny; threshold q95, –; big q90";
        assert_eq!(figures.remarks, [expected]);
    }

    #[test]
    fn every_problem_of_a_file_is_told_at_once() {
        let cases = [
            (
                "modle,threshold,sd\n",
                &[
                    "column `modle` is none of the rows and columns of the table; did you mean `model`?",
                    "it needs a column `mean`",
                ][..],
            ),
            ("mean\n1\n", &["it needs a column of labels; the table has model, threshold"]),
            (
                "model,mean,sd\na,x,-1\nb,,\na,1,1\n",
                &[
                    "line 2: column `mean` must be a number, not `x`",
                    "line 2: column `sd` must be a number of at least 0, not `-1`",
                    "line 3: column `mean` is empty",
                    "line 4 has the labels of line 2",
                ],
            ),
        ];
        for (csv, expected) in cases {
            assert_eq!(read(csv).unwrap_err(), expected, "{csv}");
        }
    }

    #[test]
    fn values_of_the_paper_are_those_of_its_tables() {
        let tables = [
            ("2", "metric", "modified-vgg16 f1", ReferenceValue { mean: 0.9, sd: Some(0.12), precision: 0.005 }, 24),
            ("3", "threshold", "unet-vgg19 ", ReferenceValue { mean: 0.673, sd: Some(0.038), precision: 0.0005 }, 32),
            ("4", "label", "vgg16 meningioma", ReferenceValue { mean: 0.249, sd: Some(0.096), precision: 0.0005 }, 32),
            ("5", "label", "vgg16 pituitary", ReferenceValue { mean: 0.916, sd: None, precision: 0.0005 }, 24),
        ];
        for (number, column, place, value, count) in tables {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments/reference");
            let csv = std::fs::read(folder.join(format!("kang2021-table{number}.csv"))).unwrap();
            let params: Params = serde_json::from_value(json!({ "rows": ["model"], "columns": [column] })).unwrap();
            let reference = ReferenceTable::read(&csv, &params.query()).unwrap();
            assert_eq!(reference.values.len(), count, "table {number}");
            let found = reference.values.iter().find(|(labels, _)| labels.join(" ") == place);
            assert_eq!(found.map(|(_, value)| *value), Some(value), "table {number}");
            assert!(reference.source.unwrap().contains(&format!("Table {number}")));
        }
    }
}
