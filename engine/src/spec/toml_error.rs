//! Errors of the TOML parser in a person's words, with a remedy.

use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// Quotes of text processors, which TOML does not know.
const CURLY: [char; 7] = ['“', '”', '„', '‟', '‘', '’', '‚'];

/// Explains an error at a place of a text; `subject` names the text. The location of the diagnostic is within the text.
pub(super) fn explained(subject: &str, text: &str, span: Span, message: &str) -> Diagnostic {
    let start = (0..=span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let written = text.get(span.clone()).unwrap_or_default().trim();
    let problem = |words: &str, at: Span| Diagnostic::error(format!("{subject} is not TOML: {words}")).at(at);
    let curly = text[line_start..line_end].char_indices().find(|(_, char)| CURLY.contains(char));
    let is_text = message.contains("string") || text[start..].starts_with(CURLY);
    if let (Some((at, char)), true) = (curly, is_text) {
        let at = line_start + at;
        return problem("curly quotes", at..at + char.len_utf8()).help("write straight ones: \"…\" or '…'");
    }
    let says = |words: &str| message.contains(words);
    let (words, help) = if says("duplicate key") {
        let problem = problem(&format!("`{written}` is set twice"), span);
        let first = first_line(text, start, written).map(|line| format!("first on line {line}"));
        let problem = first.into_iter().fold(problem, Diagnostic::note);
        return problem.help("remove one of them");
    } else if says("string values must be quoted") {
        let first = written.split_whitespace().next().unwrap_or_default();
        match (written.is_empty(), first == written) {
            (true, _) => ("a value is missing", "write a value after `=`".to_owned()),
            (false, true) => {
                ("this is no number, list, table, true or false", format!("write a text in quotes: \"{written}\""))
            }
            (false, false) => (
                "several values where one is expected",
                "write one value, a list such as [20, 30], or a text in quotes".to_owned(),
            ),
        }
    } else if says("leading zero") {
        ("a number begins with zero", "write it without, or as a text in quotes".to_owned())
    } else if says("invalid float") || says("invalid integer") || says("expected nothing") {
        ("this is no number", "write a number such as 20 or 1e-3, or a text in quotes".to_owned())
    } else if says("invalid boolean") {
        ("this is neither true nor false", format!("write true or false, or a text in quotes: \"{written}\""))
    } else if says("unclosed table") || says("unclosed array") || says("unclosed inline table") {
        let (what, close) = match (says("inline"), says("array")) {
            (true, _) => ("a table `{…}` has no end", "`}`"),
            (_, true) => ("a list has no end", "`]`"),
            _ => ("the name of a section has no end", "`]`"),
        };
        (what, format!("close it with {close}"))
    } else if says("key with no value") {
        ("a name without a value", "write NAME = VALUE".to_owned())
    } else if says("invalid basic string") || says("invalid literal string") {
        ("a text has no end", "close it with the quote that it begins with, on the same line".to_owned())
    } else if says("missing comma") || says("extra assignment") {
        ("a comma is missing", "put a comma between two entries".to_owned())
    } else if says("unexpected key or value") {
        (
            "something follows the value",
            "write one NAME = VALUE a line, and several values as a list: [1, 2]".to_owned(),
        )
    } else if says("escaped value") || says("escape") {
        ("a backslash begins an escape here", "write '…' in place of \"…\" for a text with backslashes".to_owned())
    } else {
        return problem(message, span);
    };
    problem(words, span).help(help)
}

/// The number of the line that sets a key, or names a section, before `at` does so again.
fn first_line(text: &str, at: usize, name: &str) -> Option<usize> {
    let own_start = text[..at].rfind('\n').map_or(0, |start| start + 1);
    let own = text[own_start..].lines().next()?.trim();
    let earlier: Vec<_> = text[..own_start].lines().map(str::trim).collect();
    let position = if own.starts_with('[') {
        let header = |line: &str| line.split_once(']').map(|(header, _)| header.replace(char::is_whitespace, ""));
        earlier.iter().position(|line| line.starts_with('[') && header(line) == header(own))
    } else {
        let section = earlier.iter().rposition(|line| line.starts_with('[')).map_or(0, |at| at + 1);
        let key = |line: &str| line.split_once('=').map(|(key, _)| key.trim().trim_matches(['"', '\'']).to_owned());
        let found = earlier[section..].iter().position(|line| key(line).is_some_and(|key| key == name));
        found.map(|position| section + position)
    };
    position.map(|position| position + 1)
}
