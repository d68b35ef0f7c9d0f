//! Values, types and errors of a spec in a person's words: nobody who writes TOML knows `u32`, `struct` or `sequence`.

use serde_json::Value as Json;
use toml::de::DeValue;

use crate::bounds::Bounds;

/// Names a value that was found: `the text "five"`, `the number 0.5`, `a list`.
pub fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {text:?}"),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => format!("the number {number}"),
            Err(_) => format!("the number {}", number.as_str()),
        },
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(truth) => format!("`{truth}`"),
        DeValue::Datetime(date) => format!("the date {date}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Writes a value as in a spec, on one line.
pub fn toml(value: &Json) -> String {
    let list = |items: &[Json]| items.iter().map(toml).collect::<Vec<_>>().join(", ");
    match value {
        Json::Array(items) => format!("[{}]", list(items)),
        Json::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Json::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name} = {}", toml(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Joins alternatives: `a, b or c`.
pub fn any_of(words: &[String]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Describes the values that a schema allows: `a whole number from 1 on`, `"adam", "adamw" or "sgd"`.
pub fn expected(schema: &Json) -> String {
    any_of(&alternatives(schema))
}

/// Describes each alternative of a schema once.
fn alternatives(schema: &Json) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let listed = ["anyOf", "oneOf"].into_iter().find_map(|key| schema.get(key)?.as_array());
    let found = match (listed, schema.get("const"), schema.get("enum").and_then(Json::as_array)) {
        (Some(listed), ..) => listed.iter().flat_map(alternatives).collect(),
        (_, Some(value), _) => vec![toml(value)],
        (.., Some(values)) => values.iter().map(toml).collect(),
        _ => match schema.get("type") {
            Some(Json::Array(types)) => {
                types.iter().filter_map(Json::as_str).map(|name| of_type(name, schema)).collect()
            }
            Some(Json::String(name)) => vec![of_type(name, schema)],
            _ => vec!["any value".to_owned()],
        },
    };
    for word in found {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

fn of_type(name: &str, schema: &Json) -> String {
    let range = |what: &str| match Bounds::of_schema(schema) {
        bounds if bounds == Bounds::default() => what.to_owned(),
        bounds => format!("{what} {bounds}"),
    };
    match name {
        "integer" => range("a whole number"),
        "number" => range("a number"),
        "boolean" => "`true` or `false`".to_owned(),
        "string" => match (schema.get("pattern"), schema.pointer("/examples/0")) {
            (Some(_), Some(example)) => format!("a text such as {}", toml(example)),
            _ if schema.get("format").is_some_and(|format| format == "path") => "a path".to_owned(),
            _ => "a text".to_owned(),
        },
        "array" => list(schema),
        _ => match schema.get("properties").and_then(Json::as_object) {
            Some(fields) if !fields.is_empty() => {
                let names: Vec<_> = fields.keys().map(|name| format!("`{name}`")).collect();
                format!("a table with {}", names.join(", "))
            }
            _ => "a table".to_owned(),
        },
    }
}

fn list(schema: &Json) -> String {
    let bound = |key: &str| schema.get(key).and_then(Json::as_u64);
    let count = match (bound("minItems"), bound("maxItems")) {
        (Some(least), Some(most)) if least == most => format!("{least} "),
        _ => String::new(),
    };
    let Some(items) = schema.get("items") else { return "a list".to_owned() };
    let one = expected(items);
    let many = [("a whole number", "whole numbers"), ("a number", "numbers"), ("a text", "texts"), ("a path", "paths")];
    match many.iter().find(|(single, _)| one.strip_prefix(single).is_some_and(|rest| !rest.contains(" or "))) {
        Some((single, plural)) => format!("a list of {count}{}", one.replacen(single, plural, 1)),
        None if one.starts_with("a table") => format!("a list of {count}tables"),
        None => format!("a list of {count}values, each {one}"),
    }
}

/// Translates a message of the reader of TOML or JSON, whose words are those of a program: `invalid type: string "x",
/// expected u32` becomes `a whole number from 0 on is expected, found the text "x"`. Other messages stay as they are.
pub fn of_reader(message: &str) -> String {
    if let Some((message, place)) = message.rsplit_once(" at line ")
        && let Some((line, column)) = place.split_once(" column ")
    {
        return format!("{} (line {line}, column {column})", of_reader(message));
    }
    let wrong = ["invalid type: ", "invalid value: "].into_iter().find_map(|start| message.strip_prefix(start));
    if let Some((unexpected, wanted)) =
        wrong.and_then(|rest| rest.rsplit_once(", expected ").or(rest.split_once(", expected ")))
    {
        // The wanted thing may hold ", expected " itself only in words of ours, which are kept whole.
        return format!("{} is expected, found {}", of_wanted(wanted), of_unexpected(unexpected));
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("{rest} is missing");
    }
    if let Some(rest) = message.strip_prefix("duplicate field ") {
        return format!("{rest} is there twice");
    }
    for (start, what) in [("unknown variant ", "is not known"), ("unknown field ", "is not known here")] {
        let Some(rest) = message.strip_prefix(start) else { continue };
        let Some((name, wanted)) = rest.split_once(", ") else { continue };
        let names = wanted.trim_start_matches("expected one of ").trim_start_matches("expected ");
        return match wanted.starts_with("there are no") {
            true => format!("{name} {what}"),
            false => format!("{name} {what}; {names} is expected"),
        };
    }
    if let Some((length, wanted)) =
        message.strip_prefix("invalid length ").and_then(|rest| rest.split_once(", expected "))
    {
        return format!("{} is expected, found {length}", of_wanted(wanted));
    }
    if message.starts_with("wanted string or table") {
        return "a text or a table is expected".to_owned();
    }
    if message.starts_with("wanted exactly 1 element") {
        return "a table with exactly one name is expected".to_owned();
    }
    message.to_owned()
}

/// A wanted type in words; words of ours stay as they are.
fn of_wanted(wanted: &str) -> String {
    let plain = match wanted {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" | "u128" => "a whole number from 0 on",
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "str" | "string" | "a borrowed string" => "a text",
        "path string" | "a path string" => "a path",
        "a boolean" | "bool" => "`true` or `false`",
        "a sequence" => "a list",
        "a map" => "a table",
        "string or table" | "variant identifier" => "a text or a table",
        "field identifier" | "a character" => "a text",
        "unit" | "option" | "null" => "nothing",
        _ => "",
    };
    let counted = ["an array of length ", "a tuple of size "].into_iter().find_map(|start| wanted.strip_prefix(start));
    match (plain, counted) {
        ("", Some(count)) => format!("a list of {count}"),
        ("", None) if wanted.starts_with("struct ") || wanted.starts_with("struct variant ") => "a table".to_owned(),
        ("", None) if wanted.starts_with("enum ") => "a text or a table".to_owned(),
        ("", None) if wanted.starts_with("tuple ") => "a list".to_owned(),
        ("", None) => wanted.to_owned(),
        (plain, _) => plain.to_owned(),
    }
}

/// A value that was found, in words.
fn of_unexpected(unexpected: &str) -> String {
    for (start, word) in [
        ("string ", "the text "),
        ("integer ", "the number "),
        ("floating point ", "the number "),
        ("boolean ", ""),
        ("character ", "the text "),
    ] {
        if let Some(value) = unexpected.strip_prefix(start) {
            let value = if word == "the number " { value.trim_matches('`') } else { value };
            return format!("{word}{value}");
        }
    }
    match unexpected {
        "sequence" | "tuple variant" => "a list".to_owned(),
        "map" | "struct variant" => "a table".to_owned(),
        "null" | "unit value" | "Option value" => "nothing".to_owned(),
        "unit variant" | "newtype variant" | "enum" => "a text".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_of_readers_lose_their_types() {
        let table = [
            ("invalid type: string \"x\", expected u32", "a whole number from 0 on is expected, found the text \"x\""),
            (
                "invalid value: integer `-1`, expected u8",
                "a whole number from 0 to 255 is expected, found the number -1",
            ),
            ("invalid type: map, expected a sequence", "a list is expected, found a table"),
            ("invalid type: boolean `true`, expected struct Augment", "a table is expected, found `true`"),
            ("missing field `fold`", "`fold` is missing"),
            ("unknown variant `adm`, expected one of `adam`, `sgd`", "`adm` is not known; `adam`, `sgd` is expected"),
            ("unknown field `x`, expected `flip` or `shift`", "`x` is not known here; `flip` or `shift` is expected"),
            ("invalid length 3, expected an array of length 2", "a list of 2 is expected, found 3"),
            ("missing field `fold` at line 3 column 1", "`fold` is missing (line 3, column 1)"),
            ("folds must ascend", "folds must ascend"),
        ];
        for (message, expected) in table {
            assert_eq!(of_reader(message), expected);
        }
    }

    #[test]
    fn schemas_are_told_in_words() {
        let table = [
            (json!({ "type": "integer", "minimum": 1 }), "a whole number from 1 on"),
            (json!({ "type": "array", "items": { "type": "number" } }), "a list of numbers"),
            (
                json!({ "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 }),
                "a list of 2 numbers",
            ),
            (json!({ "oneOf": [{ "const": "a" }, { "enum": ["b", "c"] }] }), "\"a\", \"b\" or \"c\""),
            (json!({ "type": ["string", "boolean"] }), "a text or `true` or `false`"),
            (json!({ "type": "object", "properties": { "every": {} } }), "a table with `every`"),
        ];
        for (schema, words) in table {
            assert_eq!(expected(&schema), words);
        }
    }
}
