//! Writes files to a path of the person's choice, and never replaces files of others by accident.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use orchestrate_cache::{Digest, disk};

use crate::outcome::UsageError;

/// The most files that an error names.
const NAMED_MAX: usize = 3;

/// The size of the largest chart.
const CHART_BYTES_MAX: u64 = 1 << 28;

/// Beginning of the last line of a chart from [`write_chart`]; the digest of all lines before it follows.
const SEAL: &str = "<!-- orchestrate ";
const SEAL_END: &str = " -->\n";

/// Writes files, whose bytes are made one by one, and makes missing folders. No link is followed. Errors: an existing
/// file differs and `overwrites` is not set; then nothing is written.
pub(super) fn write_files(
    files: &[PathBuf],
    bytes_of: impl Fn(usize) -> anyhow::Result<Vec<u8>>,
    overwrites: bool,
) -> anyhow::Result<()> {
    let mut others = Vec::new();
    for (file, path) in files.iter().enumerate().filter(|(_, path)| !overwrites && fs::symlink_metadata(path).is_ok()) {
        let bytes = bytes_of(file)?;
        if is_other(path, |found| found == bytes, bytes.len() as u64) {
            others.push(path.display().to_string());
        }
    }
    if !others.is_empty() {
        let named = others.len().min(NAMED_MAX);
        let more = if others.len() > named { format!(" and {} more", others.len() - named) } else { String::new() };
        let named = others[..named].join(", ");
        let help = "name another folder, or replace existing files by --overwrite";
        return Err(UsageError(format!("other files are in the way: {named}{more}\nhelp: {help}")).into());
    }
    files.iter().enumerate().try_for_each(|(file, path)| write(path, &bytes_of(file)?))
}

/// Checks that a chart may be written to a path: it is free, or has an earlier chart that was not edited.
pub(super) fn check_chart(path: &Path) -> Result<(), UsageError> {
    if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("svg")) {
        let message = format!("--plot draws an SVG, and `{}` does not end in .svg", path.display());
        return Err(UsageError(message));
    }
    if is_other(path, is_sealed, CHART_BYTES_MAX) {
        let message = format!(
            "{} is no chart of this command, or was edited\nhelp: move it elsewhere, or name another file by --plot",
            path.display()
        );
        return Err(UsageError(message));
    }
    Ok(())
}

/// Writes a chart, sealed so that [`check_chart`] recognizes it.
pub(super) fn write_chart(path: &Path, mut svg: Vec<u8>) -> anyhow::Result<()> {
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

/// Returns whether a path exists and is anything but a regular file of bounded size with the right contents.
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
    fn files_of_others_stay_unless_overwriting_is_asked_for_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let paths = ["a", "deep/b", "c"].map(path);
        let write = |text: &str, overwrites| write_files(&paths, |_| Ok(text.as_bytes().to_vec()), overwrites);
        write("1", false).unwrap();
        write("1", false).unwrap();
        fs::write(path("deep/b"), "mine").unwrap();
        fs::write(path("target"), "mine").unwrap();
        fs::remove_file(path("c")).unwrap();
        symlink("target", path("c")).unwrap();
        let refused = write("2", false).unwrap_err().to_string();
        assert!(refused.contains("deep/b") && refused.contains("--overwrite"), "{refused}");
        assert_eq!(fs::read_to_string(path("a")).unwrap(), "1", "nothing is written");
        write("2", true).unwrap();
        assert_eq!(fs::read_to_string(path("target")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(path("c")).unwrap(), "2");
    }

    #[test]
    fn a_chart_replaces_one_of_ours_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/plot.svg");
        for text in ["<svg>1</svg>", "<svg>2</svg>\n"] {
            write_chart(&path, text.into()).unwrap();
            assert!(fs::read_to_string(&path).unwrap().starts_with(text));
        }
        let edited = fs::read_to_string(&path).unwrap().replace('2', "3");
        for mine in [edited.as_str(), "", "mine"] {
            fs::write(&path, mine).unwrap();
            assert!(write_chart(&path, "<svg/>".into()).unwrap_err().to_string().contains("or was edited"));
            assert_eq!(fs::read_to_string(&path).unwrap(), mine);
        }
        assert!(check_chart(&dir.path().join("README.md")).is_err());
    }
}
