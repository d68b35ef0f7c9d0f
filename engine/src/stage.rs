//! What the engine asks of a kind of stage. The engine knows graphs and files; a [`Stage`] knows what is in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use orchestrate_cache::external::{self, EXTERNAL_BYTES_MAX};
use orchestrate_cache::{ActionKey, BlobError, BlobLocation, Digest, FileStat, OpenBlob, native_path};
use serde::{Deserialize, Serialize};

use crate::params::{ParamTable, ParamsError};

/// A kind of stage: what it takes, what it gives, and how it runs.
///
/// A stage sees its params, its inputs and its external files, and nothing else: no environment, no clock, no names of
/// nodes. What it sees is in its key.
pub trait Stage: Send + Sync {
    /// The word after `kind =`.
    fn kind(&self) -> &'static str;

    /// Raised when the same params and inputs would give other bytes.
    fn version(&self) -> u32;

    /// One sentence for the list of kinds.
    fn about(&self) -> &'static str;

    /// Where it runs.
    fn weight(&self) -> Weight {
        Weight::Light
    }

    /// Named inputs, in the order in which the stage receives them.
    fn ports(&self) -> &'static [Port];

    /// Whether those ports together make sense, where optional ones exclude or need each other; the error is one sentence
    /// about the stage, which reads after "stage `NAME`: ".
    ///
    /// Asked when the spec is planned, once all ports that are not optional are connected.
    fn check_ports(&self, _connected: &[&str]) -> Result<(), String> {
        Ok(())
    }

    /// Whether inputs under any other name are taken too, as `command` does.
    fn takes_any_port(&self) -> bool {
        false
    }

    /// Names of the outputs, given the params.
    fn outputs(&self, params: &serde_json::Value) -> Vec<String>;

    /// Names of the params, in the order of declaration.
    fn fields(&self) -> &'static [&'static str];

    /// The param that holds free params (a table), where axes bind what is no field; `command` has `params`.
    fn free_fields(&self) -> Option<&'static str> {
        None
    }

    /// Params that hold paths of files or folders (a text or a list of texts), as dotted names such as `init.weights`.
    ///
    /// The engine resolves them against the file that wrote them, keeps them out of the key, and puts the digests of
    /// [`Stage::files`] in their place.
    fn path_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// Reads the params, with their defaults filled in, as JSON; all that is wrong with them at once.
    fn check(&self, params: &ParamTable) -> Result<serde_json::Value, ParamsError>;

    /// Whether folders among those paths are read without the folders below them that hold what was published (those with a
    /// file of the name [`crate::publish::RECORD`]), so that a stage may publish there.
    fn leaves_out_published(&self) -> bool {
        false
    }

    /// External files that a run will read, given the checked params with absolute paths.
    ///
    /// Each error is one sentence about one file.
    fn files(&self, _params: &serde_json::Value) -> Result<Vec<FileName>, Vec<String>> {
        Ok(Vec::new())
    }

    /// What to do where [`Stage::files`] fails, given the same params; one sentence, or nothing.
    fn files_help(&self, _params: &serde_json::Value) -> Option<String> {
        None
    }

    /// Environment variables whose values belong to the key, given the params; `command` has `env`.
    fn keyed_env(&self, _params: &serde_json::Value) -> Vec<String> {
        Vec::new()
    }

    /// Facts about this machine that belong to the key, as (name, value), given the checked params with absolute paths;
    /// `command` has the output of its `version`.
    ///
    /// Asked when the key is made, perhaps once a node, so a slow answer is remembered by the stage. The error is one
    /// sentence.
    fn probe(&self, _params: &serde_json::Value) -> Result<Vec<(String, String)>, String> {
        Ok(Vec::new())
    }

    /// Whether it computes on one accelerator device where there is one, and on the CPU otherwise.
    ///
    /// Such a stage gets a whole device unless `resources` says `gpu = 0.5`, or `gpu = 0` to keep it on the CPU. What another
    /// stage asks for by `gpu` it must get.
    fn uses_device(&self) -> bool {
        false
    }

    /// Environment variables with which a worker process starts, so that libraries find the given device and no other; it
    /// is a name as in [`Context::device`], or several with commas between them.
    fn device_env(&self, _device: &str) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// What to record of a device that was used, its make and driver say; asked in the worker process after a run.
    fn describe_device(&self, device: &str) -> String {
        device.to_owned()
    }

    /// Whether siblings that share inputs are worth running together; see [`Stage::run`].
    fn batches(&self) -> bool {
        false
    }

    /// Whether a killed run can go on from files in [`Context::checkpoint_dir`].
    fn checkpoints(&self) -> bool {
        false
    }

    /// Runs siblings that differ only in params and in the inputs that do not come from shared stages.
    ///
    /// Gives one result for each action, in order. A batch of one is the common case.
    fn run(&self, context: &Context<'_>, batch: &[Action]) -> Vec<Result<Vec<Output>, StageError>>;
}

