//! The form of a spec as JSON Schema, for editors: completion, descriptions, errors while typing.
//!
//! Draft 7, which the language servers of TOML and of VS Code read. It is wider than [`load`](super::load): what a
//! spec extends or an axis binds is not known here, so no param is required.

use serde_json::{Map, Value as Json, json};

use crate::params::STAGE_FIELDS;
use crate::resources::RETRIES_MAX;
use crate::stage::{Port, Stage};
use crate::words;

/// Returns the schema of specs with these kinds.
pub fn spec_schema(kinds: &[&dyn Stage]) -> Json {
    let names: Vec<_> =
        kinds.iter().map(|kind| json!({ "const": kind.facts().kind, "description": kind.facts().about })).collect();
    let of_kind = |kind: &&dyn Stage| {
        json!({
            "if": { "properties": { "kind": { "const": kind.facts().kind } }, "required": ["kind"] },
            "then": { "$ref": format!("#/definitions/{}", kind.facts().kind) },
        })
    };
    let mut fields = stage_fields();
    fields["kind"] = json!({ "description": "The work that the stage does.", "oneOf": names });
    let stage = json!({
        "type": "object",
        "description": "A stage: its kind, the axes it varies over, its inputs, and the params of its kind.",
        "properties": fields,
        "allOf": kinds.iter().map(of_kind).collect::<Vec<_>>(),
    });
    let mut definitions = Map::from_iter([("stage".to_owned(), stage), ("axis".to_owned(), axis())]);
    definitions.extend(kinds.iter().map(|kind| (kind.facts().kind.to_owned(), of_stage(*kind))));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "orchestrate spec",
        "description": "A study: its axes and stages. See docs/specs.md.",
        "type": "object",
        "properties": {
            "extends": {
                "description": "A spec to start from, or several. Tables merge; lists and single values replace.",
                "anyOf": [{ "type": "string" }, texts("A path.")],
            },
            "experiment": {
                "type": "object",
                "description": "The name and the seed of the study.",
                "properties": {
                    "name": { "type": "string", "description": "Results lie in a folder of this name." },
                    "seed": { "type": "integer", "minimum": 0, "description": "The default of every param `seed`." },
                },
                "additionalProperties": false,
            },
            "axes": {
                "type": "object",
                "description": "Lists of values that stages vary over.",
                "propertyNames": { "pattern": NAME },
                "additionalProperties": { "$ref": "#/definitions/axis" },
            },
            "stages": {
                "type": "object",
                "description": "The stages by name.",
                "propertyNames": { "pattern": NAME },
                "additionalProperties": { "$ref": "#/definitions/stage" },
            },
            "exclude": {
                "type": "array",
                "description": "Points that are left out, each a value of one or several axes.",
                "items": { "type": "object", "minProperties": 1, "additionalProperties": label() },
            },
            "zip": {
                "type": "array",
                "description": "Axes of equal length that move together.",
                "items": { "type": "array", "items": { "type": "string" }, "minItems": 2 },
            },
        },
        "additionalProperties": false,
        "if": { "not": { "required": ["extends"] } },
        "then": {
            "required": ["experiment", "stages"],
            "properties": {
                "experiment": { "required": ["name"] },
                "stages": { "additionalProperties": { "required": ["kind"] } },
            },
        },
        "definitions": definitions,
    })
}

/// Names of axes and stages.
pub(super) const NAME: &str = "^[A-Za-z0-9_-]+$";

pub(super) fn texts(about: &str) -> Json {
    json!({ "type": "array", "items": { "type": "string" }, "description": about })
}

/// A value of an axis, by its label.
fn label() -> Json {
    json!({ "type": ["string", "number", "boolean"] })
}

