//! TOML files → tables whose spans count across all sources of a spec.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use orchestrate_cache::external;
use serde_spanned::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::Located;
use super::toml_error::explained;
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// The size of the largest spec or project file.
const BYTES_MAX: u64 = 16 << 20;

/// Reads a file. Errors: it is not a regular file, too large or not UTF-8.
pub(super) fn read(path: &Path) -> io::Result<String> {
    String::from_utf8(external::read(path, BYTES_MAX)?).map_err(|error| {
        let error = error.utf8_error();
        io::Error::new(io::ErrorKind::InvalidData, format!("it is not UTF-8, from byte {} on", error.valid_up_to()))
    })
}

/// Parses the text at an offset of the sources. Reports each toml_text error as `SUBJECT is not TOML: …` and returns
/// `None`.
///
/// The text is never freed: a spec lives as long as its process, and values that borrow from it need no copies.
pub(super) fn parse(
    subject: &str,
    text: &str,
    base: usize,
    help: Option<&str>,
    problems: &mut Vec<Diagnostic>,
) -> Option<DeTable<'static>> {
    let text: &'static str = text.to_owned().leak();
    let (table, errors) = DeTable::parse_recoverable(text);
    // What follows on the same line is most often a consequence.
    let mut lines = HashSet::new();
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        let line = text.bytes().take(span.start).filter(|byte| *byte == b'\n').count();
        if lines.insert(line) {
            let mut problem = explained(subject, text, span, error.message());
            problem.span = problem.span.map(|span| shift(span, base));
            problem.help = help.map(str::to_owned).or(problem.help);
            problems.push(problem);
        }
    }
    errors.is_empty().then(|| rebase_table(table.into_inner(), base))
}

fn rebase_table(table: DeTable<'static>, base: usize) -> DeTable<'static> {
    table
        .into_iter()
        .map(|(key, value)| (Spanned::new(shift(key.span(), base), key.into_inner()), rebase_value(value, base)))
        .collect()
}

fn rebase_value(value: Located, base: usize) -> Located {
    let span = shift(value.span(), base);
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(rebase_table(table, base)),
        DeValue::Array(array) => {
            DeValue::Array(array.into_iter().map(|item| rebase_value(item, base)).collect::<DeArray<'static>>())
        }
        scalar => scalar,
    };
    Spanned::new(span, value)
}

fn shift(span: Span, base: usize) -> Span {
    span.start + base..span.end + base
}

/// Makes a TOML value of a whole number; its text is the only constructor that `toml` offers.
pub(crate) fn whole_number(number: i64) -> DeValue<'static> {
    let text: &'static str = number.to_string().leak();
    DeValue::parse(text).expect("the digits of a number are TOML").into_inner()
}

/// The whole number of a TOML value; `None` if it is another type or needs more than 64 bits.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn what_is_no_toml_is_told_in_words_once_a_line() {
        for (text, at, words, help) in [
            ("a = \u{201c}train\u{201d}", 4..7, "curly quotes", "straight ones"),
            ("a = \"train\u{201d}", 10..13, "curly quotes", "straight ones"),
            ("a = [1, \u{201c}b\u{201d}]", 8..11, "curly quotes", "straight ones"),
            ("a = 20 20", 4..9, "several values where one is expected", "a list such as [20, 30]"),
            ("a = 1e-3x", 8..9, "this is no number", "20 or 1e-3"),
            ("a = train", 4..9, "neither true nor false", "a text in quotes: \"train\""),
            ("a = score", 4..9, "this is no number", "a text in quotes: \"score\""),
            ("a = {x=1 y=2}", 10..10, "a comma is missing", "between two entries"),
            ("a = \"C:\\data\"", 8..8, "a backslash begins an escape", "write '…'"),
        ] {
            let mut problems = Vec::new();
            assert!(parse("this", text, 0, None, &mut problems).is_none());
            let said = format!("{problems:?}");
            assert!(problems.len() == 1 && problems[0].message.contains(words), "{text}: {said}");
            assert!(problems[0].help.as_ref().is_some_and(|said| said.contains(help)), "{text}: {said}");
            assert_eq!(problems[0].span, Some(at), "{text}");
        }
        for (text, first) in
            [("[a]\nx = 1\ny = 2\nx = 3", 2), ("[b]\nx = 1\n[a]\nx = 1\nx = 2", 4), ("[a]\n[b]\n[a]", 1)]
        {
            let mut problems = Vec::new();
            parse("this", text, 0, None, &mut problems);
            assert_eq!(problems[0].notes, [format!("first on line {first}")], "{text}");
            assert!(problems[0].message.ends_with("` is set twice"), "{text}");
        }
    }
}
