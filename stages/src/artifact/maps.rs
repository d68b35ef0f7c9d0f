//! The tables of `cam` and `threshold`.

use orchestrate_engine::stage::{ArtifactFacts, StageError};

use super::{Columns, Rows, Scale, Table, constant_maps, described, is_constant};

/// Class activation maps of validation images, in data set order.
///
/// Columns: `image`, `label` and `predicted` (class names), `probabilities` (list, in the order of the note
/// `classes`), `height`, `width`, `input_height`, `input_width`, `map` (list of f32, `[height, width]`, row by row).
/// Notes: `classes`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cams {
    /// Names of the images.
    pub names: Vec<String>,
    /// True class index of each image.
    pub labels: Vec<u32>,
    /// Predicted class index of each image, whose map it is.
    pub predicted: Vec<u32>,
    /// Class names in the order of their indices.
    pub classes: Vec<String>,
    /// Softmax probabilities, `[image, class]`.
    pub probabilities: Vec<f32>,
    /// Height of every map at its native size.
    pub height: usize,
    /// Width of every map at its native size.
    pub width: usize,
    /// Height of the network's input, to which maps are up-sampled.
    pub input_height: usize,
    /// Width of the network's input.
    pub input_width: usize,
    /// S of Kang et al. 2021, Eq. 2, any scale, `[image, height, width]`.
    pub maps: Vec<f32>,
}

/// The prediction for each image, for `classify`: [`Cams`] without the maps.
///
/// Columns: `image`, `label` and `predicted` (class names), `probabilities`. Notes: `classes`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predictions {
    /// Names of the images.
    pub names: Vec<String>,
    /// True class index of each image.
    pub labels: Vec<u32>,
    /// Predicted class index of each image.
    pub predicted: Vec<u32>,
    /// Class names in the order of their indices.
    pub classes: Vec<String>,
    /// Softmax probabilities, `[image, class]`.
    pub probabilities: Vec<f32>,
}

/// The grey level above which a pixel of each heatmap counts as foreground, in the order of [`Cams`].
///
/// Columns: `image`, `threshold`. Notes: `scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Names of the images.
    pub names: Vec<String>,
    /// Grey level T in 0..=255; the mask is `heatmap > T`.
    pub thresholds: Vec<f64>,
    /// The scale of the heatmaps to which the thresholds apply.
    pub scale: Scale,
}

impl Table for Cams {
    const FACTS: &'static ArtifactFacts = &described::CAMS;

    fn warning(&self) -> Option<String> {
        let maps = self.maps.chunks(self.height.saturating_mul(self.width).max(1));
        constant_maps("class activation maps", &self.names, maps.map(is_constant))
    }

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        let rows = self.names.len();
        if self.maps.len() != rows * self.height * self.width {
            return Err(StageError::new(format!(
                "{rows} maps of {} × {} have {} values, but there are {}",
                self.height,
                self.width,
                rows * self.height * self.width,
                self.maps.len()
            )));
        }
        let mut columns =
            prediction_columns(&self.names, &self.labels, &self.predicted, &self.classes, &self.probabilities)?;
        let sizes = [
            ("height", self.height),
            ("width", self.width),
            ("input_height", self.input_height),
            ("input_width", self.input_width),
        ];
        for (name, size) in sizes {
            columns = columns.integer(name, std::iter::repeat_n(size as i64, rows));
        }
        Ok(columns.floats("map", rows, &self.maps))
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let Predictions { names, labels, predicted, classes, probabilities } = Predictions::from_rows(rows)?;
        let (height, width) = (rows.constant("height")?, rows.constant("width")?);
        let (maps, length) = rows.floats("map")?;
        if !names.is_empty() && height.checked_mul(width) != Some(length) {
            let message = format!("column `map`, row 0: {length} values, but the map has {height} × {width}");
            return Err(rows.error(message));
        }
        Ok(Self {
            names,
            labels,
            predicted,
            classes,
            probabilities,
            height,
            width,
            input_height: rows.constant("input_height")?,
            input_width: rows.constant("input_width")?,
            maps,
        })
    }
}

impl Table for Predictions {
    const FACTS: &'static ArtifactFacts = &described::PREDICTIONS;

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        prediction_columns(&self.names, &self.labels, &self.predicted, &self.classes, &self.probabilities)
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let names = rows.text("image")?;
        let classes = rows.classes(&["label", "predicted"])?;
        let (probabilities, length) = rows.floats("probabilities")?;
        if !names.is_empty() && length != classes.len() {
            return Err(rows.error(format!(
                "column `probabilities`, row 0: {length} values, but there are {} classes: {}",
                classes.len(),
                classes.join(", ")
            )));
        }
        Ok(Self {
            labels: rows.class("label", &classes)?,
            predicted: rows.class("predicted", &classes)?,
            names,
            classes,
            probabilities,
        })
    }
}

impl Table for Thresholds {
    const FACTS: &'static ArtifactFacts = &described::THRESHOLDS;

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        Ok(Columns::new()
            .many()
            .text("image", &self.names)
            .float("threshold", self.thresholds.iter().copied())
            .note("scale", self.scale.name()))
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let names = rows.text("image")?;
        let thresholds = Self::levels(rows, |row| names[row].clone())?;
        Ok(Self { names, thresholds, scale: Self::scale(rows)? })
    }
}

impl Thresholds {
    /// The scale of the heatmaps to which the thresholds of a table apply.
    pub(crate) fn scale(rows: &Rows) -> Result<Scale, StageError> {
        let scale = rows.note("scale").map(Scale::from_name).unwrap_or(Some(Scale::default()));
        scale.ok_or_else(|| rows.error("note `scale` must be `after` or `before`"))
    }

    /// The thresholds of a table, in the order of its rows; errors name an image by `name`.
    pub(crate) fn levels(rows: &Rows, name: impl Fn(usize) -> String) -> Result<Vec<f64>, StageError> {
        let thresholds = rows.float("threshold")?;
        if let Some(row) = thresholds.iter().position(|threshold| !(0.0..=255.0).contains(threshold)) {
            return Err(rows.error(format!(
                "the threshold of image `{}` is {}; it must be in 0..=255",
                name(row),
                thresholds[row]
            )));
        }
        Ok(thresholds)
    }
}

fn prediction_columns<'a>(
    names: &'a [String],
    labels: &[u32],
    predicted: &[u32],
    classes: &'a [String],
    probabilities: &'a [f32],
) -> Result<Columns<'a>, StageError> {
    if probabilities.len() != names.len() * classes.len() {
        return Err(StageError::new(format!(
            "{} images and {} classes have {} probabilities, but there are {}",
            names.len(),
            classes.len(),
            names.len() * classes.len(),
            probabilities.len()
        )));
    }
    Columns::new()
        .text("image", names)
        .class("label", labels, classes)?
        .class("predicted", predicted, classes)?
        .floats("probabilities", names.len(), probabilities)
        .classes(classes)
}
