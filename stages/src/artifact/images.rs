//! The tables of `dataset`: images, labels, masks.

use std::path::Path;

use bytes::Bytes;
use orchestrate_engine::stage::{ArtifactFacts, Item, StageError};

use super::grids::{GridsWriter, grids, image_columns, mask_columns, mask_grids};
use super::{Columns, Rows, Table, described, file};

/// Grey images of one size, in data set order.
///
/// Columns: `image` (name), `height`, `width`, `pixels` (bytes, `[height, width]`, row by row).
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    /// Unique names: paths relative to the manifest or folder (`images/0001.png`), or made by the generator.
    pub names: Vec<String>,
    /// Height of every image, in pixels.
    pub height: usize,
    /// Width of every image, in pixels.
    pub width: usize,
    /// Grey levels 0..=255, `[image, height, width]`, row by row.
    pub pixels: Vec<u8>,
}

/// Class and patient of each image, in the order of [`Images`].
///
/// Columns: `image`, `label` (class name), `patient` (may be missing), and those of the manifest. Notes: `classes`,
/// `columns` (names of the manifest's columns).
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// Names of the images.
    pub names: Vec<String>,
    /// Class index of each image, into `classes`.
    pub labels: Vec<u32>,
    /// Class names in the order of their indices.
    pub classes: Vec<String>,
    /// Patient of each image; `None` if unknown.
    pub patients: Vec<Option<String>>,
    /// Further columns of the manifest by name, in its order, for `folds_from`.
    pub columns: Vec<(String, Vec<String>)>,
}

/// Ground truth of each image, in the order of [`Images`].
///
/// Columns: `image`, `height`, `width`, `pixels` (bytes 0 or 1, `[height, width]`, row by row).
#[derive(Clone, Debug, PartialEq)]
pub struct Masks {
    /// Names of the images.
    pub names: Vec<String>,
    /// Height of every mask, in pixels.
    pub height: usize,
    /// Width of every mask, in pixels.
    pub width: usize,
    /// 1 = foreground (tumour), 0 = background, `[image, height, width]`; an image without a mask is all 0.
    pub pixels: Vec<u8>,
}

impl Images {
    /// Starts the table in a new file; the pixels follow some images at a time.
    pub fn writer<'a>(path: &Path, names: &'a [String], size: (usize, usize)) -> Result<GridsWriter<'a>, StageError> {
        GridsWriter::create::<Self>(path, (names.len(), size.0 * size.1), move |rows, pixels| {
            image_columns(&names[rows], size, pixels)
        })
    }

    /// Reads only the images whose name is `wanted` from an item of a port.
    pub fn select_from_item(item: &Item, wanted: impl Fn(&str) -> bool) -> Result<Self, StageError> {
        let (names, height, width, pixels) = grids(&Self::open(item)?, wanted)?;
        Ok(Self { names, height, width, pixels })
    }
}

impl Labels {
    /// Reads only images and patients, in whatever version of the table; a table without patients has none.
    pub fn patients(bytes: &[u8]) -> Result<Vec<(String, Option<String>)>, StageError> {
        let rows = Rows::open(&file::<Self>(), Bytes::copy_from_slice(bytes))?;
        let images = rows.text("image")?;
        let has_patients = rows.names().iter().any(|name| name == "patient");
        let patients = if has_patients { rows.optional_text("patient")? } else { vec![None; images.len()] };
        Ok(images.into_iter().zip(patients).collect())
    }
}

impl Masks {
    /// Starts the table in a new file; see [`Images::writer`].
    pub fn writer<'a>(path: &Path, names: &'a [String], size: (usize, usize)) -> Result<GridsWriter<'a>, StageError> {
        GridsWriter::create::<Self>(path, (names.len(), size.0 * size.1), move |rows, pixels| {
            mask_columns(&names[rows], size, pixels)
        })
    }

    /// Reads only the masks of images whose name is `wanted`, so a fold does not hold the whole data set.
    pub fn select(rows: &Rows, wanted: impl Fn(&str) -> bool) -> Result<Self, StageError> {
        let (names, height, width, pixels) = mask_grids(rows, wanted)?;
        Ok(Self { names, height, width, pixels })
    }

    /// Reads some masks from an item of a port; see [`Masks::select`].
    pub fn select_from_item(item: &Item, wanted: impl Fn(&str) -> bool) -> Result<Self, StageError> {
        Self::select(&Self::open(item)?, wanted)
    }
}

impl Table for Images {
    const FACTS: &'static ArtifactFacts = &described::IMAGES;

    fn open(item: &Item) -> Result<Rows, StageError> {
        Self::open_stored(item)
    }

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        image_columns(&self.names, (self.height, self.width), &self.pixels)
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let (names, height, width, pixels) = grids(rows, |_| true)?;
        Ok(Self { names, height, width, pixels })
    }
}

impl Table for Masks {
    const FACTS: &'static ArtifactFacts = &described::MASKS;

    fn open(item: &Item) -> Result<Rows, StageError> {
        Self::open_stored(item)
    }

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        mask_columns(&self.names, (self.height, self.width), &self.pixels)
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        Self::select(rows, |_| true)
    }
}

impl Table for Labels {
    const FACTS: &'static ArtifactFacts = &described::LABELS;

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        let mut columns = Columns::new()
            .text("image", &self.names)
            .class("label", &self.labels, &self.classes)?
            .optional_text("patient", &self.patients)
            .classes(&self.classes)?;
        for (name, values) in &self.columns {
            if ["image", "label", "patient"].contains(&name.as_str()) {
                return Err(StageError::new(format!(
                    "column `{name}` of the manifest has the name of a column that `labels` has already; \
                     rename it there"
                )));
            }
            columns = columns.text(name, values);
        }
        let names: Vec<_> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        Ok(columns.list_note("columns", &names))
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let classes = rows.classes(&["label"])?;
        let columns = rows.list_note("columns")?.unwrap_or_default().into_iter().map(|name| {
            let values = rows.text(&name)?;
            Ok((name, values))
        });
        Ok(Self {
            names: rows.text("image")?,
            labels: rows.class("label", &classes)?,
            patients: rows.optional_text("patient")?,
            columns: columns.collect::<Result<_, StageError>>()?,
            classes,
        })
    }
}
