//! The folder of one program: `work`, in which it starts, beside `in`, `code` and `out`.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use orchestrate_engine::stage::{Action, Content, ExternalFile, Input, Item, Output, StageError};

pub(super) struct Folder {
    dir: PathBuf,
}

impl Folder {
    /// Makes the folder and fills `in` and `code`, each file checked against its digest.
    pub(super) fn create(dir: &Path, action: &Action, outputs: &[String]) -> Result<Self, StageError> {
        let folder = Self { dir: dir.to_owned() };
        make_dir(&folder.work_dir())?;
        for file in &action.files {
            folder.write_code(file)?;
        }
        for input in &action.inputs {
            folder.write_input(input)?;
        }
        for output in outputs {
            make_dir(&folder.output_dir(output))?;
        }
        Ok(folder)
    }

    /// Where the program starts.
    pub(super) fn work_dir(&self) -> PathBuf {
        self.dir.join("work")
    }

    fn output_dir(&self, output: &str) -> PathBuf {
        self.dir.join("out").join(output)
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

    /// The files that the program wrote to an output, sorted by name.
    pub(super) fn collect(&self, output: &str) -> Result<Output, StageError> {
        let dir = self.output_dir(output);
        let mut files = Vec::new();
        collect_dir(&dir, "", &mut files)
            .map_err(|message| StageError::new(format!("output `{output}`: {message}")))?;
        if files.is_empty() {
            return Err(StageError::new(format!(
                "the program ended well but wrote no file to output `{output}`; it writes to the folder that `{{out}}` gives it"
            )));
        }
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        let files = files.into_iter().map(|(name, path)| (name, Content::File(path))).collect();
        Ok(Output { name: output.to_owned(), files })
    }
}

/// Whether a text can be the name of a folder on every machine and needs no quotes in TOML.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter))
}

fn write_item(dir: &Path, item: &Item) -> Result<(), StageError> {
    item.files.iter().try_for_each(|file| write(dir, &file.name, &file.read()?, 0o444))
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

fn collect_dir(dir: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> Result<(), String> {
    let failed = |path: &Path, error: io::Error| format!("cannot read {}: {error}", path.display());
    for entry in fs::read_dir(dir).map_err(|error| failed(dir, error))? {
        let path = entry.map_err(|error| failed(dir, error))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| format!("the name of {} is not UTF-8", path.display()))?;
        let name = format!("{prefix}{name}");
        let metadata = fs::symlink_metadata(&path).map_err(|error| failed(&path, error))?;
        if metadata.is_dir() {
            collect_dir(&path, &format!("{name}/"), files)?;
        } else if metadata.is_symlink() {
            return Err(format!(
                "`{name}` is a symbolic link, and what it points to is not kept; write a file instead"
            ));
        } else if !metadata.is_file() {
            return Err(format!("`{name}` is neither a file nor a folder"));
        } else if metadata.nlink() > 1 {
            // Another name of the same bytes could change them after they were hashed.
            let copy = dir.join(".orchestrate-copy");
            fs::copy(&path, &copy).and_then(|_| fs::rename(&copy, &path)).map_err(|error| failed(&path, error))?;
            files.push((name, path));
        } else {
            files.push((name, path));
        }
    }
    Ok(())
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
