//! Parameters of `kind = "dataset"`: the formats to which they belong, their ranges and defaults.

use std::path::PathBuf;

use orchestrate_engine::bounds::Bounds;
use orchestrate_engine::params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::foreground::Foreground;
use super::mask_pattern::MaskPattern;
use super::nifti::Axis;
use super::part::{Part, PartKind};
use super::patient_pattern::PatientPattern;
use super::resize::{Filter, MaskFilter};
use super::window::Window;

/// Parameters of `kind = "dataset"`. A param that is not set takes the default of the format, if it has one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Source of the images; the phantom needs no data.
    #[serde(default)]
    pub format: Format,
    /// The manifest (a CSV file, or a folder with `labels.csv`), the folder of classes, or the folder of `.mat` files.
    /// The phantom ignores it, so that one override runs a spec without its data.
    #[schemars(extend("format" = "path"), example = &"data/manifest.csv")]
    pub path: Option<PathBuf>,
    /// Height and width of every image after resizing, in pixels; the aspect ratio is not kept. Default: 64 for the
    /// phantom (which takes 16 to 1024), else the size of the files, which must then be the same for all.
    #[schemars(example = 224)]
    pub size: Option<usize>,
    /// Filters for images and masks of another size than `size`.
    #[schemars(example = Resize::default())]
    pub resize: Option<Resize>,
    /// Number of images to keep; classes keep their shares, and the first images of each class stay. Default: all.
    #[schemars(example = 100)]
    pub limit: Option<usize>,
    /// Manifest and folders: class names in the order of their indices. Default: in the order in which the manifest or
    /// the sorted folders have them.
    #[schemars(example = vec!["meningioma", "glioma", "pituitary"])]
    pub classes: Option<Vec<String>>,
    /// Manifest: column of image files, relative to the manifest; default `image`.
    #[schemars(example = &"file")]
    pub image: Option<String>,
    /// Manifest: column of mask files; an empty cell is an image without foreground. Default: `mask`, if there is one.
    /// Folders: pattern of mask names without their endings; default `{stem}_mask*`.
    #[schemars(example = &"{stem}_mask*")]
    pub mask: Option<String>,
    /// Manifest: column of class names; default `label`.
    #[schemars(example = &"diagnosis")]
    pub label: Option<String>,
    /// Manifest: column of patients; an empty cell is an unknown patient. Default: `patient`, if there is one.
    /// Folders: pattern of image names that tell it, such as `{patient}_*`; `{patient}/*` is a folder a patient.
    #[schemars(example = &"patient_id")]
    pub patient: Option<String>,
    /// Manifest and folders: page of a TIFF with several, from 0; a number for all files, or the manifest's column.
    /// Default: column `page`, if there is one.
    #[schemars(example = 0)]
    pub page: Option<Part>,
    /// The same for frames of DICOM; default: column `frame`, if there is one.
    #[schemars(example = 0)]
    pub frame: Option<Part>,
    /// The same for slices of NIfTI; default: column `slice`, if there is one, else each slice with a lesion.
    #[schemars(example = 12)]
    pub slice: Option<Part>,
    /// Manifest and folders: direction in which slices of NIfTI follow each other; default `axial`.
    pub axis: Option<Axis>,
    /// Manifest and folders: pixels of masks that are foreground: a list of levels or label values, or `above-half`.
    /// Default: the brighter one of two levels.
    #[schemars(example = vec![1, 4])]
    pub foreground: Option<Foreground>,
    /// Manifest and folders: secret from which, and from the id in a DICOM header, the pseudonym of a patient is made.
    /// Default: ids are not read.
    #[schemars(example = &"any long text")]
    pub pseudonym_key: Option<String>,
    /// All but the phantom: intensities that become the levels 0 and 255, for files of more than 8 bits: by name, or
    /// centre and width in the units of the file. Default `minmax`.
    #[schemars(example = vec![40, 80])]
    pub window: Option<Window>,
    /// Phantom: number of images; default 300.
    #[schemars(example = 90)]
    pub count: Option<usize>,
    /// Phantom: seed of the drawing; default that of the experiment.
    #[schemars(example = 7)]
    pub seed: Option<u64>,
}

/// Source of the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Synthetic head slices with three tumour classes, named `phantom-…`.
    #[default]
    Phantom,
    /// A CSV file with columns for images, masks, classes and patients; PNG, JPEG, TIFF, DICOM and NIfTI.
    Manifest,
    /// A folder a class, `x.png` with its mask `x_mask.png`.
    Folders,
    /// Cheng's brain tumour set in MATLAB v7.3 files, `1.mat` and so on.
    ChengMat,
}

