//! From a table of TOML to the checked params of a stage: unknown names, wrong types, missing and wrong values, all at once.

use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::nearest::nearest;
use crate::spec::STAGE_FIELDS;

/// The params of a stage as written, each key and value with its place in the source.
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
    /// What is wrong.
    pub message: String,
    /// Where in the source, in bytes; the whole table where a param is missing.
    pub span: Range<usize>,
    /// What to do.
    pub help: Option<String>,
}

/// Params that know their ranges.
pub trait Params: Serialize + DeserializeOwned {
    /// Fills in the defaults that depend on other params, and clears the params that have no effect, so that neither changes
    /// the key.
    fn completed(self) -> Self {
        self
    }

    /// Names the fields whose values are outside their range, with a sentence each, for example
    /// `("epochs", "epochs must be at least 1")`.
    fn problems(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// Reads params of type `P`, whose field names are `fields`, and gives them as JSON with defaults filled in.
///
/// `serde` stops at its first error, so the offending entry is dropped and the rest is read again.
pub fn check<P: Params>(table: &ParamTable, fields: &[&str]) -> Result<serde_json::Value, ParamsError> {
    let mut problems = unknown_fields(table.get_ref(), fields);
    let mut rest = keep(table, |key| fields.contains(&key));
    let mut dropped = Vec::new();
    let params = loop {
        match read::<P>(&rest) {
            Ok(params) => break Some(params.completed()),
            Err(error) => {
                let span = error.span().unwrap_or(table.span());
                match entry_at(rest.get_ref(), &span) {
                    Some(field) => {
                        problems.push(ParamProblem { message: error.message().to_owned(), span, help: None });
                        rest = keep(&rest, |key| key != field);
                        dropped.push(field);
                    }
                    None => {
                        // A field that is missing only because it was dropped above is not reported twice.
                        if !dropped.iter().any(|field| error.message().contains(&format!("`{field}`"))) {
                            let help = format!("params of this kind: {}", fields.join(", "));
                            problems.push(ParamProblem {
                                message: error.message().to_owned(),
                                span: table.span(),
                                help: Some(help),
                            });
                        }
                        break None;
                    }
                }
            }
        }
    };
    let Some(params) = params else { return Err(ParamsError { problems }) };
    for (field, message) in params.problems() {
        if !dropped.iter().any(|dropped| dropped == field) {
            let span = span_of(rest.get_ref(), field).unwrap_or(table.span());
            problems.push(ParamProblem { message, span, help: None });
        }
    }
    if !problems.is_empty() {
        return Err(ParamsError { problems });
    }
    serde_json::to_value(&params).map_err(|error| ParamsError {
        problems: vec![ParamProblem { message: error.to_string(), span: table.span(), help: None }],
    })
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
                None => format!("params of this kind: {}", fields.join(", ")),
            }),
        })
        .collect()
}

/// The top-level entry that holds the place, if one does.
fn entry_at(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    table
        .iter()
        .find(|(key, value)| {
            [key.span(), value.span()].iter().any(|entry| entry.start <= span.start && span.end <= entry.end)
        })
        .map(|(key, _)| key.get_ref().to_string())
}

fn span_of(table: &DeTable<'_>, field: &str) -> Option<Range<usize>> {
    table.iter().find(|(key, _)| key.get_ref() == field).map(|(_, value)| value.span())
}
