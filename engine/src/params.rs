//! A TOML table → the checked params of a stage. Reports unknown names, wrong types, and missing or wrong values at
//! once.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::nearest::nearest;
use crate::source::Span;

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
pub trait Params: Serialize + DeserializeOwned {
    /// Fills in the defaults that depend on other params, and clears the params that have no effect, so that neither
    /// changes the key.
    fn completed(self) -> Self {
        self
    }

    /// Returns each field with a value out of range and a sentence about it: `("epochs", "epochs must be at least 1")`.
    fn problems(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// Reads params of type `P` with the given field names, and returns them as JSON with defaults filled in.
///
/// `serde` stops at the first error, so the offending entry is dropped and the rest is read again.
pub fn check<P: Params>(table: &ParamTable, fields: &[&str]) -> Result<serde_json::Value, ParamsError> {
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
                let problem = wrong(error.message().to_owned(), table.span());
                problems.push(ParamProblem { help: Some(all_params(fields)), ..problem });
            }
            return Err(ParamsError { problems });
        };
        problems.push(wrong(error.message().to_owned(), span));
        rest = keep(&rest, |key| key != field);
        dropped.push(field);
    };
    for (field, message) in params.problems() {
        if !dropped.iter().any(|dropped| dropped == field) {
            problems.push(wrong(message, span_of(rest.get_ref(), field).unwrap_or(table.span())));
        }
    }
    if !problems.is_empty() {
        return Err(ParamsError { problems });
    }
    let json = serde_json::to_value(&params);
    json.map_err(|error| ParamsError { problems: vec![wrong(error.to_string(), table.span())] })
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
