//! The artifacts of the domain as data: files, columns and notes. `kinds` shows it, and readers check foreign files
//! against it.

use orchestrate_engine::bounds::Bounds;
use orchestrate_engine::stage::{ArtifactFacts, ColumnFacts, Dtype, FileFacts, NoteFacts};

use super::TEXT;

const SHARE: Bounds = Bounds::from(0.0).to(1.0);
const COUNT: Bounds = Bounds::from(0.0);
const FROM_1: Bounds = Bounds::from(1.0);

const fn text(name: &'static str, about: &'static str) -> ColumnFacts {
    ColumnFacts::new(name, Dtype::Text, about)
}

const fn whole(name: &'static str, bounds: Bounds, about: &'static str) -> ColumnFacts {
    ColumnFacts::new(name, Dtype::Whole, about).within(bounds)
}

const fn number(name: &'static str, bounds: Bounds, about: &'static str) -> ColumnFacts {
    ColumnFacts::new(name, Dtype::Number, about).within(bounds)
}

/// A column that not every table has, of numbers that not every row has.
const fn further(name: &'static str, bounds: Bounds, about: &'static str) -> ColumnFacts {
    number(name, bounds, about).nullable().optional()
}

const fn note(name: &'static str, about: &'static str) -> NoteFacts {
    NoteFacts { name, about, optional: true }
}

const ANY: Bounds = Bounds { min: None, above: None, max: None, below: None };
const IMAGE: ColumnFacts = text("image", "Name of the image.").unique();
const LABEL: ColumnFacts = text("label", "Name of the true class.");
const PREDICTED: ColumnFacts = text("predicted", "Name of the predicted class.");
const PROBABILITIES: ColumnFacts =
    ColumnFacts::new("probabilities", Dtype::Numbers, "Softmax probabilities, in the order of the note `classes`.")
        .shaped("[class]")
        .within(SHARE);
const HEIGHT: ColumnFacts = whole("height", COUNT, "Height in pixels; the same in every row.");
const WIDTH: ColumnFacts = whole("width", COUNT, "Width in pixels; the same in every row.");
const AXIS: ColumnFacts = text("AXIS", "Label of each gathered axis, in a column of its name.").optional();
const CLASSES: NoteFacts = note(
    "classes",
    "JSON list of the class names in the order of their indices; without it, the names in the table, sorted.",
);
const AXES: NoteFacts = note("axes", "JSON list of the names of the gathered axes.");
const fn required(name: &'static str, about: &'static str) -> NoteFacts {
    NoteFacts { name, about, optional: false }
}

const WARNINGS: FileFacts =
    FileFacts { optional: true, ..FileFacts::new(TEXT, "Warnings about the table; runs print it, on hits too.") };

macro_rules! table {
    ($name:literal, $about:literal, [$($column:expr),* $(,)?], [$($note:expr),* $(,)?] $(, $file:expr)*) => {
        ArtifactFacts {
            name: $name,
            about: $about,
            files: &[
                FileFacts {
                    name: concat!($name, ".parquet"),
                    about: "The table.",
                    optional: false,
                    columns: &[$($column),*],
                    notes: &[$($note),*],
                },
                $($file),*
            ],
        }
    };
}

pub(super) const IMAGES: ArtifactFacts = table!(
    "images",
    "Grey images of one size, in data set order.",
    [
        IMAGE,
        HEIGHT,
        WIDTH,
        ColumnFacts::new("pixels", Dtype::Bytes, "Grey levels 0 to 255, row by row.").shaped("[height, width]"),
    ],
    []
);

pub(super) const MASKS: ArtifactFacts = table!(
    "masks",
    "Ground truth of each image, in the order of `images`; an image without a mask is all 0.",
    [IMAGE, HEIGHT, WIDTH, MASK],
    []
);

const MASK: ColumnFacts = ColumnFacts::new("pixels", Dtype::Bytes, "1 for foreground, 0 for background, row by row.")
    .shaped("[height, width]");

pub(super) const LABELS: ArtifactFacts = table!(
    "labels",
    "Class and patient of each image, in the order of `images`.",
    [
        IMAGE,
        LABEL,
        text("patient", "Patient of the image; missing if unknown.").nullable(),
        text("COLUMN", "Each further column of the manifest, under its name.").optional(),
    ],
    [CLASSES, note("columns", "JSON list of the names of the manifest's further columns.")]
);

pub(super) const AUDIT: ArtifactFacts = table!(
    "audit",
    "Findings about a data set, in the order of a report.",
    [
        text("level", "`note` or `warning`."),
        text("topic", "A word such as `masks`."),
        whole("count", COUNT, "Number of images, files, patients or pairs."),
        text("message", "One sentence that holds the number."),
        text("names", "The first names with commas between, and `…` if there are more; may be empty."),
    ],
    [],
    FileFacts::new(TEXT, "The findings as lines; runs print it, on hits too.")
);

