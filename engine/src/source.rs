//! The texts that a spec is made of, laid end to end, so that one range of bytes names file, line and column.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_spanned::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::diagnostic::Span;

/// One file, or one override of the command line.
#[derive(Clone, Debug)]
pub struct Source {
    /// How it is shown: the path as given, or `--set`.
    pub name: String,
    /// Relative paths within it resolve against this folder.
    pub dir: PathBuf,
    /// Its text.
    pub text: String,
    /// Where its text begins among all sources.
    pub base: usize,
}

/// All sources of a spec. Their ranges do not touch, so every place belongs to one source.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

impl SourceMap {
    /// Adds a text and gives where it begins.
    pub(crate) fn add(&mut self, name: impl Into<String>, dir: &Path, text: impl Into<String>) -> usize {
        let base = self.sources.last().map_or(0, |last| last.base + last.text.len() + 1);
        self.sources.push(Source { name: name.into(), dir: dir.to_owned(), text: text.into(), base });
        base
    }

    /// The source that holds a place.
    pub fn source_at(&self, offset: usize) -> Option<&Source> {
        self.sources.iter().find(|source| source.base <= offset && offset <= source.base + source.text.len())
    }

    /// Source, line and column (both from 1, columns in characters) of a place.
    pub fn line_column(&self, offset: usize) -> Option<(&Source, usize, usize)> {
        let source = self.source_at(offset)?;
        let before = source.text.get(..offset - source.base)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        Some((source, line, before[line_start..].chars().count() + 1))
    }

    /// `file:line` of a place, for notes.
    pub fn short(&self, span: &Span) -> String {
        match self.line_column(span.start) {
            Some((source, line, _)) => format!("{}:{line}", source.name),
            None => "?".to_owned(),
        }
    }

    /// The text of a place.
    pub fn text(&self, span: &Span) -> &str {
        self.source_at(span.start)
            .and_then(|source| source.text.get(span.start - source.base..span.end - source.base))
            .unwrap_or_default()
    }
}

/// Parses one text of a spec, its places moved to where the text begins among all sources.
///
/// The text is never freed: a spec lives as long as its process, and values that borrow from it need no copies.
pub(crate) fn parse(text: &str, base: usize) -> (DeTable<'static>, Vec<toml::de::Error>) {
    let text: &'static str = text.to_owned().leak();
    let (table, errors) = DeTable::parse_recoverable(text);
    (rebase_table(table.into_inner(), base), errors)
}

fn rebase_table(table: DeTable<'static>, base: usize) -> DeTable<'static> {
    table
        .into_iter()
        .map(|(key, value)| (Spanned::new(shift(key.span(), base), key.into_inner()), rebase_value(value, base)))
        .collect()
}

fn rebase_value(value: Spanned<DeValue<'static>>, base: usize) -> Spanned<DeValue<'static>> {
    let span = shift(value.span(), base);
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(rebase_table(table, base)),
        DeValue::Array(array) => {
            let mut moved = DeArray::new();
            for item in array {
                moved.push(rebase_value(item, base));
            }
            DeValue::Array(moved)
        }
        scalar => scalar,
    };
    Spanned::new(span, value)
}

fn shift(span: Range<usize>, base: usize) -> Span {
    span.start + base..span.end + base
}

/// A whole number as a value; it has no other constructor than its text.
pub(crate) fn integer(number: i64) -> DeValue<'static> {
    let text: &'static str = number.to_string().leak();
    DeValue::parse(text).expect("the digits of a number are TOML").into_inner()
}
