//! A column of several tables: the one type that holds the values of all, and the conversion to it.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type};
use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, ListArray, StructArray, UInt64Array, downcast_integer_array,
    new_null_array,
};
use arrow_schema::{DataType, Field, Fields};

/// A column of the merged table.
pub(super) struct Column {
    /// Its name in the tables of the points.
    pub(super) own_name: String,
    /// Its name in the merged table.
    pub(super) name: String,
    pub(super) is_nullable: bool,
    /// Whether it has the name of an axis and the value of that axis in every row of every point so far.
    pub(super) is_axis: bool,
    /// The type that holds all values, and the point that needed it; `None` until there are values.
    needed: Option<(DataType, usize)>,
    /// The type in the first point, which counts if no point has values.
    declared: DataType,
}

impl Column {
    /// Creates a column that the points before `point` lack.
    pub(super) fn new(field: &Field, point: usize) -> Self {
        Self {
            own_name: field.name().clone(),
            name: field.name().clone(),
            is_nullable: point > 0,
            is_axis: true,
            needed: None,
            declared: field.data_type().clone(),
        }
    }

    pub(super) fn field(&self) -> Field {
        Field::new(&self.name, self.data_type(), self.is_nullable)
    }

    /// The type that holds the values of all points so far.
    pub(super) fn data_type(&self) -> DataType {
        self.needed.as_ref().map_or(&self.declared, |(data_type, _)| data_type).clone()
    }

    /// Widens the type for the values of a point; a column without values fits any. The error is a point whose values
    /// have no type in common with them.
    pub(super) fn widen(&mut self, data_type: &DataType, point: usize, is_vacant: bool) -> Result<(), usize> {
        if is_vacant || *data_type == DataType::Null {
            return Ok(());
        }
        let Some((own, first)) = &self.needed else {
            self.needed = Some((data_type.clone(), point));
            return Ok(());
        };
        let wider = common(own, data_type).ok_or(*first)?;
        if wider != *own {
            self.needed = Some((wider, point));
        }
        Ok(())
    }
}

/// Returns the type that holds the values of both.
fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    match (a, b) {
        (a, b) if a == b => Some(a.clone()),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (a, b) if a.is_unsigned_integer() && b.is_unsigned_integer() => Some(DataType::UInt64),
        (a, b) if a.is_integer() && b.is_integer() => Some(DataType::Int64),
        (a, b) if is_number(a) && is_number(b) => Some(DataType::Float64),
        (DataType::List(a), DataType::List(b)) => {
            let element = common(a.data_type(), b.data_type())?;
            Some(DataType::List(Arc::new(Field::new(a.name(), element, true))))
        }
        (DataType::Struct(a), DataType::Struct(b)) if a.len() == b.len() => {
            let field = |(a, b): (&Arc<Field>, &Arc<Field>)| {
                let data_type = common(a.data_type(), b.data_type()).filter(|_| a.name() == b.name())?;
                Some(Field::new(a.name(), data_type, true))
            };
            a.iter().zip(b).map(field).collect::<Option<Fields>>().map(DataType::Struct)
        }
        _ => None,
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating()
}

/// Converts values to a wider type; the error is a value that it cannot hold.
pub(super) fn fitted(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), to) {
        (DataType::Null, _) => Ok(new_null_array(to, array.len())),
        (_, DataType::Int64) => Ok(Arc::new(integers::<i64>(array)?.into_iter().collect::<Int64Array>())),
        (_, DataType::UInt64) => Ok(Arc::new(integers::<u64>(array)?.into_iter().collect::<UInt64Array>())),
        (_, DataType::Float64) => Ok(Arc::new(floats(array)?)),
        (DataType::List(_), DataType::List(field)) => {
            let list = array.as_list::<i32>();
            let values = fitted(list.values(), field.data_type())?;
            let lists = ListArray::try_new(Arc::clone(field), list.offsets().clone(), values, list.nulls().cloned());
            lists.map(|lists| Arc::new(lists) as ArrayRef).map_err(|error| error.to_string())
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let inner = array.as_struct();
            let columns = inner.columns().iter().zip(fields).map(|(column, field)| fitted(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let rows = StructArray::try_new_with_length(fields.clone(), columns, inner.nulls().cloned(), inner.len());
            rows.map(|rows| Arc::new(rows) as ArrayRef).map_err(|error| error.to_string())
        }
        (other, _) => Err(format!("values of the type {other}")),
    }
}

/// Converts integers of any width.
fn integers<T: TryFrom<i128>>(array: &ArrayRef) -> Result<Vec<Option<T>>, String> {
    let fits = |value: i128| T::try_from(value).map_err(|_| value.to_string());
    downcast_integer_array!(
        array => array.iter().map(|value| value.map(|value| fits(i128::from(value))).transpose()).collect(),
        other => Err(format!("values of the type {other}")),
    )
}

/// Converts numbers of any kind.
pub(super) fn floats(array: &ArrayRef) -> Result<Float64Array, String> {
    if let Some(values) = array.as_primitive_opt::<Float64Type>() {
        return Ok(values.clone());
    }
    if let Some(values) = array.as_primitive_opt::<Float32Type>() {
        return Ok(values.iter().map(|value| value.map(f64::from)).collect());
    }
    if let Some(values) = array.as_primitive_opt::<Float16Type>() {
        return Ok(values.iter().map(|value| value.map(|value| value.to_f64())).collect());
    }
    let exact = |value: i128| {
        let float = value as f64;
        if float as i128 == value { Ok::<f64, String>(float) } else { Err(value.to_string()) }
    };
    integers::<i128>(array)?.into_iter().map(|value| value.map(exact).transpose()).collect()
}
