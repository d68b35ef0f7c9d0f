//! Division of the images into k folds for cross-validation, and the patients on both sides of a fold. Sources: Kang et
//! al. 2021, section 3.2 (five folds, stratified by class); scikit-learn 1.9, `StratifiedKFold` and
//! `StratifiedGroupKFold`.

mod column;
mod folds_from;
mod grouped;
mod leakage;
pub(crate) mod matlab;
mod similar;
mod stratified;
mod sums;
#[cfg(test)]
mod tests;
mod warnings;

use orchestrate_engine::bounds::Bounds;
use orchestrate_engine::params;
use orchestrate_engine::stage::{Action, Context, ExternalFile, Facts, FileName, Output, Port, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::{Labels, Split, Table};
use crate::random::Seed;
use crate::typed::{Adaptor, Typed};

pub use folds_from::FoldsFrom;
pub use leakage::{Leakage, LeakageRow, SharedGroups};
pub use similar::SimilarImages;

/// Parameters of `kind = "split"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Number of folds k; an axis such as `fold = { folds = 5 }` supplies it.
    #[schemars(example = 5)]
    pub folds: u32,
    /// Deals out images (groups, with `group`) in random order; without it, in the order of the data set, as
    /// scikit-learn does.
    #[serde(default)]
    pub shuffle: bool,
    /// Seed of the random order; not set unless `shuffle` is. Default that of the experiment.
    #[schemars(example = 7)]
    pub seed: Option<u64>,
    /// Column whose groups stay together in one fold. Default: none, each image on its own.
    #[schemars(example = &"patient")]
    pub group: Option<String>,
    /// Column of the manifest with the fold, 1..=k, of each image; or the path of a `.mat` file with one number an
    /// image in the variable `cvind`. Default: folds are cut here.
    #[schemars(example = &"data/cvind.mat")]
    pub folds_from: Option<FoldsFrom>,
}

impl params::Params for Params {
    const RANGES: &'static [(&'static str, Bounds)] = &[("folds", Bounds::from(2.0))];

    fn completed(mut self) -> Self {
        // Every stage with a `seed` is given that of the experiment. If nothing is drawn, it must not change the key.
        self.seed = self.shuffle.then(|| self.seed.unwrap_or_default());
        self
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.folds_from.is_some() && self.shuffle {
            problems.push(("shuffle", "`shuffle` has no effect on folds that are read with `folds_from`".to_owned()));
        }
        if self.folds_from.is_some() && self.group.is_some() {
            problems.push(("group", "`group` has no effect on folds that are read with `folds_from`".to_owned()));
        }
        problems
    }
}

/// Assigns each image to the fold in which it is in the validation set.
///
/// - `labels`: class and patient of each image, and the further columns of the manifest
/// - `file`: contents of the `.mat` file of `folds_from`
/// - returns: one fold in 1..=k an image in the same order, and the groups on both sides of each fold
///
/// Without `shuffle` and `group`, these are the test indices of scikit-learn's `StratifiedKFold(k)`. With `group`, they
/// are those of `StratifiedGroupKFold(k)` for classes and groups as pandas reads them; `split/grouped.rs` lists where
/// the folds differ. With `shuffle`, counts per fold and class are those of `StratifiedKFold`, in an order of our own;
/// with `shuffle` and `group` the folds are our own altogether. Leakage is counted over `group`, by default over
/// patients; it warns of patients that the folds ignore, and of classes with fewer groups than folds.
///
/// Errors: a class with fewer images than folds; fewer groups than folds; a fold without images; a missing column;
/// images without a group or with a fold outside 1..=k, by name; a file with another number of folds than images.
pub fn run(params: &Params, labels: &Labels, file: Option<&[u8]>) -> Result<(Split, Leakage), StageError> {
    let folds = params.folds as usize;
    let fold_of_image = assign(params, labels, folds, file).map_err(StageError::new)?;
    if let Some(fold) = (0..folds).find(|fold| !fold_of_image.contains(fold)) {
        return Err(StageError::new(format!("fold {} of {folds} has no images; use fewer folds", fold + 1)));
    }
    let (group, groups): (&str, Vec<Option<&str>>) = match params.group.as_deref() {
        Some(group) => (group, column::column(labels, group).map_err(StageError::new)?.into_iter().map(Some).collect()),
        None => ("patient", labels.patients.iter().map(Option::as_deref).collect()),
    };
    let warnings = warnings::warnings(params, labels, (group, &groups), &fold_of_image);
    let leakage = Leakage { warnings, ..Leakage::of(labels, (group, &groups), &fold_of_image, folds) };
    let split = Split {
        names: labels.names.clone(),
        labels: labels.labels.clone(),
        classes: labels.classes.clone(),
        patients: labels.patients.clone(),
        folds: fold_of_image.iter().map(|&fold| fold as u32 + 1).collect(),
    };
    Ok((split, leakage))
}

