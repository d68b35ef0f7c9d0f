//! `threshold=0..=255` or `threshold=200,225,q90,otsu`: the values that replace those of one axis.
//!
//! A value is a number, a word or a range, as in a list of the spec. Words need no quotes; `threshold=[200, "q90"]`
//! works too. Spans refer to the text as typed, so the caret points at the value that a stage rejects.

use std::path::Path;

use serde_spanned::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::toml_text;
use crate::diagnostic::Diagnostic;
use crate::source::{SourceMap, Span};

const HELP: &str =
    "write AXIS=VALUES, for example threshold=0..=255, threshold=0..=255:5 or threshold=200,225,q90,otsu";

/// The values of an axis from the command line.
pub(super) struct Sweep {
    /// The name of the axis.
    pub(super) axis: Spanned<String>,
    /// The section `axes` with this axis alone.
    pub(super) table: DeTable<'static>,
    /// The equivalent override, recorded so that the plan can be rebuilt.
    pub(super) as_override: String,
}

impl Sweep {
    /// Parses a sweep, and adds it to the sources.
    pub(super) fn parse(
        text: &str,
        working_dir: &Path,
        sources: &mut SourceMap,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let base = sources.add("sweep", working_dir, text);
        let whole = base..base + text.len();
        let Some((axis, values)) = text.split_once('=').filter(|(axis, _)| !axis.trim().is_empty()) else {
            problems.push(Diagnostic::error("a sweep names no axis").at(whole).help(HELP));
            return None;
        };
        let begin = base + axis.len() + 1;
        let list = if values.trim_start().starts_with('[') {
            bracketed(text, base, problems)?
        } else {
            let items = pieces(values).map(|(at, piece)| (begin + at..begin + at + piece.len(), piece));
            items.map(|(span, piece)| item(piece, span, problems)).collect::<Option<DeArray<'static>>>()?
        };
        let name = axis.trim();
        let start = base + (axis.len() - axis.trim_start().len());
        let span = start..start + name.len();
        let as_override = format!("axes.{}=[{}]", key(name), written(values));
        let list = Spanned::new(begin..base + text.len(), DeValue::Array(list));
        let mut axes = DeTable::new();
        axes.insert(Spanned::new(span.clone(), name.to_owned().into()), list);
        let mut table = DeTable::new();
        table.insert(Spanned::new(span.clone(), "axes".into()), Spanned::new(span.clone(), DeValue::Table(axes)));
        Some(Self { axis: Spanned::new(span, name.to_owned()), table, as_override })
    }

    /// Checks that a spec has the axis.
    pub(super) fn check(&self, spec: &DeTable<'static>) -> Result<(), Diagnostic> {
        let axes = spec.get("axes").and_then(|axes| axes.get_ref().as_table());
        let name = self.axis.get_ref().as_str();
        if axes.is_some_and(|axes| axes.contains_key(name)) {
            return Ok(());
        }
        let names: Vec<&str> =
            axes.into_iter().flat_map(|axes| axes.keys()).map(|key| key.get_ref().as_ref()).collect();
        let problem = Diagnostic::error(format!("the spec has no axis `{name}` to sweep")).at(self.axis.span());
        Err(problem.names("declared axes", name, names.iter().copied()))
    }
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

fn item(piece: &str, span: Span, problems: &mut Vec<Diagnostic>) -> Option<Spanned<DeValue<'static>>> {
    if piece.is_empty() {
        problems.push(Diagnostic::error("a value of the sweep is empty").at(span).help(HELP));
        return None;
    }
    let text: &'static str = piece.to_owned().leak();
    let value = match DeValue::parse(text) {
        Ok(value) => value.into_inner(),
        Err(_) => DeValue::String(DeString::Borrowed(text)),
    };
    Some(Spanned::new(span, value))
}

/// Parses the list of `threshold=[200, "q90"]`.
fn bracketed(text: &str, base: usize, problems: &mut Vec<Diagnostic>) -> Option<DeArray<'static>> {
    let mut table = toml_text::parse("this list", text, base, Some(HELP), problems)?;
    let name = table.keys().next()?.get_ref().clone();
    match table.remove(name.as_ref())?.into_inner() {
        DeValue::Array(list) => Some(list),
        _ => None,
    }
}

/// Formats the values as the inside of a TOML list.
fn written(values: &str) -> String {
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
fn key(name: &str) -> String {
    let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { toml::Value::from(name).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::axis::Axis;
    use crate::spec::reader::Reader;

    /// Messages, each with the text that is marked.
    type Problems = Vec<(String, String)>;

    /// Labels of a sweep's values, and its equivalent override.
    fn labels(text: &str) -> Result<(Vec<String>, String), Problems> {
        let (mut sources, mut problems) = (SourceMap::default(), Vec::new());
        let sweep = Sweep::parse(text, Path::new("/"), &mut sources, &mut problems);
        let parsed = sweep.and_then(|sweep| {
            let axes = sweep.table["axes"].get_ref().as_table()?;
            let value = &axes[sweep.axis.get_ref().as_str()];
            let axis = Axis::parse(sweep.axis.clone(), value, &mut Reader { problems: &mut problems })?;
            Some((axis.values.into_iter().map(|value| value.label).collect(), sweep.as_override))
        });
        let shown = |problem: &Diagnostic| {
            (problem.message.clone(), sources.text(problem.span.as_ref().expect("it has a location")).to_owned())
        };
        parsed.filter(|_| problems.is_empty()).ok_or_else(|| problems.iter().map(shown).collect())
    }

    #[test]
    fn values_are_ranges_and_lists_of_numbers_and_words() {
        let cases = [
            ("t=0..=3", vec!["0", "1", "2", "3"], r#"axes.t=["0..=3"]"#),
            ("t=0..=255:100", vec!["0", "100", "200"], r#"axes.t=["0..=255:100"]"#),
            ("t=200, 225,q90 ,otsu", vec!["200", "225", "q90", "otsu"], r#"axes.t=[200, 225, "q90", "otsu"]"#),
            ("t=1..=2,0.5", vec!["1", "2", "0.5"], r#"axes.t=["1..=2", 0.5]"#),
            ("t=7", vec!["7"], "axes.t=[7]"),
            (r#"t=[200, "q90"]"#, vec!["200", "q90"], r#"axes.t=[200, "q90"]"#),
        ];
        for (text, expected, equal) in cases {
            let expected = (expected.into_iter().map(str::to_owned).collect(), equal.to_owned());
            assert_eq!(labels(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes_are_marked_in_the_typed_text() {
        let cases = [
            ("threshold", "a sweep names no axis", "threshold"),
            ("=1,2", "a sweep names no axis", "=1,2"),
            ("t=1,,2", "a value of the sweep is empty", ""),
            ("t=5..=1", "axis `t`: the range \"5..=1\" is empty", "5..=1"),
            ("t=1, 2,1", "axis `t` has the value `1` twice", "1"),
        ];
        for (text, message, marked) in cases {
            assert_eq!(labels(text), Err(vec![(message.to_owned(), marked.to_owned())]), "{text}");
        }
        let (message, _) = &labels("t=[1, 2").unwrap_err()[0];
        assert!(message.starts_with("this list is not TOML"), "{message}");
    }
}
