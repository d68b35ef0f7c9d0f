//! What is wrong with a spec, where, and what to do.

use std::fmt;
use std::ops::Range;

use crate::source::{Place, SourceMap};

/// A place in the sources, in bytes across all of them; see [`SourceMap`].
pub type Span = Range<usize>;

/// How bad it is.
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
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// Where, if it has a place.
    pub span: Option<Span>,
    /// Facts that help to see it, `declared stages: images, split` for example.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), span: None, notes: Vec::new(), help: None }
    }

    /// A warning without a place.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Says where.
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

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Suggests the nearest of the valid names, and lists them.
    #[must_use]
    pub fn names<'a>(self, what: &str, written: &str, names: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        let noted = self.note(format!("{what}: {}", listed(names.clone())));
        match crate::nearest(written, names) {
            Some(near) => noted.help(format!("did you mean `{near}`?")),
            None => noted,
        }
    }
}

/// How many names a list has; with more, thousands of problems would list thousands of names each.
const LISTED_MAX: usize = 50;

/// Names with commas between them, and how many are left out.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let list: Vec<_> = names.by_ref().take(LISTED_MAX).collect();
    match (list.is_empty(), names.count()) {
        (true, _) => "none".to_owned(),
        (false, 0) => list.join(", "),
        (false, more) => format!("{} and {more} more", list.join(", ")),
    }
}

/// Everything that is wrong with a spec, with the sources that the places refer to.
#[derive(Clone, Debug)]
pub struct SpecError {
    /// The spec's files and overrides.
    pub sources: SourceMap,
    /// At least one error, and perhaps warnings, in the order of their places.
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
        let mut places = self.sources.places();
        for diagnostic in &self.diagnostics {
            match diagnostic.span.as_ref().and_then(|span| places.at(span.start)) {
                Some(Place { source, line, column, .. }) => {
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
