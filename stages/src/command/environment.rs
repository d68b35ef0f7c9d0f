//! The environment variables of a program, and the secrets among them.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::mask::{self, Mask};
use crate::gpu::VISIBLE;

/// Variables of every program: the least that a program needs to start.
const ALWAYS: [&str; 3] = ["PATH", "HOME", "LANG"];

/// A variable of this process.
pub(super) fn of_process(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Environment variables of one program.
#[derive(Default)]
pub(super) struct Environment {
    /// Names and values.
    pub(super) variables: Vec<(String, OsString)>,
    /// Names of secrets without a value.
    pub(super) unset_secrets: Vec<String>,
    /// Names of secrets that are too short to be hidden.
    pub(super) short_secrets: Vec<String>,
    mask: Mask,
}

impl Environment {
    /// Takes keyed variables from the key, and looks the others up by `value_of`, as [`of_process`] does.
    pub(super) fn new(
        keyed: &[(String, Option<String>)],
        secrets: &[String],
        value_of: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        let mut environment = Self::default();
        for name in ALWAYS.iter().filter(|name| !keyed.iter().any(|(keyed, _)| keyed == *name)) {
            environment.variables.extend(value_of(name).map(|value| ((*name).to_owned(), value)));
        }
        for (name, value) in keyed {
            environment.variables.extend(value.as_ref().map(|value| (name.clone(), value.into())));
        }
        let mut values = Vec::new();
        for name in secrets {
            let Some(value) = value_of(name) else {
                environment.unset_secrets.push(name.clone());
                continue;
            };
            if mask::lines(value.as_bytes()).next().is_none() && !value.as_bytes().trim_ascii().is_empty() {
                environment.short_secrets.push(name.clone());
            }
            environment.variables.retain(|(before, _)| before != name);
            environment.variables.push((name.clone(), value.clone()));
            values.push(value);
        }
        environment.mask = Mask::new(values.iter().map(|value| value.as_bytes()));
        environment
    }

    /// Limits the program to its GPUs; sets nothing for a program without.
    ///
    /// Like the device, the list is in no key: it changes where the program runs, not what it computes.
    pub(super) fn with_gpus(mut self, visible: &str) -> Self {
        if !visible.is_empty() {
            self.variables.retain(|(name, _)| name != VISIBLE);
            self.variables.push((VISIBLE.to_owned(), visible.into()));
        }
        self
    }

    /// The text with `***` in place of every secret.
    pub(super) fn redact<'a>(&self, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        self.mask.hide(text)
    }

    /// [`Environment::redact`] for a text that was cut, perhaps within a secret.
    pub(super) fn redact_cut(&self, text: &str) -> String {
        self.mask.hide_cut(text)
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
