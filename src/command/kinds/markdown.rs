//! Reference pages, one a kind and one an artifact, from the facts. `orchestrate kinds --markdown docs/reference` makes
//! them anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use orchestrate_engine::stage::{ArtifactFacts, ColumnFacts, FileFacts, ParamFacts, Stage};
use orchestrate_engine::words;

use super::text::example;
use super::{outputs, reads, rule};
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
    let mut index = format!("{MADE}\n# Reference\n\n## Kinds\n\n| kind | does |\n|---|---|\n");
    for stage in kinds {
        let facts = stage.facts();
        let _ = writeln!(index, "| [{0}]({0}.md) | {1} |", facts.kind, facts.about);
    }
    index += "\n## Artifacts\n\n| output | of | holds |\n|---|---|---|\n";
    for (name, written) in &artifacts {
        let kinds: Vec<_> = written.iter().map(|(kind, _)| format!("[{kind}]({kind}.md)")).collect();
        let about = written[0].1.about;
        let _ = writeln!(index, "| [{name}](artifacts/{name}.md) | {} | {about} |", kinds.join(", "));
    }
    let kinds = kinds.iter().map(|stage| (format!("{}.md", stage.facts().kind), kind(*stage)));
    let artifacts = artifacts.iter().map(|(name, written)| (format!("artifacts/{name}.md"), artifact(name, written)));
    kinds.chain(artifacts).chain([("README.md".to_owned(), index)]).collect()
}

fn kind(stage: &dyn Stage) -> String {
    let facts = stage.facts();
    let mut page = format!("{MADE}\n# {}\n\nThis kind {}.", facts.kind, facts.about);
    page += if facts.device.is_some() { " It computes on a GPU where there is one.\n" } else { "\n" };
    page += "\n## Inputs\n\n";
    if facts.takes_any_port {
        page += "Any output of any stage, under a name of your choice.\n";
    } else if facts.ports.is_empty() {
        page += "None.\n";
    } else {
        page += "| port | reads | receives |\n|---|---|---|\n";
    }
    for port in facts.ports {
        let optional = if port.optional { "optional; " } else { "" };
        let outputs: Vec<_> = reads(port).into_iter().map(|name| format!("[{name}](artifacts/{name}.md)")).collect();
        let _ = writeln!(page, "| `{}` | {} | {optional}{} |", port.name, words::any_of(&outputs), rule(port));
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
        let _ = writeln!(page, "- [{0}](artifacts/{0}.md): {1}", artifact.name, artifact.about);
    }
    page
}

fn param(param: &ParamFacts, page: &mut String) {
    let default = match &param.default {
        Some(value) => format!("; default `{}`", words::toml(value)),
        None if param.required => "; required".to_owned(),
        None => String::new(),
    };
    let _ = writeln!(page, "### `{}`\n\n{}\n", param.name, param.about);
    let described = param.choices.iter().any(|choice| !choice.about.is_empty());
    let _ = writeln!(page, "{}{default}.", capital(&param.expected));
    if described {
        page.push('\n');
        for choice in &param.choices {
            let _ = writeln!(page, "- `{}`: {}", words::toml(&choice.value), choice.about);
        }
    }
    if let Some(example) = example(param) {
        let _ = writeln!(page, "\n```toml\n{example}\n```\n");
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
        let _ = writeln!(page, "\n{} {}", facts.about, kinds(part));
        facts.files.iter().for_each(|file| self::file(file, &mut page));
    }
    page
}

fn file(file: &FileFacts, page: &mut String) {
    let optional = if file.optional { " It may be absent." } else { "" };
    let _ = writeln!(page, "\n## `{}`\n\n{}{optional}", file.name, file.about);
    if !file.columns.is_empty() {
        *page += "\n| column | type | shape | values | meaning |\n|---|---|---|---|---|\n";
    }
    for column in file.columns {
        let ColumnFacts { name, dtype, shape, about, .. } = column;
        let _ = writeln!(page, "| `{name}` | {} | {shape} | {} | {about} |", dtype.arrow(), values(column));
    }
    if !file.notes.is_empty() {
        *page += "\nNotes, in the key-value metadata of the file:\n\n";
    }
    for note in file.notes {
        let _ = writeln!(page, "- `{}`: {}", note.name, note.about);
    }
}

fn values(column: &ColumnFacts) -> String {
    let mut values = vec![column.bounds.to_string()];
    values.extend(column.unique.then(|| "unique".to_owned()));
    values.extend(column.nullable.then(|| "may be missing".to_owned()));
    values.extend(column.optional.then(|| "column may be absent".to_owned()));
    values.retain(|value| !value.is_empty());
    values.join(", ")
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
