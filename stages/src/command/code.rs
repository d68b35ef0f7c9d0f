//! The files that a program consists of, named relative to the folder that they share.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use orchestrate_engine::publish::RECORD;
use orchestrate_engine::stage::FileName;

/// The entries of `code`.
///
/// Names are relative to the innermost folder that holds all entries, so they are the same wherever that folder lies,
/// and files keep their places relative to each other.
pub(super) struct Code {
    /// Without `.`, and with `..` resolved as far as possible.
    paths: Vec<PathBuf>,
    /// How many leading components of each path are the shared folder.
    shared: usize,
}

impl Code {
    pub(super) fn new(paths: &[String]) -> Self {
        let paths: Vec<_> = paths.iter().map(|path| normal(Path::new(path))).collect();
        let shared = match paths.split_first() {
            Some((first, rest)) => {
                let folder: Vec<_> = first.parent().unwrap_or(Path::new("")).components().collect();
                rest.iter().fold(folder.len(), |shared, path| {
                    let folder_of_path = path.parent().unwrap_or(Path::new("")).components();
                    shared.min(folder.iter().zip(folder_of_path).take_while(|(a, b)| **a == *b).count())
                })
            }
            None => 0,
        };
        Self { paths, shared }
    }

    /// The name of the entry that `{code}` or `{code.NAME}` means.
    pub(super) fn find(&self, written: Option<&str>) -> Result<String, String> {
        let Some(written) = written else {
            return match self.paths.as_slice() {
                [only] => Ok(self.name(only)),
                [] => Err("`{code}` needs `code = [\"FILE\"]`".to_owned()),
                _ => Err(format!("`{{code}}` could be any of {}", self.list())),
            };
        };
        let suffix: PathBuf =
            normal(Path::new(written)).components().filter(|part| matches!(part, Component::Normal(_))).collect();
        let fitting = || self.paths.iter().filter(|path| path.ends_with(&suffix));
        let exact = fitting().find(|path| Path::new(&self.name(path)) == suffix);
        match (exact, fitting().count()) {
            (Some(path), _) => Ok(self.name(path)),
            (None, 1) => Ok(fitting().map(|path| self.name(path)).collect()),
            (None, 0) => Err(format!("`code` lists no `{written}`, only: {}", self.list())),
            (None, _) => Err(format!("several entries of `code` end in `{written}`: {}", self.list())),
        }
    }

    /// Every file with its name in the key; folders are read recursively, without hidden entries, `__pycache__` and
    /// folders that hold what was published.
    pub(super) fn files(&self) -> Result<Vec<FileName>, Vec<String>> {
        let mut files = BTreeMap::new();
        let errors: Vec<_> = self
            .paths
            .iter()
            .filter_map(|path| {
                list_files(path, &mut |file| {
                    files.insert(self.name(file), file.to_owned());
                })
                .err()
                .map(|(path, error)| format!("cannot read code file {}: {error}", path.display()))
            })
            .collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(files.into_iter().map(|(name, path)| FileName::new(name, path)).collect())
    }

    fn name(&self, path: &Path) -> String {
        let parts = path.components().skip(self.shared);
        parts.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect::<Vec<_>>().join("/")
    }

    fn list(&self) -> String {
        if self.paths.is_empty() {
            return "nothing".to_owned();
        }
        self.paths.iter().map(|path| self.name(path)).collect::<Vec<_>>().join(", ")
    }
}

fn list_files(path: &Path, found: &mut impl FnMut(&Path)) -> Result<(), (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    let kind = std::fs::metadata(path).map_err(at(path))?.file_type();
    if kind.is_file() {
        found(path);
        return Ok(());
    }
    if !kind.is_dir() {
        return Err((path.to_owned(), io::Error::other("it is neither a file nor a folder")));
    }
    for entry in std::fs::read_dir(path).map_err(at(path))? {
        let entry = entry.map_err(at(path))?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") || name == "__pycache__" {
            continue;
        }
        // Names are in keys, as texts: two files could have one.
        if name.to_str().is_none() {
            return Err((entry.path(), io::Error::other("its name is not UTF-8; rename it")));
        }
        // A link to a folder could lead back to where it lies.
        if entry.file_type().map_err(at(path))?.is_symlink() && entry.path().is_dir() {
            return Err((entry.path(), io::Error::other("it is a symbolic link to a folder; list the folder itself")));
        }
        // What a program gave is not what it consists of; else it would change with each run.
        if entry.path().join(RECORD).exists() {
            continue;
        }
        list_files(&entry.path(), found)?;
    }
    Ok(())
}

fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(normal.components().next_back(), Some(Component::Normal(_))) => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(paths: &[&str]) -> Code {
        Code::new(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_name_finds_the_same_entry_in_written_and_in_absolute_paths() {
        for paths in [["run.py", "./lib/run.py"], ["/home/a/x/run.py", "/home/a/y/../x/lib/run.py"]] {
            let code = code(&paths);
            assert_eq!(code.find(Some("run.py")), Ok("run.py".to_owned()), "{paths:?}");
            assert_eq!(code.find(Some("lib/run.py")), Ok("lib/run.py".to_owned()), "{paths:?}");
        }
        assert_eq!(code(&["/home/a/scripts/run.py"]).find(Some("scripts/run.py")), Ok("run.py".to_owned()));
        assert_eq!(code(&["/home/a/scripts/run.py"]).find(Some("../scripts/run.py")), Ok("run.py".to_owned()));
        assert_eq!(code(&["../scripts/run.py"]).find(None), Ok("run.py".to_owned()));
    }

    #[test]
    fn a_name_that_fits_no_entry_or_several_is_refused() {
        let code = code(&["a/run.py", "b/run.py"]);
        assert_eq!(
            code.find(Some("run.py")),
            Err("several entries of `code` end in `run.py`: a/run.py, b/run.py".to_owned())
        );
        assert_eq!(code.find(Some("un.py")), Err("`code` lists no `un.py`, only: a/run.py, b/run.py".to_owned()));
        assert_eq!(code.find(None), Err("`{code}` could be any of a/run.py, b/run.py".to_owned()));
    }

    #[test]
    fn folders_give_their_files_without_hidden_ones_bytecode_and_what_was_published() {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let write = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it has a parent")).expect("a folder can be made");
            std::fs::write(path, name).expect("a file can be written");
        };
        for name in [
            "run.py",
            "lib/b.py",
            "lib/deep/a.py",
            "lib/.cache",
            "lib/__pycache__/b.pyc",
            "other.py",
            "lib/results/v=1/out",
        ] {
            write(name);
        }
        write(&format!("lib/results/{RECORD}"));
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let files = Code::new(&[path("run.py"), path("lib")]).files().expect("all of it exists");
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["lib/b.py", "lib/deep/a.py", "run.py"]);

        let errors = Code::new(&[path("none.py"), path("run.py"), path("no")]).files().expect_err("two do not exist");
        assert_eq!(errors.len(), 2);
        assert!(errors[0].contains("none.py: No such file"), "{errors:?}");
    }

    #[test]
    fn name_that_is_not_utf_8_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        for name in [b"a\xff.py", b"a\xfe.py"] {
            let path = dir.path().join(std::ffi::OsStr::from_bytes(name));
            std::fs::write(path, "").expect("a file can be written");
        }
        let errors = Code::new(&[dir.path().to_string_lossy().into_owned()]).files().expect_err("both would be one");
        assert!(errors[0].ends_with("its name is not UTF-8; rename it"), "{errors:?}");
    }
}
