//! The first place where a value differs from its schema, in words.

use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};

use super::ParamProblem;
use crate::bounds::Bounds;
use crate::nearest::nearest;
use crate::spec::Located;
use crate::words::{expected, found};

/// Returns the first problem of a value; `name` is that of the param, with dots in tables.
pub(super) fn mismatch(schema: &Json, value: &Located, name: &str) -> Option<ParamProblem> {
    let list = |key: &str| schema.get(key).and_then(Json::as_array);
    if let Some(alternatives) = list("anyOf").or(list("oneOf")) {
        let mut problems: Vec<_> = alternatives.iter().map(|one| (one, mismatch(one, value, name))).collect();
        if problems.iter().any(|(_, problem)| problem.is_none()) {
            return None;
        }
        // Of a list or table, the only alternative of its type says more about its inner values.
        problems.retain(|(one, _)| one.get("type").is_some_and(|name| is_container(name, value.get_ref())));
        return match problems.as_mut_slice() {
            [(_, problem)] => problem.take(),
            _ => Some(wrong(schema, value, name)),
        };
    }
    if let Some(one) = schema.get("const") {
        return (!is_equal(one, value.get_ref())).then(|| wrong(schema, value, name));
    }
    if let Some(all) = list("enum") {
        return (!all.iter().any(|one| is_equal(one, value.get_ref()))).then(|| wrong(schema, value, name));
    }
    let has_type = match schema.get("type") {
        Some(Json::Array(types)) => types.iter().any(|name| has_type(name, value.get_ref())),
        Some(name) => has_type(name, value.get_ref()),
        None => true,
    };
    if !has_type {
        return Some(wrong(schema, value, name));
    }
    match value.get_ref() {
        DeValue::Integer(_) | DeValue::Float(_) => {
            let broken = Bounds::of_schema(schema).broken_by(number(value.get_ref())?);
            broken.map(|_| wrong(schema, value, name))
        }
        DeValue::Array(items) => {
            let bound = |key: &str| schema.get(key).and_then(Json::as_u64).map(|bound| bound as usize);
            let fits = bound("minItems").is_none_or(|least| least <= items.len())
                && bound("maxItems").is_none_or(|most| items.len() <= most);
            if !fits {
                let message = format!("`{name}` must be {}, not a list of {}", expected(schema), items.len());
                return Some(ParamProblem { message, span: value.span(), help: help(schema, value.get_ref()) });
            }
            let schema = schema.get("items")?;
            let place = |index: usize| format!("{name}[{index}]");
            items.iter().enumerate().find_map(|(index, item)| mismatch(schema, item, &place(index)))
        }
        DeValue::Table(fields) => in_table(schema, fields, value, name),
        _ => None,
    }
}

fn in_table(schema: &Json, fields: &DeTable<'static>, value: &Located, name: &str) -> Option<ParamProblem> {
    let none = serde_json::Map::new();
    let known = schema.get("properties").and_then(Json::as_object).unwrap_or(&none);
    let others = schema.get("additionalProperties");
    for (key, inner) in fields {
        let (key, place) = (key.get_ref().as_ref(), format!("{name}.{}", key.get_ref()));
        let problem = match (known.get(key), others) {
            (Some(schema), _) => mismatch(schema, inner, &place),
            (None, Some(Json::Bool(false))) => Some(ParamProblem {
                message: format!("unknown field `{key}` in `{name}`"),
                span: inner.span(),
                help: Some(match nearest(key, known.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("`{name}` has {}", known.keys().cloned().collect::<Vec<_>>().join(", ")),
                }),
            }),
            (None, Some(schema)) => mismatch(schema, inner, &place),
            (None, None) => None,
        };
        if problem.is_some() {
            return problem;
        }
    }
    let required = schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    let missing = required.filter(|key| !fields.contains_key(*key)).find_map(|key| Some((key, known.get(key)?)));
    missing.map(|(key, schema)| ParamProblem {
        message: format!("`{name}.{key}` is missing; it is {}", expected(schema)),
        span: value.span(),
        help: help(schema, value.get_ref()),
    })
}

fn wrong(schema: &Json, value: &Located, name: &str) -> ParamProblem {
    let message = format!("`{name}` must be {}, not {}", expected(schema), found(value.get_ref()));
    ParamProblem { message, span: value.span(), help: help(schema, value.get_ref()) }
}

/// The nearest of the names that a schema allows, or an example of it.
fn help(schema: &Json, value: &DeValue<'_>) -> Option<String> {
    let names = names(schema);
    let near = value.as_str().and_then(|text| nearest(text, names.iter().copied()));
    near.map(|near| format!("did you mean `{near:?}`?"))
        .or_else(|| Some(format!("for example {}", crate::words::toml(schema.pointer("/examples/0")?))))
}

/// The texts that a schema allows by name.
pub(super) fn names(schema: &Json) -> Vec<&str> {
    let list = |key: &str| schema.get(key).and_then(Json::as_array).into_iter().flatten();
    let own = schema.get("const").into_iter().chain(list("enum")).filter_map(Json::as_str);
    own.chain(list("anyOf").chain(list("oneOf")).flat_map(names)).collect()
}

fn is_equal(allowed: &Json, value: &DeValue<'_>) -> bool {
    match (allowed, value) {
        (Json::String(allowed), DeValue::String(text)) => allowed == text,
        (Json::Bool(allowed), DeValue::Boolean(truth)) => allowed == truth,
        (Json::Number(allowed), value) => number(value) == allowed.as_f64(),
        _ => false,
    }
}

fn is_container(name: &Json, value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::Array(_) | DeValue::Table(_)) && has_type(name, value)
}

fn has_type(name: &Json, value: &DeValue<'_>) -> bool {
    let own: &[&str] = match value {
        DeValue::String(_) => &["string"],
        DeValue::Integer(_) => &["integer", "number"],
        DeValue::Float(_) => &["number"],
        DeValue::Boolean(_) => &["boolean"],
        DeValue::Datetime(_) => &[],
        DeValue::Array(_) => &["array"],
        DeValue::Table(_) => &["object"],
    };
    name.as_str().is_some_and(|name| own.contains(&name))
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(number) => Some(i128::from_str_radix(number.as_str(), number.radix()).ok()? as f64),
        DeValue::Float(number) => number.as_str().replace('_', "").parse().ok(),
        _ => None,
    }
}