/// Returns the fold in 0..k of each image.
fn assign(params: &Params, labels: &Labels, folds: usize, file: Option<&[u8]>) -> Result<Vec<usize>, String> {
    if let Some(from) = &params.folds_from {
        return from.folds(labels, folds, file);
    }
    check_classes(labels, folds)?;
    let mut generator = params.shuffle.then(|| {
        let seed = Seed::new("split", params.seed.unwrap_or_default(), &[&params.folds.to_string()]);
        seed.generator("order", "")
    });
    let Some(group) = &params.group else {
        return Ok(stratified::stratified(&labels.labels, folds, generator.as_mut()));
    };
    let groups = column::column(labels, group)?;
    let count = groups.iter().collect::<std::collections::BTreeSet<_>>().len();
    if count < folds {
        return Err(format!("column `{group}` makes {count} groups, too few for {folds} folds"));
    }
    let classes: Vec<&str> = labels.labels.iter().map(|&class| labels.classes[class as usize].as_str()).collect();
    Ok(grouped::grouped(&classes, &groups, folds, generator.as_mut()))
}

/// Checks that every class with images has one for every fold.
fn check_classes(labels: &Labels, folds: usize) -> Result<(), String> {
    if labels.labels.is_empty() {
        return Err("there are no images to split".to_owned());
    }
    let count = |class: usize| labels.labels.iter().filter(|&&label| label as usize == class).count();
    let counts = labels.classes.iter().enumerate().map(|(class, name)| (name, count(class)));
    let small =
        counts.filter(|&(_, count)| count > 0 && count < folds).map(|(name, count)| format!("{name} ({count})"));
    let small: Vec<String> = small.collect();
    if small.is_empty() {
        return Ok(());
    }
    Err(format!("every class needs an image for each of the {folds} folds; too small: {}", small.join(", ")))
}

pub(crate) struct SplitStage;

pub(crate) static STAGE: Adaptor<SplitStage> = Adaptor::new();

impl Typed for SplitStage {
    const FACTS: Facts = Facts {
        ports: &[Port { name: "labels", reads: &[Labels::OUTPUT], optional: false, many: false }],
        outputs: &[Split::OUTPUT, Leakage::OUTPUT],
        artifacts: &[Split::FACTS, Leakage::FACTS],
        // A text that ends in `.mat` counts as `{ file = … }`.
        path_fields: &["folds_from.file"],
        ..Facts::new("split", 3, "divides the images into folds for cross-validation and reports leakage")
    };
    type Params = Params;

    fn files(params: &Params) -> Result<Vec<FileName>, Vec<String>> {
        params.folds_from.as_ref().map_or(Ok(Vec::new()), FoldsFrom::files)
    }

    fn run(_context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        let one = |(params, action): &(Params, &Action)| {
            let file = action.file(folds_from::FILE).map(ExternalFile::read).transpose()?;
            let (split, leakage) = run(params, &Labels::from_item(action.one("labels")?)?, file.as_deref())?;
            Ok(vec![split.output()?, leakage.reported()?])
        };
        batch.iter().map(one).collect()
    }
}
