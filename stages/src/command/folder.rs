//! The folder of one program: `work`, in which it starts, beside `in`, `code` and `out`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use orchestrate_cache::mounts_below;
use orchestrate_engine::modes::{MODES, Modes};
use orchestrate_engine::stage::{Action, ExternalFile, Input, Item, Output, StageError};

use super::collect::collect;

pub(super) struct Folder {
    dir: PathBuf,
    /// The same without links, so that one which a program puts in its place is noticed.
    real_dir: PathBuf,
}

impl Folder {
    /// Makes the folder and fills `in` and `code`, each file checked against its digest.
    pub(super) fn create(dir: &Path, action: &Action, outputs: &[String]) -> Result<Self, StageError> {
        make_dir(dir)?;
        let real_dir = fs::canonicalize(dir)
            .map_err(|error| StageError::new(format!("cannot find {}: {error}", dir.display())))?;
        let folder = Self { dir: dir.to_owned(), real_dir };
        make_dir(&folder.work_dir())?;
        for file in &action.files {
            folder.write_code(file)?;
        }
        for input in &action.inputs {
            folder.write_input(input)?;
        }
        for output in outputs {
            make_dir(&dir.join("out").join(output))?;
        }
        Ok(folder)
    }

    /// Where the program starts.
    pub(super) fn work_dir(&self) -> PathBuf {
        self.dir.join("work")
    }

    fn write_code(&self, file: &ExternalFile) -> Result<(), StageError> {
        // Executable whether or not the original is: that bit is not in the key.
        write(&self.dir.join("code"), &file.name, &file.read()?, 0o555)
    }

    fn write_input(&self, input: &Input) -> Result<(), StageError> {
        if !is_name(&input.port) {
            let message = "the name of an input of a command has letters, digits, `_` and `-` only";
            return Err(StageError::input(&input.port, message));
        }
        let dir = self.dir.join("in").join(&input.port);
        make_dir(&dir)?;
        match input.items.as_slice() {
            [joined] if joined.labels.is_empty() => write_item(&dir, joined),
            items => {
                let digits = items.len().saturating_sub(1).to_string().len().max(4);
                let folders: Vec<_> = (0..items.len()).map(|index| format!("{index:0digits$}")).collect();
                for (item, folder) in items.iter().zip(&folders) {
                    let dir = dir.join(folder);
                    make_dir(&dir)?;
                    write_item(&dir, item)?;
                }
                write(&dir, "index.csv", &index(input, &folders)?, 0o444)
            }
        }
    }

    /// Unmounts what the program mounted in the folder and left there, which nobody may move or remove; fails if there
    /// was any.
    pub(super) fn unmount(&self) -> Result<(), StageError> {
        let mounts = mounts_below(&self.real_dir);
        let Some(first) = mounts.first() else { return Ok(()) };
        for mount in mounts.iter().rev() {
            // Where that is not allowed, the folder is left as it is.
            let _ = Command::new("umount").arg("-l").arg(mount).output();
        }
        Err(StageError::new(format!(
            "the program mounted a file system at {} and left it there; it copies what it needs into the folder, and unmounts \
             what it mounted",
            first.display()
        )))
    }

    /// What the program wrote to an output; no process of it may be left.
    pub(super) fn collect(&self, output: &str) -> Result<Output, StageError> {
        let place = Path::new("out").join(output);
        collect(output, &self.dir, &place, &self.real_dir.join(&place))
    }
}

/// Whether a text can be the name of a folder on every machine and needs no quotes in TOML.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter))
}

fn write_item(dir: &Path, item: &Item) -> Result<(), StageError> {
    let (modes, files): (Vec<_>, Vec<_>) = item.files.iter().partition(|file| file.name == MODES);
    let modes = match modes.first() {
        Some(file) => Modes::from_bytes(&file.read()?)
            .map_err(|error| StageError::new(format!("the modes of an input cannot be read: {error}")))?,
        None => Modes::default(),
    };
    for file in files {
        let mode = if modes.executable.contains(&file.name) { 0o555 } else { 0o444 };
        write(dir, &file.name, &file.read()?, mode)?;
    }
    modes.empty_folders.iter().try_for_each(|name| make_dir(&dir.join(name)))
}

/// `folder`, then a column for each axis that any item is labelled with, in the order in which they appear.
fn index(input: &Input, folders: &[String]) -> Result<Vec<u8>, StageError> {
    let mut axes: Vec<&str> = Vec::new();
    for (axis, _) in input.items.iter().flat_map(|item| &item.labels) {
        if !axes.contains(&&**axis) {
            axes.push(axis);
        }
    }
    if axes.contains(&"folder") {
        return Err(StageError::input(
            &input.port,
            "`index.csv` has a column `folder`; give the axis `folder` another name",
        ));
    }
    let mut table = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| StageError::input(&input.port, format!("cannot write index.csv: {error}"));
    table.write_record(std::iter::once("folder").chain(axes.iter().copied())).map_err(failed)?;
    for (item, folder) in input.items.iter().zip(folders) {
        let labels = axes.iter().map(|axis| item.label(axis).unwrap_or_default());
        table.write_record(std::iter::once(folder.as_str()).chain(labels)).map_err(failed)?;
    }
    table.into_inner().map_err(|error| StageError::input(&input.port, format!("cannot write index.csv: {error}")))
}

fn make_dir(dir: &Path) -> Result<(), StageError> {
    fs::create_dir_all(dir).map_err(|error| StageError::new(format!("cannot make {}: {error}", dir.display())))
}

fn write(dir: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<(), StageError> {
    if Path::new(name).components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(StageError::new(format!("the file name `{name}` leads out of its folder")));
    }
    let path = dir.join(name);
    make_dir(path.parent().unwrap_or(dir))?;
    fs::write(&path, bytes)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
        .map_err(|error| StageError::new(format!("cannot write {}: {error}", path.display())))
}
