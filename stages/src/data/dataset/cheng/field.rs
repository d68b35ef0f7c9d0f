//! Fields of a struct in a MATLAB v7.3 file, found by their names in any case.

use hdf5_pure::{AttrValue, DType, Dataset, Error, File, Group, Object, VlenStringReadOptions};

use crate::data::hdf5::{bounded_shape, numbers, sentence};

/// The most values of an array, so that a damaged file cannot make us allocate all memory.
const VALUES_MAX: u64 = 1 << 24;

/// The most letters of a text, and bytes of a stored string.
const TEXT_MAX: u64 = 1 << 12;

/// Whole numbers up to here are exact as doubles.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A struct: in HDF5, a group with a dataset for each field.
pub(super) struct Struct {
    name: String,
    group: Group,
}

impl Struct {
    /// Finds the struct of that name. Errors: none; several that differ in case alone.
    pub(super) fn find(file: &File, name: &str) -> Result<Self, String> {
        let root = file.root();
        // The usual name needs no listing, which reads every header.
        if let Ok(group) = root.group(name) {
            return Ok(Self { name: name.to_owned(), group });
        }
        let groups = root.groups().map_err(|error| sentence(&error))?;
        let groups: Vec<String> = groups.into_iter().filter(|group| !group.starts_with('#')).collect();
        let found = pick(&groups, name)?.ok_or_else(|| {
            let arrays = root.datasets().unwrap_or_default();
            format!("it has no struct `{name}`; it holds: {}", listed(groups.iter().chain(&arrays)))
        })?;
        let group = root.group(found).map_err(|error| format!("cannot read `{found}`: {}", sentence(&error)))?;
        Ok(Self { name: found.to_owned(), group })
    }

    /// Finds a field. Errors: none; several that differ in case alone; one that is no array.
    pub(super) fn field(&self, name: &str) -> Result<Field, String> {
        if let Ok(dataset) = self.group.dataset(name) {
            return Ok(Field { path: format!("{}/{name}", self.name), dataset });
        }
        let unreadable = |name: &str, error: Error| format!("cannot read `{name}`: {}", sentence(&error));
        let fields = self.group.datasets().map_err(|error| unreadable(&self.name, error))?;
        let Some(field) = pick(&fields, name)? else {
            let inner = self.group.groups().unwrap_or_default();
            return Err(match pick(&inner, name)? {
                Some(field) => format!(
                    "`{}/{field}` is a struct or a sparse matrix; a matrix as `full` gives it is expected",
                    self.name
                ),
                None => format!("`{}` has no field `{name}`; its fields are: {}", self.name, listed(&fields)),
            });
        };
        let path = format!("{}/{field}", self.name);
        let dataset = self.group.dataset(field).map_err(|error| unreadable(&path, error))?;
        Ok(Field { path, dataset })
    }
}

/// Returns the name that equals the wanted one, or else the only one that does so in another case.
fn pick<'a>(names: &'a [String], wanted: &str) -> Result<Option<&'a str>, String> {
    let alike: Vec<&str> = names.iter().map(String::as_str).filter(|name| name.eq_ignore_ascii_case(wanted)).collect();
    match alike[..] {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        _ => match alike.iter().find(|name| **name == wanted) {
            Some(exact) => Ok(Some(exact)),
            None => Err(format!("`{}` could each be `{wanted}`", alike.join("` and `"))),
        },
    }
}

fn listed<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let mut names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    names.sort_unstable();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// A field with its path in the file.
pub(super) struct Field {
    path: String,
    dataset: Dataset,
}

impl Field {
    /// Reads a matrix as MATLAB shows it, `[height, width]`, row by row.
    pub(super) fn matrix(&self) -> Result<Matrix, String> {
        let path = &self.path;
        let (shape, values) =
            numbers(&self.dataset, VALUES_MAX).map_err(|problem| format!("cannot read `{path}`: {problem}"))?;
        // MATLAB stores an empty matrix as its shape.
        if values.is_empty() || is_empty(&self.dataset).map_err(|problem| format!("cannot read `{path}`: {problem}"))? {
            return Err(format!("`{path}` is empty"));
        }
        let [width, height] = shape[..] else {
            return Err(format!("`{path}` has the shape {shape:?}; a matrix is expected"));
        };
        let (width, height) = (width as usize, height as usize);
        // Eight rows at a time, as many as a line of the cache has values.
        let mut by_row = vec![0.0; values.len()];
        for first in (0..height).step_by(8) {
            for (column, values) in values.chunks_exact(height).enumerate() {
                for (row, value) in values.iter().enumerate().skip(first).take(8) {
                    by_row[row * width + column] = *value;
                }
            }
        }
        Ok(Matrix { path: path.clone(), height, width, values: by_row, kind: kind(&self.dataset) })
    }

    /// Reads one text, or one whole number as text, without spaces around it; `None` if it is empty.
    ///
    /// Text is `char`, a cell of one, or a string of HDF5. Without MATLAB's attribute for the class, several uint16 are
    /// text, and one is a number. Errors: several values; a number that is not whole, or too large to be exact; a class
    /// such as `logical`.
    pub(super) fn text(&self) -> Result<Option<String>, String> {
        let text = text(&self.dataset, true).map_err(|problem| format!("`{}` {problem}", self.path))?;
        let text = text.trim_matches(|letter: char| letter == '\0' || letter.is_whitespace());
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
    }
}

