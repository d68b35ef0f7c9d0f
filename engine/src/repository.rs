//! The git repository around a spec: the commit that is checked out, and what differs from it.
//!
//! The commit is read from the files of git, as most runs do nothing and should start no process. What differs is asked
//! of git itself; see [`changes`].

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use orchestrate_cache::native_path;
use serde::{Deserialize, Serialize};

/// The most bytes read of a file that names one commit or folder.
const NAME_BYTES_MAX: u64 = 1 << 12;

/// The most bytes read of the list of packed references.
const PACKED_BYTES_MAX: u64 = 1 << 26;

/// A commit of a git repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The folder with the working tree.
    #[serde(with = "native_path")]
    pub root: PathBuf,
    /// The digest of the commit; `None` if there is none yet, or git keeps it in a form that is not known here.
    pub id: Option<String>,
    /// The branch that is checked out, such as `main`; `None` for a commit without one.
    pub branch: Option<String>,
}

/// Finds the commit that is checked out in the repository around a folder; `None` outside of a repository.
pub fn commit(dir: &Path) -> Option<Commit> {
    dir.ancestors().find_map(|root| {
        let git = root.join(".git");
        let (git, head) = match text(&git.join("HEAD"), NAME_BYTES_MAX) {
            Some(head) => (git, head),
            // In a working tree beside the first one, and in a submodule, it is a file that names the folder.
            None => {
                let named = text(&git, NAME_BYTES_MAX)?;
                let git = root.join(named.strip_prefix("gitdir:")?.trim());
                let head = text(&git.join("HEAD"), NAME_BYTES_MAX)?;
                (git, head)
            }
        };
        let reference = head.strip_prefix("ref:").map(str::trim);
        let id = reference.map_or_else(|| id(&head), |reference| resolve(&git, reference));
        let branch = reference.map(|name| name.strip_prefix("refs/heads/").unwrap_or(name).to_owned());
        Some(Commit { root: root.to_owned(), id, branch })
    })
}

/// Finds the commit of a reference such as `refs/heads/main`.
fn resolve(git: &Path, reference: &str) -> Option<String> {
    let is_plain = Path::new(reference).components().all(|part| matches!(part, Component::Normal(_)));
    if !is_plain {
        return None;
    }
    let common = text(&git.join("commondir"), NAME_BYTES_MAX).map(|dir| git.join(dir.trim()));
    let common = common.as_deref().unwrap_or(git);
    let loose = [git, common].into_iter().find_map(|dir| id(&text(&dir.join(reference), NAME_BYTES_MAX)?));
    loose.or_else(|| {
        let packed = text(&common.join("packed-refs"), PACKED_BYTES_MAX)?;
        let mut pairs = packed.lines().filter_map(|line| line.split_once(' '));
        pairs.find(|(_, name)| *name == reference).and_then(|(found, _)| id(found))
    })
}

/// Returns a digest of SHA-1 or SHA-256 if the text is one.
fn id(text: &str) -> Option<String> {
    let text = text.trim();
    let is_digest = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| text.to_owned())
}

fn text(path: &Path, bytes_max: u64) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(bytes_max).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Counts tracked files that differ from the commit, and files and folders that git does not track. `store` does not
/// count. `None` if git is missing or refuses.
pub fn changes(root: &Path, store: &Path) -> Option<(usize, usize)> {
    // Neither writes to the index nor starts a program that the repository names.
    let arguments = ["--no-optional-locks", "-c", "core.fsmonitor=false", "status", "--porcelain"];
    let mut git = Command::new("git");
    git.args(arguments).current_dir(root).stdin(Stdio::null()).stderr(Stdio::null());
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(variable);
    }
    let said = git.output().ok().filter(|said| said.status.success())?;
    let said = String::from_utf8_lossy(&said.stdout);
    let store = store.strip_prefix(root).map(Path::to_string_lossy).unwrap_or_default();
    let untracked = said.lines().filter_map(|line| line.strip_prefix("?? "));
    let untracked = untracked.filter(|name| name.trim_end_matches('/') != store).count();
    Some((said.lines().filter(|line| !line.starts_with("?? ")).count(), untracked))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: &str = "301b7fc0a1d2e3f4301b7fc0a1d2e3f4301b7fc0";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("the folder is writable");
            fs::write(path, text).expect("the folder is writable");
        }
        dir
    }

    fn found(files: &[(&str, &str)], at: &str) -> Option<(Option<String>, Option<String>)> {
        let dir = folder(files);
        commit(&dir.path().join(at)).map(|commit| (commit.id, commit.branch))
    }

    #[test]
    fn a_commit_is_found_as_a_branch_a_packed_branch_or_by_itself() {
        let id = || Some(ID.to_owned());
        let branch = || Some("main".to_owned());
        let head = (".git/HEAD", "ref: refs/heads/main\n");
        assert_eq!(found(&[head, (".git/refs/heads/main", &format!("{ID}\n"))], "a/b"), Some((id(), branch())));
        let packed = format!("# pack-refs with: peeled\n{} refs/heads/x\n{ID} refs/heads/main\n", "0".repeat(40));
        assert_eq!(found(&[head, (".git/packed-refs", &packed)], ""), Some((id(), branch())));
        assert_eq!(found(&[(".git/HEAD", ID)], ""), Some((id(), None)));
        assert_eq!(found(&[head], ""), Some((None, branch())), "nothing is committed yet");
        assert_eq!(found(&[("spec.toml", "")], "").map(|found| found.0), None);
    }

    #[test]
    fn a_second_working_tree_names_its_folder_and_shares_branches() {
        let files = [
            ("tree/.git", "gitdir: ../main/.git/worktrees/tree\n"),
            ("main/.git/worktrees/tree/HEAD", "ref: refs/heads/side\n"),
            ("main/.git/worktrees/tree/commondir", "../..\n"),
            ("main/.git/refs/heads/side", ID),
        ];
        assert_eq!(found(&files, "tree/experiments"), Some((Some(ID.to_owned()), Some("side".to_owned()))));
    }

    #[test]
    fn a_name_that_leads_out_of_the_repository_is_not_followed() {
        let files = [(".git/HEAD", "ref: ../../id"), ("id", ID)];
        assert_eq!(found(&files, "").map(|found| found.0), Some(None));
        assert_eq!(
            found(&[(".git/HEAD", "ref: refs/heads/x"), (".git/refs/heads/x", "no digest")], ""),
            Some((None, Some("x".to_owned())))
        );
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn changed_and_untracked_files_are_counted_without_the_store() {
        let git = |dir: &Path, args: &[&str]| {
            Command::new("git").args(args).current_dir(dir).output().is_ok_and(|said| said.status.success())
        };
        let dir = folder(&[("a", "1"), ("b", "1"), ("new/x", ""), (".orchestrate/format", "")]);
        let root = dir.path();
        if !git(root, &["init", "--quiet"]) {
            eprintln!("skipped: git is not installed");
            return;
        }
        assert!(git(root, &["add", "a", "b"]));
        let by = ["-c", "user.name=x", "-c", "user.email=x@x"];
        assert!(git(root, &[&by[..], &["commit", "--quiet", "-m", "x"]].concat()));
        assert_eq!(changes(root, &root.join(".orchestrate")), Some((0, 1)));
        fs::write(root.join("a"), "2").expect("the folder is writable");
        assert_eq!(changes(root, &root.join(".orchestrate")), Some((1, 1)));
        assert!(commit(root).is_some_and(|commit| commit.id.is_some_and(|id| id.len() == 40)));
        assert_eq!(changes(&root.join("nowhere"), root), None);
    }
}
