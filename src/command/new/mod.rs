//! `orchestrate new`: starts a study with a spec that runs at once, on synthetic slices or on a folder of images.

mod choice;
mod folder;
mod spec_text;

use std::path::{Path, PathBuf};

use orchestrate_stages::data::dataset::{self, Format};

use super::guessed::{ColumnArgs, guessed, holds_classes};
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

use choice::Choice;
use folder::Folder;

/// Arguments of `new`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orchestrate new my-study
  orchestrate new --data data/brain-tumor tumours")]
pub(crate) struct NewArgs {
    /// The study's folder, made if it is missing; `.` for the current one
    pub(crate) name: PathBuf,
    /// The images: a folder with a folder for each class, with a CSV file, or with 1.mat and so on; or a CSV file
    /// [default: slices that are drawn]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Columns of a CSV file")]
    pub(crate) columns: ColumnArgs,
}

/// The most problems that an error names.
const PROBLEMS_SHOWN: usize = 5;

pub(crate) fn new(args: &NewArgs) -> anyhow::Result<Outcome> {
    let folder = Folder::of(&args.name)?;
    let choice = match &args.data {
        Some(data) => of_data(data, &args.columns, &folder, &args.name)?,
        None if !args.columns.given().is_empty() => {
            return Err(UsageError("columns belong to a CSV file\nhelp: name it with --data".to_owned()).into());
        }
        None => Choice::phantom(),
    };
    let spec = spec_text::spec(&folder.study, &choice);
    folder.write(&spec)?;
    let spec = quoted(&args.name.join(folder::SPEC));
    let next = ["plan", "run", "report"].map(|command| format!("  orchestrate {command} {spec}\n")).concat();
    let text = format!("\n{}: {}\nnext:\n{next}", args.name.join(folder::SPEC).display(), choice.summary());
    Outcome::Done.after_saying(terminal::say(&text))
}

/// Looks at the data, tells what is odd about them, and chooses.
fn of_data(data: &Path, columns: &ColumnArgs, folder: &Folder, name: &Path) -> anyhow::Result<Choice> {
    if !data.exists() {
        return Err(UsageError(format!("there is no {}\nhelp: --data names the images", data.display())).into());
    }
    let mut guess = guessed(data, columns)?;
    let shown = data.display();
    if guess.format == Format::Folders && folder.lies_in(data) {
        let help = "every folder in it is taken for a class; name one beside it";
        return Err(
            UsageError(format!("the study would lie in {shown}, the folder of the images\nhelp: {help}")).into()
        );
    }
    let look = dataset::look(&guess.params()).map_err(|problems| unusable(data, name, &problems))?;
    let warnings = look.audit.warnings().count();
    let count = if warnings == 0 { "no warnings".to_owned() } else { terminal::count(warnings, "warning") };
    terminal::say(&format!("{shown}: {count}\n{}", look.audit.text()))?;
    guess.path = folder.path_to(data, &guess)?;
    let choice = Choice::of(guess, &look).map_err(|problem| UsageError(format!("{shown} {problem}")))?;
    choice.doubts.iter().for_each(|doubt| terminal::complain(&format!("warning: {doubt}\n")));
    Ok(choice)
}

/// The error of a data set that cannot be read, with the likeliest way out.
fn unusable(data: &Path, name: &Path, problems: &[String]) -> UsageError {
    let count = terminal::count(problems.len(), "problem");
    let mut text = format!("{} cannot be used: {count}; nothing was written\n", data.display());
    problems.iter().take(PROBLEMS_SHOWN).for_each(|problem| text += &format!("  {problem}\n"));
    let (data, name) = (data.to_owned(), quoted(name));
    if problems.len() > PROBLEMS_SHOWN {
        let more = problems.len() - PROBLEMS_SHOWN;
        text += &format!("  and {more} more; `orchestrate data check {}` lists all\n", quoted(&data));
    }
    text += &match holds_classes(&data) {
        Some(inner) => {
            let inner = quoted(&inner);
            format!("help: if the folders of classes are in {inner}: orchestrate new --data {inner} {name}")
        }
        None => "help: mend or move these files; images lie in a folder for each class, or a CSV file above them has \
                 the columns image, label, patient and mask"
            .to_owned(),
    };
    UsageError(text)
}

/// Returns a path as an argument for a shell.
fn quoted(path: &Path) -> String {
    terminal::quoted(&path.display().to_string())
}
