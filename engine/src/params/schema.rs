//! The JSON Schema of the params of a kind: what serde reads, with descriptions, defaults, ranges and examples.
//!
//! It is made from the struct of the params by `schemars`, when a param is wrong or a person asks; a run whose params
//! are right makes none.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use super::Params;
use crate::bounds::Bounds;

/// Returns the schema of params of type `P`: draft 7, without references, without `null`, which TOML lacks.
pub fn schema<P: Params>() -> &'static Json {
    static MADE: Mutex<BTreeMap<TypeId, &'static Json>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    // One schema a kind lives as long as the program.
    made.entry(TypeId::of::<P>()).or_insert_with(|| Box::leak(Box::new(make::<P>())))
}

fn make<P: Params>() -> Json {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<P>().to_value();
    plain(&mut schema);
    // The engine gives every param of this name the seed of the experiment.
    if let Some(Json::Object(seed)) = schema.pointer_mut("/properties/seed") {
        seed.remove("default");
    }
    for (name, bounds) in P::RANGES {
        write(bounds, &mut schema, name);
    }
    schema
}

/// Makes a schema one of TOML: no `null`, no sizes of integers, texts on one line.
fn plain(schema: &mut Json) {
    match schema {
        Json::Object(fields) => {
            if let Some(types) = fields.get_mut("type")
                && let Json::Array(names) = types
            {
                names.retain(|name| name != "null");
                if let [only] = names.as_slice() {
                    *types = only.clone();
                }
            }
            for key in ["anyOf", "oneOf", "enum"] {
                if let Some(Json::Array(list)) = fields.get_mut(key) {
                    list.retain(|one| !one.is_null() && one.get("type").is_none_or(|name| name != "null"));
                }
            }
            if let Some(Json::Array(list)) = fields.get("anyOf")
                && let [Json::Object(only)] = list.as_slice()
            {
                let only = only.clone();
                fields.remove("anyOf");
                only.into_iter().for_each(|(key, value)| {
                    fields.entry(key).or_insert(value);
                });
            }
            let is_nothing = |value: &Json| value.is_null() || value.as_object().is_some_and(|table| table.is_empty());
            if fields.get("default").is_some_and(is_nothing) {
                fields.remove("default");
            }
            for key in ["title", "$schema"] {
                fields.remove(key);
            }
            if fields.get("format").is_some_and(|format| format != "path") {
                fields.remove("format");
            }
            if let Some(Json::String(text)) = fields.get_mut("description") {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            for (key, inner) in fields.iter_mut() {
                match (key.as_str(), inner) {
                    // Names of params are no keywords.
                    ("properties", Json::Object(inner)) => inner.values_mut().for_each(plain),
                    ("default" | "examples" | "const" | "enum", _) => {}
                    (_, inner) => plain(inner),
                }
            }
        }
        Json::Array(list) => list.iter_mut().for_each(plain),
        _ => {}
    }
}

/// Writes the range of the numbers at a dotted name.
fn write(bounds: &Bounds, schema: &mut Json, name: &str) {
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let alternatives = schema.as_object_mut().into_iter().flat_map(|fields| {
        fields.iter_mut().filter(|(key, _)| ["anyOf", "oneOf"].contains(&key.as_str())).map(|(_, list)| list)
    });
    for list in alternatives {
        list.as_array_mut().into_iter().flatten().for_each(|schema| write(bounds, schema, name));
    }
    let Some(inner) = schema.get_mut("properties").and_then(|properties| properties.get_mut(first)) else { return };
    match rest {
        Some(rest) => write(bounds, inner, rest),
        None => bounds.write(inner),
    }
}
