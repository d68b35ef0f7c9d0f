//! Runs of a command on inputs made by hand.

use std::cell::RefCell;
use std::path::PathBuf;

use orchestrate_cache::{ActionKey, BlobLocation, Digest};
use orchestrate_engine::params::ParamTable;
use orchestrate_engine::stage::{
    Action, Content, Context, ExternalFile, Input, InputFile, Item, Output, Progress, Stage, StageError,
};
use toml::de::DeTable;

use crate::command::leftover::Children;
use crate::command::{Command, environment, run};

pub(super) static COMMAND: Command = Command::new();

pub(super) fn table(toml: &'static str) -> ParamTable {
    DeTable::parse(toml).expect("the test's TOML is well formed")
}

pub(super) fn params(toml: &'static str) -> serde_json::Value {
    COMMAND.check(&table(toml)).unwrap_or_else(|error| panic!("{error:?}"))
}

/// A folder for scratch, inputs and code.
pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) progress: RefCell<Vec<Progress>>,
}

/// The outputs of a run, and its log.
pub(super) struct Ran {
    pub(super) outputs: Result<Vec<Output>, StageError>,
    pub(super) log: String,
}

impl Ran {
    pub(super) fn message(&self) -> String {
        self.outputs.as_ref().expect_err("the run should fail").to_string()
    }

    /// Names and texts of the files of the first output.
    pub(super) fn files(&self) -> Vec<(String, String)> {
        let outputs = self.outputs.as_ref().unwrap_or_else(|error| panic!("{error}\n{}", self.log));
        outputs[0]
            .files
            .iter()
            .map(|(name, content)| match content {
                Content::File(path) => (name.clone(), std::fs::read_to_string(path).expect("an output can be read")),
                Content::Bytes(_) => panic!("a command's outputs are files"),
            })
            .collect()
    }

    pub(super) fn text(&self) -> String {
        self.files().into_iter().map(|(_, text)| text).collect()
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        Self { dir, progress: RefCell::default() }
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it has a parent")).expect("a folder can be made");
        std::fs::write(&path, text).expect("a file can be written");
        path
    }

    pub(super) fn item(&self, labels: &[(&str, &str)], files: &[(&str, &str)]) -> Item {
        let labels = labels.iter().map(|(axis, label)| ((*axis).into(), (*label).into())).collect();
        let file = |(name, text): &(&str, &str)| {
            let digest = Digest::of(text.as_bytes());
            let path = self.write(&format!("store/{digest}"), text);
            let size_bytes = text.len() as u64;
            InputFile {
                name: (*name).to_owned(),
                digest,
                size_bytes,
                location: BlobLocation { path: path.into(), offset: 0, size_bytes },
            }
        };
        Item { labels, files: files.iter().map(file).collect() }
    }

    pub(super) fn run(&self, params: serde_json::Value, inputs: Vec<(&str, Vec<Item>)>) -> Ran {
        self.run_with(params, inputs, &[], &|| false)
    }

    /// `code` of the params is taken relative to the bench's folder, as the engine does with the spec's.
    pub(super) fn run_with(
        &self,
        mut params: serde_json::Value,
        inputs: Vec<(&str, Vec<Item>)>,
        environment: &[(&str, &str)],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Ran {
        for path in params["code"].as_array_mut().expect("code is a list") {
            *path = self.dir.path().join(path.as_str().expect("a path is a text")).to_string_lossy().into();
        }
        let files = COMMAND.files(&params).expect("code files can be read").into_iter().map(|file| {
            let digest = Digest::of(&std::fs::read(&file.path).expect("code files can be read"));
            ExternalFile { name: file.name, path: file.path, digest }
        });
        let value = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let keyed = COMMAND.keyed_env(&params).into_iter().map(|name| (name.clone(), value(&name).map(str::to_owned)));
        let action = Action {
            key: ActionKey(Digest::of(b"")),
            node: "summary".to_owned(),
            files: files.collect(),
            env: keyed.collect(),
            probes: Vec::new(),
            params,
            inputs: inputs.into_iter().map(|(port, items)| Input { port: port.to_owned(), items }).collect(),
        };
        let seen = std::sync::Mutex::new(Vec::new());
        let scratch = tempfile::tempdir_in(self.dir.path()).expect("a temporary folder can be made").keep();
        let context = Context {
            scratch_dir: &scratch,
            checkpoint_dir: None,
            checkpoint_stamp: None,
            threads: 3,
            device: "cpu",
            log_max_bytes: u64::MAX,
            progress: &|progress| seen.lock().expect("no test panics here").push(progress),
            cancelled,
        };
        let mut log = Vec::new();
        let value_of = |name: &str| match name {
            "PATH" => environment::of_process("PATH"),
            "HOME" => Some("/home/somebody".into()),
            _ => value(name).map(Into::into),
        };
        let outputs = run(&context, &action, &scratch.join("0"), value_of, Children::Mixed, &mut log);
        self.progress.borrow_mut().extend(seen.into_inner().expect("no test panics here"));
        Ran { outputs, log: String::from_utf8(log).expect("the log is UTF-8") }
    }
}
