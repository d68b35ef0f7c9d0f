//! The audit of a data set: every file is accounted for, and what is odd is counted and named.

mod pictures;
#[cfg(test)]
mod tests;
mod twins;

use std::collections::{BTreeSet, HashMap};

use super::doubtful::{self, Doubt, Role};
use super::facts::ImageFacts;
use super::foreground::Foreground;
use super::left_out::LeftOut;
use super::listing::Listing;
use super::params::{Format, Params};
use super::pseudonym::looks_like_name;
use crate::artifact::Audit;

/// The most names of a finding.
pub(super) const NAMED_MAX: usize = 5;

/// Names of folders that hold masks, or images beside them, and are no classes.
const FOLDERS_OF_MASKS: [&str; 10] = [
    "mask",
    "masks",
    "image",
    "images",
    "label",
    "labels",
    "annotation",
    "annotations",
    "segmentation",
    "segmentations",
];

/// A data set that was read, with the facts about each image.
pub(super) struct Audited<'a> {
    pub(super) params: &'a Params,
    pub(super) listing: &'a Listing,
    /// Names of the images.
    pub(super) names: &'a [String],
    pub(super) facts: &'a [ImageFacts],
    pub(super) left_out: LeftOut,
}

impl Audited<'_> {
    /// Makes the audit.
    pub(super) fn audit(&self) -> Audit {
        let mut audit = Audit::default();
        self.count(&mut audit);
        self.pictures(&mut audit);
        self.masks(&mut audit);
        self.patients(&mut audit);
        // A phantom is drawn, and its slices resemble each other by design.
        if self.params.format != Format::Phantom {
            self.twins(&mut audit);
        }
        self.values(&mut audit);
        self.files(&mut audit);
        audit
    }

    /// Images by class, and patients of each.
    fn count(&self, audit: &mut Audit) {
        let images = &self.listing.images;
        let patients: BTreeSet<&str> = images.iter().filter_map(|image| image.patient.as_deref()).collect();
        let of_patients = |count: usize| match count {
            0 => String::new(),
            count => format!(" of {}", counted(count, "patient")),
        };
        let mut message = format!("{}{}", counted(images.len(), "image"), of_patients(patients.len()));
        for (class, name) in self.listing.classes.iter().enumerate() {
            let of_class = || images.iter().filter(|image| image.label as usize == class);
            let patients: BTreeSet<&str> = of_class().filter_map(|image| image.patient.as_deref()).collect();
            let count = of_class().count();
            let separator = if class == 0 { ": " } else { ", " };
            message += &format!("{separator}{count} {name}{}", of_patients(patients.len()));
        }
        audit.note("images", images.len(), message);
        if let Some(limit) = self.params.limit {
            audit.note("limit", limit, format!("`limit` keeps at most {}", counted(limit, "image")));
        }
        let volumes = &self.listing.empty;
        let message = format!("{} left out, as no slice has foreground", counted(volumes.len(), "volume"));
        audit.warn("files", volumes.len(), message, volumes.iter().take(NAMED_MAX).cloned().collect());
        let telling = |name: &&String| FOLDERS_OF_MASKS.contains(&name.to_lowercase().as_str());
        let suspects: Vec<String> = self.listing.classes.iter().filter(telling).cloned().collect();
        if self.params.format == Format::Folders {
            let message = "classes with names of folders of masks or images: name them in a manifest";
            audit.warn("classes", suspects.len(), message, suspects);
        }
        let empty = |class: &usize| !images.iter().any(|image| image.label as usize == *class);
        let empty: Vec<_> = (0..self.listing.classes.len()).filter(empty).collect();
        let names = empty.iter().map(|&class| self.listing.classes[class].clone()).collect();
        audit.warn("classes", empty.len(), format!("{} without an image", counted(empty.len(), "class")), names);
    }

    /// Masks: missing, empty, vanishing.
    fn masks(&self, audit: &mut Audit) {
        let masked = |index: &usize| self.facts[*index].foreground.is_some();
        let all = || 0..self.facts.len();
        let with = all().filter(masked).count();
        if with == 0 {
            audit.note("masks", 0, "no image has a mask");
            return;
        }
        let several = all().filter(|&index| self.facts[index].masks > 1).count();
        let joined = if several == 0 { String::new() } else { format!(", {several} with several, which are joined") };
        audit.note("masks", with, format!("{} with a mask{joined}", counted(with, "image")));
        for (class, name) in self.listing.classes.iter().enumerate() {
            let of_class: Vec<usize> =
                all().filter(|&index| self.listing.images[index].label as usize == class).collect();
            let missing: Vec<usize> = of_class.iter().copied().filter(|index| !masked(index)).collect();
            if missing.len() == of_class.len() {
                if !missing.is_empty() {
                    audit.note("masks", missing.len(), format!("no image of class {name} has a mask"));
                }
            } else {
                let message = format!(
                    "{} of class {name} without a mask, which the others of it have",
                    counted(missing.len(), "image")
                );
                audit.warn("masks", missing.len(), message, self.named(&missing));
            }
        }
        let foreground = |index: usize| self.facts[index].foreground;
        let empty: Vec<usize> =
            all().filter(|&index| foreground(index).is_some_and(|(before, _)| before == 0)).collect();
        let message = format!("{} with a mask that has no foreground", counted(empty.len(), "image"));
        audit.warn("masks", empty.len(), message, self.named(&empty));
        let is_large = |&index: &usize| {
            let (height, width) = self.facts[index].size;
            foreground(index).is_some_and(|(before, _)| 2 * before > height * width)
        };
        let large: Vec<usize> = all().filter(is_large).collect();
        let message =
            format!("{} with a mask of more than half of the picture: is it inverted?", counted(large.len(), "image"));
        audit.warn("masks", large.len(), message, self.named(&large));
        let gone: Vec<usize> =
            all().filter(|&index| foreground(index).is_some_and(|(before, after)| before > 0 && after == 0)).collect();
        let mut levels: Vec<f64> = self.facts.iter().flat_map(|facts| &facts.levels).copied().collect();
        levels.sort_by(f64::total_cmp);
        levels.dedup();
        // Levels of JPEG vary a little around one.
        if let (None, [lowest, .., highest]) = (&self.params.foreground, &levels[..])
            && *lowest < highest * 7.0 / 8.0
        {
            let shown: Vec<String> = levels.iter().take(NAMED_MAX).map(f64::to_string).collect();
            let message = "masks have foreground of different levels, which all count: set `foreground` if some do not";
            audit.warn("masks", levels.len(), message, shown);
        }
        if let Some(Foreground::Levels(listed)) = &self.params.foreground {
            let occurs = |level: &&f64| self.facts.iter().any(|facts| facts.levels.contains(level));
            let missing: Vec<String> = listed.iter().filter(|level| !occurs(level)).map(f64::to_string).collect();
            let help = "palettes count as their colours, and fewer than 8 bits as 0 to 255";
            let message = format!("{} of `foreground` that no mask has; {help}", counted(missing.len(), "level"));
            audit.warn("masks", missing.len(), message, missing);
        }
        let size = self.params.size.unwrap_or_default();
        let message = format!("{} whose lesion vanishes at {size} × {size}", counted(gone.len(), "image"));
        audit.warn("masks", gone.len(), message, self.named(&gone));
    }

    /// Patients: names in file names, pseudonyms without a key, unknown ones, and classes with one.
    fn patients(&self, audit: &mut Audit) {
        let images = &self.listing.images;
        let telling: Vec<usize> = (0..images.len()).filter(|&index| looks_like_name(&images[index].file)).collect();
        let message =
            format!("{} whose file name may tell a person or a date of birth", counted(telling.len(), "image"));
        audit.warn("privacy", telling.len(), message, self.named(&telling));
        if self.params.pseudonym_key.is_none() {
            let is_own = |index: &usize| {
                let of_header = &self.facts[*index].patient;
                of_header.is_some() && images[*index].patient == *of_header
            };
            let open = (0..images.len()).filter(is_own).count();
            let help = "short ids can be guessed from it: set `pseudonym_key` to a secret";
            let message = format!("{} with a pseudonym that no key protects; {help}", counted(open, "image"));
            audit.warn("privacy", open, message, Vec::new());
        }
        let mut of_header: HashMap<&str, BTreeSet<&str>> = HashMap::new();
        for (image, facts) in images.iter().zip(self.facts) {
            if let (Some(patient), Some(header)) = (&image.patient, &facts.patient) {
                of_header.entry(header).or_default().insert(patient);
            }
        }
        let divided: BTreeSet<&str> = of_header.values().filter(|it| it.len() > 1).flatten().copied().collect();
        let message = format!("{} of the manifest with a Patient ID in common", counted(divided.len(), "patient"));
        audit.warn(
            "patients",
            divided.len(),
            message,
            divided.iter().take(NAMED_MAX).map(ToString::to_string).collect(),
        );
        let unknown: Vec<usize> = (0..images.len()).filter(|&index| images[index].patient.is_none()).collect();
        if unknown.len() == images.len() {
            audit.note("patients", 0, "no image names its patient, so no split can keep patients apart");
            return;
        }
        let message = format!("{} without a patient", counted(unknown.len(), "image"));
        audit.warn("patients", unknown.len(), message, self.named(&unknown));
        for (class, name) in self.listing.classes.iter().enumerate() {
            let of_class = images.iter().filter(|image| image.label as usize == class);
            let patients: BTreeSet<&str> = of_class.filter_map(|image| image.patient.as_deref()).collect();
            if let [patient] = Vec::from_iter(patients)[..] {
                let message = format!("class {name} has 1 patient, so no fold can hold it apart");
                audit.warn("patients", 1, message, vec![patient.to_owned()]);
            }
        }
    }

    /// Values of a manifest that are probably not meant.
    fn values(&self, audit: &mut Audit) {
        if self.params.format != Format::Manifest {
            return;
        }
        let images = &self.listing.images;
        let labels: Vec<&str> =
            images.iter().map(|image| self.listing.classes[image.label as usize].as_str()).collect();
        let patients: Vec<&str> = images.iter().map(|image| image.patient.as_deref().unwrap_or_default()).collect();
        let declared = self.params.classes.as_deref();
        let column = |name: &Option<String>, default: &str| name.clone().unwrap_or_else(|| default.to_owned());
        let found = [
            (Role::Label, column(&self.params.label, "label"), labels, declared),
            (Role::Patient, column(&self.params.patient, "patient"), patients, None),
        ];
        for (role, column, values, declared) in found {
            for Doubt { message, mut names } in doubtful::doubts(role, &column, &values, declared) {
                let count = names.len();
                names.truncate(NAMED_MAX);
                audit.warn("values", count, message, names);
            }
        }
    }

    /// Files that are no images of the data set.
    fn files(&self, audit: &mut Audit) {
        for reason in &self.left_out.0 {
            let message = format!("{} left out, {}", counted(reason.count, "file"), reason.reason);
            if reason.suspicious {
                audit.warn("files", reason.count, message, reason.names.clone());
            } else {
                let more = if reason.count > reason.names.len() { ", …" } else { "" };
                audit.note("files", reason.count, format!("{message}: {}{more}", reason.names.join(", ")));
            }
        }
    }

    /// Returns the names of the first of these images.
    pub(super) fn named(&self, images: &[usize]) -> Vec<String> {
        images.iter().take(NAMED_MAX).map(|&index| self.names[index].clone()).collect()
    }
}

/// Formats a count with its noun in the singular or plural.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if noun.ends_with('s') { "es" } else { "s" };
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}{plural}") }
}