pub(super) const SPLIT: ArtifactFacts = table!(
    "split",
    "The validation fold of each image, in data set order.",
    [
        IMAGE,
        LABEL,
        text("patient", "Patient of the image; missing if unknown.").nullable(),
        whole("fold", FROM_1, "The fold, 1 to k, in which the image is in the validation set."),
    ],
    [CLASSES]
);

/// Facts about the leakage of a split.
pub(crate) const LEAKAGE: ArtifactFacts = table!(
    "leakage",
    "Groups, above all patients, on both sides of each fold: for each fold all classes together, then each class.",
    [
        whole("fold", FROM_1, "The fold of the validation set."),
        text("label", "Name of a class, or `all`."),
        whole("train_images", COUNT, "Images to train on."),
        whole("validation_images", COUNT, "Images to validate on."),
        whole("train_groups", COUNT, "Groups with an image to train on.").optional(),
        whole("validation_groups", COUNT, "Groups with an image to validate on.").optional(),
        whole("shared_groups", COUNT, "Groups on both sides.").optional(),
        whole("shared_train_images", COUNT, "Training images of groups on both sides.").optional(),
        whole("shared_validation_images", COUNT, "Validation images of groups on both sides.").optional(),
        whole("similar_images", COUNT, "Validation images that resemble a training image of another group.").optional(),
        whole("similar_images_of_group", COUNT, "Validation images that resemble only one of their group.").optional(),
    ],
    [CLASSES, note("group", "The column of the groups."), note("warnings", "JSON list of doubts about the folds.")],
    FileFacts::new(TEXT, "The leakage as lines; runs print it, on hits too.")
);

pub(super) const FEATURES: ArtifactFacts = table!(
    "features",
    "Features of each image after global average pooling, by a trunk that is not trained, in data set order.",
    [
        IMAGE,
        ColumnFacts::new("features", Dtype::Numbers, "The mean of each map of the trunk; finite.").shaped("[feature]")
    ],
    [
        required("images", "Digest of the file of images that they were made of."),
        required("model", "Name of the model whose trunk it is."),
        required("trunk", "Digest of the tensors of the trunk, by name, shape and values."),
        required("precision", "The type in which the trunk was computed."),
        required("normalisation", "JSON of mean and sd of grey levels from 0 to 1, a channel each."),
    ],
    FileFacts {
        optional: true,
        ..FileFacts::new(TEXT, "The part of the file of weights that was used; runs print it.")
    }
);

pub(super) const CAMS: ArtifactFacts = table!(
    "cams",
    "Class activation maps of validation images at their native size, in data set order.",
    [
        IMAGE,
        LABEL,
        text("predicted", "Name of the predicted class, whose map it is."),
        PROBABILITIES,
        whole("height", COUNT, "Height of the map in pixels; the same in every row."),
        whole("width", COUNT, "Width of the map in pixels; the same in every row."),
        whole("input_height", COUNT, "Height to which maps are up-sampled; the same in every row."),
        whole("input_width", COUNT, "Width to which maps are up-sampled; the same in every row."),
        ColumnFacts::new("map", Dtype::Numbers, "The map at any scale, row by row; finite.").shaped("[height, width]"),
    ],
    [CLASSES],
    WARNINGS
);

pub(super) const PREDICTIONS: ArtifactFacts = table!(
    "predictions",
    "The prediction for each image, in the order of `cams`.",
    [IMAGE, LABEL, PREDICTED, PROBABILITIES],
    [CLASSES]
);

pub(super) const THRESHOLDS: ArtifactFacts = table!(
    "thresholds",
    "The grey level above which a pixel of each heatmap is foreground, in the order of `cams`.",
    [IMAGE, number("threshold", Bounds::from(0.0).to(255.0), "Grey level T; the mask is `heatmap > T`.")],
    [note("scale", "`after` or `before`: the scale of the heatmaps; without it, `after`.")]
);

pub(super) const PREDICTED_MASKS: ArtifactFacts = table!(
    "predicted-masks",
    "Predicted masks of validation images at the network's input size, in data set order.",
    [IMAGE, HEIGHT, WIDTH, MASK, LABEL],
    [CLASSES],
    WARNINGS
);

const fn score(name: &'static str, about: &'static str) -> ColumnFacts {
    number(name, SHARE, about).nullable()
}

