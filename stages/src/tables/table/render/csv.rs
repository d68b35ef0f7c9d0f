//! CSV: tidy, one line a figure, numbers in full.

use orchestrate_engine::stage::StageError;

use crate::artifact::Figures;

/// The columns of [`Figures`], without its notes.
pub(crate) fn csv(figures: &Figures) -> Result<Vec<u8>, StageError> {
    let further = figures.further();
    let mut header: Vec<&str> = figures.dimensions().map(|levels| levels.name.as_str()).collect();
    header.extend(figures.metric.as_ref().map(|_| "metric"));
    header.extend(["statistic", "mean", "sd", "n", "excluded", "groups", "synthetic"]);
    header.extend(further.iter().map(|(name, _)| name));
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let line = |(row, cell): (usize, &crate::artifact::Cell)| {
        let mut line = cell.labels.clone();
        line.extend(figures.metric.clone());
        line.extend([figures.statistic.name().to_owned(), number(cell.mean), number(cell.sd)]);
        line.extend([cell.n, cell.excluded, cell.groups].map(|count| count.to_string()));
        line.push(figures.synthetic.to_string());
        line.extend(further.iter().map(|(_, values)| number(values[row])));
        line
    };
    write(&header, figures.cells.iter().enumerate().map(line))
}

/// Writes a CSV file with a header.
pub(crate) fn write(header: &[&str], lines: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>, StageError> {
    let failed = |error: String| StageError::new(format!("cannot write CSV: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(|error| failed(error.to_string()))?;
    for line in lines {
        writer.write_record(line).map_err(|error| failed(error.to_string()))?;
    }
    writer.into_inner().map_err(|error| failed(error.to_string()))
}
