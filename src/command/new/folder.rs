//! The folder of a new study: its name, its files, and the way from it to the data.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use orchestrate_stages::data::dataset::Guess;

use crate::outcome::UsageError;
use crate::terminal;

/// The name of the spec.
pub(super) const SPEC: &str = "study.toml";

/// The project's file. It marks the root, in which the store and published results lie.
const PROJECT: (&str, &str) = (
    "orchestrate.toml",
    "# Marks the root of the project: the store (.orchestrate) and published results (results) lie beside it.
# By default nothing is ever deleted from the store. With limits, each day's first run deletes what was unused longest:
#
# [store]
# max_size = \"50 GB\"
# max_age = \"180 days\"
",
);

/// The files of git that are not to be committed.
const IGNORED: (&str, &str) = (".gitignore", "/.orchestrate/\n/results/\n");

/// The folder of a study that is to be made.
pub(super) struct Folder {
    path: PathBuf,
    /// The same, absolute and without links as far as it exists.
    real: PathBuf,
    /// The study's name.
    pub(super) study: String,
}

impl Folder {
    /// Checks that there is room for a study. Errors: a spec, or a file in place of the folder.
    pub(super) fn of(path: &Path) -> anyhow::Result<Self> {
        let real = resolved(path)?;
        if path.exists() && !path.is_dir() {
            return Err(UsageError(format!("{} is a file; name a folder", path.display())).into());
        }
        if path.join(SPEC).symlink_metadata().is_ok() {
            let mut names: Vec<String> = fs::read_dir(path)
                .with_context(|| format!("cannot read the folder {}", path.display()))?
                .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
                .collect();
            names.sort();
            let help = "nothing is overwritten; name another folder, or move the spec";
            let message = format!("{} holds a study: {}\nhelp: {help}", path.display(), names.join(", "));
            return Err(UsageError(message).into());
        }
        let study = study_name(&real);
        Ok(Self { path: path.to_owned(), real, study })
    }

    /// Returns whether the folder lies in another one.
    pub(super) fn lies_in(&self, other: &Path) -> bool {
        other.canonicalize().is_ok_and(|other| self.real.starts_with(other))
    }

    /// Returns the path that the spec needs for the data: absolute if that is how they were named.
    pub(super) fn path_to(&self, data: &Path, guess: &Guess) -> anyhow::Result<PathBuf> {
        // A guess may name a file in the folder.
        let found = guess.path.strip_prefix(std::path::absolute(data)?).unwrap_or(Path::new(""));
        let data = if found.as_os_str().is_empty() { data.to_owned() } else { data.join(found) };
        if data.is_absolute() {
            return Ok(data);
        }
        // The last name stays as it is, as it may be a link that is made to be moved.
        let data = match (data.parent(), data.file_name()) {
            (Some(parent), Some(name)) if parent.as_os_str().is_empty() => resolved(Path::new("."))?.join(name),
            (Some(parent), Some(name)) => resolved(parent)?.join(name),
            _ => resolved(&data)?,
        };
        Ok(pathdiff::diff_paths(&data, &self.real).unwrap_or(data))
    }

    /// Writes the spec, `orchestrate.toml` and `.gitignore`. Of these the last two may be there already, and stay.
    pub(super) fn write(&self, spec: &str) -> anyhow::Result<()> {
        let shown = self.path.display();
        fs::create_dir_all(&self.path).with_context(|| format!("cannot make the folder {shown}"))?;
        for (name, text) in [PROJECT, IGNORED] {
            if !write_new(&self.path.join(name), text)? {
                let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
                let add =
                    if lines.is_empty() { String::new() } else { format!("; it should have {}", lines.join(" ")) };
                terminal::complain(&format!("note: {name} is there already and stays as it is{add}\n"));
            }
        }
        if !write_new(&self.path.join(SPEC), spec)? {
            return Err(UsageError(format!("{shown} has got a {SPEC} meanwhile; it was not overwritten")).into());
        }
        Ok(())
    }
}

/// Writes a file that is not there yet; returns false if it is.
fn write_new(path: &Path, text: &str) -> anyhow::Result<bool> {
    let written = OpenOptions::new().write(true).create_new(true).open(path);
    match written.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
    }
}

/// Makes a path absolute, and resolves links in the part that exists.
fn resolved(path: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))?;
    let existing = path.ancestors().find_map(|folder| Some((folder, folder.canonicalize().ok()?)));
    let Some((folder, canonical)) = existing else { return Ok(path) };
    let rest = path.strip_prefix(folder).unwrap_or(Path::new(""));
    Ok(if rest.as_os_str().is_empty() { canonical } else { canonical.join(rest) })
}

/// Returns a name for the experiment, in which results will lie: that of the folder, as far as a folder can have it.
fn study_name(folder: &Path) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let is_fit = |letter: char| letter.is_alphanumeric() || "-_. ".contains(letter);
    let mut name: String = name.chars().map(|letter| if is_fit(letter) { letter } else { '-' }).collect();
    while name.len() > 200 {
        name.pop();
    }
    let name = name.trim_matches([' ', '.']);
    if name.is_empty() { "study".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_folder_gives_a_name_for_the_study() {
        for (folder, expected) in [
            ("/a/my study", "my study"),
            ("/a/größe", "größe"),
            ("/a/x\u{1b}[1m{y}\n", "x--1m-y--"),
            ("/a/v1.", "v1"),
            ("/a/...", "study"),
            ("/", "study"),
        ] {
            assert_eq!(study_name(Path::new(folder)), expected);
        }
        assert_eq!(study_name(Path::new(&"é".repeat(150))).len(), 200);
    }
}
