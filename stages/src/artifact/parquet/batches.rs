//! All columns of a table, batch by batch, for code that copies tables without knowing their columns.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use orchestrate_engine::stage::StageError;

use super::rows::{Reader, Rows, guarded};

/// Size of the rows that are decoded at a time.
const BATCH_BYTES: usize = 4 << 20;
const ROWS_PER_BATCH_MAX: usize = 1 << 13;

impl Rows {
    /// All notes.
    pub(crate) fn notes(&self) -> BTreeMap<String, String> {
        let notes = self.metadata.metadata().file_metadata().key_value_metadata();
        notes.into_iter().flatten().filter_map(|note| Some((note.key.clone(), note.value.clone()?))).collect()
    }

    /// Whether the statistics of a column say that it has no value in any row; false for nested columns.
    pub(crate) fn is_vacant(&self, column: usize) -> bool {
        let schema = self.metadata.parquet_schema();
        let is_flat = |leaf: &usize| {
            schema.get_column_root_idx(*leaf) == column && schema.column(*leaf).path().parts().len() == 1
        };
        let Some(leaf) = (0..schema.num_columns()).find(is_flat) else { return self.is_empty() };
        self.metadata.metadata().row_groups().iter().all(|group| {
            let missing = group.column(leaf).statistics().and_then(|statistics| statistics.null_count_opt());
            group.num_rows() == 0 || missing.is_some_and(|missing| i64::try_from(missing) == Ok(group.num_rows()))
        })
    }

    /// All rows in order, some at a time; ends after an error.
    pub(crate) fn batches(&self) -> Result<impl Iterator<Item = Result<RecordBatch, StageError>> + '_, StageError> {
        let failed = |error: String| self.file.failed(self.error(error));
        let groups = self.metadata.metadata().row_groups();
        let bytes: usize = groups.iter().map(|group| usize::try_from(group.total_byte_size()).unwrap_or(0)).sum();
        let row_bytes = bytes / self.len().max(1);
        let rows = (BATCH_BYTES / row_bytes.max(1)).clamp(1, ROWS_PER_BATCH_MAX);
        let builder = Reader::new_with_metadata(self.file.clone(), self.metadata.clone());
        let mut reader =
            Some(guarded(|| builder.with_batch_size(rows).build().map_err(|error| error.to_string())).map_err(failed)?);
        Ok(std::iter::from_fn(move || {
            let next = guarded(|| match reader.as_mut().and_then(Iterator::next) {
                Some(batch) => batch.map(Some).map_err(|error| error.to_string()),
                None => Ok(None),
            });
            if next.is_err() {
                reader = None;
            }
            next.map_err(failed).transpose()
        }))
    }
}
