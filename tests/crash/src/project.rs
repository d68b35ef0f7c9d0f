//! A folder with the study and its store, and processes that work there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use orchestrate_engine::publish::RECORD;

use crate::child::{SET, STORE};
use crate::result::{Ended, Results};
use crate::stages::{LABELS, STUDY};

/// A project in a folder of its own.
pub(crate) struct Project {
    dir: PathBuf,
    /// Removes the folder at the end; `None` where somebody else does.
    _owned: Option<tempfile::TempDir>,
}

/// What a process said until it ended.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// What an undisturbed run gives.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) results: Results,
    pub(crate) published: BTreeMap<PathBuf, Vec<u8>>,
    pub(crate) elapsed: Duration,
}

impl Said {
    /// The results that it promised.
    pub(crate) fn results(&self) -> Vec<Ended> {
        self.out.split_inclusive('\n').filter_map(Ended::parse).collect()
    }

    /// The rest of the lines that begin with a word.
    pub(crate) fn lines<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.out.lines().filter_map(move |line| line.strip_prefix(word)?.strip_prefix(' '))
    }

    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }
}

impl Project {
    /// A project in a temporary folder.
    pub(crate) fn new() -> Self {
        let owned = tempfile::tempdir().expect("there is a temporary folder");
        let mut project = Self::at(owned.path());
        project._owned = Some(owned);
        project
    }

    /// A project in an existing folder.
    pub(crate) fn at(dir: &Path) -> Self {
        fs::write(dir.join("orchestrate.toml"), "").expect("the folder is writable");
        fs::write(dir.join("study.toml"), STUDY).expect("the folder is writable");
        fs::write(dir.join(LABELS.0), LABELS.1).expect("the folder is writable");
        Self { dir: dir.to_owned(), _owned: None }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.dir.join(STORE)
    }

    /// This program with a command for the project and settings of the environment; see `cache/src/files/fault.rs`.
    pub(crate) fn start(&self, command: &str, env: &[(&str, String)]) -> Child {
        self.command(command, env).spawn().expect("this program can be started")
    }

    /// The same, not yet started.
    pub(crate) fn command(&self, command: &str, env: &[(&str, String)]) -> Command {
        let program = std::env::current_exe().expect("a program knows where it lies");
        let mut child = Command::new(program);
        child.arg(command).arg(&self.dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        child.env_remove("FAILPOINT").env_remove("FAILPOINT_WORKER").env_remove("FAILPOINT_TRACE").env_remove(SET);
        child.envs(env.iter().map(|(name, value)| (*name, value.as_str())));
        child
    }

    /// Runs a command to its end.
    pub(crate) fn call(&self, command: &str, env: &[(&str, String)]) -> Said {
        said(self.start(command, env))
    }

    /// Runs the study undisturbed.
    pub(crate) fn expect(&self) -> Expected {
        self.expect_with(&[])
    }

    /// Runs the study undisturbed, with settings of the environment.
    pub(crate) fn expect_with(&self, env: &[(&str, String)]) -> Expected {
        let began = Instant::now();
        let run = self.call("run", env);
        assert!(run.status.success(), "an undisturbed run fails: {run:?}");
        let results = run.results().into_iter().map(|ended| (ended.key, ended.outputs)).collect();
        Expected { results, published: self.published(), elapsed: began.elapsed() }
    }

    /// The files of the folder to which the study publishes, but the record of them, which has times.
    pub(crate) fn published(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for path in tree(&self.dir.join("results")) {
            if path.ends_with(RECORD) {
                continue;
            }
            let bytes = fs::read(&path).expect("a published file can be read");
            files.insert(path.strip_prefix(&self.dir).expect("it lies there").to_owned(), bytes);
        }
        files
    }

    /// The changes of the disk that a command makes, as lines `engine Write packs/*.pack`.
    pub(crate) fn trace(&self, command: &str) -> Vec<String> {
        let trace = self.dir.join("trace");
        let said = self.call(command, &[("FAILPOINT_TRACE", trace.display().to_string())]);
        assert!(said.status.success(), "{command} fails: {said:?}");
        let text = fs::read_to_string(&trace).unwrap_or_default();
        fs::remove_file(&trace).expect("the trace was written");
        text.lines().map(|line| self.place(line)).collect()
    }

    /// A line of a trace with what differs from project to project left out.
    fn place(&self, line: &str) -> String {
        let line = line.replace(&format!("{}/", self.dir.display()), "");
        let plain = |part: &str| {
            let mixed = part.len() >= 12 && part.contains(|c: char| c.is_ascii_digit()) && !part.contains("epoch");
            let numbered = part.len() <= 2 && part.chars().all(|c| c.is_ascii_hexdigit());
            match (mixed || numbered, part.rsplit_once('.')) {
                (true, Some((_, extension))) => format!("*.{extension}"),
                (true, None) => "*".to_owned(),
                _ => part.to_owned(),
            }
        };
        line.split('/').map(plain).collect::<Vec<_>>().join("/")
    }
}

/// Waits for the end of a process.
pub(crate) fn said(child: Child) -> Said {
    let output = child.wait_with_output().expect("a child can be waited for");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { status: output.status, out: text(&output.stdout), err: text(&output.stderr) }
}

/// All files below a folder, sorted; none where there is no folder.
pub(crate) fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { paths.extend(tree(&path)) } else { paths.push(path) }
    }
    paths.sort();
    paths
}
