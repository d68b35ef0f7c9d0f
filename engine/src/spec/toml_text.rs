//! TOML files → tables whose spans count across all sources of a spec.

use std::io;
use std::path::Path;

use orchestrate_cache::external;
use serde_spanned::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::Located;
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// The size of the largest spec or project file.
const BYTES_MAX: u64 = 16 << 20;

/// Reads a file. Errors: it is not a regular file, too large or not UTF-8.
pub(super) fn read(path: &Path) -> io::Result<String> {
    String::from_utf8(external::read(path, BYTES_MAX)?).map_err(|error| {
        let error = error.utf8_error();
        io::Error::new(io::ErrorKind::InvalidData, format!("it is not UTF-8, from byte {} on", error.valid_up_to()))
    })
}

/// Parses the text at an offset of the sources. Reports each toml_text error as `SUBJECT is not TOML: …` and returns
/// `None`.
///
/// The text is never freed: a spec lives as long as its process, and values that borrow from it need no copies.
pub(super) fn parse(
    subject: &str,
    text: &str,
    base: usize,
    help: Option<&str>,
    problems: &mut Vec<Diagnostic>,
) -> Option<DeTable<'static>> {
    let text: &'static str = text.to_owned().leak();
    let (table, errors) = DeTable::parse_recoverable(text);
    problems.extend(errors.iter().map(|error| {
        let span = shift(error.span().unwrap_or(0..0), base);
        let problem = Diagnostic::error(format!("{subject} is not TOML: {}", error.message())).at(span);
        Diagnostic { help: help.map(str::to_owned), ..problem }
    }));
    errors.is_empty().then(|| rebase_table(table.into_inner(), base))
}

fn rebase_table(table: DeTable<'static>, base: usize) -> DeTable<'static> {
    table
        .into_iter()
        .map(|(key, value)| (Spanned::new(shift(key.span(), base), key.into_inner()), rebase_value(value, base)))
        .collect()
}

fn rebase_value(value: Located, base: usize) -> Located {
    let span = shift(value.span(), base);
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(rebase_table(table, base)),
        DeValue::Array(array) => {
            DeValue::Array(array.into_iter().map(|item| rebase_value(item, base)).collect::<DeArray<'static>>())
        }
        scalar => scalar,
    };
    Spanned::new(span, value)
}

fn shift(span: Span, base: usize) -> Span {
    span.start + base..span.end + base
}

/// Makes a TOML value of a whole number; its text is the only constructor that `toml` offers.
pub(crate) fn whole_number(number: i64) -> DeValue<'static> {
    let text: &'static str = number.to_string().leak();
    DeValue::parse(text).expect("the digits of a number are TOML").into_inner()
}

/// The whole number of a TOML value; `None` if it is another type or needs more than 64 bits.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}
