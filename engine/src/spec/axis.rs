//! Axes: lists of swept values, each with a label for people.

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::Located;
use super::reader::Reader;
use super::toml_text::{integer, whole_number};
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// The most values of one axis, 0.2 GB of them: more are a slip of the pen.
const MAX_VALUES: i64 = 1_000_000;

/// One swept list.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Its name.
    pub name: Spanned<String>,
    /// Its values in list order, at least one.
    pub values: Vec<AxisValue>,
    /// The number of folds, if it was declared as `{ folds = n }`.
    pub folds: Option<Located>,
    /// The only param that it binds, if a run adds it; `None` for a declared axis.
    pub param: Option<AxisParam>,
}

/// A param of one stage.
#[derive(Clone, Debug)]
pub struct AxisParam {
    /// The stage.
    pub stage: String,
    /// The name of the param, then names within its value.
    pub path: Vec<String>,
}

/// One value of an axis.
#[derive(Clone, Debug)]
pub struct AxisValue {
    /// Its name for people; labels gathered inputs too.
    pub label: String,
    /// Its location in the sources.
    pub span: Span,
    /// The params that it sets.
    pub binding: Binding,
}

/// The params that a value sets in the stages that vary over its axis.
#[derive(Clone, Debug)]
pub enum Binding {
    /// The param with the axis' name, or the one that `with` names.
    Scalar(Located),
    /// One param for each key.
    Table(DeTable<'static>),
}

impl AxisValue {
    /// The label as JSON: a whole number stays a number, everything else is a text.
    pub fn json_label(&self) -> serde_json::Value {
        let value = self.json_value();
        if value.is_i64() { value } else { self.label.as_str().into() }
    }

    /// The value as JSON: a number, a truth value or a text; the label of a table.
    pub fn json_value(&self) -> serde_json::Value {
        let Binding::Scalar(value) = &self.binding else { return self.label.as_str().into() };
        match value.get_ref() {
            DeValue::Integer(_) => integer(value.get_ref()).map_or_else(|| self.label.as_str().into(), Into::into),
            // The label is the number as parsed.
            DeValue::Float(_) => self.label.parse::<f64>().map_or_else(|_| self.label.as_str().into(), Into::into),
            DeValue::Boolean(truth) => (*truth).into(),
            _ => self.label.as_str().into(),
        }
    }
}

impl Axis {
    /// Finds a value by its label or by its spelling in a spec: `1e-4` names the value `0.0001`. Returns its index.
    pub fn find(&self, text: &str) -> Option<usize> {
        let position = |label: &str| self.values.iter().position(|value| value.label == label);
        position(text).or_else(|| position(&label(DeValue::parse(text).ok()?.get_ref()).ok()?))
    }

    pub(super) fn parse(name: Spanned<String>, value: &Located, reader: &mut Reader<'_>) -> Option<Self> {
        let what = format!("axis `{}`", name.get_ref());
        let (values, folds) = match value.get_ref() {
            DeValue::Table(table) => {
                let count = folds(&what, table, value.span(), reader)?;
                let number = integer(count.get_ref()).unwrap_or_default();
                (numbers(1..=number, 1, &value.span()), Some(count))
            }
            DeValue::Array(items) => {
                (items.iter().flat_map(|item| axis_values(&what, item, reader)).collect::<Vec<_>>(), None)
            }
            DeValue::String(text) if text.contains("..") => (axis_values(&what, value, reader), None),
            _ => {
                return reader.wrong_type(&what, "a list, a range such as \"128..=250:2\", or { folds = n }", value);
            }
        };
        if values.is_empty() {
            if value.get_ref().as_array().is_some_and(|items| items.is_empty()) {
                let problem = Diagnostic::error(format!("{what} has no values")).at(value.span());
                reader.problem(problem.help("give it at least one value, or remove the axis"));
            }
            return None;
        }
        report_duplicates(&what, &values, reader);
        Some(Self { name, values, folds, param: None })
    }
}

fn folds(what: &str, table: &DeTable<'static>, span: Span, reader: &mut Reader<'_>) -> Option<Located> {
    reader.unknown_keys(what, table, &["folds"]);
    let Some(count) = table.get("folds") else {
        reader.problem(
            Diagnostic::error(format!("{what} is a table without `folds`"))
                .at(span)
                .help("write `{ folds = 5 }`, or a list of values"),
        );
        return None;
    };
    reader.integer("`folds`", count, 2..=MAX_VALUES).map(|_| count.clone())
}

fn axis_values(what: &str, item: &Located, reader: &mut Reader<'_>) -> Vec<AxisValue> {
    let span = item.span();
    match item.get_ref() {
        DeValue::String(text) => match Range::parse(text) {
            Some(Ok(range)) => return numbers(range.first..=range.last, range.step, &span),
            Some(Err(message)) => {
                reader.problem(Diagnostic::error(format!("{what}: {message}")).at(span));
                return Vec::new();
            }
            None => {}
        },
        DeValue::Table(table) => return table_value(what, table, span, reader).into_iter().collect(),
        _ => {}
    }
    let label = match label(item.get_ref()) {
        Ok(label) => label,
        Err(wanted) => {
            let wanted = format!("{wanted} or a table with `name`");
            return reader.wrong_type(&format!("a value of {what}"), &wanted, item).unwrap_or_default();
        }
    };
    check_label(what, &label, &span, reader);
    vec![AxisValue { label, span, binding: Binding::Scalar(item.clone()) }]
}

/// Returns the label of a value without a name: equal values have equal labels, in whatever spelling. The error names
/// the types that are allowed.
pub(super) fn label(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(_) => {
            integer(value).map(|number| number.to_string()).ok_or("a text, a whole number of 64 bits")
        }
        DeValue::Float(number) => match number.as_str().replace('_', "").parse::<f64>() {
            // Adding positive zero turns -0.0 into 0.0, as in keys.
            Ok(number) if number.is_finite() => Ok((number + 0.0).to_string()),
            _ => Err("a text, a finite number"),
        },
        DeValue::Boolean(truth) => Ok(truth.to_string()),
        DeValue::Table(_) | DeValue::Array(_) | DeValue::Datetime(_) => Err("a text, a number, a truth value"),
    }
}

