//! The guess of how a folder or a CSV file of images is to be read, for `new` and `data check`.

use std::path::{Path, PathBuf};

use clap::Args;
use orchestrate_stages::data::dataset::{self, Format, Guess};

use crate::outcome::UsageError;
use crate::terminal;

/// Columns of a CSV file.
#[derive(Debug, Args)]
pub(crate) struct ColumnArgs {
    /// The column of a CSV file that names the images [default: guessed]
    #[arg(long, value_name = "COLUMN")]
    image: Option<String>,
    /// The column of the classes [default: guessed]
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// The column of the patients [default: guessed]
    #[arg(long, value_name = "COLUMN")]
    patient: Option<String>,
    /// The column that names the masks [default: guessed]
    #[arg(long, value_name = "COLUMN")]
    mask: Option<String>,
}

impl ColumnArgs {
    /// Returns those that are named, by param.
    pub(super) fn given(&self) -> Vec<(&'static str, String)> {
        let params = [("image", &self.image), ("label", &self.label), ("patient", &self.patient), ("mask", &self.mask)];
        params.into_iter().filter_map(|(param, column)| Some((param, column.clone()?))).collect()
    }
}

/// Guesses, and says what was guessed. Errors: columns or folders that are not clear.
pub(super) fn guessed(data: &Path, columns: &ColumnArgs) -> anyhow::Result<Guess> {
    let shown = data.display();
    let guess = dataset::guess(&std::path::absolute(data)?, &columns.given()).map_err(|problem| {
        let help = "say which column is which: --image COLUMN --label COLUMN, and if there are any --patient COLUMN \
                    --mask COLUMN";
        UsageError(format!("{shown} cannot be used: {problem}\nhelp: {help}"))
    })?;
    if guess.format == Format::Folders
        && let Some(problem) = no_classes(data)
    {
        return Err(UsageError(format!("{shown} {problem}")).into());
    }
    if !guess.named.is_empty() {
        let named = guess.named.iter().map(|(param, value)| format!("{param} = \"{value}\""));
        let named = named.collect::<Vec<_>>().join(", ");
        terminal::say(&format!("{shown}: taken for format = \"{}\", {named}\n", guess.format.name()))?;
    }
    if !guess.unused.is_empty() {
        terminal::say(&format!("{shown}: unused columns: {}\n", guess.unused.join(", ")))?;
    }
    Ok(guess)
}

/// Returns why the folders in a folder cannot be classes. It reads after the folder's name.
fn no_classes(data: &Path) -> Option<String> {
    const PARTS: [&str; 9] = ["train", "training", "test", "testing", "val", "valid", "validation", "dev", "all"];
    const MASKS: [&str; 14] = [
        "mask",
        "masks",
        "image",
        "images",
        "imgs",
        "pics",
        "pictures",
        "scans",
        "roi",
        "rois",
        "labels",
        "annotations",
        "segmentation",
        "segmentations",
    ];
    let folders: Vec<String> = folders(data).iter().map(|folder| name(folder)).collect();
    let are = |words: &[&str]| folders.iter().any(|folder| words.contains(&folder.to_lowercase().as_str()));
    let names = || folders.join(", ");
    if are(&MASKS) {
        return Some(format!(
            "has the folders {}, which are no classes\nhelp: write a CSV file beside them with the columns image, \
             label, patient and mask, one image a row; or make a folder for each class, with masks beside their \
             images, such as 1.png and 1_mask.png",
            names()
        ));
    }
    are(&PARTS).then(|| {
        let part = holds_classes(data).map(|part| format!("; or take one part: --data {}", part.display()));
        format!(
            "has the folders {}, which are no classes but parts\nhelp: write a CSV file beside them with the columns \
             image, label and patient; the split is made by orchestrate{}",
            names(),
            part.unwrap_or_default()
        )
    })
}

/// Returns a folder below, in which there are folders that may be those of classes.
pub(super) fn holds_classes(data: &Path) -> Option<PathBuf> {
    let mut inner: Vec<PathBuf> = folders(data).into_iter().filter(|inner| folders(inner).len() > 1).collect();
    // Of several parts, the one to train on.
    inner.sort_by_key(|path| !path.to_string_lossy().to_lowercase().contains("train"));
    inner.into_iter().next()
}

/// Lists the folders in a folder by name, without hidden ones.
fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir() && !name(path).starts_with('.')).collect();
    folders.sort();
    folders
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
