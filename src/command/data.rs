//! `orchestrate data brain-tumor`: fetches Cheng's brain tumour set and compares it with the reference values. Sources:
//! figshare 1512427; Kang et al. 2021, section 3.1.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use orchestrate_fetch::{Client, Done, Fetch, Progress, Retries, fetch};
use orchestrate_stages::data::dataset::{Census, census};

use crate::args::FetchArgs;
use crate::outcome::Outcome;
use crate::terminal;
use crate::transfer::{Bars, Plain};

/// The article on figshare.
const ARTICLE: u64 = 1_512_427;

/// The folds of the data set's authors, a file beside the archives.
const FOLDS: &str = "cvind.mat";

/// The most unreadable files that an error names.
const SHOWN_MAX: usize = 5;

/// The reference values: slices of each class, and patients.
fn reference() -> Census {
    Census { classes: vec![("meningioma", 708), ("glioma", 1_426), ("pituitary", 930)], patients: 233 }
}

pub(crate) fn brain_tumor(args: FetchArgs) -> anyhow::Result<Outcome> {
    let what = Fetch {
        base: &args.from,
        article: ARTICLE,
        dir: &args.to,
        needs: |name| name.ends_with(".zip") || name == FOLDS,
        takes: is_slice,
        keep_archives: args.keep_archives,
        client: Client::default(),
        retries: Retries::default(),
    };
    let (mut bars, mut plain) = (Bars::default(), Plain::default());
    let is_terminal = io::stderr().is_terminal();
    let mut listener = |progress: Progress<'_>| if is_terminal { bars.show(progress) } else { plain.show(progress) };
    let done = fetch(&what, &mut check, &mut listener)?;
    let dir = args.to.display();
    terminal::complain(&match done {
        Done::AlreadyThere { files } => {
            format!("all is there: {files} files in {dir} match checksums.json\n")
        }
        Done::Fetched { .. } => format!("{} and {FOLDS} are in {dir}\n", told(&reference())),
    });
    Ok(Outcome::Done)
}

/// Returns whether a name is that of a slice, such as `1.mat`.
fn is_slice(name: &str) -> bool {
    name.strip_suffix(".mat").is_some_and(|stem| !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Compares classes and patients of all slices with the reference values.
fn check(files: &[PathBuf]) -> Result<(), String> {
    let is_slice = |path: &&PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(is_slice);
    let slices: Vec<PathBuf> = files.iter().filter(is_slice).cloned().collect();
    let found = census(&slices).map_err(|problems| {
        let more = problems.len().saturating_sub(SHOWN_MAX);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        problems.into_iter().take(SHOWN_MAX).collect::<Vec<_>>().join("; ") + &more
    })?;
    if found != reference() {
        return Err(format!("{} were found, {} were published", told(&found), told(&reference())));
    }
    if slices.len() == files.len() {
        return Err(format!("{FOLDS} is missing in the article"));
    }
    Ok(())
}

/// Formats a census: `3064 slices (708 meningioma, 1426 glioma, 930 pituitary) of 233 patients`.
fn told(census: &Census) -> String {
    let slices: usize = census.classes.iter().map(|(_, count)| count).sum();
    let classes: Vec<_> = census.classes.iter().map(|(name, count)| format!("{count} {name}")).collect();
    format!("{slices} slices ({}) of {} patients", classes.join(", "), census.patients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_numbered_files() {
        assert!(is_slice("1.mat") && is_slice("3064.mat"));
        assert!(!is_slice("cvind.mat") && !is_slice(".mat") && !is_slice("1.txt"));
        assert_eq!(told(&reference()), "3064 slices (708 meningioma, 1426 glioma, 930 pituitary) of 233 patients");
    }
}
