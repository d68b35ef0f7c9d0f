//! "Did you mean …?"

use std::cell::Cell;
use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, listed};

/// The name closest to what was written, if one is close enough to be meant.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = |name: &str| 1 + name.len().max(written.len()) / 4;
    names
        .into_iter()
        // Names that differ so much in length cannot be close, and need not be compared.
        .filter(|name| name.len().abs_diff(written.len()) <= 4 * limit(name))
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= limit(name))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many names that are not declared get a suggestion: each is compared with all that are.
const SUGGESTIONS_MAX: usize = 100;

/// Names that a spec declares, found in constant time; thousands that are not declared cost no more than linear time.
pub(crate) struct Names<'a> {
    what: &'static str,
    names: Vec<&'a str>,
    positions: HashMap<&'a str, usize>,
    suggested: Cell<usize>,
}

impl<'a> Names<'a> {
    /// `what` stands before the list of them, `declared axes` for example.
    pub(crate) fn new(what: &'static str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<_> = names.into_iter().collect();
        let mut positions = HashMap::with_capacity(names.len());
        for (position, name) in names.iter().enumerate() {
            positions.entry(*name).or_insert(position);
        }
        Self { what, names, positions, suggested: Cell::new(0) }
    }

    /// Where a name stands among them.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    /// Lists them in a problem about one that is not among them, and suggests the nearest.
    pub(crate) fn unknown(&self, problem: Diagnostic, written: &str) -> Diagnostic {
        let names = self.names.iter().copied();
        if self.suggested.replace(self.suggested.get() + 1) < SUGGESTIONS_MAX {
            problem.names(self.what, written, names)
        } else {
            problem.note(format!("{}: {}", self.what, listed(names)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_and_missing_letters_are_found() {
        let names = ["images", "split", "cam", "threshold"];
        assert_eq!(nearest("cma", names), Some("cam"));
        assert_eq!(nearest("treshold", names), Some("threshold"));
        assert_eq!(nearest("weights", names), None);
    }

    #[test]
    fn names_are_found_listed_and_suggested_to_the_first_who_miss_them() {
        let all: Vec<String> = (0..60).map(|number| format!("stage-{number}")).collect();
        let names = Names::new("declared stages", all.iter().map(String::as_str));
        assert_eq!((names.position("stage-7"), names.position("stage-70")), (Some(7), None));
        let unknown = || names.unknown(Diagnostic::error("unknown"), "stage_7");
        let first = unknown();
        assert_eq!(first.help.as_deref(), Some("did you mean `stage-7`?"));
        assert!(first.notes[0].starts_with("declared stages: stage-0, ") && first.notes[0].ends_with(" and 10 more"));
        (0..SUGGESTIONS_MAX).for_each(|_| drop(unknown()));
        assert_eq!(unknown().help, None);
    }
}
