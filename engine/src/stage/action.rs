//! The work of one node: params, inputs, external files and environment, ready to run.

use std::sync::Arc;

use orchestrate_cache::{ActionKey, BlobLocation, Digest, OpenBlob};
use serde::{Deserialize, Serialize};

use super::error::StageError;
use super::file::ExternalFile;

/// The work of one node, ready to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Action {
    /// Its key.
    pub key: ActionKey,
    /// The node's name, for logs only.
    pub node: String,
    /// Checked params, paths absolute.
    pub params: serde_json::Value,
    /// Inputs in the order of the ports, without unconnected ports.
    pub inputs: Vec<Input>,
    /// External files in the order of [`Stage::files`](super::Stage::files).
    pub files: Vec<ExternalFile>,
    /// Keyed environment variables with their values; `None` where unset.
    pub env: Vec<(String, Option<String>)>,
    /// Answers of [`Stage::probe`](super::Stage::probe) by name.
    #[serde(default)]
    pub probes: Vec<(String, String)>,
}

impl Action {
    /// Returns the input at a port, if it is connected.
    pub fn input(&self, port: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.port == port)
    }

    /// Returns the artifacts at a port; none if it is not connected.
    pub fn items(&self, port: &str) -> &[Item] {
        self.input(port).map(|input| input.items.as_slice()).unwrap_or_default()
    }

    /// Returns the artifact at a port that takes exactly one.
    pub fn one(&self, port: &str) -> Result<&Item, StageError> {
        match self.input(port).map(|input| input.items.as_slice()) {
            Some([item]) => Ok(item),
            Some(items) => Err(StageError::input(port, format!("one artifact was expected, found {}", items.len()))),
            None => Err(StageError::input(port, "nothing is connected")),
        }
    }

    /// Returns the external file of that name.
    pub fn file(&self, name: &str) -> Option<&ExternalFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

/// The artifacts at one port.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Input {
    /// The port's name.
    pub port: String,
    /// One item if the input is joined; all points in gather order if it is gathered.
    pub items: Vec<Item>,
}

/// Axis and value label. A table of a sweep gathers tens of thousands of artifacts, and they share these texts.
pub type Label = (Arc<str>, Arc<str>);

/// One artifact at a port.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "PlainItem", into = "PlainItem")]
pub struct Item {
    /// Axis and value label of each gathered axis, in the order of declaration; empty if the input is joined.
    pub labels: Vec<Label>,
    /// The artifact's files, sorted by name; shared by all nodes that read the artifact.
    pub files: Arc<[InputFile]>,
}

impl Item {
    /// Returns the label of a gathered axis.
    pub fn label(&self, axis: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| **name == *axis).map(|(_, label)| &**label)
    }

    /// Reads and verifies the file of that name.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, StageError> {
        self.file(name)?.read()
    }

    /// Opens and verifies the file of that name, for reading in parts.
    pub fn open(&self, name: &str) -> Result<OpenBlob, StageError> {
        self.file(name)?.open()
    }

    /// Returns the digest of the file of that name.
    pub fn digest(&self, name: &str) -> Result<Digest, StageError> {
        Ok(self.file(name)?.digest)
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
    /// Location of the bytes in the store.
    pub location: BlobLocation,
}

impl InputFile {
    /// Reads the contents and checks them against the digest.
    pub fn read(&self) -> Result<Vec<u8>, StageError> {
        self.location.read_verified(&self.digest).map_err(|error| StageError::corrupt(self.digest, &error))
    }

    /// Checks the contents against the digest without loading them; see [`OpenBlob`].
    pub fn open(&self) -> Result<OpenBlob, StageError> {
        self.location.open_verified(&self.digest).map_err(|error| StageError::corrupt(self.digest, &error))
    }
}

/// An item without sharing, as a worker process receives it.
#[derive(Serialize, Deserialize)]
struct PlainItem {
    labels: Vec<(String, String)>,
    files: Vec<InputFile>,
}

impl From<Item> for PlainItem {
    fn from(item: Item) -> Self {
        let labels = item.labels.iter().map(|(axis, label)| (axis.to_string(), label.to_string()));
        Self { labels: labels.collect(), files: item.files.to_vec() }
    }
}

impl From<PlainItem> for Item {
    fn from(item: PlainItem) -> Self {
        let labels = item.labels.into_iter().map(|(axis, label)| (axis.into(), label.into()));
        Self { labels: labels.collect(), files: item.files.into() }
    }
}
