//! The origin of a run: texts of the spec, arguments, commit, host. It is for people and for `show`, `diff` and
//! `verify-results`; no key depends on it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use orchestrate_cache::OutputDigest;
use orchestrate_cache::native_path::{self, NativePath};
use serde::{Deserialize, Serialize};

use crate::repository::Commit;
use crate::spec::SpecText;

/// The origin of a run, known before anything runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the experiment.
    pub experiment: String,
    /// The project's root.
    #[serde(with = "native_path")]
    pub root: PathBuf,
    /// The arguments of the program, as given.
    pub arguments: Vec<String>,
    /// The working folder, against which paths in `--set` resolve.
    #[serde(with = "native_path")]
    pub working_dir: PathBuf,
    /// The texts of the spec and of all that it extends, in the order in which they were read; the spec comes first.
    pub texts: Vec<SpecText>,
    /// Versions of the kinds of stages in the spec.
    pub kinds: BTreeMap<String, u32>,
    /// The commit that was checked out where the spec lies; `None` outside of a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// Name of the user.
    pub user: String,
    /// Name of the host.
    pub host: String,
}

/// Facts that cost more to find out; a run asks for them beside its first miss, so a run of hits lacks them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Model of the processor, if the system names it.
    pub processor: Option<String>,
    /// The number of tracked files that differ from the commit; `None` if git did not tell.
    pub changed: Option<usize>,
    /// The number of files and folders that git does not track; `None` if git did not tell.
    pub untracked: Option<usize>,
}

/// Results of a run that people look at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// Names of the first nodes that made a table, each with the digest of its output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<(String, OutputDigest)>,
    /// Published folders that are up to date.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<NativePath<PathBuf>>,
}

impl Made {
    /// Returns whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.published.is_empty()
    }
}
