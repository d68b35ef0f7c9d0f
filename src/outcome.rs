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

    /// Shows what clap has to say: help and versions on standard output, which may fail, and what is wrong with the arguments.
    pub(crate) fn of_arguments(said: &clap::Error) -> Self {
        let (plain, coloured) = (said.render().to_string(), said.render().ansi().to_string());
        let wanted = if said.use_stderr() { terminal::colours_on_stderr() } else { terminal::colours_on_stdout() };
        // Arguments and variables of the environment are repeated in it.
        let text =
            if wanted && !plain.contains(terminal::is_hidden) { coloured.into() } else { terminal::visible(&plain) };
        if said.use_stderr() {
            terminal::complain_as_is(&text);
            return Self::Usage;
        }
        terminal::say_as_is(&text).map_or_else(Self::from_error, |()| Self::Done)
    }

    /// What a command came to that ended like this and then could not write all of what it had to say: at least a failure.
    pub(crate) fn after_saying(self, said: anyhow::Result<()>) -> anyhow::Result<Self> {
        match (self, said) {
            (Self::Done, Err(error)) => Err(error),
            (ended, Err(error)) => {
                terminal::complain(&format!("error: {error:#}\n"));
                Ok(ended)
            }
            (ended, Ok(())) => Ok(ended),
        }
    }

    /// Shows an error and gives its exit code.
    pub(crate) fn from_error(error: anyhow::Error) -> Self {
        if let Some(error) = error.downcast_ref::<SpecError>() {
            terminal::complain_as_is(&diagnostic::render(error, terminal::colours_on_stderr()));
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