/// Finds a text, a number or a key within a value, at any depth; a number by its label.
pub(crate) fn find(value: &Located, written: &str) -> Option<Span> {
    match value.get_ref() {
        DeValue::Array(items) => items.iter().find_map(|item| find(item, written)),
        DeValue::Table(table) => {
            let key = table.keys().find(|key| key.get_ref() == written).map(Spanned::span);
            key.or_else(|| table.values().find_map(|value| find(value, written)))
        }
        scalar => label(scalar).is_ok_and(|label| label == written).then(|| value.span()),
    }
}

fn table_value(what: &str, table: &DeTable<'static>, span: Span, reader: &mut Reader<'_>) -> Option<AxisValue> {
    let Some(name) = table.get("name") else {
        let problem = Diagnostic::error(format!("a value of {what} is a table without `name`")).at(span);
        reader.problem(problem.help("add `name = \"…\"`, the label that tables and nodes show"));
        return None;
    };
    let label = reader.text("`name`", name)?.into_inner();
    check_label(what, &label, &name.span(), reader);
    let params = table.iter().filter(|(key, _)| key.get_ref() != "name");
    let binding = Binding::Table(params.map(|(key, value)| (key.clone(), value.clone())).collect());
    Some(AxisValue { label, span, binding })
}

fn check_label(what: &str, label: &str, span: &Span, reader: &mut Reader<'_>) {
    if label.is_empty() || label.contains(['[', ']', ',', '=']) || label.chars().any(char::is_control) {
        reader.problem(
            Diagnostic::error(format!("{what}: the label `{}` cannot stand in a node's name", label.escape_debug()))
                .at(span.clone())
                .help(
                    "leave out `[`, `]`, `,`, `=` and control characters; `{ name = \"…\", … }` gives a value a label",
                ),
        );
    }
}

fn numbers(range: std::ops::RangeInclusive<i64>, step: usize, span: &Span) -> Vec<AxisValue> {
    range
        .step_by(step)
        .map(|number| AxisValue {
            label: number.to_string(),
            span: span.clone(),
            binding: Binding::Scalar(Spanned::new(span.clone(), whole_number(number))),
        })
        .collect()
}

fn report_duplicates(what: &str, values: &[AxisValue], reader: &mut Reader<'_>) {
    let mut seen = std::collections::HashSet::new();
    for value in values {
        if !seen.insert(&value.label) {
            reader.problem(
                Diagnostic::error(format!("{what} has the value `{}` twice", value.label))
                    .at(value.span.clone())
                    .help("remove one of them"),
            );
        }
    }
}

/// A range such as `"128..=250:2"`: first, last (inclusive), step.
#[derive(Debug, PartialEq)]
struct Range {
    first: i64,
    last: i64,
    step: usize,
}

impl Range {
    /// Parses a range; `None` if the text does not look like one.
    fn parse(text: &str) -> Option<Result<Self, String>> {
        let (first, rest) = text.split_once("..")?;
        let first = first.trim().parse::<i64>().ok()?;
        let Some(rest) = rest.strip_prefix('=') else {
            let message = format!("the range \"{text}\" leaves open whether it ends before its last number");
            return Some(Err(format!("{message}: write \"{first}..={}\", which includes it", rest.trim())));
        };
        let (end, step) = rest.split_once(':').unwrap_or((rest, "1"));
        Some(match (end.trim().parse::<i64>(), step.trim().parse::<usize>()) {
            (Ok(last), Ok(step)) if step > 0 => {
                if last < first {
                    Err(format!("the range \"{text}\" is empty"))
                } else if last
                    .checked_sub(first)
                    .is_none_or(|length| length / i64::try_from(step).unwrap_or(1) >= MAX_VALUES)
                {
                    Err(format!("the range \"{text}\" has more than {MAX_VALUES} values"))
                } else {
                    Ok(Self { first, last, step })
                }
            }
            _ => Err(format!(
                "the range \"{text}\" is not of the form FIRST..=LAST or FIRST..=LAST:STEP in whole numbers"
            )),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Range;

    #[test]
    fn ranges_are_whole_numbers_with_a_step() {
        assert_eq!(Range::parse("128..=250:2"), Some(Ok(Range { first: 128, last: 250, step: 2 })));
        let refused = Range::parse("200..250:10").and_then(Result::err).unwrap();
        assert!(refused.contains("write \"200..=250:10\""), "{refused}");
        assert!(Range::parse("5..=1").is_some_and(|range| range.is_err()));
        assert!(Range::parse("1..=9:0").is_some_and(|range| range.is_err()));
        assert!(Range::parse("0..=9223372036854775807").is_some_and(|range| range.is_err()));
        assert_eq!(Range::parse("q90"), None);
        assert_eq!(Range::parse("../data"), None);
    }
}
