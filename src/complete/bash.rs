//! Completion in bash, which takes `=` and `:` for the ends of words, as in `score[model=tiny`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap_complete::engine::complete;
use clap_complete::env::{Bash as Plain, EnvCompleter};

/// The characters of `COMP_WORDBREAKS` that occur within our words.
const BREAKS: [&str; 2] = ["=", ":"];

/// Bash with the words as they are typed.
pub(super) struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        Plain.name()
    }

    fn is(&self, name: &str) -> bool {
        Plain.is(name)
    }

    fn write_registration(
        &self,
        variable: &str,
        name: &str,
        program: &str,
        completer: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        Plain.write_registration(variable, name, program, completer, out)
    }

    fn write_complete(
        &self,
        command: &mut clap::Command,
        args: Vec<OsString>,
        working_dir: Option<&Path>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let variable = |name| std::env::var(name).ok();
        let index = variable("_CLAP_COMPLETE_INDEX").and_then(|text| text.parse().ok()).unwrap_or_default();
        let separator = variable("_CLAP_IFS").unwrap_or_else(|| "\n".to_owned());
        let Typed { words, index, before } = Typed::new(&args, index);
        let candidates = complete(command, words, index, working_dir)?;
        // Bash replaces only the part of the word after the last break.
        let rest = |text: String| text.strip_prefix(&before).map(ToOwned::to_owned).unwrap_or(text);
        let texts: Vec<_> =
            candidates.iter().map(|candidate| rest(candidate.get_value().to_string_lossy().into_owned())).collect();
        out.write_all(texts.join(&separator).as_bytes())
    }
}

/// Words as they are typed.
#[derive(Debug, PartialEq)]
struct Typed {
    words: Vec<OsString>,
    /// The word that is completed.
    index: usize,
    /// The part of it that bash counts as earlier words.
    before: String,
}

impl Typed {
    /// Joins what bash has taken apart. A word with a quote is not taken apart, and its quote is removed.
    fn new(parts: &[OsString], index: usize) -> Self {
        let mut typed = Self { words: Vec::new(), index: 0, before: String::new() };
        let mut continues = false;
        for (position, part) in parts.iter().enumerate() {
            let text = part.to_string_lossy();
            let is_break = BREAKS.contains(&&*text);
            // The program's name and an option such as `--set` do not end in a break.
            if (continues || is_break) && typed.words.len() > 1 {
                let word = typed.words.last_mut().expect("two at least");
                if position == index {
                    typed.before = if is_break { String::new() } else { word.to_string_lossy().into_owned() };
                }
                word.push(part);
            } else {
                let unquoted = text.strip_prefix(['\'', '"']).map(OsString::from);
                typed.words.push(unquoted.unwrap_or_else(|| part.clone()));
            }
            continues = is_break;
            if position == index {
                typed.index = typed.words.len() - 1;
            }
        }
        typed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(parts: &[&str], index: usize) -> (Vec<String>, usize, String) {
        let parts: Vec<_> = parts.iter().map(OsString::from).collect();
        let Typed { words, index, before } = Typed::new(&parts, index);
        (words.iter().map(|word| word.to_string_lossy().into_owned()).collect(), index, before)
    }

    #[test]
    fn a_node_is_one_word_although_bash_breaks_it_at_equal_signs() {
        let (words, index, before) = typed(&["orchestrate", "explain", "score[model", "=", "tiny,fold", "=", "3"], 6);
        assert_eq!(words, ["orchestrate", "explain", "score[model=tiny,fold=3"]);
        assert_eq!((index, before.as_str()), (2, "score[model=tiny,fold="));
    }

    #[test]
    fn a_value_that_begins_after_the_break_is_completed_whole() {
        let (words, index, before) = typed(&["orchestrate", "explain", "score[model", "=", ""], 4);
        assert_eq!(words, ["orchestrate", "explain", "score[model="]);
        assert_eq!((index, before.as_str()), (2, "score[model="));
    }

    #[test]
    fn words_without_breaks_stay_as_they_are() {
        let (words, index, before) = typed(&["orchestrate", "run", "a.toml", "--only", "'sc"], 4);
        assert_eq!(words, ["orchestrate", "run", "a.toml", "--only", "sc"]);
        assert_eq!((index, before.as_str()), (4, ""));
    }
}
