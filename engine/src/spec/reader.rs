//! Reads typed values from TOML tables and collects problems, so that one problem does not hide another.

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::Located;
use super::toml_text::integer;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::words;

/// Reads values and collects problems.
pub(super) struct Reader<'a> {
    pub(super) problems: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    pub(super) fn problem(&mut self, diagnostic: Diagnostic) {
        self.problems.push(diagnostic);
    }

    /// Reports every key that is not among the valid ones.
    pub(super) fn unknown_keys(&mut self, what: &str, table: &DeTable<'static>, valid: &[&str]) {
        for key in table.keys().filter(|key| !valid.contains(&key.get_ref().as_ref())) {
            self.problem(
                Diagnostic::error(format!("unknown field `{}` in {what}", key.get_ref())).at(key.span()).names(
                    "fields",
                    key.get_ref(),
                    valid.iter().copied(),
                ),
            );
        }
    }

    pub(super) fn text(&mut self, what: &str, value: &Located) -> Option<Spanned<String>> {
        match value.get_ref().as_str() {
            Some(text) => Some(Spanned::new(value.span(), text.to_owned())),
            None => self.wrong_type(what, "a text", value),
        }
    }

    /// Reads a text that a function parses, such as a size or a duration; `None` if it is missing or wrong.
    pub(super) fn quantity<T>(
        &mut self,
        table: &DeTable<'static>,
        name: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(&format!("`{name}`"), table.get(name)?)?;
        let parsed = parse(text.get_ref());
        parsed.map_err(|error| self.problem(Diagnostic::error(format!("`{name}`: {error}")).at(text.span()))).ok()
    }

    /// Reads a text, or a list of texts.
    pub(super) fn texts(&mut self, what: &str, value: &Located) -> Vec<Spanned<String>> {
        match value.get_ref() {
            DeValue::Array(items) => items.iter().filter_map(|item| self.text(what, item)).collect(),
            _ => self.text(what, value).into_iter().collect(),
        }
    }

    pub(super) fn list(&mut self, what: &str, value: &Located) -> Vec<Located> {
        match value.get_ref() {
            DeValue::Array(items) => items.iter().cloned().collect(),
            _ => self.wrong_type(what, "a list", value).unwrap_or_default(),
        }
    }

    pub(super) fn table<'t>(&mut self, what: &str, value: &'t Located) -> Option<&'t DeTable<'static>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => self.wrong_type(what, "a table", value),
        }
    }

    /// Reads a whole number in a range.
    pub(super) fn integer(&mut self, what: &str, value: &Located, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let Some(number) = integer(value.get_ref()) else {
            return self.wrong_type(what, "a whole number", value);
        };
        if range.contains(&number) {
            return Some(number);
        }
        let upper = if *range.end() == i64::MAX { String::new() } else { format!(" and at most {}", range.end()) };
        self.problem(
            Diagnostic::error(format!("{what} is {number}, but must be at least {}{upper}", range.start()))
                .at(value.span()),
        );
        None
    }

    pub(super) fn wrong_type<T>(&mut self, what: &str, wanted: &str, value: &Located) -> Option<T> {
        let found = words::found(value.get_ref());
        self.problem(Diagnostic::error(format!("{what} must be {wanted}, found {found}")).at(value.span()));
        None
    }

    /// Checks a name for use in `score[model=tiny]`.
    pub(super) fn name(&mut self, what: &str, name: &str, span: Span) {
        if name.len() > NAME_BYTES_MAX {
            let problem = format!("{what} name is {} bytes long, and {NAME_BYTES_MAX} are enough", name.len());
            return self.problem(Diagnostic::error(problem).at(span));
        }
        let valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !valid {
            self.problem(
                Diagnostic::error(format!("{what} name `{name}` has characters that node names cannot hold"))
                    .at(span)
                    .help("use letters, digits, `-` and `_`"),
            );
        }
    }
}

/// The longest name: names of files contain it, and have at most 255 bytes.
const NAME_BYTES_MAX: usize = 200;

/// Returns why a text cannot name a folder on every system; `None` if it can.
pub(super) fn unfit_for_a_folder(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("it is empty"),
        "." | ".." => Some("it leads to another folder"),
        _ if name.len() > NAME_BYTES_MAX => Some("it has more than 200 bytes"),
        _ if name.contains('/') => Some("it has a slash"),
        _ if name.contains(char::is_control) => Some("it has a control character"),
        _ if name.trim() != name => Some("it begins or ends with a blank"),
        _ if name.ends_with('.') => Some("it ends with a full stop"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::unfit_for_a_folder;

    #[test]
    fn name_of_a_folder_is_one_component_of_a_path() {
        let long = "x".repeat(201);
        for name in ["", ".", "..", "a/b", "/", "a\0", "a\n", "\u{1b}[1m", " a", "a ", "a.", &long] {
            assert!(unfit_for_a_folder(name).is_some(), "{name:?}");
        }
        for name in ["study", "my study", "größe 2.1", ".hidden", "-a", "日本", &long[..200]] {
            assert_eq!(unfit_for_a_folder(name), None, "{name:?}");
        }
    }
}
