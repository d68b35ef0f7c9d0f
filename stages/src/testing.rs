//! Runs stages in tests as the engine would: actions with stored inputs in, outputs out.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use orchestrate_cache::{ActionKey, BlobLocation, Digest};
use orchestrate_engine::stage::{Action, Content, Context, Input, InputFile, Item, Output, Stage, StageError};
use tempfile::TempDir;

use crate::artifact::{Cams, Images, Masks, Split, Table};

/// A folder that stands for the store.
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

/// Maps of 2 × 2 at an input size of 2 × 2, of images `0.png`, `1.png` and so on, all of class `x` and predicted so.
pub(crate) fn cams_of(maps: &[[f32; 4]]) -> Cams {
    Cams {
        names: (0..maps.len()).map(|row| format!("{row}.png")).collect(),
        labels: vec![0; maps.len()],
        predicted: vec![0; maps.len()],
        classes: vec!["x".to_owned(), "y".to_owned()],
        probabilities: [0.75, 0.25].repeat(maps.len()),
        height: 2,
        width: 2,
        input_height: 2,
        input_width: 2,
        maps: maps.concat(),
    }
}

/// Square images with a bright disc each on a noisy ground, its mask (every fifth image has none), and three folds.
pub(crate) fn blobs(count: usize, size: usize) -> (Images, Masks, Split) {
    let names: Vec<String> = (0..count).map(|image| format!("{image}.png")).collect();
    let (mut pixels, mut mask) = (Vec::new(), Vec::new());
    for image in 0..count {
        let center = |step: usize| size / 4 + image * step % (size / 2);
        let (y, x, radius) = (center(7), center(11), size / 6);
        for place in 0..size * size {
            let distance = (place / size).abs_diff(y).pow(2) + (place % size).abs_diff(x).pow(2);
            let inside = distance <= radius * radius && image % 5 != 4;
            let noise = (place * 31 + image * 97) % 60;
            pixels.push((noise + if inside { 150 } else { 0 }) as u8);
            mask.push(u8::from(inside));
        }
    }
    let split = Split {
        names: names.clone(),
        labels: (0..count as u32).map(|image| image % 2).collect(),
        classes: ["a", "b"].map(str::to_owned).to_vec(),
        patients: vec![None; count],
        folds: (0..count as u32).map(|image| image % 3 + 1).collect(),
    };
    let images = Images { names: names.clone(), height: size, width: size, pixels };
    (images, Masks { names, height: size, width: size, pixels: mask }, split)
}
