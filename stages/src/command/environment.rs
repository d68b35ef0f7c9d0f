//! What a program finds in its environment, and what of it nobody else may see.

use std::ffi::OsString;

use crate::gpu::VISIBLE;

/// Passed to every program; they are as much of the machine as a program needs to start.
const ALWAYS: [&str; 3] = ["PATH", "HOME", "LANG"];

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
    secrets: Vec<String>,
}

impl Environment {
    /// Keyed variables have the values that are in the key; `value_of` looks the others up, as [`of_process`] does.
    pub(super) fn new(
        keyed: &[(String, Option<String>)],
        secrets: &[String],
        value_of: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        let mut environment = Self { variables: Vec::new(), unset_secrets: Vec::new(), secrets: Vec::new() };
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
            environment.secrets.extend(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()));
            environment.variables.retain(|(before, _)| before != name);
            environment.variables.push((name.clone(), value));
        }
        // A secret that contains another one must go first.
        environment.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        environment
    }

    /// Names the GPUs that the program was given, so that it takes no other; a program that asked for none is told nothing.
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
    pub(super) fn redact(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    /// The same for a text that was cut, which may end within a secret.
    pub(super) fn redact_cut(&self, text: &str) -> String {
        let mut text = self.redact(text);
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
            "SHORT" => Some("abc".into()),
            "KEY" => Some("-----BEGIN\nxabcx\n".into()),
            _ => None,
        };
        let secrets = ["SHORT", "KEY", "NONE"].map(str::to_owned);
        let environment = Environment::new(&[], &secrets, value_of);
        assert_eq!(environment.redact("abc: xabcx -----BEGIN, ab"), "***: *** ***, ab");
        assert_eq!(environment.redact_cut("abc, then xab"), "***, then ", "the rest of `xabcx` was cut off");
        assert_eq!(environment.redact_cut("no secret"), "no secret");
        assert_eq!(environment.unset_secrets, ["NONE"]);
    }
}
