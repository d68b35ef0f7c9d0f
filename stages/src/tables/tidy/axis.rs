//! An axis as a column: its type, and the same value in all rows of a point.

use std::iter::repeat_n;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow_schema::{DataType, Field};
use orchestrate_engine::publish::TidyPoint;
use serde_json::Value;

use super::column::floats;

/// An axis with the type that fits all its values.
pub(super) struct Axis<'a> {
    pub(super) name: &'a str,
    /// The index of its value among those of a point.
    index: usize,
    data_type: DataType,
}

impl<'a> Axis<'a> {
    pub(super) fn of(name: &'a str, index: usize, points: &[TidyPoint]) -> Self {
        let all = |is_such: fn(&Value) -> bool| {
            !points.is_empty() && points.iter().all(|point| point.values.get(index).is_some_and(is_such))
        };
        let data_type = if all(Value::is_i64) {
            DataType::Int64
        } else if all(|value| float(value).is_some()) {
            DataType::Float64
        } else if all(Value::is_boolean) {
            DataType::Boolean
        } else {
            DataType::Utf8
        };
        Self { name, index, data_type }
    }

    pub(super) fn field(&self) -> Field {
        Field::new(self.name, self.data_type.clone(), false)
    }

    /// Returns the value of a point in so many rows.
    pub(super) fn array(&self, point: &TidyPoint, rows: usize) -> ArrayRef {
        let value = self.value(point);
        match self.data_type {
            DataType::Int64 => Arc::new(Int64Array::from(vec![value.as_i64().unwrap_or_default(); rows])),
            DataType::Float64 => Arc::new(Float64Array::from(vec![float(value).unwrap_or_default(); rows])),
            DataType::Boolean => Arc::new(BooleanArray::from(vec![value.as_bool().unwrap_or_default(); rows])),
            _ => Arc::new(StringArray::from_iter_values(repeat_n(self.label(point), rows))),
        }
    }

    /// Returns the label of a point's value, as specs and nodes show it.
    pub(super) fn label(&self, point: &TidyPoint) -> String {
        match self.value(point) {
            Value::String(text) => text.clone(),
            value if value.is_f64() => float(value).unwrap_or_default().to_string(),
            value => value.to_string(),
        }
    }

    /// Returns whether a column holds only the value of a point, as a number, truth value or text.
    pub(super) fn fills(&self, point: &TidyPoint, column: &ArrayRef) -> bool {
        let label = self.label(point);
        if column.logical_null_count() > 0 {
            return false;
        }
        if let Some(texts) = column.as_string_opt::<i32>() {
            return texts.iter().flatten().all(|text| text == label);
        }
        if let Some(truths) = column.as_boolean_opt() {
            return truths.iter().flatten().all(|truth| truth.to_string() == label);
        }
        let number = float(self.value(point)).or_else(|| label.parse().ok());
        floats(column).is_ok_and(|numbers| numbers.iter().flatten().all(|found| number == Some(found)))
    }

    fn value<'p>(&self, point: &'p TidyPoint) -> &'p Value {
        const NONE: &Value = &Value::Null;
        point.values.get(self.index).unwrap_or(NONE)
    }
}

/// Returns the number if float64 holds it exactly.
fn float(value: &Value) -> Option<f64> {
    // Adding zero turns -0.0 into 0.0, as in keys and labels.
    let float = value.as_f64()? + 0.0;
    value.as_i64().is_none_or(|integer| float as i128 == i128::from(integer)).then_some(float)
}
