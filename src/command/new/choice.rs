//! The choices of a first study, each with its reason: size, folds, epochs, the way of splitting.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use orchestrate_stages::artifact::Labels;
use orchestrate_stages::data::dataset::{Format, Guess, Look, Looked};
use orchestrate_stages::data::split;

use crate::terminal;

/// Everything that a first spec needs.
pub(super) struct Choice {
    /// The data; `None` for drawn slices.
    pub(super) guess: Option<Guess>,
    /// The number of images by class.
    pub(super) images: String,
    /// Height and width for the networks, in pixels, with the reason.
    pub(super) size: (usize, String),
    /// The number of folds, with the reason.
    pub(super) folds: (usize, String),
    /// Passes over the training images.
    pub(super) epochs: usize,
    /// True if no patient is on both sides of a fold.
    pub(super) by_patient: bool,
    /// The first image and its patient, if names tell patients.
    pub(super) patient_example: Option<(String, String)>,
    /// True if patients have pseudonyms made from their files.
    pub(super) has_pseudonyms: bool,
    /// The number of images with a lesion to find.
    pub(super) lesions: usize,
    /// The largest class and the smallest, if it has less than half of its images.
    pub(super) uneven: Option<(String, String)>,
    /// True if pictures have colours.
    pub(super) in_colour: bool,
    /// Sentences that people must read.
    pub(super) doubts: Vec<String>,
}

/// Sizes for a first run; the network `tiny` is made for them.
const SIZES: [usize; 3] = [64, 96, 128];

/// The smallest side that `tiny` can take.
const SIZE_MIN: usize = 16;

/// The number of pixels that nearly all lesions should keep.
const LESION_PIXELS: f64 = 16.0;

/// The number of folds, unless the smallest class has fewer patients.
const FOLDS: usize = 5;

/// The most classes that a comment names.
const CLASSES_SHOWN: usize = 8;

impl Choice {
    /// Chooses for slices that are drawn.
    pub(super) fn phantom() -> Self {
        Self {
            guess: None,
            images: "300 drawn slices with three kinds of tumours. Their numbers are not about medicine".to_owned(),
            size: (64, "height and width in pixels".to_owned()),
            folds: (FOLDS, "every class has 100 slices".to_owned()),
            epochs: 12,
            by_patient: false,
            patient_example: None,
            has_pseudonyms: false,
            lesions: 300,
            uneven: None,
            in_colour: false,
            doubts: Vec::new(),
        }
    }

    /// Chooses for a data set. The error reads after the folder's name.
    pub(super) fn of(guess: Guess, look: &Look) -> Result<Self, String> {
        let labels = &look.labels;
        if guess.path.to_str().is_none() {
            return Err("has a name that is not in UTF-8, and a spec is".to_owned());
        }
        let counts: Vec<(&str, usize)> = labels
            .classes
            .iter()
            .enumerate()
            .map(|(class, name)| {
                (name.as_str(), labels.labels.iter().filter(|label| **label as usize == class).count())
            })
            .collect();
        let counts: Vec<(&str, usize)> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        if let [(class, _)] = counts[..] {
            return Err(format!(
                "has one class, {class}, and a classifier needs two: nothing was written\nhelp: add a folder or rows \
                 of another class, such as healthy ones"
            ));
        }
        if let Some((class, _)) = counts.iter().find(|(_, count)| *count < 2) {
            return Err(format!(
                "has 1 image of class {class}, and each of at least two folds needs one: nothing was written\nhelp: \
                 add images, or take the class out"
            ));
        }
        let mut doubts = Vec::new();
        let by_patient = splits_by_patient(&guess, look, &mut doubts);
        let folds = folds(look, by_patient, &counts)?;
        let (largest, smallest) = extremes(&counts);
        let is_uneven = largest.1 > 2 * smallest.1;
        let from_names = guess.format == Format::Folders && guess.named.iter().any(|(param, _)| *param == "patient");
        let patient = labels.patients.first().cloned().flatten().filter(|_| from_names);
        Ok(Self {
            images: told(&counts),
            size: size(&look.pictures),
            folds,
            epochs: (12_000 / labels.names.len()).clamp(5, 20),
            by_patient,
            patient_example: patient.map(|patient| (labels.names[0].clone(), patient)),
            has_pseudonyms: !from_names && by_patient && look.pictures.iter().any(|it| it.patient_of_file),
            lesions: look.pictures.iter().filter(|picture| picture.lesion.is_some_and(|pixels| pixels > 0)).count(),
            uneven: is_uneven.then(|| (largest.0.to_owned(), smallest.0.to_owned())),
            in_colour: look.pictures.iter().any(|picture| picture.in_colour),
            guess: Some(guess),
            doubts,
        })
    }

