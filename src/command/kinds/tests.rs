use orchestrate_engine::params::ParamTable;
use orchestrate_engine::stage::{ParamFacts, Stage};
use orchestrate_engine::words;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::text::example;

/// Words of the program's own types, which mean nothing to a person who writes TOML.
const FORBIDDEN: [&str; 26] = [
    "u8", "u16", "u32", "u64", "usize", "i32", "i64", "f64", "struct", "enum", "variant", "option", "vec", "sequence",
    "boolean", "string", "tuple", "newtype", "serde", "integer", "floating", "invalid", "field`", "map", "null",
    "unit",
];

fn forbidden(message: &str) -> Option<&'static str> {
    // Quoted names, such as the type of numbers "f32", are the user's words.
    let mut words = message.split(|letter: char| !letter.is_alphanumeric() && letter != '`').map(str::to_lowercase);
    words.find_map(|word| FORBIDDEN.into_iter().find(|forbidden| *forbidden == word))
}

fn table(toml: &str) -> ParamTable {
    DeTable::parse(toml.to_owned().leak()).unwrap_or_else(|error| panic!("{toml}: {error}"))
}

/// The table below the header `[stage]`.
fn inner(toml: &str) -> ParamTable {
    let table = table(toml).into_inner().remove("stage").expect("it is there");
    let span = table.span();
    match table.into_inner() {
        DeValue::Table(fields) => Spanned::new(span, fields),
        other => panic!("{other:?}"),
    }
}

/// Sets a param, or a setting in its table, beside those that the kind requires.
fn spec(params: &[ParamFacts], name: &str, value: &str) -> String {
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let value = rest.map_or(value.to_owned(), |rest| {
        rest.rsplit('.').fold(value.to_owned(), |value, name| format!("{{ {name} = {value} }}"))
    });
    let required = params.iter().filter(|param| param.required && param.name != first && !param.name.contains('.'));
    let required: String = required.filter_map(example).map(|line| line + "\n").collect();
    format!("{required}{first} = {value}\n")
}

fn each_param(test: impl Fn(&'static dyn Stage, &[ParamFacts], &ParamFacts)) {
    for stage in crate::stages() {
        let params = stage.facts().params();
        params.iter().for_each(|param| test(*stage, &params, param));
    }
}

#[test]
fn every_param_has_a_type_a_meaning_and_an_example_that_it_takes() {
    each_param(|stage, params, param| {
        let place = format!("`{}` of {}", param.name, stage.facts().kind);
        assert!(param.about.ends_with('.') && !param.about.contains("[`"), "{place}: {}", param.about);
        assert!(param.expected != "any value", "{place}");
        let example = words::toml(param.example.as_ref().unwrap_or_else(|| panic!("{place} has no example")));
        let toml = spec(params, &param.name, &example);
        let problems = stage.check(&table(&toml)).err().unwrap_or_default().problems;
        let wrong = problems.iter().find(|problem| problem.message.contains("must be"));
        assert!(wrong.is_none() && !problems.iter().any(|problem| problem.message.contains("unknown")), "{problems:?}");
        let written = serde_json::to_string(&(&param.default, &param.choices.len())).expect("JSON");
        assert!(!written.contains("null,") || param.default.is_none(), "{place}: {written}");
    });
}

#[test]
fn every_wrong_value_is_told_in_plain_words_with_its_place() {
    let values = ["\"x\"", "-1", "1e300", "0.5", "true", "[true]", "[[1]]", "{ nope = 1 }", "1979-05-27", "\"\"", "0"];
    each_param(|stage, params, param| {
        for value in values {
            // In a table with a header, as in a spec.
            let toml = format!("[stage]\n{}", spec(params, &param.name, value));
            let Err(error) = stage.check(&inner(&toml)) else { continue };
            for problem in error.problems {
                let said = format!("{} {}", problem.message, problem.help.as_deref().unwrap_or_default());
                let place = &toml[problem.span.clone()];
                assert_eq!(forbidden(&problem.message), None, "{}: {toml}\n{said}", stage.facts().kind);
                assert!(!place.is_empty(), "{toml}\n{said}");
            }
        }
    });
}

#[test]
fn an_unknown_param_is_answered_with_the_nearest_name() {
    each_param(|stage, params, param| {
        if param.name.contains('.') {
            return;
        }
        let toml = spec(params, &format!("{}x", param.name), "1");
        let problems = stage.check(&table(&toml)).expect_err("it is unknown").problems;
        let problem = problems.iter().find(|problem| problem.message.contains("unknown"));
        let help = problem.and_then(|problem| problem.help.as_deref()).unwrap_or_default();
        assert!(help.contains("did you mean"), "{toml}: {problems:?}");
    });
}

#[test]
fn a_param_that_must_be_set_is_told_with_an_example() {
    for stage in crate::stages() {
        let params = stage.facts().params();
        let problems = stage.check(&table("")).err().unwrap_or_default().problems;
        if let Some(first) = params.iter().find(|param| param.required) {
            let problem = &problems[0];
            assert!(problem.message.starts_with(&format!("`{}` is missing; it is ", first.name)), "{problems:?}");
            assert!(problem.help.as_ref().is_some_and(|help| help.contains(" = ")), "{problems:?}");
        }
    }
}
