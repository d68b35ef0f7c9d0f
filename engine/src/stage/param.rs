//! Facts about the params of a kind, for people: type, default, range, meaning and an example, read from the schema.

use serde_json::Value as Json;

use super::Facts;
use crate::words;

/// Facts about one param.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamFacts {
    /// Its name; that of a setting in a table has a dot: `augment.flip`.
    pub name: String,
    /// The values it takes, in words: `a whole number from 1 on`.
    pub expected: String,
    /// True if a spec must set it, or vary an axis of its name.
    pub required: bool,
    /// Its value where a spec does not set it, if that is always the same.
    pub default: Option<Json>,
    /// One or two sentences.
    pub about: String,
    /// Values by name, each with a sentence, where it takes such.
    pub choices: Vec<Choice>,
    /// A value that it takes.
    pub example: Option<Json>,
    /// Its JSON Schema.
    pub schema: &'static Json,
}

/// A value by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The value.
    pub value: Json,
    /// One sentence; empty if the name says it all.
    pub about: String,
}

impl Facts {
    /// Returns the facts about each param in the order of declaration; settings in a table follow their param.
    pub fn params(&self) -> Vec<ParamFacts> {
        let mut params = Vec::new();
        let schema = (self.schema)();
        for field in self.fields() {
            collect(schema, field, "", &mut params);
        }
        params
    }
}

/// Adds the facts about a param, then about those in its table.
fn collect(table: &'static Json, field: &str, prefix: &str, params: &mut Vec<ParamFacts>) {
    let Some(schema) = table.get("properties").and_then(|properties| properties.get(field)) else { return };
    let required = table.get("required").and_then(Json::as_array).into_iter().flatten();
    let name = format!("{prefix}{field}");
    let default = schema.get("default").cloned();
    let choices = choices(schema);
    let other = || choices.iter().map(|choice| &choice.value).find(|value| Some(*value) != default.as_ref()).cloned();
    params.push(ParamFacts {
        expected: words::expected(schema),
        required: required.clone().any(|name| *name == *field) && prefix.is_empty(),
        // A choice that is a table of one name is described by the table.
        about: Some(text(schema)).filter(|about| !about.is_empty()).unwrap_or_else(|| text(table)),
        example: schema
            .pointer("/examples/0")
            .cloned()
            .or_else(other)
            .or_else(|| default.clone())
            .or_else(|| of_settings(schema)),
        name: name.clone(),
        default,
        choices,
        schema,
    });
    let mut tables = vec![schema];
    while let Some(schema) = tables.pop() {
        let fields = schema.get("properties").and_then(Json::as_object);
        fields.into_iter().flat_map(|fields| fields.keys()).for_each(|field| {
            collect(schema, field, &format!("{name}."), params);
        });
        let alternatives = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
        tables.extend(alternatives);
    }
}

/// An example of a table, of those of its settings.
fn of_settings(schema: &Json) -> Option<Json> {
    let settings = schema.get("properties")?.as_object()?.iter();
    let example = |(name, schema): (&String, &Json)| Some((name.clone(), schema.pointer("/examples/0")?.clone()));
    settings.map(example).collect::<Option<serde_json::Map<_, _>>>().map(Json::Object)
}

/// The values by name of a schema, and of its alternatives; those of a list's items too.
fn choices(schema: &Json) -> Vec<Choice> {
    let list = |key: &str| schema.get(key).and_then(Json::as_array).into_iter().flatten();
    let about = text(schema);
    let own = schema.get("const").map(|value| Choice { value: value.clone(), about });
    let plain = list("enum").map(|value| Choice { value: value.clone(), about: String::new() });
    own.into_iter().chain(plain).chain(list("anyOf").chain(list("oneOf")).flat_map(choices)).collect()
}

fn text(schema: &Json) -> String {
    schema.get("description").and_then(Json::as_str).unwrap_or_default().to_owned()
}
