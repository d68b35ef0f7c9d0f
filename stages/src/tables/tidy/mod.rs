//! One table of all points of a stage: tidy data, one row for each row of a point, the axes as the first columns.
//!
//! - An axis of integers is int64, one of numbers float64, one of truth values a truth value. Any other is a text with
//!   the labels as written: `200` and `"q90"` are the texts `200` and `q90`.
//! - The other columns are those of all points in the order in which they first appear; if a point lacks one, its
//!   values are missing. Integers of several widths become int64, integers and floats float64. A number that float64
//!   cannot hold, and any other difference of types, is an error that names the column and two points. A column without
//!   a value in a point fits every type.
//! - A column named like an axis is left out if it holds the value of the axis in every row. Otherwise it is called
//!   `NAME_value`, and the axis keeps its name.
//! - Types are those of Parquet itself, without the notes of a writer beside them: categories are texts and durations
//!   integers. An index that pandas wrote is a column. Other notes are kept if all points share them.
//!
//! Points are read one after the other, a few rows at a time, so a table may be larger than memory. The same points
//! give the same bytes.

mod axis;
mod column;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use orchestrate_engine::publish::TidyPoint;
use orchestrate_engine::stage::StageError;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::artifact::{Rows, cause, name_of, properties, repeated};
use crate::tables::first_seen::index_or_push;
use axis::Axis;
use column::{Column, fitted};

/// The bytes, or rows, at which a row group ends.
const GROUP_BYTES: usize = 32 << 20;
const GROUP_ROWS: usize = 1 << 19;

/// The largest file that is read at once.
const WHOLE_BYTES_MAX: u64 = 4 << 20;

/// Notes of other writers about columns that the merged table lacks.
const NOTES_OF_WRITERS: [&str; 2] = ["ARROW:schema", "pandas"];

/// Merges one Parquet file of every point into one table, in the order of the points.
///
/// - `axes`: names of the axes, in the order of the values of each point
/// - `out`: receives the table
///
/// Errors: a file that is no Parquet table or names two columns alike; columns whose types differ, by name and points.
pub fn merge(axes: &[&str], points: &[TidyPoint], out: &mut (dyn Write + Send)) -> Result<(), StageError> {
    let axes: Vec<Axis<'_>> = axes.iter().enumerate().map(|(index, name)| Axis::of(name, index, points)).collect();
    MergedSchema::of(&axes, points)?.write(points, out)
}

/// The columns of the merged table.
struct MergedSchema<'a> {
    axes: &'a [Axis<'a>],
    columns: Vec<Column>,
    notes: BTreeMap<String, String>,
}

