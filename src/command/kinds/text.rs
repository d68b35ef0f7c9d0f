//! One kind for people, in lines of at most 96 columns.

use orchestrate_engine::stage::{ArtifactFacts, FileFacts, ParamFacts, Stage};
use orchestrate_engine::words;

use super::wrap::wrap;
use super::{axes, outputs, reads, rule};

const WIDTH: usize = 96;

fn wrapped(text: &mut String, start: &str, indent: usize, words: &str) {
    wrap(text, WIDTH, start, indent, words);
}

/// Describes a kind: inputs, params, outputs.
pub(super) fn kind(stage: &dyn Stage) -> String {
    let facts = stage.facts();
    let mut text = String::new();
    wrapped(&mut text, &format!("{}: ", facts.kind), 0, facts.about);
    if facts.device.is_some() {
        wrapped(&mut text, "", 0, "It computes on a GPU where there is one.");
    }
    inputs(stage, &mut text);
    params(&facts.params(), &mut text);
    text += "\noutputs\n";
    if facts.artifacts.is_empty() {
        let names = outputs(stage).join(", ");
        wrapped(&mut text, &format!("  {names}  "), 4, "Every file that the program leaves in its folder `{out}`.");
    }
    facts.artifacts.iter().for_each(|artifact| output(artifact, &mut text));
    text
}

fn inputs(stage: &dyn Stage, text: &mut String) {
    let facts = stage.facts();
    *text += "\ninputs\n";
    if facts.takes_any_port {
        wrapped(
            text,
            "  PORT  ",
            8,
            "Any output of any stage, under a name of your choice: one artifact or all points.",
        );
    } else if facts.ports.is_empty() {
        *text += "  none\n";
    }
    let width = facts.ports.iter().map(|port| port.name.len()).max().unwrap_or(0);
    for port in facts.ports {
        let outputs: Vec<_> = reads(port).into_iter().map(|name| format!("`{name}`")).collect();
        let optional = if port.optional { "optional; " } else { "" };
        let about = format!("{optional}reads {}: {}", words::any_of(&outputs), rule(port));
        wrapped(text, &format!("  {:width$}  ", port.name), width + 4, &about);
    }
    if !facts.ports.is_empty() || facts.takes_any_port {
        wrapped(text, "  axes: ", 4, axes(facts));
    }
}

fn params(params: &[ParamFacts], text: &mut String) {
    *text += "\nparams\n";
    if params.is_empty() {
        *text += "  none\n";
    }
    let width = params.iter().map(|param| param.name.len()).max().unwrap_or(0);
    let indent = width + 4;
    for param in params {
        let about = format!("{}{}", param.expected, default(param));
        wrapped(text, &format!("  {:width$}  ", param.name), indent, &about);
        wrapped(text, &" ".repeat(indent), indent, &param.about);
        let described = param.choices.iter().filter(|choice| !choice.about.is_empty());
        let longest = described.clone().map(|choice| words::toml(&choice.value).chars().count()).max().unwrap_or(0);
        for choice in described {
            let value = words::toml(&choice.value);
            let start = format!("{}{value:longest$}  ", " ".repeat(indent + 2));
            wrapped(text, &start, indent + longest + 4, &choice.about);
        }
        if let Some(example) = example(param) {
            wrapped(text, &" ".repeat(indent), indent, &format!("for example {example}"));
        }
    }
}

/// The default of a param, after a semicolon.
fn default(param: &ParamFacts) -> String {
    match &param.default {
        Some(value) => format!("; default {}", words::toml(value)),
        None if param.required => "; required".to_owned(),
        None => String::new(),
    }
}

/// An example of a param as a line of a spec; of a setting in a table, its value.
pub(super) fn example(param: &ParamFacts) -> Option<String> {
    let value = words::toml(param.example.as_ref()?);
    Some(if param.name.contains('.') { value } else { format!("{} = {value}", param.name) })
}

fn output(artifact: &ArtifactFacts, text: &mut String) {
    wrapped(text, &format!("  {}  ", artifact.name), 4, artifact.about);
    artifact.files.iter().for_each(|file| self::file(file, text));
}

fn file(file: &FileFacts, text: &mut String) {
    let optional = if file.optional { "; may be absent" } else { "" };
    let about = file.about.trim_end_matches('.');
    wrapped(text, &format!("    {}  ", file.name), 8, &format!("{about}{optional}"));
    let width = file.columns.iter().map(|column| column.name.len()).max().unwrap_or(0);
    for column in file.columns {
        let mut facts = vec![column.dtype.arrow().to_owned()];
        facts.extend(Some(column.shape.to_owned()).filter(|shape| !shape.is_empty()));
        facts.extend(Some(column.bounds.to_string()).filter(|bounds| !bounds.is_empty()));
        facts.extend(column.unique.then(|| "unique".to_owned()));
        facts.extend(column.nullable.then(|| "may be missing".to_owned()));
        facts.extend(column.optional.then(|| "column may be absent".to_owned()));
        let about = format!("{} {}", facts.join(", ") + ".", column.about);
        wrapped(text, &format!("      {:width$}  ", column.name), width + 8, &about);
    }
    for note in file.notes {
        wrapped(text, &format!("      note `{}`  ", note.name), 8, note.about);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_told_in_lines_that_fit_a_terminal() {
        for stage in crate::stages() {
            let text = kind(*stage);
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(longest <= WIDTH, "{}: {longest} columns", stage.facts().kind);
        }
    }
}
