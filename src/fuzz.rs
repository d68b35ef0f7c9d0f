//! What must return whatever the bytes that it is given, for the targets in `tests/fuzz/`.

use orchestrate_engine::diagnostic::SpecError;
use orchestrate_engine::fuzz;

use crate::diagnostic::render;

/// Plans a spec with overrides, as [`fuzz::plan`] does, and shows what is wrong with it.
pub fn spec(bytes: &[u8]) {
    match fuzz::plan(bytes, crate::stages()) {
        Some(Err(error)) => show(&error),
        Some(Ok(plan)) => {
            show(&SpecError { sources: plan.spec.sources.clone(), diagnostics: plan.spec.findings.clone() });
            fuzz::select(bytes, &plan);
        }
        None => {}
    }
}

fn show(found: &SpecError) {
    let _ = (render(found, false), render(found, true));
}