impl<'a> MergedSchema<'a> {
    /// Reads the columns of all points.
    fn of(axes: &'a [Axis<'a>], points: &[TidyPoint]) -> Result<Self, StageError> {
        let mut merged = Self { axes, columns: Vec::new(), notes: BTreeMap::new() };
        for (number, point) in points.iter().enumerate() {
            let rows = merged.open(point)?;
            merged.add(points, number, &rows)?;
            let notes = rows.notes();
            match number {
                0 => merged.notes = notes,
                _ => merged.notes.retain(|key, value| notes.get(key) == Some(value)),
            }
        }
        merged.notes.retain(|key, _| !NOTES_OF_WRITERS.contains(&key.as_str()));
        merged.rename();
        Ok(merged)
    }

    /// Adds the columns of one point.
    fn add(&mut self, points: &[TidyPoint], number: usize, rows: &Rows) -> Result<(), StageError> {
        if let Some(name) = repeated(rows.fields().iter().map(|field| field.name().as_str())) {
            return Err(rows.error(format!("two columns are named `{name}`")));
        }
        for (index, field) in rows.fields().iter().enumerate() {
            let is_same = |column: &Column| column.own_name == *field.name();
            let known = index_or_push(&mut self.columns, is_same, || Column::new(field, number));
            let column = &mut self.columns[known];
            let is_vacant = rows.is_vacant(index);
            column.is_nullable |= field.is_nullable() || is_vacant;
            if let Err(other) = column.widen(field.data_type(), number, is_vacant) {
                return Err(StageError::new(format!(
                    "column `{}` holds {} at {} and {} at {}, and no column of one table holds both; give it one type",
                    column.own_name,
                    name_of(&column.data_type()),
                    describe(self.axes, &points[other]),
                    name_of(field.data_type()),
                    describe(self.axes, &points[number]),
                )));
            }
            if let Some(axis) = self.axes.iter().find(|axis| axis.name == field.name())
                && column.is_axis
            {
                column.is_axis = is_value_of(axis, &points[number], rows, index)?;
            }
        }
        let present = |column: &Column| rows.fields().find(&column.own_name).is_some();
        for column in self.columns.iter_mut().filter(|column| !present(column)) {
            column.is_nullable = true;
        }
        Ok(())
    }

    /// Drops columns that only repeat an axis, and renames the others that have the name of one.
    fn rename(&mut self) {
        let axes = self.axes;
        let is_axis = |name: &str| axes.iter().any(|axis| axis.name == name);
        self.columns.retain(|column| !(column.is_axis && is_axis(&column.own_name)));
        for index in 0..self.columns.len() {
            let mut name = self.columns[index].own_name.clone();
            while is_axis(&name) || self.columns.iter().enumerate().any(|(other, it)| other != index && it.name == name)
            {
                name += "_value";
            }
            self.columns[index].name = name;
        }
    }

    fn write(&self, points: &[TidyPoint], out: &mut (dyn Write + Send)) -> Result<(), StageError> {
        let failed = |error: ParquetError| StageError::new(format!("cannot write the table: {}", cause(&error)));
        let fields = self.axes.iter().map(Axis::field).chain(self.columns.iter().map(Column::field));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
        let options =
            ArrowWriterOptions::new().with_properties(self.properties(&schema)).with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(out, Arc::clone(&schema), options).map_err(failed)?;
        for point in points {
            let rows = self.open(point)?;
            for batch in rows.batches()? {
                let batch = batch?;
                let count = batch.num_rows();
                let axes = self.axes.iter().map(|axis| Ok(axis.array(point, count)));
                let columns = self.columns.iter().map(|column| self.array(column, &rows, point, &batch));
                let arrays = axes.chain(columns).collect::<Result<Vec<_>, StageError>>()?;
                let options = RecordBatchOptions::new().with_row_count(Some(count));
                let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options);
                writer.write(&batch.map_err(|error| rows.error(error))?).map_err(failed)?;
                if writer.in_progress_rows() >= GROUP_ROWS || writer.in_progress_size() >= GROUP_BYTES {
                    writer.flush().map_err(failed)?;
                }
            }
        }
        writer.close().map(|_| ()).map_err(failed)
    }

    /// Returns the values of a column in some rows of a point.
    fn array(
        &self,
        column: &Column,
        rows: &Rows,
        point: &TidyPoint,
        batch: &RecordBatch,
    ) -> Result<ArrayRef, StageError> {
        let data_type = column.data_type();
        let found = rows.fields().find(&column.own_name).filter(|(index, _)| !rows.is_vacant(*index));
        let Some((index, _)) = found else { return Ok(new_null_array(&data_type, batch.num_rows())) };
        fitted(batch.column(index), &data_type).map_err(|value| {
            StageError::new(format!(
                "column `{}` holds {value} at {}, which is no number of the type {data_type} that other points need",
                column.own_name,
                describe(self.axes, point)
            ))
        })
    }

    fn properties(&self, schema: &Schema) -> WriterProperties {
        let is_bytes = |data_type: &DataType| matches!(data_type, DataType::Binary | DataType::FixedSizeBinary(_));
        let is_wide = schema.fields().iter().any(|field| is_bytes(field.data_type()));
        let mut properties = properties(&self.notes, is_wide);
        // A dictionary pays for labels, not for values that differ from row to row.
        let is_varied = |column: &&Column| is_bytes(&column.data_type()) || column.data_type().is_floating();
        for column in self.columns.iter().filter(is_varied) {
            properties = properties.set_column_dictionary_enabled(ColumnPath::new(vec![column.name.clone()]), false);
        }
        properties.build()
    }

    fn open(&self, point: &TidyPoint) -> Result<Rows, StageError> {
        let what = format!("{} at {}", point.file.name, describe(self.axes, point));
        if point.file.size_bytes > WHOLE_BYTES_MAX {
            return Rows::open_stored(&what, Arc::new(point.file.open()?));
        }
        Rows::open(&what, Bytes::from(point.file.read()?))
    }
}

/// Describes a point for people: `model=tiny,fold=1`.
fn describe(axes: &[Axis<'_>], point: &TidyPoint) -> String {
    let pairs = axes.iter().map(|axis| format!("{}={}", axis.name, axis.label(point)));
    pairs.collect::<Vec<_>>().join(",")
}

/// Returns whether a column holds the value of an axis in every row.
fn is_value_of(axis: &Axis<'_>, point: &TidyPoint, rows: &Rows, column: usize) -> Result<bool, StageError> {
    for batch in rows.batches()? {
        if !axis.fills(point, batch?.column(column)) {
            return Ok(false);
        }
    }
    Ok(true)
}
