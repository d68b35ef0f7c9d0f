//! `threshold=0..=255` or `threshold=200,225,q90,otsu`: the values that replace those of one axis.

use std::path::Path;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::values::{self, Assignment};
use crate::diagnostic::Diagnostic;
use crate::source::SourceMap;

const HELP: &str =
    "write AXIS=VALUES, for example threshold=0..=255, threshold=0..=255:5 or threshold=200,225,q90,otsu";

/// The values of an axis from the command line.
pub(super) struct Sweep {
    /// The name of the axis.
    pub(super) axis: Spanned<String>,
    /// The section `axes` with this axis alone.
    pub(super) table: DeTable<'static>,
    /// The equivalent override, recorded so that the plan can be rebuilt.
    pub(super) as_override: String,
}

impl Sweep {
    /// Parses a sweep, and adds it to the sources.
    pub(super) fn parse(
        text: &str,
        working_dir: &Path,
        sources: &mut SourceMap,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let words = values::Words { source: "sweep", subject: "a sweep", target: "axis", help: HELP };
        let Assignment { name, values } = values::assignment(text, words, working_dir, sources, problems)?;
        let written = text.split_once('=').map(|(_, values)| values::written(values)).unwrap_or_default();
        let as_override = format!("axes.{}=[{written}]", values::key(name.get_ref()));
        let span = name.span();
        let mut axes = DeTable::new();
        axes.insert(Spanned::new(span.clone(), name.get_ref().clone().into()), values);
        let mut table = DeTable::new();
        table.insert(Spanned::new(span.clone(), "axes".into()), Spanned::new(span, DeValue::Table(axes)));
        Some(Self { axis: name, table, as_override })
    }

    /// Checks that a spec has the axis.
    pub(super) fn check(&self, spec: &DeTable<'static>) -> Result<(), Diagnostic> {
        let axes = spec.get("axes").and_then(|axes| axes.get_ref().as_table());
        let name = self.axis.get_ref().as_str();
        if axes.is_some_and(|axes| axes.contains_key(name)) {
            return Ok(());
        }
        let names: Vec<&str> =
            axes.into_iter().flat_map(|axes| axes.keys()).map(|key| key.get_ref().as_ref()).collect();
        let problem = Diagnostic::error(format!("the spec has no axis `{name}` to sweep")).at(self.axis.span());
        let mut problem = problem.names("declared axes", name, names.iter().copied());
        problem.help.get_or_insert_with(|| "a param is swept by its path, as stages.train.epochs=5,10".to_owned());
        Err(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::axis::Axis;
    use crate::spec::reader::Reader;

    /// Messages, each with the text that is marked.
    type Problems = Vec<(String, String)>;

    /// Labels of a sweep's values, and its equivalent override.
    fn labels(text: &str) -> Result<(Vec<String>, String), Problems> {
        let (mut sources, mut problems) = (SourceMap::default(), Vec::new());
        let sweep = Sweep::parse(text, Path::new("/"), &mut sources, &mut problems);
        let parsed = sweep.and_then(|sweep| {
            let axes = sweep.table["axes"].get_ref().as_table()?;
            let value = &axes[sweep.axis.get_ref().as_str()];
            let axis = Axis::parse(sweep.axis.clone(), value, &mut Reader { problems: &mut problems })?;
            Some((axis.values.into_iter().map(|value| value.label).collect(), sweep.as_override))
        });
        let shown = |problem: &Diagnostic| {
            (problem.message.clone(), sources.text(problem.span.as_ref().expect("it has a location")).to_owned())
        };
        parsed.filter(|_| problems.is_empty()).ok_or_else(|| problems.iter().map(shown).collect())
    }

    #[test]
    fn values_are_ranges_and_lists_of_numbers_and_words() {
        let cases = [
            ("t=0..=3", vec!["0", "1", "2", "3"], r#"axes.t=["0..=3"]"#),
            ("t=0..=255:100", vec!["0", "100", "200"], r#"axes.t=["0..=255:100"]"#),
            ("t=200, 225,q90 ,otsu", vec!["200", "225", "q90", "otsu"], r#"axes.t=[200, 225, "q90", "otsu"]"#),
            ("t=1..=2,0.5", vec!["1", "2", "0.5"], r#"axes.t=["1..=2", 0.5]"#),
            ("t=7", vec!["7"], "axes.t=[7]"),
            (r#"t=[200, "q90"]"#, vec!["200", "q90"], r#"axes.t=[200, "q90"]"#),
        ];
        for (text, expected, equal) in cases {
            let expected = (expected.into_iter().map(str::to_owned).collect(), equal.to_owned());
            assert_eq!(labels(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes_are_marked_in_the_typed_text() {
        let cases = [
            ("threshold", "a sweep names no axis", "threshold"),
            ("=1,2", "a sweep names no axis", "=1,2"),
            ("t=1,,2", "a value of a sweep is empty", ""),
            ("t=5..=1", "axis `t`: the range \"5..=1\" is empty", "5..=1"),
            ("t=1, 2,1", "axis `t` has the value `1` twice", "1"),
        ];
        for (text, message, marked) in cases {
            assert_eq!(labels(text), Err(vec![(message.to_owned(), marked.to_owned())]), "{text}");
        }
        let (message, _) = &labels("t=[1, 2").unwrap_err()[0];
        assert!(message.starts_with("this list is not TOML"), "{message}");
    }
}