pub(super) const SCORES: ArtifactFacts = table!(
    "scores",
    "Agreement of mask and ground truth of each scored image, in the order of `cams`.",
    [
        IMAGE,
        LABEL,
        PREDICTED,
        ColumnFacts::new("correct", Dtype::Truth, "Whether the classes are equal."),
        score("iou", "Intersection over union; missing if the ground truth is empty."),
        score("dice", "Dice coefficient; missing if the ground truth is empty."),
        score("precision", "Share of the mask that is foreground; 0 if the mask is empty."),
        score("recall", "Share of the foreground that is in the mask; missing if the ground truth is empty."),
        whole("mask_pixels", COUNT, "Pixels in the mask."),
        whole("truth_pixels", COUNT, "Pixels in the ground truth."),
        ColumnFacts::new("constant", Dtype::Truth, "Whether the map has one value everywhere; absent if none has.")
            .optional(),
    ],
    [CLASSES, note("classified", "JSON list of the images of each class, if only those classified correctly count.")]
);

pub(super) const CURVE: ArtifactFacts = table!(
    "curve",
    "Losses of a training, one row an epoch.",
    [
        whole("epoch", FROM_1, "Its number, from 1."),
        number("learning_rate", ANY, "The learning rate of its batches."),
        number("train_loss", ANY, "Mean loss of the training images, each before the step of its batch."),
        number("validation_loss", ANY, "Loss of all validation images together, after the epoch."),
        number("validation_accuracy", SHARE, "Share of images whose class is predicted; of `train`.").optional(),
        further("validation_iou", SHARE, "Mean IoU of images that have a mask; of `segment`."),
    ],
    []
);

pub(super) const METRICS: ArtifactFacts = table!(
    "metrics",
    "Metrics of a classification in tidy form, one row a value, input after input.",
    [
        AXIS,
        text("metric", "`accuracy`, `precision`, `recall` or `f1`."),
        text("label", "Name of a class, or `all`."),
        number("value", SHARE, "The value; missing for a class without images that is never predicted.").nullable(),
        whole("n", COUNT, "Images of that class."),
        whole("predicted", COUNT, "Images predicted as that class.").optional(),
        whole("image_hash", COUNT, "Sum of the hashes of the names of all images of the input, modulo 2^63.")
            .optional(),
    ],
    [CLASSES, AXES, note("synthetic", "`true` for images of the phantom.")],
    WARNINGS
);

pub(super) const CONFUSION: ArtifactFacts = table!(
    "confusion",
    "A confusion matrix in tidy form, input after input.",
    [AXIS, LABEL, PREDICTED, whole("n", COUNT, "Number of images.")],
    [CLASSES, AXES]
);

pub(super) const TABLE: ArtifactFacts = table!(
    "table",
    "Figures by the axes of a study, one row a cell, row by row of the layout.",
    [
        AXIS,
        text("metric", "Name of the metric; an axis column where the layout has several.").optional(),
        text("statistic", "`mean`, `share` or `difference`."),
        number("mean", ANY, "Mean, share or mean difference.").nullable(),
        number("sd", COUNT, "Sample standard deviation (ddof = 1).").nullable(),
        whole("n", COUNT, "Images with a value, each once a group."),
        whole("excluded", COUNT, "Images without ground truth, which are left out."),
        whole("groups", COUNT, "Folds, or other groups of `across`, with a value."),
        ColumnFacts::new("synthetic", Dtype::Truth, "Whether the images are of the phantom."),
        further("classified", COUNT, "Images of which those classified correctly count."),
        further("constant", COUNT, "Images whose map has one value everywhere."),
        further("images", COUNT, "Distinct images, where some count several times, once a seed for example."),
        further("times", COUNT, "The most times that one image counts."),
        further("published_mean", ANY, "Mean in the reference."),
        further("published_sd", COUNT, "Standard deviation in the reference."),
        further("published_precision", ANY, "Largest distance of the printed mean from the unrounded one."),
        further("low", ANY, "Lower end of the interval."),
        further("high", ANY, "Upper end of the interval."),
        further("units", COUNT, "Patients or images that were resampled."),
        further("w", COUNT, "Statistic of Wilcoxon's signed-rank test."),
        further("p", SHARE, "Its two-sided p-value."),
        further("left_out", COUNT, "Images that only one of both has a value for."),
    ],
    [
        note("rows", "JSON list of the axes of the rows with their labels in order."),
        note("columns", "The same for the columns."),
        note("across", "JSON list of the names over which values are summarised."),
        note("remarks", "JSON list of remarks about the table."),
        note("title", "The title."),
        note("source", "Citation of the reference values."),
        note("resampling", "JSON of level, resamples and unit of the intervals."),
        note("at_most", "Bound of a share."),
    ],
    FileFacts::new(TEXT, "The table for people; runs print it."),
    FileFacts::new("table.csv", "The table as CSV."),
    FileFacts::new("table.md", "The table as Markdown."),
    FileFacts::new("table.tex", "The table as LaTeX.")
);

const REPORT_FILES: &[FileFacts] = &[FileFacts::new("report.html", "The page, with its pictures in it.")];

/// Facts about the page of a study.
pub(crate) const REPORT: ArtifactFacts =
    ArtifactFacts { name: "report", about: "One HTML page of tables, figures and cases.", files: REPORT_FILES };
