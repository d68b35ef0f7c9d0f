//! Functions that must return for any bytes: the targets in `tests/fuzz/` call them.

use orchestrate_engine::diagnostic::SpecError;
use orchestrate_engine::fuzz;

use crate::diagnostic::render;

/// Plans a spec with overrides, as [`fuzz::plan`] does, and renders its problems.
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
