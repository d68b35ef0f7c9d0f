//! Rules for thresholds, as in a spec: `200`, `"q90"`, `"otsu"`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Rule for the grey level above which a pixel counts as foreground.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// The same grey level, in 0..=255, for every map.
    Fixed(f64),
    /// The q-th percentile of the grey levels of each map, q strictly between 0 and 100.
    Percentile(f64),
    /// Otsu's method on the histogram of each map.
    Otsu,
}

/// Writes the rule as in a spec; a number always as a float, so that `200` and `200.0` are one value.
impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(level) => serializer.serialize_f64(*level),
            Self::Percentile(q) => serializer.serialize_str(&format!("q{q}")),
            Self::Otsu => serializer.serialize_str("otsu"),
        }
    }
}

impl JsonSchema for Rule {
    fn schema_name() -> Cow<'static, str> {
        "Rule".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 255, "description": "This grey level, for every map." },
            {
                "type": "string",
                "pattern": "^q[0-9]+(\\.[0-9]+)?$",
                "examples": ["q90"],
                "description": "A percentile of the grey levels of each map, above `q0` and below `q100`.",
            },
            { "const": "otsu", "description": "Otsu's method on the histogram of each map." },
        ] })
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RuleVisitor)
    }
}

struct RuleVisitor;

impl Visitor<'_> for RuleVisitor {
    type Value = Rule;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "a grey level in 0..=255, a percentile such as \"q90\" (above \"q0\" and below \"q100\"), or \"otsu\"",
        )
    }

    fn visit_f64<E: de::Error>(self, level: f64) -> Result<Rule, E> {
        fixed(level, Unexpected::Float(level))
    }

    fn visit_i64<E: de::Error>(self, level: i64) -> Result<Rule, E> {
        fixed(level as f64, Unexpected::Signed(level))
    }

    fn visit_u64<E: de::Error>(self, level: u64) -> Result<Rule, E> {
        fixed(level as f64, Unexpected::Unsigned(level))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Rule, E> {
        let percentile = text.strip_prefix('q').filter(|digits| digits.starts_with(|c: char| c.is_ascii_digit()));
        match percentile.and_then(|digits| digits.parse::<f64>().ok()) {
            Some(q) if 0.0 < q && q < 100.0 => Ok(Rule::Percentile(q)),
            None if text == "otsu" => Ok(Rule::Otsu),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

fn fixed<E: de::Error>(level: f64, found: Unexpected<'_>) -> Result<Rule, E> {
    if (0.0..=255.0).contains(&level) {
        // Adding zero turns -0.0 into 0.0.
        return Ok(Rule::Fixed(level + 0.0));
    }
    Err(E::invalid_value(found, &RuleVisitor))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(value: serde_json::Value) -> Result<Rule, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn rules_are_read_as_specs_write_them() {
        assert_eq!(rule(json!(200)), Ok(Rule::Fixed(200.0)));
        assert_eq!(rule(json!(200.5)), Ok(Rule::Fixed(200.5)));
        assert_eq!(rule(json!("q97.5")), Ok(Rule::Percentile(97.5)));
        assert_eq!(rule(json!("otsu")), Ok(Rule::Otsu));
    }

    #[test]
    fn equal_rules_are_written_alike() {
        let written = |value| serde_json::to_value(rule(value).unwrap()).unwrap();
        assert_eq!(written(json!(200)), written(json!(200.0)));
        assert_eq!(written(json!("q90.0")), json!("q90"));
        assert_eq!(written(json!("otsu")), json!("otsu"));
        for value in [json!(0), json!("q2.5"), json!("otsu")] {
            assert_eq!(rule(written(value.clone())), rule(value));
        }
    }

    #[test]
    fn other_values_are_refused_with_a_list_of_rules() {
        let cases = [
            json!(256),
            json!(-1),
            json!(255.1),
            json!("q100"),
            json!("q0"),
            json!("q"),
            json!("qnan"),
            json!("q-5"),
            json!("90"),
            json!("Otsu"),
            json!("q1e1x"),
            json!(true),
        ];
        for case in cases {
            let message = rule(case.clone()).expect_err(&case.to_string());
            assert!(message.contains("a grey level in 0..=255, a percentile such as \"q90\""), "{case}: {message}");
        }
    }
}
