//! The texts of a spec, laid end to end: one range of bytes names a file, a line and a column.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// A range of bytes across all sources; see [`SourceMap`].
pub type Span = Range<usize>;

/// One TOML file, or one override of the command line.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The path as given, or `--set`.
    pub name: String,
    /// The folder against which relative paths in the text resolve.
    pub dir: PathBuf,
    /// The text.
    pub text: String,
    /// The offset of the text among all sources.
    pub base: usize,
    /// True for a file of a spec, false for an override of the command line.
    pub is_file: bool,
}

/// All sources of a spec. Their ranges do not touch, so every offset belongs to one source.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    sources: Vec<SourceFile>,
}

impl SourceMap {
    /// Adds a text and returns its offset.
    pub(crate) fn add(&mut self, name: impl Into<String>, dir: &Path, text: impl Into<String>) -> usize {
        let base = self.sources.last().map_or(0, |last| last.base + last.text.len() + 1);
        self.sources.push(SourceFile {
            name: name.into(),
            dir: dir.to_owned(),
            text: text.into(),
            base,
            is_file: false,
        });
        base
    }

    /// Adds the text of a file of a spec and returns its offset.
    pub(crate) fn add_file(&mut self, name: impl Into<String>, dir: &Path, text: impl Into<String>) -> usize {
        let base = self.add(name, dir, text);
        self.sources.last_mut().expect("it was just added").is_file = true;
        base
    }

    /// Returns the files of a spec in the order in which they were read.
    pub fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.sources.iter().filter(|source| source.is_file)
    }

    /// The source that holds an offset.
    pub fn source_at(&self, offset: usize) -> Option<&SourceFile> {
        let source = &self.sources[..self.sources.partition_point(|source| source.base <= offset)].last()?;
        (offset <= source.base + source.text.len()).then_some(source)
    }

    /// Returns a finder of lines and columns.
    pub fn locator(&self) -> SourceLocator<'_> {
        SourceLocator { sources: self, last: None }
    }

    /// Formats the start of a span as `file:line`, for notes.
    pub fn short(&self, span: &Span) -> String {
        match self.locator().locate(span.start) {
            Some(location) => format!("{}:{}", location.source.name, location.line),
            None => "?".to_owned(),
        }
    }

    /// The text of a span.
    pub(crate) fn text(&self, span: &Span) -> &str {
        self.source_at(span.start)
            .and_then(|source| source.text.get(span.start - source.base..span.end - source.base))
            .unwrap_or_default()
    }
}

/// A location in a source.
#[derive(Clone, Copy, Debug)]
pub struct SourceLocation<'a> {
    /// The source.
    pub source: &'a SourceFile,
    /// Line number, from 1.
    pub line: usize,
    /// Column number in characters, from 1.
    pub column: usize,
    /// Offset in the text of the source, in bytes.
    pub at: usize,
    /// Offset of the start of the line, in bytes.
    pub line_start: usize,
}

/// Finds lines and columns. Counts on from the last location, so ascending offsets cost one pass over the text.
pub struct SourceLocator<'a> {
    sources: &'a SourceMap,
    last: Option<SourceLocation<'a>>,
}

impl<'a> SourceLocator<'a> {
    /// The source that holds an offset.
    pub fn source_at(&self, offset: usize) -> Option<&'a SourceFile> {
        self.sources.source_at(offset)
    }

    /// The location of an offset among all sources.
    pub fn locate(&mut self, offset: usize) -> Option<SourceLocation<'a>> {
        let source = self.sources.source_at(offset)?;
        let at = offset - source.base;
        let is_before = |last: &SourceLocation<'_>| last.source.base == source.base && last.at <= at;
        let start = SourceLocation { source, line: 1, column: 1, at: 0, line_start: 0 };
        let mut location = self.last.filter(is_before).unwrap_or(start);
        let passed = source.text.get(location.at..at)?;
        if let Some(newline) = passed.rfind('\n') {
            location.line += passed.matches('\n').count();
            location.column = 1 + passed[newline + 1..].chars().count();
            location.line_start = location.at + newline + 1;
        } else {
            location.column += passed.chars().count();
        }
        location.at = at;
        self.last = Some(location);
        Some(location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_in_any_order_equal_a_count_from_the_start() {
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
            let mut locator = sources.locator();
            for at in offsets.iter().chain(offsets.iter().rev()).copied() {
                let location = locator.locate(base + at).unwrap();
                assert_eq!((location.line, location.column, location.line_start), expected(at), "{at}");
                assert_eq!((location.source.base, location.at), (base, at));
            }
        }
        assert!(sources.locator().locate(second + text.len() + 1).is_none());
    }
}
