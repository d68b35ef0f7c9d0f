//! How a command ended: 0 done, 1 a node failed, 2 bad spec or usage, 130 interrupted.

use std::process::ExitCode;

use orchestrate_cache::StoreError;
use orchestrate_engine::diagnostic::SpecError;

use crate::{diagnostic, terminal};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything is done.
    Done,
    /// A node failed, or the store is damaged.
    Failed,
    /// The spec or the command line is wrong.
    Usage,
    /// Somebody stopped it.
    Interrupted,
}

/// The command line asks for something that cannot be: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.code())
    }
}

impl Outcome {
    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Interrupted => 130,
        }
    }

    /// Shows an error and gives its exit code.
    pub(crate) fn from_error(error: anyhow::Error) -> Self {
        // A closed pipe (`| head`) is the reader's wish, not an error.
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe) {
            return Self::Done;
        }
        if let Some(error) = error.downcast_ref::<SpecError>() {
            terminal::complain(&diagnostic::render(error, terminal::colours_on_stderr()));
            return Self::Usage;
        }
        terminal::complain(&format!("error: {error:#}\n"));
        let other_store = matches!(
            error.downcast_ref::<StoreError>(),
            Some(StoreError::NewerFormat { .. } | StoreError::NotAStore { .. } | StoreError::WrongKind { .. })
        );
        let usage = other_store || error.downcast_ref::<UsageError>().is_some();
        if usage { Self::Usage } else { Self::Failed }
    }
}
