//! `NAME=VALUES` on the command line: `threshold=0..=255`, `threshold=200,225,q90,otsu`, `threshold=[200, "q90"]`.
//!
//! A value is a number, a word or a range, as in a list of the spec. Words need no quotes. Spans refer to the text as
//! typed, so the caret points at the value that a stage rejects.

use std::path::Path;

use serde_spanned::Spanned;
use toml::de::{DeArray, DeString, DeValue};

use super::{Located, toml_text};
use crate::diagnostic::Diagnostic;
use crate::source::{SourceMap, Span};

/// The words of an option for its errors.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    /// The name of the source.
    pub(super) source: &'a str,
    /// The thing that the values make, with an article: `a sweep`.
    pub(super) subject: &'a str,
    /// The thing that is named before `=`.
    pub(super) target: &'a str,
    /// An example.
    pub(super) help: &'a str,
}

/// A name with its values.
pub(super) struct Assignment {
    /// The name.
    pub(super) name: Spanned<String>,
    /// The list of values.
    pub(super) values: Located,
}

/// Parses a name and its values, and adds the text to the sources.
pub(super) fn assignment(
    text: &str,
    words: Words<'_>,
    working_dir: &Path,
    sources: &mut SourceMap,
    problems: &mut Vec<Diagnostic>,
) -> Option<Assignment> {
    let base = sources.add(words.source, working_dir, text);
    let whole = base..base + text.len();
    let Some((name, values)) = text.split_once('=').filter(|(name, _)| !name.trim().is_empty()) else {
        let message = format!("{} names no {}", words.subject, words.target);
        problems.push(Diagnostic::error(message).at(whole).help(words.help));
        return None;
    };
    let begin = name.len() + 1;
    let list = if values.trim_start().starts_with('[') {
        bracketed(text, begin, base, words, problems)?
    } else {
        let items = pieces(values).map(|(at, piece)| (base + begin + at..base + begin + at + piece.len(), piece));
        items.map(|(span, piece)| item(piece, span, words, problems)).collect::<Option<DeArray<'static>>>()?
    };
    let start = base + (name.len() - name.trim_start().len());
    let name = Spanned::new(start..start + name.trim().len(), name.trim().to_owned());
    Some(Assignment { name, values: Spanned::new(base + begin..base + text.len(), DeValue::Array(list)) })
}

/// Splits values at commas, trims them, and returns each with its offset.
fn pieces(values: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    values.split(',').map(move |piece| {
        let begin = at + (piece.len() - piece.trim_start().len());
        at += piece.len() + 1;
        (begin, piece.trim())
    })
}

fn item(piece: &str, span: Span, words: Words<'_>, problems: &mut Vec<Diagnostic>) -> Option<Located> {
    if piece.is_empty() {
        problems.push(Diagnostic::error(format!("a value of {} is empty", words.subject)).at(span).help(words.help));
        return None;
    }
    let text: &'static str = piece.to_owned().leak();
    let value = match DeValue::parse(text) {
        Ok(value) => value.into_inner(),
        Err(_) => DeValue::String(DeString::Borrowed(text)),
    };
    Some(Spanned::new(span, value))
}

/// Parses the list of `threshold=[200, "q90"]`, which begins at an offset of the text.
fn bracketed(
    text: &str,
    begin: usize,
    base: usize,
    words: Words<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Option<DeArray<'static>> {
    // A name of one letter in place of the path keeps the offsets.
    let blank = " ".repeat(begin.saturating_sub(2));
    let text = format!("{blank}v={}", &text[begin..]);
    let mut table = toml_text::parse("this list", &text, base, Some(words.help), problems)?;
    match table.remove("v")?.into_inner() {
        DeValue::Array(list) => Some(list),
        _ => None,
    }
}

/// Formats the values as the inside of a TOML list.
pub(super) fn written(values: &str) -> String {
    let trimmed = values.trim();
    if let Some(inner) = trimmed.strip_prefix('[') {
        return inner.trim_end_matches(']').to_owned();
    }
    let quoted = |piece: &str| match DeValue::parse(piece) {
        Ok(_) => piece.to_owned(),
        Err(_) => toml::Value::from(piece).to_string(),
    };
    pieces(values).map(|(_, piece)| quoted(piece)).collect::<Vec<_>>().join(", ")
}

/// Formats a name as a TOML key.
pub(super) fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { toml::Value::from(name).to_string() }
}
