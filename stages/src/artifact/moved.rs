//! Comparison of two files that should be equal: which numbers moved, and by how much. `orchestrate verify-results`
//! asks it, and no stage.

use orchestrate_engine::stage::StageError;
use serde_json::Value as Json;

use super::Rows;

/// The difference of one column, tensor or file between two computations.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// Name of the column or tensor, or empty for the file as a whole.
    pub name: String,
    /// The number of values that differ.
    pub count: usize,
    /// The number of values.
    pub of: usize,
    /// The largest difference of two numbers, relative to the larger one if that is above 1; `None` for what is no
    /// number: texts, rows that only one file has.
    pub largest: Option<f64>,
}

impl Moved {
    /// Returns whether the difference is more than a tolerance; what is no number always is.
    pub fn is_beyond(&self, tolerance: f64) -> bool {
        self.largest.is_none_or(|largest| largest > tolerance)
    }

    fn numbers<'v>(name: &str, pairs: impl ExactSizeIterator<Item = (Option<f64>, Option<f64>)> + 'v) -> Option<Self> {
        let (mut count, mut largest, of) = (0, Some(0.0_f64), pairs.len());
        for (was, now) in pairs {
            let is_equal = was.map(f64::to_bits) == now.map(f64::to_bits) || was == now;
            if is_equal {
                continue;
            }
            count += 1;
            let difference = was.zip(now).map(|(was, now)| (was - now).abs() / was.abs().max(now.abs()).max(1.0));
            // A number that only one of them has, or one that is none, is no matter of size.
            let difference = difference.filter(|difference| difference.is_finite());
            largest = largest.zip(difference).map(|(largest, difference)| largest.max(difference));
        }
        (count > 0).then(|| Self { name: name.to_owned(), count, of, largest })
    }

    fn other(name: &str, count: usize, of: usize) -> Self {
        Self { name: name.to_owned(), count, of, largest: None }
    }
}

/// Compares the numbers of two Parquet or safetensors files of one name, column by column. `None` for a file of another
/// kind, which has no numbers to compare. The list is empty if all are equal, whatever the bytes.
pub fn moved(name: &str, was: Vec<u8>, now: Vec<u8>) -> Result<Option<Vec<Moved>>, StageError> {
    match name.rsplit('.').next() {
        Some("parquet") => tables(name, was, now).map(Some),
        Some("safetensors") => Ok(Some(tensors(&was, &now))),
        _ => Ok(None),
    }
}

fn tables(name: &str, was: Vec<u8>, now: Vec<u8>) -> Result<Vec<Moved>, StageError> {
    let (was, now) = (Rows::open(name, was.into())?, Rows::open(name, now.into())?);
    if was.len() != now.len() || was.names() != now.names() {
        return Ok(vec![Moved::other("rows and columns", was.len().abs_diff(now.len()), was.len())]);
    }
    let column = |name: &String| {
        if let (Ok(was), Ok(now)) = (was.optional_float(name), now.optional_float(name)) {
            return Moved::numbers(name, was.into_iter().zip(now));
        }
        if let (Ok((was, width)), Ok((now, other))) = (was.floats(name), now.floats(name)) {
            let number = |value: f32| Some(f64::from(value));
            return match width == other {
                true => Moved::numbers(name, was.into_iter().map(number).zip(now.into_iter().map(number))),
                false => Some(Moved::other(name, was.len(), was.len())),
            };
        }
        let differ = match (was.optional_text(name), now.optional_text(name)) {
            (Ok(was), Ok(now)) => was.iter().zip(&now).filter(|(was, now)| was != now).count(),
            _ => match (was.bool(name), now.bool(name)) {
                (Ok(was), Ok(now)) => was.iter().zip(&now).filter(|(was, now)| was != now).count(),
                _ => raw(&was, &now, name),
            },
        };
        (differ > 0).then(|| Moved::other(name, differ, was.len()))
    };
    Ok(was.names().iter().filter_map(column).collect())
}

