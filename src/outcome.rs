//! Outcomes of a command: 0 done, 1 a node failed, 2 bad spec or usage, 130 interrupted.

use std::process::ExitCode;

use orchestrate_cache::StoreError;
use orchestrate_engine::diagnostic::SpecError;

use crate::{diagnostic, terminal};

/// The outcome of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything is done.
    Done,
    /// A node failed, or the store is damaged.
    Failed,
    /// The spec or the command line is wrong.
    Usage,
    /// A signal stopped it.
    Interrupted,
}

/// The command line asks for something impossible: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Joins an error and its causes, except for causes that the text before them already contains.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.code())
    }
}

impl Outcome {
    /// Returns the exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Interrupted => 130,
        }
    }

    /// Shows a message of clap: help and versions on standard output, which may fail, and errors in the arguments.
    pub(crate) fn of_arguments(said: &clap::Error) -> Self {
        let (plain, coloured) = (said.render().to_string(), said.render().ansi().to_string());
        let wanted = if said.use_stderr() { terminal::colours_on_stderr() } else { terminal::colours_on_stdout() };
        // The message repeats arguments and environment variables.
        let text =
            if wanted && !plain.contains(terminal::is_hidden) { coloured.into() } else { terminal::visible(&plain) };
        if said.use_stderr() {
            terminal::complain_as_is(&text);
            return Self::Usage;
        }
        terminal::say_as_is(&text).map_or_else(Self::from_error, |()| Self::Done)
    }

    /// Returns the outcome of a command that ended like this and then wrote its last output: at least a failure if that
    /// failed.
    pub(crate) fn after_saying(self, said: anyhow::Result<()>) -> anyhow::Result<Self> {
        match (self, said) {
            (Self::Done, Err(error)) => Err(error),
            (ended, Err(error)) => {
                terminal::complain(&format!("error: {}\n", sentence(&error)));
                Ok(ended)
            }
            (ended, Ok(())) => Ok(ended),
        }
    }

    /// Shows an error and returns its outcome.
    pub(crate) fn from_error(error: anyhow::Error) -> Self {
        if let Some(error) = error.downcast_ref::<SpecError>() {
            terminal::complain_as_is(&diagnostic::render(error, terminal::colours_on_stderr()));
            return Self::Usage;
        }
        terminal::complain(&format!("error: {}\n", sentence(&error)));
        let other_store = matches!(
            error.downcast_ref::<StoreError>(),
            Some(
                StoreError::NewerFormat { .. }
                    | StoreError::NotAStore { .. }
                    | StoreError::WrongKind { .. }
                    | StoreError::PrivateKey { .. }
            )
        );
        let usage = other_store || error.downcast_ref::<UsageError>().is_some();
        if usage { Self::Usage } else { Self::Failed }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use anyhow::{Context, anyhow};
    use orchestrate_cache::{BlobError, Digest};
    use orchestrate_engine::publish::PublishError;
    use orchestrate_engine::run::RunError;
    use orchestrate_fetch::FetchError;

    use super::*;

    #[test]
    fn each_error_names_its_cause_once() {
        let cause = "No space left";
        let io = || io::Error::other(cause);
        let path = || PathBuf::from("/data/x");
        let store = || StoreError::Io { action: "write", path: path(), source: io() };
        let errors = [
            anyhow!(store()),
            anyhow!(RunError::Store(store())),
            anyhow!(PublishError::Store(store())),
            anyhow!(BlobError::Read { path: path(), source: io() }),
            anyhow!(BlobError::Mismatch { path: path(), expected: Digest::of(b"x") }).context(cause),
            anyhow!(FetchError::Io { action: "write", path: path(), source: io() }),
            anyhow!(UsageError(cause.to_owned())),
            anyhow!(io()).context("cannot read /data/x"),
            Err::<(), _>(store()).context("cannot pin").unwrap_err(),
        ];
        for error in &errors {
            let text = sentence(error);
            assert_eq!(text.matches(cause).count(), 1, "{text}");
            assert!(text.matches("/data/x").count() <= 1, "{text}");
        }
    }
}
