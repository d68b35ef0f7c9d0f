//! As CSV: tidy, one line a figure, numbers in full.

use orchestrate_engine::stage::StageError;

use crate::artifact::Figures;

/// The columns of [`Figures`], without its notes.
pub(crate) fn csv(figures: &Figures) -> Result<Vec<u8>, StageError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let further = figures.further();
    let mut header: Vec<&str> = figures.dimensions().map(|levels| levels.name.as_str()).collect();
    header.extend(figures.metric.as_ref().map(|_| "metric"));
    header.extend(["statistic", "mean", "sd", "n", "excluded", "groups", "synthetic"]);
    header.extend(further.iter().map(|(name, _)| name));
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let write = |writer: &mut csv::Writer<Vec<u8>>| -> csv::Result<()> {
        writer.write_record(&header)?;
        for (row, cell) in figures.cells.iter().enumerate() {
            let mut record = cell.labels.clone();
            record.extend(figures.metric.clone());
            record.extend([figures.statistic.name().to_owned(), number(cell.mean), number(cell.sd)]);
            record.extend([cell.n, cell.excluded, cell.groups].map(|count| count.to_string()));
            record.push(figures.synthetic.to_string());
            record.extend(further.iter().map(|(_, values)| number(values[row])));
            writer.write_record(&record)?;
        }
        Ok(())
    };
    let failed = |error: String| StageError::new(format!("cannot write CSV: {error}"));
    write(&mut writer).map_err(|error| failed(error.to_string()))?;
    writer.into_inner().map_err(|error| failed(error.to_string()))
}
