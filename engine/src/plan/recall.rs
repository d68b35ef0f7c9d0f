//! External files as an earlier run had them, for plans whose data are gone or elsewhere.

use orchestrate_cache::{Digest, Value};
use serde_json::Value as Json;

use super::paths::{paths, without_dots};
use crate::runlog::RunId;
use crate::stage::{FileName, Stage};

/// Everything outside of params and inputs that the key of a recorded result has.
#[derive(Clone, Debug, PartialEq)]
pub struct Recalled {
    /// The run whose record it is.
    pub run: RunId,
    /// Names of the external files in their order, each with its digest.
    pub files: Vec<(String, Digest)>,
    /// Environment variables.
    pub env: Vec<(String, Option<String>)>,
    /// Observations of the machine.
    pub probes: Vec<(String, String)>,
}

impl Recalled {
    /// Returns the files for a plan, without paths: nobody can read them.
    pub(super) fn file_names(&self) -> Vec<FileName> {
        self.files.iter().map(|(name, _)| FileName::new(name.as_str(), "")).collect()
    }
}

/// The source of recalled files.
pub trait Recall {
    /// Returns whether records come before the disk: the plan is that of a run. Otherwise they stand in for data that
    /// are gone.
    fn comes_first(&self) -> bool;

    /// Returns the files of a result of this kind with these params: `keyed` is without paths, `params` is with them.
    /// Records that stand in for data must have read the same paths, as another path may be misspelt.
    fn recall(&self, kind: &dyn Stage, keyed: &Value, params: &Json) -> Option<Recalled>;
}

/// Returns whether a kind reads the same files or folders with two params. Links are not followed.
pub fn reads_same_paths(kind: &dyn Stage, params: &Json, others: &Json) -> bool {
    let plain = |params| -> Vec<_> {
        let fields = kind.facts().path_fields.iter();
        fields.flat_map(|field| paths(params, field)).map(without_dots).collect()
    };
    plain(params) == plain(others)
}