/// Filters for images and masks of another size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Resize {
    /// Filter for images.
    pub images: Filter,
    /// Filter for masks.
    pub masks: MaskFilter,
}

impl Format {
    /// Returns the name, as in `format = "folders"`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Phantom => "phantom",
            Self::Manifest => "manifest",
            Self::Folders => "folders",
            Self::ChengMat => "cheng-mat",
        }
    }
}

impl Params {
    /// Returns the param that chooses parts of that kind.
    pub(super) fn part(&self, kind: PartKind) -> Option<&Part> {
        match kind {
            PartKind::Page => self.page.as_ref(),
            PartKind::Frame => self.frame.as_ref(),
            PartKind::Slice => self.slice.as_ref(),
        }
    }

    /// Returns the part to take from a file of that name, where one number holds for all files.
    pub(super) fn part_of(&self, file: &str) -> Option<usize> {
        match self.part(PartKind::of(file)) {
            Some(Part::Index(index)) => Some(*index),
            Some(Part::Column(_)) | None => None,
        }
    }
}

impl params::Params for Params {
    const RANGES: &'static [(&'static str, Bounds)] = &[
        ("size", Bounds::from(1.0).to(4096.0)),
        ("limit", Bounds::from(1.0)),
        ("count", Bounds::from(3.0).to(100_000.0)),
    ];

    fn completed(mut self) -> Self {
        if self.format == Format::Phantom {
            self.path = None;
            self.size.get_or_insert(64);
            self.count.get_or_insert(300);
            self.seed.get_or_insert(0);
        } else {
            // Every stage with a `seed` is given that of the experiment. Nothing is drawn here, so it must not change
            // the key.
            self.seed = None;
            if self.size.is_some() {
                self.resize.get_or_insert_default();
            }
        }
        if self.format == Format::Manifest {
            self.image.get_or_insert_with(|| "image".to_owned());
            self.label.get_or_insert_with(|| "label".to_owned());
        }
        self
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        use Format::{ChengMat, Folders, Manifest, Phantom};
        let mut problems = Vec::new();
        let belongs: [(&'static str, bool, &[Format]); 15] = [
            ("path", self.path.is_some(), &[Manifest, Folders, ChengMat]),
            ("resize", self.resize.is_some(), &[Manifest, Folders, ChengMat]),
            ("classes", self.classes.is_some(), &[Manifest, Folders]),
            ("image", self.image.is_some(), &[Manifest]),
            ("mask", self.mask.is_some(), &[Manifest, Folders]),
            ("label", self.label.is_some(), &[Manifest]),
            ("patient", self.patient.is_some(), &[Manifest, Folders]),
            ("page", self.page.is_some(), &[Manifest, Folders]),
            ("frame", self.frame.is_some(), &[Manifest, Folders]),
            ("slice", self.slice.is_some(), &[Manifest, Folders]),
            ("axis", self.axis.is_some(), &[Manifest, Folders]),
            ("foreground", self.foreground.is_some(), &[Manifest, Folders]),
            ("pseudonym_key", self.pseudonym_key.is_some(), &[Manifest, Folders]),
            ("window", self.window.is_some(), &[Manifest, Folders, ChengMat]),
            ("count", self.count.is_some(), &[Phantom]),
        ];
        let format = self.format.name();
        for (field, _, formats) in belongs.iter().filter(|(_, set, formats)| *set && !formats.contains(&self.format)) {
            let names: Vec<_> = formats.iter().map(|format| format.name()).collect();
            let (formats, names) = (if names.len() == 1 { "format" } else { "formats" }, names.join(", "));
            problems.push((*field, format!("`{field}` belongs to {formats} {names}, not to {format}")));
        }
        if self.path.is_none() && self.format != Phantom {
            problems.push(("path", format!("`path` is missing; format {format} reads images from it")));
        }
        if let (Folders, Some(Err(problem))) = (self.format, self.mask.as_deref().map(MaskPattern::parse)) {
            problems.push(("mask", problem));
        }
        if let (Folders, Some(Err(problem))) = (self.format, self.patient.as_deref().map(PatientPattern::parse)) {
            problems.push(("patient", problem));
        }
        if let Some(problem) = self.foreground.as_ref().and_then(Foreground::problem) {
            problems.push(("foreground", problem.to_owned()));
        }
        for kind in PartKind::ALL {
            if let (Folders, Some(Part::Column(_))) = (self.format, self.part(kind)) {
                let field = kind.param();
                problems.push((field, format!("`{field}` must be a number from 0, as folders have no columns")));
            }
        }
        if let Some(Window::Range([centre, width])) = self.window
            && !(centre.is_finite() && width.is_finite() && width >= 1.0)
        {
            let message = format!("`window` is [centre, width] with a width of at least 1, not [{centre}, {width}]");
            problems.push(("window", message));
        }
        if self.resize.is_some() && self.size.is_none() && self.format != Phantom {
            problems.push(("resize", "`resize` has no effect without `size`".to_owned()));
        }
        if let (Phantom, Some(size)) = (self.format, self.size)
            && let Some(broken) = Bounds::from(16.0).to(1024.0).broken_by(size as f64)
        {
            problems.push(("size", format!("`size` of the phantom must be {broken}, not {size}")));
        }
        if let Some(classes) = &self.classes {
            if classes.is_empty() {
                let message = "`classes` is empty; leave it out to take the classes that the data have";
                problems.push(("classes", message.to_owned()));
            }
            let mut sorted = classes.clone();
            sorted.sort_unstable();
            for pair in sorted.windows(2).filter(|pair| pair[0] == pair[1]) {
                problems.push(("classes", format!("`classes` has `{}` twice", pair[0])));
            }
        }
        // Of folders, `mask` and `patient` are patterns, and the others are not set.
        let columns =
            [("image", &self.image), ("mask", &self.mask), ("label", &self.label), ("patient", &self.patient)];
        for (index, (field, column)) in columns.iter().enumerate() {
            let other = columns[..index].iter().find(|(_, other)| column.is_some() && other == column);
            if let (Some(column), Some((other, _))) = (column, other) {
                problems.push((field, format!("`{field}` and `{other}` are both column `{column}`")));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use orchestrate_engine::params::Params as _;

    use super::*;

    fn read(json: &str) -> Params {
        serde_json::from_str::<Params>(json).unwrap().completed()
    }

    #[test]
    fn bad_params_are_named() {
        for (json, expected) in [
            (
                r#"{"format": "manifest", "path": "x", "count": 5}"#,
                "`count` belongs to format phantom, not to manifest",
            ),
            (
                r#"{"format": "cheng-mat", "path": "x", "mask": "m"}"#,
                "`mask` belongs to formats manifest, folders, not to cheng-mat",
            ),
            (
                r#"{"format": "folders", "path": "x", "mask": "_mask"}"#,
                "`mask` has no `{stem}`, the name of the image; a pattern such as `{stem}_mask*` is expected",
            ),
            (
                r#"{"format": "folders", "path": "x", "patient": "pid"}"#,
                "`patient` has no `{patient}`, the patient in the names of images; a pattern such as `{patient}_*` is \
                 expected",
            ),
            (
                r#"{"format": "folders", "path": "x", "page": "p"}"#,
                "`page` must be a number from 0, as folders have no columns",
            ),
            (
                r#"{"format": "manifest", "path": "x", "window": [40, 0]}"#,
                "`window` is [centre, width] with a width of at least 1, not [40, 0]",
            ),
            (r#"{"format": "folders"}"#, "`path` is missing; format folders reads images from it"),
            (r#"{"format": "folders", "path": "x", "resize": {}}"#, "`resize` has no effect without `size`"),
            (r#"{"format": "phantom", "size": 8}"#, "`size` of the phantom must be at least 16, not 8"),
            (r#"{"format": "folders", "path": "x", "classes": ["a", "b", "a"]}"#, "`classes` has `a` twice"),
            (r#"{"format": "manifest", "path": "x", "mask": "image"}"#, "`mask` and `image` are both column `image`"),
        ] {
            let messages: Vec<_> = read(json).problems().into_iter().map(|(_, message)| message).collect();
            assert_eq!(messages, [expected], "{json}");
        }
    }

    #[test]
    fn defaults_of_the_format_are_filled_in_and_read_back() {
        let phantom = read(r#"{"path": "of the data that it stands for"}"#);
        assert_eq!(phantom, read("{}"));
        assert_eq!(phantom.format, Format::Phantom);
        assert_eq!((phantom.size, phantom.count, phantom.seed), (Some(64), Some(300), Some(0)));
        let manifest = read(r#"{"format": "manifest", "path": "x", "size": 96}"#);
        assert_eq!((manifest.image.as_deref(), manifest.label.as_deref()), (Some("image"), Some("label")));
        assert_eq!(manifest.resize, Some(Resize { images: Filter::Bilinear, masks: MaskFilter::Nearest }));
        for params in [phantom, manifest] {
            assert_eq!(params.problems(), []);
            assert_eq!(read(&serde_json::to_string(&params).unwrap()), params);
        }
    }

    #[test]
    fn a_seed_that_draws_nothing_is_not_in_the_params() {
        assert_eq!(read(r#"{"format": "folders", "path": "x", "seed": 7}"#).seed, None);
        assert_eq!(read(r#"{"format": "phantom", "seed": 7}"#).seed, Some(7));
    }
}