    /// Returns the choices in one line.
    pub(super) fn summary(&self) -> String {
        let Self { size: (size, _), folds: (folds, _), epochs, .. } = self;
        let by = if self.by_patient { "patient" } else { "image" };
        let masks = match self.lesions {
            0 => "no masks, so maps are not scored".to_owned(),
            lesions => format!("maps are scored against {}", terminal::count(lesions, "mask")),
        };
        format!("{folds} folds by {by}, pictures of {size} × {size}, {epochs} epochs; {masks}")
    }
}

/// Decides whether folds are cut by patient, and says why not.
fn splits_by_patient(guess: &Guess, look: &Look, doubts: &mut Vec<String>) -> bool {
    let patients = &look.labels.patients;
    let unknown = patients.iter().filter(|patient| patient.is_none()).count();
    if unknown == 0 {
        return true;
    }
    let remedy = match guess.format {
        Format::Manifest => "name patients in the column `patient`",
        _ => "if names of files tell them, set `patient` to their pattern, such as `{patient}_*`",
    };
    let known = if unknown == patients.len() {
        "no patients are known".to_owned()
    } else {
        format!("{unknown} of {} images have no patient", patients.len())
    };
    doubts.push(format!(
        "{known}, so folds are cut by image. If a patient has several images, networks are tested on patients they \
         were trained on (leakage), and the accuracy is too high: {remedy}, and set `group = \"patient\"` in the split"
    ));
    false
}

/// Chooses the number of folds by the smallest class. Error: a class that some network could not learn.
fn folds(look: &Look, by_patient: bool, counts: &[(&str, usize)]) -> Result<(usize, String), String> {
    let labels = &look.labels;
    let mut patients: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (label, patient) in labels.labels.iter().zip(&labels.patients) {
        patients.entry(&labels.classes[*label as usize]).or_default().extend(patient.as_deref());
    }
    let of_class = |class: &str, images: usize| if by_patient { patients[class].len() } else { images };
    let units: Vec<(&str, usize)> = counts.iter().map(|(class, images)| (*class, of_class(class, *images))).collect();
    let (_, (class, smallest)) = extremes(&units);
    let unit = if by_patient { "patient" } else { "image" };
    let has = format!("{class} has {}", terminal::count(smallest, unit));
    match (2..=smallest.clamp(2, FOLDS)).rev().find(|folds| teaches(labels, by_patient, *folds)) {
        Some(folds) => Ok((folds, format!("the smallest class: {has}"))),
        None => Err(format!(
            "cannot be split by patient: class {has}, so some network would learn nothing of it; nothing was written\n\
             help: add patients, or take the class out"
        )),
    }
}

/// Returns whether images of every class are left outside of each fold.
fn teaches(labels: &Labels, by_patient: bool, folds: usize) -> bool {
    let group = by_patient.then(|| "patient".to_owned());
    let params = split::Params { folds: folds as u32, shuffle: false, seed: None, group, folds_from: None };
    let Ok((split, _)) = split::run(&params, labels, None) else { return false };
    let all: HashSet<u32> = split.labels.iter().copied().collect();
    (1..=folds as u32).all(|fold| {
        let outside = split.labels.iter().zip(&split.folds).filter(|(_, other)| **other != fold);
        outside.map(|(label, _)| *label).collect::<HashSet<u32>>() == all
    })
}