fn axis() -> Json {
    let table = json!({
        "type": "object",
        "description": "A value of several params: its label, and the params that it binds.",
        "properties": { "name": { "type": "string", "description": "The label that tables and nodes show." } },
        "required": ["name"],
    });
    json!({
        "description": "The values of an axis: a list, a range such as \"128..=250:2\", or { folds = 5 }.",
        "anyOf": [
            { "type": "array", "minItems": 1, "items": { "anyOf": [label(), table] } },
            { "type": "string", "pattern": "\\.\\.", "examples": ["128..=250:2"] },
            {
                "type": "object",
                "properties": { "folds": { "type": "integer", "minimum": 2, "description": "1 to this number." } },
                "required": ["folds"],
                "additionalProperties": false,
            },
        ],
    })
}

/// The fields of a stage that are no params.
fn stage_fields() -> Json {
    json!({
        "kind": true,
        "over": {
            "description":
                "Axes that the stage varies over. Those of its inputs come by themselves, unless the kind gathers.",
            "anyOf": [{ "type": "string" }, texts("Names of axes.")],
        },
        "inputs": {
            "type": "object",
            "description": "The ports, and the stages that feed them.",
            "additionalProperties": feed("A stage, `STAGE.OUTPUT`, or a list of them."),
        },
        "with": {
            "type": "object",
            "description": "Params that an axis of another name binds: { PARAM = \"axis.NAME\" }.",
            "additionalProperties": { "type": "string", "pattern": "^axis\\." },
        },
        "resources": {
            "type": "object",
            "description": "What a node takes while it runs; in no key.",
            "properties": {
                "threads": { "type": "integer", "minimum": 1, "maximum": 65536, "description": "CPU threads." },
                "memory": { "type": "string", "description": "Memory to reserve.", "examples": ["2GB"] },
                "gpu": {
                    "type": "number",
                    "minimum": 0,
                    "maximum": 1024,
                    "description": "Devices: 0.5 puts two nodes on one, 0 keeps them on the CPU.",
                },
            },
            "additionalProperties": false,
        },
        "retries": {
            "type": "integer",
            "minimum": 0,
            "maximum": RETRIES_MAX,
            "default": 0,
            "description": "Tries after a failure.",
        },
        "timeout": { "type": "string", "description": "Time after which a node is stopped.", "examples": ["2h"] },
        "publish": { "type": "string", "description": "A folder for people, to which results are copied." },
    })
}

fn feed(about: &str) -> Json {
    json!({ "description": about, "anyOf": [{ "type": "string" }, texts("Stages.")] })
}

/// The schema of a stage of one kind.
fn of_stage(kind: &dyn Stage) -> Json {
    let facts = kind.facts();
    let mut fields = Map::from_iter(STAGE_FIELDS.map(|field| (field.to_owned(), json!(true))));
    if !facts.takes_any_port {
        let port = |port: &Port| {
            let reads = if port.reads.is_empty() { vec![port.name] } else { port.reads.to_vec() };
            let reads: Vec<_> = reads.into_iter().map(|name| format!("`{name}`")).collect();
            let optional = if port.optional { "; optional" } else { "" };
            (port.name.to_owned(), feed(&format!("Reads {}{optional}.", words::any_of(&reads))))
        };
        let ports: Map<_, _> = facts.ports.iter().map(port).collect();
        fields["inputs"] = json!({ "properties": ports, "additionalProperties": false });
    }
    let params = (facts.schema)().get("properties").and_then(Json::as_object);
    for (name, schema) in params.into_iter().flatten() {
        let mut schema = schema.clone();
        without_formats(&mut schema);
        fields.insert(name.clone(), schema);
    }
    json!({ "description": facts.about, "properties": fields, "additionalProperties": false })
}

/// Removes `format`, whose only value, `path`, is our own.
fn without_formats(schema: &mut Json) {
    match schema {
        Json::Object(fields) => {
            if fields.get("format").is_some_and(Json::is_string) {
                fields.remove("format");
            }
            fields.values_mut().for_each(without_formats);
        }
        Json::Array(list) => list.iter_mut().for_each(without_formats),
        _ => {}
    }
}
