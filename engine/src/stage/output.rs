//! Outputs of a stage before they are stored.

use std::path::PathBuf;

/// A named output of a finished stage.
#[derive(Debug)]
pub struct Output {
    /// One of [`Stage::outputs`](super::Stage::outputs).
    pub name: String,
    /// Relative file names with their contents.
    pub files: Vec<(String, Content)>,
}

impl Output {
    /// Returns an output of one file held in memory.
    pub fn file(name: &str, file: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.to_owned(), files: vec![(file.to_owned(), Content::Bytes(bytes))] }
    }
}

/// The contents of an output file.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file below [`Context::scratch_dir`](super::Context::scratch_dir); the store moves it away.
    File(PathBuf),
}
