//! Reference pages, one a kind and one an artifact, from the facts. `orchestrate kinds --markdown docs/reference` makes
//! them anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use orchestrate_engine::stage::{ArtifactFacts, ColumnFacts, FileFacts, ParamFacts, Stage};
use orchestrate_engine::words;

use super::text::example;
use super::wrap::wrap;
use super::{axes, outputs, reads, rule};
use crate::Kinds;

const MADE: &str = "<!-- Made by `orchestrate kinds --markdown docs/reference`. -->\n";

/// Writes the pages to a folder, over those of before.
pub(super) fn write(kinds: Kinds, dir: &Path) -> anyhow::Result<()> {
    for (name, page) in pages(kinds) {
        let path = dir.join(name);
        let folder = path.parent().unwrap_or(dir);
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Makes each page by its name in the folder.
fn pages(kinds: Kinds) -> BTreeMap<String, String> {
    let mut artifacts: BTreeMap<&str, Vec<(&str, &ArtifactFacts)>> = BTreeMap::new();
    for stage in kinds {
        let facts = stage.facts();
        for artifact in facts.artifacts {
            artifacts.entry(artifact.name).or_default().push((facts.kind, artifact));
        }
    }
    let mut index = format!("{MADE}\n# Reference\n\n## Kinds\n\n");
    for stage in kinds {
        let facts = stage.facts();
        item(&mut index, &format!("[{0}]({0}.md) {1}", facts.kind, facts.about));
    }
    index += "\n## Artifacts\n\n";
    for (name, written) in &artifacts {
        let kinds: Vec<_> = written.iter().map(|(kind, _)| format!("[{kind}]({kind}.md)")).collect();
        let about = written[0].1.about;
        item(&mut index, &format!("[{name}](artifacts/{name}.md) of {}: {about}", kinds.join(", ")));
    }
    let kinds = kinds.iter().map(|stage| (format!("{}.md", stage.facts().kind), kind(*stage)));
    let artifacts = artifacts.iter().map(|(name, written)| (format!("artifacts/{name}.md"), artifact(name, written)));
    kinds.chain(artifacts).chain([("README.md".to_owned(), index)]).collect()
}

fn kind(stage: &dyn Stage) -> String {
    let facts = stage.facts();
    let mut page = format!("{MADE}\n# {}\n\n", facts.kind);
    let device = if facts.device.is_some() { " It computes on a GPU where there is one." } else { "" };
    paragraph(&mut page, &format!("This kind {}.{device}", facts.about));
    page += "\n## Inputs\n\n";
    if facts.takes_any_port {
        page += "Any output of any stage, under a name of your choice.\n";
    } else if facts.ports.is_empty() {
        page += "None.\n";
    }
    for port in facts.ports {
        let optional = if port.optional { "optional; " } else { "" };
        let outputs: Vec<_> = reads(port).into_iter().map(|name| format!("[{name}](artifacts/{name}.md)")).collect();
        item(&mut page, &format!("`{}`, {optional}reads {}: {}", port.name, words::any_of(&outputs), rule(port)));
    }
    if !facts.ports.is_empty() || facts.takes_any_port {
        let _ = writeln!(page, "\nAxes: {}.", axes(facts));
    }
    page += "\n## Params\n\n";
    let params = facts.params();
    if params.is_empty() {
        page += "None.\n";
    }
    params.iter().for_each(|param| self::param(param, &mut page));
    page += "\n## Outputs\n\n";
    if facts.artifacts.is_empty() {
        let _ = writeln!(page, "`{}`: every file that the program leaves in its folder.", outputs(stage).join(", "));
    }
    for artifact in facts.artifacts {
        item(&mut page, &format!("[{0}](artifacts/{0}.md): {1}", artifact.name, artifact.about));
    }
    page
}

fn param(param: &ParamFacts, page: &mut String) {
    let default = match &param.default {
        Some(value) => format!("; default `{}`", words::toml(value)),
        None if param.required => "; required".to_owned(),
        None => String::new(),
    };
    let _ = writeln!(page, "### `{}`\n", param.name);
    if !param.about.is_empty() {
        paragraph(page, &param.about);
        page.push('\n');
    }
    paragraph(page, &format!("{}{default}.", capital(&param.expected)));
    page.push('\n');
    let described: Vec<_> = param.choices.iter().filter(|choice| !choice.about.is_empty()).collect();
    for choice in &described {
        item(page, &format!("`{}`: {}", words::toml(&choice.value), choice.about));
    }
    if !described.is_empty() {
        page.push('\n');
    }
    if let Some(example) = example(param) {
        let _ = writeln!(page, "For example `{example}`.\n");
    }
}

fn artifact(name: &str, written: &[(&str, &ArtifactFacts)]) -> String {
    let mut page = format!("{MADE}\n# {name}\n");
    let same = written.iter().all(|(_, facts)| {
        let names = |facts: &ArtifactFacts| facts.files.iter().map(|file| file.name).collect::<Vec<_>>();
        names(facts) == names(written[0].1)
    });
    let kinds = |written: &[(&str, &ArtifactFacts)]| {
        let links: Vec<_> = written.iter().map(|(kind, _)| format!("[{kind}](../{kind}.md)")).collect();
        format!("Output of {}.", links.join(", "))
    };
    let parts: Vec<_> = if same { vec![written] } else { written.chunks(1).collect() };
    for part in parts {
        let facts = part[0].1;
        page.push('\n');
        paragraph(&mut page, &format!("{} {}", facts.about, kinds(part)));
        facts.files.iter().for_each(|file| self::file(file, &mut page));
    }
    page
}

fn file(file: &FileFacts, page: &mut String) {
    let optional = if file.optional { " It may be absent." } else { "" };
    let _ = writeln!(page, "\n## `{}`\n", file.name);
    paragraph(page, &format!("{}{optional}", file.about));
    if !file.columns.is_empty() {
        *page += "\nColumns, in order:\n\n";
    }
    for column in file.columns {
        item(page, &format!("`{}`: {}. {}", column.name, values(column), column.about));
    }
    if !file.notes.is_empty() {
        *page += "\nNotes, in the key-value metadata of the file:\n\n";
    }
    for note in file.notes {
        item(page, &format!("`{}`: {}", note.name, note.about));
    }
}

fn values(column: &ColumnFacts) -> String {
    let shape = if column.shape.is_empty() { String::new() } else { format!("`{}`", column.shape) };
    let mut values = vec![format!("`{}`", column.dtype.arrow()), shape, column.bounds.to_string()];
    values.extend(column.unique.then(|| "unique".to_owned()));
    values.extend(column.nullable.then(|| "may be missing".to_owned()));
    values.extend(column.optional.then(|| "column may be absent".to_owned()));
    values.retain(|value| !value.is_empty());
    values.join(", ")
}

/// The widest line of a page.
const WIDTH: usize = 118;

fn paragraph(page: &mut String, text: &str) {
    wrap(page, WIDTH, "", 0, text);
}

fn item(page: &mut String, text: &str) {
    wrap(page, WIDTH, "- ", 2, text);
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_pages_are_up_to_date() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
        for (name, page) in pages(crate::stages()) {
            let found = std::fs::read_to_string(dir.join(&name)).unwrap_or_default();
            assert!(found == page, "{name} is old: run `orchestrate kinds --markdown docs/reference`");
        }
    }
}
