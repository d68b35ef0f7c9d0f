//! Ranges of numbers: one source for the check of params and artifacts, for messages and for JSON Schema.

use std::fmt;

use serde_json::Value as Json;

/// The range of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// The least value.
    pub min: Option<f64>,
    /// A value that is too small, by however little.
    pub above: Option<f64>,
    /// The greatest value.
    pub max: Option<f64>,
    /// A value that is too large, by however little.
    pub below: Option<f64>,
}

impl Bounds {
    const ALL: Self = Self { min: None, above: None, max: None, below: None };

    /// Values from `min` on.
    pub const fn from(min: f64) -> Self {
        Self { min: Some(min), ..Self::ALL }
    }

    /// Values above `limit`.
    pub const fn above(limit: f64) -> Self {
        Self { above: Some(limit), ..Self::ALL }
    }

    /// The same up to `max`.
    pub const fn to(self, max: f64) -> Self {
        Self { max: Some(max), ..self }
    }

    /// The same below `limit`.
    pub const fn below(self, limit: f64) -> Self {
        Self { below: Some(limit), ..self }
    }

    /// Returns the bound that a number breaks: `at least 1`; `None` within the range. NaN breaks every range.
    pub fn broken_by(&self, value: f64) -> Option<String> {
        if value.is_nan() {
            return Some("a number".to_owned());
        }
        let broken = |bound: Option<f64>, holds: fn(&f64, &f64) -> bool| bound.filter(|bound| !holds(&value, bound));
        let at_least = broken(self.min, f64::ge).map(|bound| format!("at least {bound}"));
        let above = || broken(self.above, f64::gt).map(|bound| format!("above {bound}"));
        let at_most = || broken(self.max, f64::le).map(|bound| format!("at most {bound}"));
        let below = || broken(self.below, f64::lt).map(|bound| format!("below {bound}"));
        at_least.or_else(above).or_else(at_most).or_else(below)
    }

    /// Reads the range in a schema of a number.
    pub(crate) fn of_schema(schema: &Json) -> Self {
        let bound = |key: &str| schema.get(key).and_then(Json::as_f64);
        Self {
            min: bound("minimum"),
            above: bound("exclusiveMinimum"),
            max: bound("maximum"),
            below: bound("exclusiveMaximum"),
        }
    }

    /// Writes the range into every number of a schema: its own, those of a list, and those among alternatives.
    pub(crate) fn write(&self, schema: &mut Json) {
        let Some(fields) = schema.as_object_mut() else { return };
        let is = |name: &str| fields.get("type").is_some_and(|named| *named == *name);
        if is("integer") || is("number") {
            let bounds = [
                ("minimum", self.min),
                ("exclusiveMinimum", self.above),
                ("maximum", self.max),
                ("exclusiveMaximum", self.below),
            ];
            let whole = is("integer");
            for (key, bound) in bounds {
                let Some(bound) = bound else { continue };
                fields.insert(key.to_owned(), if whole { Json::from(bound as i64) } else { Json::from(bound) });
            }
            return;
        }
        for key in ["items", "anyOf", "oneOf"] {
            match fields.get_mut(key) {
                Some(Json::Array(alternatives)) => alternatives.iter_mut().for_each(|schema| self.write(schema)),
                Some(items) => self.write(items),
                None => {}
            }
        }
    }
}

/// Shows the range after the word for a number: `from 1 on`, `from 0 to 255`, `above 0 and below 1`.
impl fmt::Display for Bounds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.above, self.max, self.below) {
            (Some(min), None, None, None) => write!(formatter, "from {min} on"),
            (Some(min), None, Some(max), None) => write!(formatter, "from {min} to {max}"),
            (min, above, max, below) => {
                let bounds = [("at least", min), ("above", above), ("at most", max), ("below", below)];
                let bounds = bounds.into_iter().filter_map(|(word, bound)| Some(format!("{word} {}", bound?)));
                formatter.write_str(&bounds.collect::<Vec<_>>().join(" and "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_told_in_words() {
        let open = Bounds::above(0.0).below(1.0);
        let shown = [Bounds::from(1.0), Bounds::from(3.0).to(9.0), open, Bounds::from(0.0).below(1.0)];
        let expected = ["from 1 on", "from 3 to 9", "above 0 and below 1", "at least 0 and below 1"];
        assert_eq!(shown.map(|bounds| bounds.to_string()), expected);
        assert_eq!(open.broken_by(0.0).as_deref(), Some("above 0"));
        assert_eq!(open.broken_by(1.0).as_deref(), Some("below 1"));
        assert_eq!(open.broken_by(0.5), None);
        assert_eq!(open.broken_by(f64::NAN).as_deref(), Some("a number"));
        assert_eq!(Bounds::from(3.0).to(9.0).broken_by(10.0).as_deref(), Some("at most 9"));
    }
}
