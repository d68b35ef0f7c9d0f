//! What a program finds in its environment, and what of it nobody else may see.

use std::borrow::Cow;
use std::ffi::OsString;

use crate::gpu::VISIBLE;

/// Passed to every program; they are as much of the machine as a program needs to start.
const ALWAYS: [&str; 3] = ["PATH", "HOME", "LANG"];

/// A shorter secret is not replaced in what a program prints: it would blank each letter of its kind.
const SECRET_MIN: usize = 4;

/// A variable of this process.
pub(super) fn of_process(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Environment variables of one program.
pub(super) struct Environment {
    /// Names and values.
    pub(super) variables: Vec<(String, OsString)>,
    /// Names of secrets that have no value here.
    pub(super) unset_secrets: Vec<String>,
    /// Names of secrets that are too short to be hidden.
    pub(super) short_secrets: Vec<String>,
    secrets: Vec<String>,
}

impl Environment {
    /// Keyed variables have the values that are in the key; `value_of` looks the others up, as [`of_process`] does.
    pub(super) fn new(
        keyed: &[(String, Option<String>)],
        secrets: &[String],
        value_of: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        let mut environment =
            Self { variables: Vec::new(), unset_secrets: Vec::new(), short_secrets: Vec::new(), secrets: Vec::new() };
        for name in ALWAYS.iter().filter(|name| !keyed.iter().any(|(keyed, _)| keyed == *name)) {
            environment.variables.extend(value_of(name).map(|value| ((*name).to_owned(), value)));
        }
        for (name, value) in keyed {
            environment.variables.extend(value.as_ref().map(|value| (name.clone(), value.into())));
        }
        for name in secrets {
            let Some(value) = value_of(name) else {
                environment.unset_secrets.push(name.clone());
                continue;
            };
            // Programs print line by line, so each line of a key in several lines is secret by itself.
            let text = value.to_string_lossy();
            let lines: Vec<_> = text.lines().map(str::trim).filter(|line| line.len() >= SECRET_MIN).collect();
            if lines.is_empty() && !text.trim().is_empty() {
                environment.short_secrets.push(name.clone());
            }
            environment.secrets.extend(lines.into_iter().map(str::to_owned));
            environment.variables.retain(|(before, _)| before != name);
            environment.variables.push((name.clone(), value));
        }
        // A secret that contains another one must go first.
        environment.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        environment
    }

    /// Names the GPUs that the program was given, so that it takes no other; a program that asked for none is told
    /// nothing.
    ///
    /// Like the device, the list says where the program runs and not what it computes, so it is in no key.
    pub(super) fn with_gpus(mut self, visible: &str) -> Self {
        if !visible.is_empty() {
            self.variables.retain(|(name, _)| name != VISIBLE);
            self.variables.push((VISIBLE.to_owned(), visible.into()));
        }
        self
    }

    /// The text with the value of every secret replaced by `***`.
    pub(super) fn redact<'a>(&self, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        self.secrets.iter().fold(text.into(), |text, secret| match text.contains(secret) {
            true => text.replace(secret, "***").into(),
            false => text,
        })
    }

    /// The same for a text that was cut, which may end within a secret.
    pub(super) fn redact_cut(&self, text: &str) -> String {
        let mut text = self.redact(text).into_owned();
        let begun = |secret: &String| {
            let ends = secret.char_indices().map(|(end, _)| end).rev().filter(|&end| end > 0);
            ends.into_iter().find(|&end| text.ends_with(&secret[..end]))
        };
        let cut = self.secrets.iter().filter_map(begun).max().unwrap_or(0);
        text.truncate(text.len() - cut);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Environment;

    #[test]
    fn program_sees_the_gpus_that_it_was_given() {
        let keyed = [("CUDA_VISIBLE_DEVICES".to_owned(), Some("7".to_owned()))];
        let seen = |visible: &str| Environment::new(&keyed, &[], |_| None).with_gpus(visible).variables;
        assert_eq!(seen("1"), [("CUDA_VISIBLE_DEVICES".to_owned(), "1".into())]);
        assert_eq!(seen(""), [("CUDA_VISIBLE_DEVICES".to_owned(), "7".into())], "what it declares itself stays");
    }

    #[test]
    fn every_line_of_every_secret_is_redacted() {
        let value_of = |name: &str| match name {
            "TOKEN" => Some("abcd".into()),
            "KEY" => Some("-----BEGIN\nxabcdx\n==\n".into()),
            _ => None,
        };
        let secrets = ["TOKEN", "KEY", "NONE"].map(str::to_owned);
        let environment = Environment::new(&[], &secrets, value_of);
        assert_eq!(environment.redact("abcd: xabcdx -----BEGIN, ab =="), "***: *** ***, ab ==");
        assert_eq!(environment.redact_cut("abcd, then xab"), "***, then ", "the rest of `xabcdx` was cut off");
        assert_eq!(environment.redact_cut("no secret"), "no secret");
        assert_eq!(environment.unset_secrets, ["NONE"]);
        assert_eq!(environment.short_secrets, [""; 0]);
    }

    #[test]
    fn a_secret_of_one_letter_leaves_the_text_as_it_is_and_is_named() {
        let value_of = |name: &str| match name {
            "LETTER" => Some("e".into()),
            "EMPTY" => Some("".into()),
            _ => None,
        };
        let environment = Environment::new(&[], &["LETTER", "EMPTY"].map(str::to_owned), value_of);
        assert_eq!(environment.redact("hello there"), "hello there");
        assert_eq!(environment.short_secrets, ["LETTER"]);
    }
}
