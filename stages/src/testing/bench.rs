//! Runs stages in tests as the engine does, on actions with stored inputs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use orchestrate_cache::{ActionKey, BlobLocation, Digest};
use orchestrate_engine::stage::{Action, Content, Context, Input, InputFile, Item, Output, Stage, StageError};
use tempfile::TempDir;

use crate::artifact::Table;

/// A folder in place of the store.
pub(crate) struct Bench {
    folder: TempDir,
    stored: AtomicUsize,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), stored: AtomicUsize::new(0) }
    }

    /// Stores a table, as an item with labels of gathered axes.
    pub(crate) fn item<T: Table>(&self, table: &T, labels: &[(&str, &str)]) -> Item {
        let labels = labels.iter().map(|&(axis, label)| (axis.into(), label.into())).collect();
        Item { labels, files: self.store(table.output().unwrap()) }
    }

    /// An action with those params, as JSON, and inputs.
    pub(crate) fn action(&self, params: &str, inputs: &[(&str, &[Item])]) -> Action {
        Action {
            key: ActionKey(Digest::of(params.as_bytes())),
            node: "test".to_owned(),
            params: serde_json::from_str(params).unwrap(),
            inputs: inputs
                .iter()
                .map(|&(port, items)| Input { port: port.to_owned(), items: items.to_vec() })
                .collect(),
            files: Vec::new(),
            env: Vec::new(),
            probes: Vec::new(),
        }
    }

    /// Params of a stage as a spec writes them, checked: JSON, or every problem in one text.
    pub(crate) fn check(&self, stage: &dyn Stage, toml: &'static str) -> Result<serde_json::Value, String> {
        let table = toml::de::DeTable::parse(toml).expect("the test's TOML is well formed");
        stage.check(&table).map_err(|error| {
            let problems =
                error.problems.iter().map(|problem| format!("{}: {}", &toml[problem.span.clone()], problem.message));
            problems.collect::<Vec<_>>().join("\n")
        })
    }

    /// Runs a batch.
    pub(crate) fn run(&self, stage: &dyn Stage, batch: &[Action]) -> Vec<Result<Vec<Output>, StageError>> {
        let context = Context {
            scratch_dir: self.folder.path(),
            checkpoint_dir: None,
            checkpoint_stamp: None,
            threads: 1,
            device: "cpu",
            log_max_bytes: u64::MAX,
            progress: &|_| (),
            cancelled: &|| false,
        };
        stage.run(&context, batch)
    }

    /// The table in an outcome.
    pub(crate) fn table<T: Table>(&self, outcome: Result<Vec<Output>, StageError>) -> T {
        let mut outputs = outcome.unwrap();
        let index = outputs.iter().position(|output| output.name == T::OUTPUT).expect("the output is there");
        let files = self.store(outputs.swap_remove(index));
        T::from_item(&Item { labels: Vec::new(), files }).unwrap()
    }

    /// Stores an output.
    pub(crate) fn store(&self, output: Output) -> Arc<[InputFile]> {
        output
            .files
            .into_iter()
            .map(|(name, content)| {
                let bytes = match content {
                    Content::Bytes(bytes) => bytes,
                    Content::File(path) => std::fs::read(path).unwrap(),
                };
                let path: PathBuf = self.folder.path().join(self.stored.fetch_add(1, Ordering::Relaxed).to_string());
                std::fs::write(&path, &bytes).unwrap();
                let size_bytes = bytes.len() as u64;
                let location = BlobLocation { path: path.into(), offset: 0, size_bytes };
                InputFile { name, digest: Digest::of(&bytes), size_bytes, location }
            })
            .collect()
    }
}