/// Where a stage runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// In a thread of the engine: milliseconds, little memory, cannot crash.
    Light,
    /// In a worker process of its own, with bounded threads.
    Heavy,
}

/// A named input of a kind of stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name before `=` in `inputs`.
    pub name: &'static str,
    /// Names of outputs that it reads, the preferred one first; an upstream stage with exactly one output that is in no
    /// stage's declaration (a `command`) fits every port.
    pub reads: &'static [&'static str],
    /// Whether the stage runs without it.
    pub optional: bool,
    /// Whether it takes gathered inputs or several stages; otherwise it must receive exactly one artifact.
    pub many: bool,
}

/// An external file by its name in the key and its place on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// Name relative to the manifest, folder or list that mentions it, with `/`; enters the key.
    pub name: String,
    /// Absolute path; stays out of the key.
    pub path: PathBuf,
    /// What the filesystem said of it, where the stage has looked at it, so that nobody looks a second time.
    pub stat: Option<FileStat>,
}

impl FileName {
    /// A file that nobody has looked at.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), path: path.into(), stat: None }
    }
}

/// One node's work, ready to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Action {
    /// Its key.
    pub key: ActionKey,
    /// The node's name, for logs only.
    pub node: String,
    /// Checked params, paths absolute.
    pub params: serde_json::Value,
    /// Inputs in the order of the ports; ports that were left out are missing.
    pub inputs: Vec<Input>,
    /// External files in the order of [`Stage::files`].
    pub files: Vec<ExternalFile>,
    /// Keyed environment variables with their values; `None` where unset.
    pub env: Vec<(String, Option<String>)>,
}

impl Action {
    /// The input at a port, if it is connected.
    pub fn input(&self, port: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.port == port)
    }

    /// The one artifact at a port that takes exactly one.
    pub fn one(&self, port: &str) -> Result<&Item, StageError> {
        match self.input(port).map(|input| input.items.as_slice()) {
            Some([item]) => Ok(item),
            Some(items) => Err(StageError::input(port, format!("one artifact was expected, found {}", items.len()))),
            None => Err(StageError::input(port, "nothing is connected")),
        }
    }

    /// The external file of that name.
    pub fn file(&self, name: &str) -> Option<&ExternalFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

/// What a port receives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Input {
    /// The port's name.
    pub port: String,
    /// One item where the input is joined; all points in gather order where it is gathered.
    pub items: Vec<Item>,
}

/// Axis and value label. A table of a sweep gathers tens of thousands of artifacts, which share these texts.
pub type Label = (Arc<str>, Arc<str>);

/// One artifact at a port.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Axis and value label of each gathered axis, in the order of declaration; empty where the input is joined.
    #[serde(with = "shared_labels")]
    pub labels: Vec<Label>,
    /// The artifact's files, sorted by name; all nodes that read an artifact share them.
    #[serde(with = "shared")]
    pub files: Arc<[InputFile]>,
}

impl Item {
    /// The label of a gathered axis.
    pub fn label(&self, axis: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| **name == *axis).map(|(_, label)| &**label)
    }

    /// Reads and verifies the file of that name.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, StageError> {
        self.file(name)?.read()
    }

    /// Verifies the file of that name, which is then read in parts.
    pub fn open(&self, name: &str) -> Result<OpenBlob, StageError> {
        self.file(name)?.open()
    }

    fn file(&self, name: &str) -> Result<&InputFile, StageError> {
        self.files.iter().find(|file| file.name == name).ok_or_else(|| {
            let names: Vec<_> = self.files.iter().map(|file| file.name.as_str()).collect();
            StageError::new(format!("the input has no file `{name}`, only: {}", names.join(", ")))
        })
    }
}

/// A stored file that a stage may read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InputFile {
    /// Name within its artifact.
    pub name: String,
    /// Digest of the contents.
    pub digest: Digest,
    /// Length of the contents.
    pub size_bytes: u64,
    /// Where the bytes lie.
    pub location: BlobLocation,
}

impl InputFile {
    /// Reads the contents and checks them against the digest.
    pub fn read(&self) -> Result<Vec<u8>, StageError> {
        self.location.read_verified(&self.digest).map_err(|error| StageError::corrupt(self.digest, &error))
    }

