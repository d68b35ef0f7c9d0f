//! A program with its arguments, folder and environment.

use std::path::Path;

use super::environment::Environment;

pub(super) struct Invocation<'a> {
    /// The program and its arguments, without placeholders.
    pub(super) argv: &'a [String],
    /// The folder in which it starts.
    pub(super) dir: &'a Path,
    pub(super) environment: &'a Environment,
}
