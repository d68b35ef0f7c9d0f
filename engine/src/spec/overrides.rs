//! `--set stages.train.epochs=3`: a dotted key and a value of TOML; a value that is no TOML is taken as a text.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::diagnostic::Diagnostic;
use crate::source::{self, SourceMap};

const SECTIONS: [&str; 5] = ["experiment", "axes", "stages", "exclude", "zip"];

/// Parses one override, adding it to the sources under the name `--set`.
pub(super) fn parse(
    text: &str,
    working_dir: &Path,
    sources: &mut SourceMap,
    problems: &mut Vec<Diagnostic>,
) -> Option<DeTable<'static>> {
    let Some((key, value)) = text.split_once('=') else {
        let base = sources.add("--set", working_dir, text);
        problems.push(
            Diagnostic::error("an override has no `=`")
                .at(base..base + text.len())
                .help("write KEY=VALUE, for example `--set stages.train.epochs=3`"),
        );
        return None;
    };
    let bare = !value.trim().is_empty() && DeValue::parse(value.trim()).is_err();
    // A path or a word need not be quoted twice, once for the shell and once for TOML; a broken list is still an error.
    let quote = bare && !value.trim_start().starts_with(['[', '{', '"', '\'']);
    let text = if quote { format!("{key}={}", toml::Value::from(value.trim())) } else { text.to_owned() };
    let base = sources.add("--set", working_dir, &text);
    let (table, errors) = source::parse(&text, base);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        problems.push(
            Diagnostic::error(format!("this override is not TOML: {}", error.message()))
                .at(span.start + base..span.end + base)
                .help("write KEY=VALUE, for example `--set 'axes.threshold=[180, 200]'`"),
        );
    }
    if !errors.is_empty() {
        return None;
    }
    for section in table.keys().filter(|section| !SECTIONS.contains(&section.get_ref().as_ref())) {
        let problem = Diagnostic::error(format!("an override sets `{}`, which no spec has", section.get_ref()));
        problems.push(problem.at(section.span()).names("sections", section.get_ref(), SECTIONS));
    }
    Some(table)
}