    /// Checks the contents against the digest, and leaves them in the file; see [`OpenBlob`].
    pub fn open(&self) -> Result<OpenBlob, StageError> {
        self.location.open_verified(&self.digest).map_err(|error| StageError::corrupt(self.digest, &error))
    }
}

/// An external file with the digest that is in the key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExternalFile {
    /// Name in the key.
    pub name: String,
    /// Absolute path.
    #[serde(with = "native_path")]
    pub path: PathBuf,
    /// Digest of the contents when the key was made.
    pub digest: Digest,
}

impl ExternalFile {
    /// Reads the contents; fails if they changed since the key was made.
    pub fn read(&self) -> Result<Vec<u8>, StageError> {
        let bytes = external::read(&self.path, EXTERNAL_BYTES_MAX)
            .map_err(|error| StageError::new(format!("cannot read {}: {error}", self.path.display())))?;
        if Digest::of(&bytes) == self.digest { Ok(bytes) } else { Err(self.changed()) }
    }

    /// Fails if the contents changed since the key was made; for a reader that takes parts of a large file from its path.
    pub fn check(&self) -> Result<(), StageError> {
        let digest = external::open(&self.path, EXTERNAL_BYTES_MAX)
            .and_then(Digest::of_reader)
            .map_err(|error| StageError::new(format!("cannot read {}: {error}", self.path.display())))?;
        if digest == self.digest { Ok(()) } else { Err(self.changed()) }
    }

    fn changed(&self) -> StageError {
        StageError::new(format!("{} changed while the run was reading it; run again", self.path.display()))
    }
}

/// A named output of a stage that ran.
#[derive(Debug)]
pub struct Output {
    /// One of [`Stage::outputs`].
    pub name: String,
    /// Relative file names with their contents.
    pub files: Vec<(String, Content)>,
}

impl Output {
    /// An output of one file held in memory.
    pub fn file(name: &str, file: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.to_owned(), files: vec![(file.to_owned(), Content::Bytes(bytes))] }
    }
}

/// The contents of an output file.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file below [`Context::scratch_dir`], which the store takes over.
    File(PathBuf),
}

/// What a running stage may use beside its action.
pub struct Context<'a> {
    /// An empty folder of its own, removed afterwards.
    pub scratch_dir: &'a Path,
    /// A folder that outlives a killed run of the same key; only where [`Stage::checkpoints`] says so.
    pub checkpoint_dir: Option<&'a Path>,
    /// How many threads it may use.
    pub threads: usize,
    /// The device it was given: `cpu`, or `cuda:0` and so on.
    pub device: &'a str,
    /// Most bytes of the node's log; for a stage that hands on what another program prints.
    pub log_max_bytes: u64,
    /// Tells people how far it is.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// Whether the run is being stopped; a long stage looks at it often and then returns [`StageError::Cancelled`].
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// How far a stage is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Units done, epochs of a training for example.
    pub done: u64,
    /// Units in all.
    pub total: u64,
    /// The latest figure, `loss 0.412` for example.
    pub message: String,
}

/// Why a stage failed, as a fragment that reads after "failed: ".
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
pub enum StageError {
    /// What is wrong, and what to do.
    #[error("{0}")]
    Failed(String),
    /// Stored bytes do not match their digest.
    #[error("stored file {digest} is corrupt: {message}")]
    Corrupt {
        /// The digest that the bytes should have.
        digest: Digest,
        /// What was found instead.
        message: String,
    },
    /// The run was stopped.
    #[error("cancelled")]
    Cancelled,
}

impl StageError {
    /// A failure with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// A failure caused by stored bytes that cannot be served.
    pub fn corrupt(digest: Digest, error: &BlobError) -> Self {
        Self::Corrupt { digest, message: error.to_string() }
    }

    /// A failure caused by what a port received.
    pub fn input(port: &str, message: impl std::fmt::Display) -> Self {
        Self::Failed(format!("input `{port}`: {message}"))
    }
}

/// How a worker process is told of labels that are shared here.
mod shared_labels {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Label;

    pub(super) fn serialize<S: Serializer>(labels: &[Label], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(labels.iter().map(|(axis, label)| (&**axis, &**label)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Label>, D::Error> {
        let labels = Vec::<(String, String)>::deserialize(deserializer)?;
        Ok(labels.into_iter().map(|(axis, label)| (axis.into(), label.into())).collect())
    }
}

/// The same of a list.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(items: &Arc<[T]>, serializer: S) -> Result<S::Ok, S::Error> {
        items.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<[T]>, D::Error> {
        Vec::deserialize(deserializer).map(Into::into)
    }
}
