//! `--set stages.train.epochs=3`: a dotted key and a TOML value; a value that is not TOML is taken as a text.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::parse::SECTIONS;
use super::toml_text;
use crate::diagnostic::Diagnostic;
use crate::source::SourceMap;

/// Parses one override, and adds it to the sources under the name `--set`.
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
    // A path or a word needs no TOML quotes inside the shell's quotes; a broken list is still an error.
    let quote = bare && !value.trim_start().starts_with(['[', '{', '"', '\'']);
    let text = if quote { format!("{key}={}", toml::Value::from(value.trim())) } else { text.to_owned() };
    let base = sources.add("--set", working_dir, &text);
    let help = "write KEY=VALUE, for example `--set 'axes.threshold=[180, 200]'`";
    let table = toml_text::parse("this override", &text, base, Some(help), problems)?;
    for section in table.keys().filter(|section| !SECTIONS.contains(&section.get_ref().as_ref())) {
        let problem = Diagnostic::error(format!("an override sets `{}`, which no spec has", section.get_ref()));
        problems.push(problem.at(section.span()).names("sections", section.get_ref(), SECTIONS));
    }
    Some(table)
}
