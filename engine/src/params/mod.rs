//! A TOML table → the checked params of a stage. Reports unknown names, wrong types, and missing or wrong values at
//! once.

mod mismatch;
mod schema;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::bounds::Bounds;
use crate::nearest::nearest;
use crate::source::Span;
use crate::words;

use mismatch::{mismatch, names};
pub use schema::schema;

/// The fields of a stage that the engine reads; all others are params of its kind.
pub(crate) const STAGE_FIELDS: [&str; 8] =
    ["kind", "over", "inputs", "with", "resources", "retries", "timeout", "publish"];

/// The params of a stage as written, each key and value with its span.
pub type ParamTable = Spanned<DeTable<'static>>;

/// Everything that is wrong with the params of a stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParamsError {
    /// At least one.
    pub problems: Vec<ParamProblem>,
}

/// One thing that is wrong with the params of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamProblem {
    /// The problem.
    pub message: String,
    /// The location; the whole table if a param is missing.
    pub span: Span,
    /// The remedy.
    pub help: Option<String>,
}

/// Params that check their own values.
///
/// The schema says what each param means: its type, its default, and by doc comments its meaning.
pub trait Params: Serialize + DeserializeOwned + JsonSchema + 'static {
    /// Ranges of numbers by the dotted names of their params, `schedule.step.every`; of a list, that of each number.
    const RANGES: &'static [(&'static str, Bounds)] = &[];

    /// Fills in the defaults that depend on other params, and clears the params that have no effect, so that neither
    /// changes the key.
    fn completed(self) -> Self {
        self
    }

    /// Returns the fields whose values do not fit together, with a sentence about each: `("shuffle", "`shuffle` has no
    /// effect on folds that are read")`.
    fn problems(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// Reads params of type `P` with the given field names, and returns them as JSON with defaults filled in.
///
/// `serde` stops at the first error, so the offending entry is dropped and the rest is read again.
pub fn check<P: Params>(table: &ParamTable, fields: &[&str]) -> Result<Json, ParamsError> {
    let wrong = |message: String, span| ParamProblem { message, span, help: None };
    let mut problems = unknown_fields(table.get_ref(), fields);
    let mut rest = keep(table, |key| fields.contains(&key));
    let mut dropped = Vec::new();
    let params = loop {
        let error = match read::<P>(&rest) {
            Ok(params) => break params.completed(),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(table.span());
        let Some(field) = entry_at(rest.get_ref(), &span) else {
            // A field that is missing only because it was dropped above is not reported twice.
            if !dropped.iter().any(|field| error.message().contains(&format!("`{field}`"))) {
                problems.push(missing::<P>(table, fields, error.message()));
            }
            return Err(ParamsError { problems });
        };
        let value = rest.get_ref().get(field.as_str());
        let problem = value.and_then(|value| mismatch(property::<P>(&field)?, value, &field));
        problems.push(problem.unwrap_or_else(|| {
            let message = words::of_reader(error.message());
            wrong(if message.contains(&format!("`{field}`")) { message } else { format!("`{field}`: {message}") }, span)
        }));
        rest = keep(&rest, |key| key != field);
        dropped.push(field);
    };
    let is_dropped = |field: &str| dropped.iter().any(|dropped| dropped == field);
    let span = |field: &str| span_of(rest.get_ref(), field).unwrap_or(table.span());
    let json = serde_json::to_value(&params)
        .map_err(|error| ParamsError { problems: vec![wrong(words::of_reader(&error.to_string()), table.span())] })?;
    let ranges = P::RANGES.iter().filter_map(|(name, bounds)| Some((first(name), out_of_range(&json, name, bounds)?)));
    let ranges: Vec<_> = ranges.collect();
    let relations = params.problems().into_iter().filter(|(field, _)| !ranges.iter().any(|(other, _)| other == field));
    for (field, message) in ranges.iter().cloned().chain(relations).filter(|(field, _)| !is_dropped(field)) {
        problems.push(wrong(message, span(field)));
    }
    if problems.is_empty() { Ok(json) } else { Err(ParamsError { problems }) }
}

/// Returns the schema of a param.
fn property<P: Params>(field: &str) -> Option<&'static Json> {
    schema::<P>().get("properties")?.get(field)
}

/// The problem of a param that must be set and is not; `message` is serde's.
fn missing<P: Params>(table: &ParamTable, fields: &[&str], message: &str) -> ParamProblem {
    let field = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let Some((field, schema)) = field.and_then(|field| Some((field, property::<P>(field)?))) else {
        let message = words::of_reader(message);
        return ParamProblem { message, span: table.span(), help: Some(all_params(fields)) };
    };
    let message = format!("`{field}` is missing; it is {}", words::expected(schema));
    let first_name = || names(schema).first().map(|name| format!("{name:?}"));
    let example = schema.pointer("/examples/0").map(words::toml).or_else(first_name);
    let example = example.map(|example| format!(", for example `{field} = {example}`"));
    let help = format!("set it{}, or vary the stage over an axis `{field}`", example.unwrap_or_default());
    ParamProblem { message, span: table.span(), help: Some(help) }
}

/// The param of a dotted name.
fn first(name: &'static str) -> &'static str {
    name.split('.').next().unwrap_or(name)
}

/// Returns a sentence about a number at a dotted name that breaks its range, or about such a number in a list there.
fn out_of_range(params: &Json, name: &str, bounds: &Bounds) -> Option<String> {
    let mut value = params;
    for field in name.split('.') {
        value = value.get(field)?;
    }
    let numbers = match value {
        Json::Array(numbers) => numbers.as_slice(),
        one => std::slice::from_ref(one),
    };
    numbers.iter().find_map(|number| {
        let broken = bounds.broken_by(number.as_f64()?)?;
        Some(format!("`{name}` must be {broken}, not {number}"))
    })
}

fn all_params(fields: &[&str]) -> String {
    format!("params of this kind: {}", fields.join(", "))
}

fn keep(table: &ParamTable, wanted: impl Fn(&str) -> bool) -> ParamTable {
    let entries = table.get_ref().iter().filter(|(key, _)| wanted(key.get_ref()));
    Spanned::new(table.span(), entries.map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn read<P: Params>(table: &ParamTable) -> Result<P, toml::de::Error> {
    let value = Spanned::new(table.span(), DeValue::Table(table.get_ref().clone()));
    P::deserialize(ValueDeserializer::from(value))
}

fn unknown_fields(table: &DeTable<'_>, fields: &[&str]) -> Vec<ParamProblem> {
    table
        .keys()
        .filter(|key| !fields.contains(&key.get_ref().as_ref()))
        .map(|key| ParamProblem {
            message: format!("unknown field `{}`", key.get_ref()),
            span: key.span(),
            help: Some(match nearest(key.get_ref(), fields.iter().copied().chain(STAGE_FIELDS)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => all_params(fields),
            }),
        })
        .collect()
}

/// The key of the top-level entry that contains a span.
fn entry_at(table: &DeTable<'_>, span: &Span) -> Option<String> {
    table
        .iter()
        .find(|(key, value)| {
            [key.span(), value.span()].iter().any(|entry| entry.start <= span.start && span.end <= entry.end)
        })
        .map(|(key, _)| key.get_ref().to_string())
}

fn span_of(table: &DeTable<'_>, field: &str) -> Option<Span> {
    table.iter().find(|(key, _)| key.get_ref() == field).map(|(_, value)| value.span())
}
