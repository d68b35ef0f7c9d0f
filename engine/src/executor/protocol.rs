//! The protocol between the engine and a worker process.
//!
//! The engine writes one line of JSON, a [`WorkerRequest`], to the worker's standard input, and the line `stop` when
//! the worker should stop. It keeps the input open as long as it lives: at end of file the worker kills itself and its
//! children.
//!
//! The worker writes [`Message`]s to its standard output, each as a JSON text sequence (RFC 7464): the byte 0x1E, JSON,
//! a line end. Output of a stage or a library is not preceded by 0x1E and goes to the log of the node.

use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;

use orchestrate_cache::StampKey;
use orchestrate_cache::disk;
use orchestrate_cache::native_path::{self, NativePath};
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::stage::{Action, Content, Output, Progress};
use crate::usage::Usage;

/// The line that asks a worker to stop.
pub(super) const STOP: &str = "stop";

/// The byte before each message.
const RECORD_SEPARATOR: u8 = 0x1e;

/// The largest length of a message. A longer line is read in pieces, so that endless output does not fill the memory.
const LINE_MAX_BYTES: u64 = 16 << 20;

/// The request to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WorkerRequest {
    pub(super) kind: String,
    pub(super) actions: Vec<Action>,
    pub(super) threads: usize,
    pub(super) device: String,
    /// An empty folder, in which the worker makes one for the stage and one for outputs.
    #[serde(with = "native_path")]
    pub(super) scratch_dir: PathBuf,
    #[serde(with = "native_path::option")]
    pub(super) checkpoint_dir: Option<PathBuf>,
    pub(super) checkpoint_stamp: Option<StampKey>,
    pub(super) memory_limit_bytes: Option<u64>,
    pub(super) log_max_bytes: u64,
}

/// A message of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    Progress(Progress),
    /// Description of the device on which the stage has computed, if there is more to say than its name.
    Device(String),
    /// The use of CPU and memory; it comes before the results.
    Used(Usage),
    /// The last message.
    Results(Vec<Result<Vec<StoredOutput>, Failure>>),
}

/// An output with its files in the scratch folder.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredOutput {
    name: String,
    files: Vec<(String, NativePath<PathBuf>)>,
}

impl StoredOutput {
    /// Writes contents that are in memory to files with the given prefix.
    pub(super) fn store(output: Output, prefix: &std::path::Path) -> io::Result<Self> {
        let mut files = Vec::with_capacity(output.files.len());
        for (index, (name, content)) in output.files.into_iter().enumerate() {
            let path = match content {
                Content::File(path) => path,
                Content::Bytes(bytes) => {
                    let mut path = prefix.as_os_str().to_owned();
                    path.push(format!("-{index}"));
                    let path = PathBuf::from(path);
                    disk::write(&path, &bytes).map_err(io::Error::other)?;
                    path
                }
            };
            files.push((name, NativePath(path)));
        }
        Ok(Self { name: output.name, files })
    }

    /// Returns the output as a stage returns it.
    pub(super) fn into_output(self) -> Output {
        let files = self.files.into_iter().map(|(name, NativePath(path))| (name, Content::File(path)));
        Output { name: self.name, files: files.collect() }
    }
}

impl Message {
    /// Writes the message in one piece.
    pub(super) fn write(&self, output: &mut impl Write) -> io::Result<()> {
        let mut bytes = vec![RECORD_SEPARATOR];
        serde_json::to_writer(&mut bytes, self)?;
        bytes.push(b'\n');
        output.write_all(&bytes)?;
        output.flush()
    }

    /// Splits a line of output into the message in it, if any, and the text before it.
    pub(super) fn parse(line: &[u8]) -> (Option<Self>, &[u8]) {
        let Some(start) = line.iter().rposition(|byte| *byte == RECORD_SEPARATOR) else { return (None, line) };
        match serde_json::from_slice(&line[start + 1..]) {
            Ok(message) => (Some(message), &line[..start]),
            Err(_) => (None, line),
        }
    }
}

/// Reads messages until the output ends or fails, or `take` returns false; passes all other output to `foreign`, by
/// lines.
pub(super) fn read_messages(
    mut output: impl BufRead,
    mut foreign: impl FnMut(&[u8]),
    mut take: impl FnMut(Message) -> bool,
) {
    let mut line = Vec::new();
    while let Ok(1..) = output.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', &mut line) {
        let (message, rest) = Message::parse(&line);
        if !rest.trim_ascii().is_empty() {
            foreign(rest);
        }
        if message.is_some_and(|message| !take(message)) {
            return;
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_found_behind_other_output_on_its_line() {
        let progress = Progress { done: 1, total: 2, message: "loss 0.4".to_owned() };
        let mut line = b"Downloading... \xff 42%".to_vec();
        Message::Progress(progress.clone()).write(&mut line).expect("memory is writable");
        let (message, rest) = Message::parse(&line);
        assert!(matches!(message, Some(Message::Progress(read)) if read == progress));
        assert_eq!(rest, b"Downloading... \xff 42%");
    }

    #[test]
    fn other_lines_are_no_messages() {
        for line in [&b"hello\n"[..], b"{\"Progress\":1}\n", b"\x1e{\"Progr\n", b"\n", b""] {
            let (message, rest) = Message::parse(line);
            assert!(message.is_none());
            assert_eq!(rest, line);
        }
    }

    #[test]
    fn line_without_end_is_read_in_pieces_and_the_next_message_is_found() {
        let mut last = b"\n".to_vec();
        Message::Device("cpu".to_owned()).write(&mut last).expect("memory is writable");
        let length = 2 * LINE_MAX_BYTES + 5;
        let output = io::BufReader::new(io::repeat(b'x').take(length).chain(last.as_slice()));
        let (mut parts, mut heard) = (Vec::new(), 0);
        read_messages(
            output,
            |part| parts.push(part.trim_ascii_end().len() as u64),
            |_| {
                heard += 1;
                true
            },
        );
        assert_eq!((parts, heard), (vec![LINE_MAX_BYTES, LINE_MAX_BYTES, 5], 1));
    }

    #[test]
    fn contents_in_memory_reach_the_engine_as_files() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let output = Output::file("scores", "scores.parquet", b"PAR1".to_vec());
        let stored = StoredOutput::store(output, &dir.path().join("0-0")).expect("the folder is writable");
        let output = stored.into_output();
        assert_eq!((output.name.as_str(), output.files[0].0.as_str()), ("scores", "scores.parquet"));
        let Content::File(path) = &output.files[0].1 else { panic!("it is a file") };
        assert_eq!(std::fs::read(path).expect("it was written"), b"PAR1");
    }
}
