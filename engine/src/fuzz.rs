//! Functions that must return for any bytes: the fuzz targets and the property tests call them.
#![allow(clippy::missing_panics_doc, reason = "a fuzz target looks for panics")]

use std::collections::HashSet;
use std::fs;

use crate::diagnostic::SpecError;
use crate::executor::fuzz as executor;
use crate::plan::{Plan, Selector, build};
use crate::runlog::{Durations, History, RunId};
use crate::spec;
use crate::stage::Stage;

/// Plans a spec and its overrides, separated by zero bytes; `None` for bytes that are not UTF-8.
pub fn plan(bytes: &[u8], kinds: &[&'static dyn Stage]) -> Option<Result<Plan, SpecError>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut texts = text.split('\0');
    let dir = tempfile::tempdir().expect("there is a temporary folder");
    let path = dir.path().join("spec.toml");
    fs::write(&path, texts.next().unwrap_or_default()).expect("a temporary folder is writable");
    let overrides: Vec<String> = texts.map(str::to_owned).collect();
    Some(spec::load(&path, &overrides).and_then(|spec| build(spec, kinds)))
}

/// Selects nodes of a plan.
pub fn select(bytes: &[u8], plan: &Plan) {
    if let Ok(selector) = Selector::parse(&String::from_utf8_lossy(bytes)) {
        selector.nodes(plan).unwrap_or_default().into_iter().for_each(|id| drop(plan.name(id)));
    }
}

/// Reads messages of a worker to the engine, and of the engine to a worker.
pub fn pipe(bytes: &[u8]) {
    executor::pipe(bytes);
}

/// Reads a run log, a list of hits that it names, and its summary of durations.
pub fn log(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("there is a temporary folder");
    let run = RunId::now();
    let run_dir = dir.path().join(run.as_str());
    fs::create_dir_all(&run_dir).expect("a temporary folder is writable");
    for name in ["events.jsonl", "durations.json"] {
        fs::write(run_dir.join(name), bytes).expect("a temporary folder is writable");
    }
    let history = History::new(dir.path());
    let _ = (history.events(&run), history.started(&run), history.latest("table"), history.node_log("table"));
    let _ = history.latest_of(&HashSet::from(["table", "train[model=a,fold=1]"]), &history.runs(), 9);
    let _: Durations = history.durations(9);
    fs::remove_file(run_dir.join("durations.json")).expect("it was just written");
    let _: Durations = history.durations(9);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::fake::{KINDS, STUDY};

    /// The text with some bytes removed and fragments of specs inserted.
    fn damaged(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
        const WORDS: &[&str] =
            &["\"", "'", "[", "]", "{", "}", "=", "\n", "..", "..=", "\0", ".", "ü", "-1", "9e99", "[[", "#", "1_0"];
        let fragment = prop_oneof![
            proptest::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
            vec(any::<u8>(), 0..3),
        ];
        vec((0..text.len(), 0..12_usize, fragment), 1..6).prop_map(move |changes| {
            let mut bytes = text.as_bytes().to_vec();
            for (at, removed, fragment) in changes {
                let at = at.min(bytes.len());
                bytes.splice(at..bytes.len().min(at + removed), fragment);
            }
            bytes
        })
    }

    const LOG: &str = concat!(
        r#"{"at_ms":1,"event":"node_ran","node":{"name":"table","stage":"table","point":{}},"key":"#,
        r#""af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262","elapsed_ms":5}"#,
        "\n",
        r#"{"at_ms":1,"event":"nodes_hit","nodes":3,"#,
        r#""list":"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"}"#,
        "\n",
        r#"{"by_node":{"table":5},"by_stage":{"table":[18446744073709551615,18446744073709551615]}}"#,
    );

    const PIPE: &str = concat!(
        "loss\n\u{1e}",
        r#"{"Progress":{"done":1,"total":2,"message":""}}"#,
        "\n\u{1e}",
        r#"{"Results":[{"Ok":[{"name":"out","files":[["a","/tmp/a"]]}]},"#,
        r#"{"Err":{"TimedOut":{"limit":{"secs":1,"nanos":0}}}}]}"#,
        "\n",
    );

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_damaged_spec_gives_a_plan_or_problems_with_locations(bytes in damaged(STUDY)) {
            if let Some(Err(error)) = plan(&bytes, &KINDS) {
                prop_assert!(!error.diagnostics.is_empty());
                for span in error.diagnostics.iter().filter_map(|diagnostic| diagnostic.span.as_ref()) {
                    prop_assert!(error.sources.locator().locate(span.start).is_some());
                }
            }
        }

        #[test]
        fn any_override_is_accepted_or_has_problems(key in "[a-z.\"'\\[\\]= ]{0,30}", value in any::<String>()) {
            let _ = plan(format!("{STUDY}\0{key}={value}").as_bytes(), &KINDS);
            let _ = plan(format!("{STUDY}\0stages.train.epochs={value}").as_bytes(), &KINDS);
        }

        #[test]
        fn any_selector_names_nodes_or_gives_a_reason(text in "[a-z\\[\\]=,0-9 ü]{0,24}") {
            let plan = plan(STUDY.as_bytes(), &KINDS).and_then(Result::ok).expect("the spec is valid");
            select(text.as_bytes(), &plan);
            select(format!("train[{text}]").as_bytes(), &plan);
        }

        #[test]
        fn a_damaged_log_is_read_as_far_as_possible(bytes in damaged(LOG)) {
            log(&bytes);
        }

        #[test]
        fn garbage_on_the_pipe_is_ignored(bytes in damaged(PIPE)) {
            pipe(&bytes);
        }
    }
}