/// A matrix of numbers, `[height, width]`, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    /// Path in the file, for errors.
    pub(super) path: String,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) values: Vec<f64>,
    /// Type of the numbers, such as `int16`.
    pub(super) kind: &'static str,
}

/// Names a type of numbers as the audit does.
fn kind(dataset: &Dataset) -> &'static str {
    match dataset.dtype() {
        Ok(DType::U8) => "8 bits",
        Ok(DType::U16) => "16 bits",
        Ok(DType::U32) => "32 bits",
        Ok(DType::U64) => "64 bits",
        Ok(DType::I8) => "int8",
        Ok(DType::I16) => "int16",
        Ok(DType::I32) => "int32",
        Ok(DType::I64) => "int64",
        Ok(DType::F32) => "float32",
        Ok(DType::F64) => "float64",
        Ok(DType::Enum(_)) => "1 bit",
        _ => "float16",
    }
}

/// Reads a text; a cell is followed if `in_cell` is set. Errors read after the path.
fn text(dataset: &Dataset, in_cell: bool) -> Result<String, String> {
    let unreadable = |problem: String| format!("cannot be read: {problem}");
    let read = |error: Error| unreadable(sentence(&error));
    if is_empty(dataset).map_err(unreadable)? {
        return Ok(String::new());
    }
    let shape = bounded_shape(dataset, TEXT_MAX, TEXT_MAX).map_err(unreadable)?;
    let count: u64 = shape.iter().product();
    let one = || match count {
        1 => Ok(()),
        _ => Err(format!("has {count} values, of the shape {shape:?}; one is expected")),
    };
    let class = class(dataset).map_err(unreadable)?;
    let kind = dataset.dtype().map_err(read)?;
    match (class.as_deref(), &kind) {
        (Some("char"), DType::U8 | DType::U16) | (None, DType::U16) if class.is_some() || count > 1 => {
            if shape.iter().filter(|&&length| length > 1).count() > 1 {
                return Err(format!("is a matrix of letters, of the shape {shape:?}; one text is expected"));
            }
            let text = match kind {
                DType::U8 => String::from_utf8(dataset.read_u8().map_err(read)?).ok(),
                _ => String::from_utf16(&dataset.read_u16().map_err(read)?).ok(),
            };
            text.ok_or_else(|| "is no text in Unicode".to_owned())
        }
        (_, DType::VariableLengthString) => {
            one()?;
            let limits = VlenStringReadOptions::new().with_max_elements(1).with_max_payload_bytes(TEXT_MAX as usize);
            Ok(dataset.read_vlen_strings(limits).map_err(read)?.concat())
        }
        (_, DType::String) => {
            one()?;
            Ok(dataset.read_string().map_err(read)?.concat())
        }
        (None | Some("cell"), DType::ObjectReference) if in_cell => {
            one()?;
            match dataset.dereference().map_err(read)?.pop() {
                Some(Object::Dataset(inner)) => text(&inner, false),
                _ => Err("is a cell without text or number in it".to_owned()),
            }
        }
        (None | Some("int64"), DType::I64) => {
            one()?;
            Ok(dataset.read_i64().map_err(read)?.iter().map(i64::to_string).collect())
        }
        (None | Some("uint64"), DType::U64) => {
            one()?;
            Ok(dataset.read_u64().map_err(read)?.iter().map(u64::to_string).collect())
        }
        (None | Some("double" | "single" | "int8" | "uint8" | "int16" | "uint16" | "int32" | "uint32"), kind)
            if !matches!(kind, DType::Enum(_)) =>
        {
            one()?;
            let (_, values) = numbers(dataset, TEXT_MAX).map_err(unreadable)?;
            let value = values[0];
            if value.fract() != 0.0 || !(-EXACT_MAX..=EXACT_MAX).contains(&value) {
                return Err(format!("is {value}; a text or a whole number is expected"));
            }
            // To add 0 makes −0 a 0.
            Ok(format!("{:.0}", value + 0.0))
        }
        (class, kind) => {
            let class = class.map_or_else(|| kind.to_string(), str::to_owned);
            Err(format!("is of the class `{class}`; a text (`char`) or a whole number is expected"))
        }
    }
}

/// Returns MATLAB's class, such as `double` or `char`, if the file says it.
fn class(dataset: &Dataset) -> Result<Option<String>, String> {
    let attributes = dataset.attrs().map_err(|error| sentence(&error))?;
    Ok(attributes.get("MATLAB_class").and_then(AttrValue::as_str).map(|class| class.trim_end_matches('\0').to_owned()))
}

/// Tells whether MATLAB stored an empty array, as its shape.
fn is_empty(dataset: &Dataset) -> Result<bool, String> {
    let attributes = dataset.attrs().map_err(|error| sentence(&error))?;
    Ok(attributes.get("MATLAB_empty").and_then(AttrValue::as_u64).is_some_and(|empty| empty != 0))
}
