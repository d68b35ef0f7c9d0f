//! Files of a data set's folder that are no images of it, by reason.
//!
//! They are part of the key, so that the audit of a cached result tells the truth about the folder.

use serde::{Deserialize, Serialize};

/// The most names that are kept for a reason.
const NAMED_MAX: usize = 5;

/// Files that are left out, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeftOut(pub(super) Vec<Reason>);

/// A reason, and the files it holds for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reason {
    /// The reason, to be read after the number of files: `in folders below those of classes`.
    pub(super) reason: String,
    pub(super) count: usize,
    /// The first files in natural order.
    pub(super) names: Vec<String>,
    /// True if images may be among them.
    pub(super) suspicious: bool,
}

impl LeftOut {
    /// The reason for files that lie too deep.
    pub(super) const NESTED: &str = "in folders below those of classes";

    /// Returns the number of files that lie too deep.
    pub(super) fn nested(&self) -> usize {
        self.0.iter().filter(|known| known.reason == Self::NESTED).map(|known| known.count).sum()
    }

    /// Adds a file.
    pub(super) fn add(&mut self, reason: &str, suspicious: bool, name: String) {
        let index = self.0.iter().position(|known| known.reason == reason).unwrap_or_else(|| {
            self.0.push(Reason { reason: reason.to_owned(), count: 0, names: Vec::new(), suspicious });
            self.0.len() - 1
        });
        let known = &mut self.0[index];
        known.count += 1;
        known.suspicious |= suspicious;
        if known.names.len() < NAMED_MAX {
            known.names.push(name);
        }
    }
}