/// Returns the first largest and the first smallest class.
fn extremes<'a>(counts: &[(&'a str, usize)]) -> ((&'a str, usize), (&'a str, usize)) {
    let first = counts[0];
    counts.iter().fold((first, first), |(largest, smallest), next| {
        (if next.1 > largest.1 { *next } else { largest }, if next.1 < smallest.1 { *next } else { smallest })
    })
}

/// Chooses the size: the smallest one at which lesions keep some pixels, and none above that of the pictures.
fn size(pictures: &[Looked]) -> (usize, String) {
    let mut sides: Vec<usize> = pictures.iter().map(|picture| picture.size.0.min(picture.size.1)).collect();
    sides.sort_unstable();
    let median = sides[sides.len() / 2];
    let fits = |size: &&usize| **size <= median;
    let keeps = |size: usize| {
        let pixels = pictures.iter().filter_map(|picture| {
            let lesion = picture.lesion.filter(|lesion| *lesion > 0)?;
            Some(lesion as f64 * (size * size) as f64 / (picture.size.0 * picture.size.1) as f64)
        });
        let kept: Vec<bool> = pixels.map(|pixels| pixels >= LESION_PIXELS).collect();
        kept.iter().filter(|kept| **kept).count() * 20 >= kept.len() * 19
    };
    let largest = SIZES.iter().rfind(fits).copied();
    let size = SIZES.iter().filter(fits).copied().find(|size| keeps(*size)).or(largest).unwrap_or(median.max(SIZE_MIN));
    let all: BTreeSet<(usize, usize)> = pictures.iter().map(|picture| picture.size).collect();
    let shown = |(height, width): &(usize, usize)| format!("{width} × {height}");
    let mut why = match (all.first(), all.last()) {
        (Some(first), Some(last)) if first != last => {
            format!("pictures have {} sizes, {} to {}; a network needs one", all.len(), shown(first), shown(last))
        }
        (Some(only), _) => format!("pictures are {}", shown(only)),
        _ => String::new(),
    };
    if size > SIZES[0] {
        why += "; lesions would get too small in less";
    }
    if all.iter().any(|(height, width)| height != width) {
        why += "; the aspect ratio is not kept";
    }
    (size, why)
}

/// Formats counts by class.
fn told(counts: &[(&str, usize)]) -> String {
    let images: usize = counts.iter().map(|(_, count)| count).sum();
    let shown = counts.iter().take(CLASSES_SHOWN).map(|(class, count)| format!("{count} {class}"));
    let more = counts.len().saturating_sub(CLASSES_SHOWN);
    let more = (more > 0).then(|| format!("and {more} more classes"));
    format!("{images} images: {}", shown.chain(more).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(side: usize, lesion: Option<usize>) -> Looked {
        Looked { size: (side, side), in_colour: false, lesion, patient_of_file: false }
    }

    #[test]
    fn size_is_the_smallest_that_keeps_lesions_and_enlarges_nothing() {
        // At 64 of 256 a lesion has a sixteenth of its pixels: 256 gives 16.
        assert_eq!(size(&[picture(256, Some(256))]).0, 64);
        assert_eq!(size(&[picture(256, Some(255))]).0, 96);
        assert_eq!(size(&[picture(256, Some(1))]).0, 128);
        assert_eq!(size(&[picture(100, Some(1))]).0, 96);
        assert_eq!(size(&[picture(256, None), picture(256, Some(0))]).0, 64);
        assert_eq!((size(&[picture(28, None)]).0, size(&[picture(8, None)]).0), (28, 16));
    }
}
