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
        let source = &self.sources[..self.sources.partition_point(|source| source.base <= offset)].last()?;
        (offset <= source.base + source.text.len()).then_some(source)
    }

    /// Finds lines and columns.
    pub fn places(&self) -> Places<'_> {
        Places { sources: self, last: None }
    }

    /// `file:line` of a place, for notes.
    pub fn short(&self, span: &Span) -> String {
        match self.places().at(span.start) {
            Some(place) => format!("{}:{}", place.source.name, place.line),
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

/// A place in a source.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The source.
    pub source: &'a Source,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Where the place is in the text of the source, in bytes.
    pub at: usize,
    /// Where its line begins there.
    pub line_start: usize,
}

/// Finds lines and columns; counts on from the last place, so that many in ascending order cost one pass over the text.
pub struct Places<'a> {
    sources: &'a SourceMap,
    last: Option<Place<'a>>,
}

impl<'a> Places<'a> {
    /// The source that holds a place.
    pub fn source_at(&self, offset: usize) -> Option<&'a Source> {
        self.sources.source_at(offset)
    }

    /// The place of an offset among all sources.
    pub fn at(&mut self, offset: usize) -> Option<Place<'a>> {
        let source = self.sources.source_at(offset)?;
        let at = offset - source.base;
        let goes_on = |last: &Place<'_>| last.source.base == source.base && last.at <= at;
        let start = Place { source, line: 1, column: 1, at: 0, line_start: 0 };
        let mut place = self.last.filter(goes_on).unwrap_or(start);
        let passed = source.text.get(place.at..at)?;
        if let Some(newline) = passed.rfind('\n') {
            place.line += passed.matches('\n').count();
            place.column = 1 + passed[newline + 1..].chars().count();
            place.line_start = place.at + newline + 1;
        } else {
            place.column += passed.chars().count();
        }
        place.at = at;
        self.last = Some(place);
        Some(place)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_any_order_have_the_line_and_column_that_a_count_from_the_start_gives() {
        let text = "a = 1\n\nb = [\"größte\",\r\n  2]\nend";
        let mut sources = SourceMap::default();
        sources.add("first", Path::new("/"), text);
        let second = sources.add("second", Path::new("/"), text);
        let expected = |at: usize| {
            let before = &text[..at];
            let line = before.rsplit('\n').next().unwrap();
            (before.matches('\n').count() + 1, line.chars().count() + 1, at - line.len())
        };
        let offsets: Vec<_> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
        for base in [0, second] {
            let mut places = sources.places();
            for at in offsets.iter().chain(offsets.iter().rev()).copied() {
                let place = places.at(base + at).unwrap();
                assert_eq!((place.line, place.column, place.line_start), expected(at), "{at}");
                assert_eq!((place.source.base, place.at), (base, at));
            }
        }
        assert!(sources.places().at(second + text.len() + 1).is_none());
    }
}
