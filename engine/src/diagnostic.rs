//! Problems of a spec: message, location, and remedy.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;

use crate::nearest::nearest;
use crate::source::{SourceLocation, SourceMap, Span};

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Nothing can run.
    Error,
    /// It runs, but is probably not what was meant.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The problem: lower case, no full stop.
    pub message: String,
    /// The location, if it has one.
    pub span: Option<Span>,
    /// Facts that help to understand it, for example `declared stages: images, split`.
    pub notes: Vec<String>,
    /// The remedy.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Makes an error without a location.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), span: None, notes: Vec::new(), help: None }
    }

    /// Makes a warning without a location.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Sets the location.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Sets the remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Lists the valid names, and suggests the one nearest to what was written.
    #[must_use]
    pub fn names<'a>(self, what: &str, written: &str, names: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        let noted = self.note(format!("{what}: {}", listed(names.clone())));
        match nearest(written, names) {
            Some(near) => noted.help(format!("did you mean `{near}`?")),
            None => noted,
        }
    }
}

/// The most names in a list: otherwise thousands of problems would list thousands of names each.
const LISTED_MAX: usize = 50;

/// Joins names by commas, and counts those that are left out.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let list: Vec<_> = names.by_ref().take(LISTED_MAX).collect();
    match (list.is_empty(), names.count()) {
        (true, _) => "none".to_owned(),
        (false, 0) => list.join(", "),
        (false, more) => format!("{} and {more} more", list.join(", ")),
    }
}

/// The most undeclared names that get a suggestion: each is compared with all declared ones.
const SUGGESTIONS_MAX: usize = 100;

/// The names that a spec declares. Lookup takes constant time, so thousands of wrong names cost linear time.
pub(crate) struct Names<'a> {
    what: &'static str,
    names: Vec<&'a str>,
    positions: HashMap<&'a str, usize>,
    suggested: Cell<usize>,
}

impl<'a> Names<'a> {
    /// Indexes names; `what` introduces them in a list, for example `declared axes`.
    pub(crate) fn new(what: &'static str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<_> = names.into_iter().collect();
        let mut positions = HashMap::with_capacity(names.len());
        for (position, name) in names.iter().enumerate() {
            positions.entry(*name).or_insert(position);
        }
        Self { what, names, positions, suggested: Cell::new(0) }
    }

    /// The index of a name.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    /// Lists the names in a problem about an undeclared one, and suggests the nearest.
    pub(crate) fn unknown(&self, problem: Diagnostic, written: &str) -> Diagnostic {
        let names = self.names.iter().copied();
        if self.suggested.replace(self.suggested.get() + 1) < SUGGESTIONS_MAX {
            problem.names(self.what, written, names)
        } else {
            problem.note(format!("{}: {}", self.what, listed(names)))
        }
    }
}

/// Everything that is wrong with a spec, with the sources to which the spans refer.
#[derive(Clone, Debug)]
pub struct SpecError {
    /// The spec's files and overrides.
    pub sources: SourceMap,
    /// At least one error, and perhaps warnings, ordered by location.
    pub diagnostics: Vec<Diagnostic>,
}

impl SpecError {
    pub(crate) fn new(sources: SourceMap, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.as_ref().map_or(usize::MAX, |span| span.start));
        diagnostics.dedup();
        Self { sources, diagnostics }
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut locator = self.sources.locator();
        for diagnostic in &self.diagnostics {
            match diagnostic.span.as_ref().and_then(|span| locator.locate(span.start)) {
                Some(SourceLocation { source, line, column, .. }) => {
                    writeln!(f, "{}:{line}:{column}: {}", source.name, diagnostic.message)?;
                }
                None => writeln!(f, "{}", diagnostic.message)?,
            }
            for note in &diagnostic.notes {
                writeln!(f, "  = {note}")?;
            }
            if let Some(help) = &diagnostic.help {
                writeln!(f, "  help: {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for SpecError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_listed_and_the_first_unknown_ones_get_a_suggestion() {
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
