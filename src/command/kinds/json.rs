//! One kind for programs.

use orchestrate_engine::stage::{ArtifactFacts, Choice, ColumnFacts, FileFacts, NoteFacts, ParamFacts, Port, Stage};
use serde_json::{Value, json};

use super::{outputs, reads};

/// Describes a kind as an object; a value that is not known, such as a default, is null.
pub(super) fn kind(stage: &dyn Stage) -> Value {
    let facts = stage.facts();
    let described = |name: &String| facts.artifacts.iter().find(|artifact| artifact.name == name);
    let output = |name: String| match described(&name) {
        Some(artifact) => self::artifact(artifact),
        None => json!({ "name": name, "about": null, "files": [] }),
    };
    json!({
        "kind": facts.kind,
        "about": facts.about,
        "version": facts.version,
        "uses_gpu": facts.device.is_some(),
        "takes_any_input": facts.takes_any_port,
        "inherits_axes": facts.inherits_axes(),
        "inputs": facts.ports.iter().map(port).collect::<Vec<_>>(),
        "params": facts.params().iter().map(param).collect::<Vec<_>>(),
        "outputs": outputs(stage).into_iter().map(output).collect::<Vec<_>>(),
    })
}

fn port(port: &Port) -> Value {
    json!({ "name": port.name, "reads": reads(port), "optional": port.optional, "several": port.many })
}

fn param(param: &ParamFacts) -> Value {
    let choice = |choice: &Choice| json!({ "value": choice.value, "about": choice.about });
    json!({
        "name": param.name,
        "expected": param.expected,
        "required": param.required,
        "default": param.default,
        "about": param.about,
        "example": param.example,
        "choices": param.choices.iter().map(choice).collect::<Vec<_>>(),
        "schema": param.schema,
    })
}

fn artifact(artifact: &ArtifactFacts) -> Value {
    let files: Vec<_> = artifact.files.iter().map(file).collect();
    json!({ "name": artifact.name, "about": artifact.about, "files": files })
}

fn file(file: &FileFacts) -> Value {
    let note = |note: &NoteFacts| json!({ "name": note.name, "about": note.about, "optional": note.optional });
    json!({
        "name": file.name,
        "about": file.about,
        "optional": file.optional,
        "columns": file.columns.iter().map(column).collect::<Vec<_>>(),
        "notes": file.notes.iter().map(note).collect::<Vec<_>>(),
    })
}

fn column(column: &ColumnFacts) -> Value {
    let shape = Some(column.shape).filter(|shape| !shape.is_empty());
    let range = Some(column.bounds.to_string()).filter(|range| !range.is_empty());
    json!({
        "name": column.name,
        "dtype": column.dtype.arrow(),
        "shape": shape,
        "range": range,
        "about": column.about,
        "optional": column.optional,
        "nullable": column.nullable,
        "unique": column.unique,
    })
}
