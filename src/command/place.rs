//! Files that are written where a person says: what lies there and is another's stays.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use orchestrate_cache::{Digest, disk};

use crate::outcome::UsageError;

/// How many files an error names.
const NAMED: usize = 3;

/// A longer file is no chart.
const CHART_BYTES_MAX: u64 = 1 << 28;

/// How the last line of a chart begins that was written by [`chart`]; the digest of all before it follows.
const SEAL: &str = "<!-- orchestrate ";
const SEAL_END: &str = " -->\n";

/// Writes files, and their folders where there are none. No link is followed. Errors: one that is there differs, and
/// `overwrites` does not say that it goes; then nothing is written.
pub(super) fn files(files: &[(PathBuf, Vec<u8>)], overwrites: bool) -> anyhow::Result<()> {
    let differs = |(path, bytes): &&(PathBuf, Vec<u8>)| is_other(path, |found| found == *bytes, bytes.len() as u64);
    let others: Vec<_> = files.iter().filter(differs).map(|(path, _)| path.display().to_string()).collect();
    if !others.is_empty() && !overwrites {
        let more = if others.len() > NAMED { format!(" and {} more", others.len() - NAMED) } else { String::new() };
        return Err(UsageError(format!(
            "there is something else in place of {}{more}\nhelp: name another folder, or have it replaced by --overwrite",
            others[..others.len().min(NAMED)].join(", ")
        ))
        .into());
    }
    files.iter().try_for_each(|(path, bytes)| write(path, bytes))
}

/// Whether a chart may be written to a path: nothing is there, or one that was written there before and not edited.
pub(super) fn check_chart(path: &Path) -> Result<(), UsageError> {
    if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("svg")) {
        let message = format!("--plot draws an SVG, and `{}` does not end in .svg", path.display());
        return Err(UsageError(message));
    }
    if is_other(path, is_sealed, CHART_BYTES_MAX) {
        let message = format!(
            "{} is no chart of ours, or was edited\nhelp: move it elsewhere, or name another file by --plot",
            path.display()
        );
        return Err(UsageError(message));
    }
    Ok(())
}

/// Writes a chart that [`check_chart`] knows again.
pub(super) fn chart(path: &Path, mut svg: Vec<u8>) -> anyhow::Result<()> {
    check_chart(path)?;
    if !svg.ends_with(b"\n") {
        svg.push(b'\n');
    }
    let digest = Digest::of(&svg);
    svg.extend(format!("{SEAL}{digest}{SEAL_END}").bytes());
    write(path, &svg)
}

fn is_sealed(found: &[u8]) -> bool {
    let body = found.strip_suffix(SEAL_END.as_bytes()).and_then(|rest| {
        let at = rest.len().checked_sub(SEAL.len() + Digest::of(b"").to_string().len())?;
        let (body, line) = rest.split_at(at);
        let digest = std::str::from_utf8(line.strip_prefix(SEAL.as_bytes())?).ok()?;
        Some((body, digest))
    });
    body.is_some_and(|(body, digest)| Digest::of(body).to_string() == digest)
}

/// Whether something has a name that is no regular file of at most so many bytes with the right contents.
fn is_other(path: &Path, is_right: impl Fn(&[u8]) -> bool, bytes_max: u64) -> bool {
    match disk::read(path, bytes_max) {
        Ok(found) => !is_right(&found),
        Err(_) => fs::symlink_metadata(path).is_ok(),
    }
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(disk::replace(&dir.join(path.file_name().unwrap_or_default()), bytes, false)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_of_others_stay_unless_they_are_to_be_overwritten_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let wanted = |text: &str| ["a", "deep/b", "c"].map(|name| (path(name), text.as_bytes().to_vec()));
        files(&wanted("1"), false).unwrap();
        files(&wanted("1"), false).unwrap();
        fs::write(path("deep/b"), "mine").unwrap();
        fs::write(path("target"), "mine").unwrap();
        fs::remove_file(path("c")).unwrap();
        symlink("target", path("c")).unwrap();
        let refused = files(&wanted("2"), false).unwrap_err().to_string();
        assert!(refused.contains("deep/b") && refused.contains("--overwrite"), "{refused}");
        assert_eq!(fs::read_to_string(path("a")).unwrap(), "1", "nothing is written");
        files(&wanted("2"), true).unwrap();
        assert_eq!(fs::read_to_string(path("target")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(path("c")).unwrap(), "2");
    }

    #[test]
    fn a_chart_replaces_one_of_ours_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/plot.svg");
        for text in ["<svg>1</svg>", "<svg>2</svg>\n"] {
            chart(&path, text.into()).unwrap();
            assert!(fs::read_to_string(&path).unwrap().starts_with(text));
        }
        let edited = fs::read_to_string(&path).unwrap().replace('2', "3");
        for mine in [edited.as_str(), "", "mine"] {
            fs::write(&path, mine).unwrap();
            assert!(chart(&path, "<svg/>".into()).unwrap_err().to_string().contains("or was edited"));
            assert_eq!(fs::read_to_string(&path).unwrap(), mine);
        }
        assert!(check_chart(&dir.path().join("README.md")).is_err());
    }
}