/// Counts the rows whose bytes differ, in a column of pictures or masks; all of them if they cannot be read.
fn raw(was: &Rows, now: &Rows, name: &str) -> usize {
    let rows = was.len();
    let keep = vec![true; rows];
    let width = |table: &Rows| table.constant("height").and_then(|height| Ok(height * table.constant("width")?));
    match (width(was), width(now)) {
        (Ok(width), Ok(other)) if width == other && width > 0 => {
            match (was.bytes(name, &keep, width), now.bytes(name, &keep, width)) {
                (Ok(was), Ok(now)) => was.chunks(width).zip(now.chunks(width)).filter(|(was, now)| was != now).count(),
                _ => rows,
            }
        }
        _ => rows,
    }
}

/// Compares tensors of 32-bit floats with equal headers; other files of weights count as changed.
fn tensors(was: &[u8], now: &[u8]) -> Vec<Moved> {
    let whole = || vec![Moved::other("tensors", 1, 1)];
    let Some(((header, was), (other, now))) = parts(was).zip(parts(now)) else { return whole() };
    let Ok(Json::Object(tensors)) = serde_json::from_slice(header) else { return whole() };
    if header != other || was.len() != now.len() {
        return whole();
    }
    let values = |bytes: &[u8]| -> Vec<Option<f64>> {
        let (values, _) = bytes.as_chunks::<4>();
        values.iter().map(|value| Some(f64::from(f32::from_le_bytes(*value)))).collect()
    };
    let tensor = |(name, tensor): (&String, &Json)| {
        let offset = |index: usize| usize::try_from(tensor["data_offsets"][index].as_u64()?).ok();
        let range = offset(0)?..offset(1)?;
        let (was, now) = (was.get(range.clone())?, now.get(range)?);
        if was == now {
            return None;
        }
        match tensor["dtype"].as_str() {
            Some("F32") => Moved::numbers(name, values(was).into_iter().zip(values(now))),
            _ => Some(Moved::other(name, was.len(), was.len())),
        }
    };
    tensors.iter().filter_map(tensor).collect()
}

/// Splits a safetensors file into its header and its data.
fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Columns;

    fn table(images: &[&str], ious: &[Option<f64>]) -> Vec<u8> {
        let names: Vec<String> = images.iter().map(|name| (*name).to_owned()).collect();
        let columns = Columns::new().text("image", &names).optional_float("iou", ious.iter().copied());
        columns.encode().expect("it is a table")
    }

    #[test]
    fn numbers_that_moved_are_counted_with_the_largest_difference() {
        let was = table(&["a", "b", "c"], &[Some(0.5), Some(0.25), None]);
        let now = table(&["a", "b", "c"], &[Some(0.5), Some(0.75), None]);
        let moved = moved("x.parquet", was.clone(), now).expect("both are tables").expect("they have numbers");
        assert_eq!(moved, [Moved { name: "iou".to_owned(), count: 1, of: 3, largest: Some(0.5) }]);
        assert!(moved[0].is_beyond(0.4) && !moved[0].is_beyond(0.5));
        assert_eq!(super::moved("x.parquet", was.clone(), was.clone()).expect("a table"), Some(vec![]));
        assert_eq!(super::moved("x.txt", was.clone(), was).expect("no table"), None);
    }

    #[test]
    fn what_is_no_number_is_beyond_any_tolerance() {
        let was = table(&["a", "b"], &[Some(0.5), None]);
        for now in [table(&["a", "x"], &[Some(0.5), None]), table(&["a"], &[Some(0.5)]), table(&["a", "b"], &[None; 2])]
        {
            let moved = moved("x.parquet", was.clone(), now).expect("both are tables").expect("they have numbers");
            assert!(moved.len() == 1 && moved[0].is_beyond(f64::MAX), "{moved:?}");
        }
    }

    #[test]
    fn tensors_are_compared_one_by_one() {
        let header = r#"{"a":{"dtype":"F32","data_offsets":[0,8]},"b":{"dtype":"F32","data_offsets":[8,12]}}"#;
        let file = |values: [f32; 3]| {
            let data = values.map(f32::to_le_bytes).concat();
            [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
        };
        let (was, now) = (file([1.0, 2.0, 3.0]), file([1.0, 2.0, 4.0]));
        let moved = moved("w.safetensors", was, now).expect("both are weights").expect("they have numbers");
        assert_eq!(moved, [Moved { name: "b".to_owned(), count: 1, of: 1, largest: Some(0.25) }]);
    }
}
