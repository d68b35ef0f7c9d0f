//! Tables that a sweep makes by the hundred: columns that do not change are encoded once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use orchestrate_engine::stage::StageError;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::writer::SerializedFileWriter;

use super::Columns;
use super::raw::encoded;
use super::writer::cannot_encode;

/// Encodes tables to the bytes of [`Columns::encode`], and copies columns that equal those of the first table.
#[derive(Default)]
pub(crate) struct Series {
    first: Option<First>,
}

/// The first table of a series.
struct First {
    notes: BTreeMap<String, String>,
    schema: SchemaRef,
    arrays: Vec<ArrayRef>,
    bytes: Bytes,
    metadata: ParquetMetaData,
}

impl Series {
    /// Encodes the next table as Parquet.
    pub(crate) fn encode(&mut self, columns: &Columns<'_>) -> Result<Vec<u8>, StageError> {
        let rows = columns.check()?;
        // A large table is written in chunks, and its first row group is not the whole.
        if rows > columns.chunk_rows() {
            return columns.encode();
        }
        let encoded = match &self.first {
            Some(first) => first.alike(columns, rows),
            None => First::new(columns, rows).map(|first| self.first.insert(first).bytes.to_vec()),
        };
        encoded.map_err(cannot_encode)
    }
}

impl First {
    fn new(columns: &Columns<'_>, rows: usize) -> Result<Self, ParquetError> {
        let mut bytes = Vec::new();
        let metadata = columns.write(&mut bytes, rows, |_| true)?;
        let (notes, schema, arrays) = (columns.notes().clone(), columns.schema(), columns.arrays(0..rows));
        Ok(Self { notes, schema, arrays, bytes: bytes.into(), metadata })
    }

    /// Encodes another table: only the columns that differ, if schema, notes and number of rows are the same.
    fn alike(&self, columns: &Columns<'_>, rows: usize) -> Result<Vec<u8>, ParquetError> {
        let is_alike = columns.schema() == self.schema
            && *columns.notes() == self.notes
            && usize::try_from(self.metadata.file_metadata().num_rows()) == Ok(rows)
            && self.metadata.num_row_groups() == 1;
        let mut own_bytes = Vec::new();
        if !is_alike {
            columns.write(&mut own_bytes, rows, |_| true)?;
            return Ok(own_bytes);
        }
        let arrays = columns.arrays(0..rows);
        let differs: Vec<_> = arrays.iter().zip(&self.arrays).map(|(own, first)| own != first).collect();
        if !differs.contains(&true) {
            return Ok(self.bytes.to_vec());
        }
        let metadata = columns.write(&mut own_bytes, rows, |column| differs[column])?;
        let own_bytes = Bytes::from(own_bytes);
        let mut own = metadata.row_groups().iter().flat_map(|group| group.columns());

        let mut bytes = Vec::with_capacity(self.bytes.len() + own_bytes.len());
        let schema = self.metadata.file_metadata().schema_descr().root_schema_ptr();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(columns.properties()?))?;
        let mut group = writer.next_row_group()?;
        for (chunk, differs) in self.metadata.row_group(0).columns().iter().zip(differs) {
            let (from, chunk) = match differs {
                true => (&own_bytes, own.next().expect("a column that differs was written")),
                false => (&self.bytes, chunk),
            };
            group.append_column(from, encoded(chunk.clone()))?;
        }
        group.close()?;
        writer.close()?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{Scores, Table};

    fn scores(shift: u32, names: &str) -> Scores {
        let rows = 0..100_u32;
        let shifted = |row: u32| (row != 7).then(|| f64::from(row + shift).sin().abs());
        Scores {
            names: rows.clone().map(|row| format!("{names}{row}")).collect(),
            labels: rows.clone().map(|row| row % 2).collect(),
            predicted: rows.clone().map(|row| row % 3 % 2).collect(),
            classes: ["x", "y"].map(str::to_owned).to_vec(),
            iou: rows.clone().map(shifted).collect(),
            dice: rows.clone().map(|_| Some(0.5)).collect(),
            precision: rows.clone().map(|row| Some(f64::from(row % 3 * shift))).collect(),
            recall: rows.clone().map(|_| None).collect(),
            mask_pixels: rows.clone().map(|row| row * shift).collect(),
            truth_pixels: rows.collect(),
            ..Scores::default()
        }
    }

    #[test]
    fn tables_of_a_series_have_the_bytes_that_they_have_alone() {
        let mut series = Series::default();
        let fewer = Scores { names: vec!["a".to_owned()], labels: vec![1], predicted: vec![0], ..Scores::default() };
        let fewer = Scores { classes: scores(0, "").classes, ..fewer };
        let fewer = Scores { iou: vec![None], dice: vec![None], precision: vec![None], recall: vec![None], ..fewer };
        let fewer = Scores { mask_pixels: vec![1], truth_pixels: vec![0], ..fewer };
        let none = Scores { classes: scores(0, "").classes, ..Scores::default() };
        for table in [scores(1, "a"), scores(2, "a"), scores(0, "a"), scores(0, "b"), fewer, none, scores(1, "a")] {
            assert!(series.encode(&table.columns().unwrap()).unwrap() == table.encode().unwrap());
        }
    }

    #[test]
    fn tables_with_other_columns_or_notes_are_no_less_right() {
        let names = ["a".to_owned(), "b".to_owned()];
        let with = |note: &str| Columns::new().many().text("image", &names).note("scale", note);
        let others = [with("after"), with("before"), with("after").integer("rank", [2, 1]), with("after")];
        let mut series = Series::default();
        for columns in others {
            assert!(series.encode(&columns).unwrap() == columns.encode().unwrap());
        }
    }
}
