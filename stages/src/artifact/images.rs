//! The tables of `dataset`: images, labels, masks.

use bytes::Bytes;
use orchestrate_engine::stage::{Item, StageError};

use super::{Columns, Rows, Table, file};

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
    const OUTPUT: &'static str = "images";

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        let columns = frame_columns(&self.names, self.height, self.width, &self.pixels)?;
        Ok(columns.raw_bytes("pixels", self.names.len(), &self.pixels))
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let (names, height, width, pixels) = grids(rows, |_| true)?;
        Ok(Self { names, height, width, pixels })
    }
}

impl Table for Masks {
    const OUTPUT: &'static str = "masks";

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        grid_columns(&self.names, self.height, self.width, &self.pixels)
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        Self::select(rows, |_| true)
    }
}

impl Table for Labels {
    const OUTPUT: &'static str = "labels";

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

pub(super) fn grid_columns<'a>(
    names: &'a [String],
    height: usize,
    width: usize,
    pixels: &'a [u8],
) -> Result<Columns<'a>, StageError> {
    Ok(frame_columns(names, height, width, pixels)?.bytes("pixels", names.len(), pixels))
}

/// The columns of [`grid_columns`] except `pixels`, of which only the number is checked.
fn frame_columns<'a>(
    names: &'a [String],
    height: usize,
    width: usize,
    pixels: &[u8],
) -> Result<Columns<'a>, StageError> {
    let rows = names.len();
    if pixels.len() != rows * height * width {
        return Err(StageError::new(format!(
            "{rows} images of {height} × {width} have {} pixels, but there are {}",
            rows * height * width,
            pixels.len()
        )));
    }
    Ok(Columns::new()
        .text("image", names)
        .integer("height", std::iter::repeat_n(height as i64, rows))
        .integer("width", std::iter::repeat_n(width as i64, rows)))
}

/// The problem of pixels that are no mask.
pub(super) const NOT_A_MASK: &str = "column `pixels` has values other than 0 and 1; a mask is 1 where the tumour is";

/// Reads [`grids`] and checks that all pixels are 0 or 1.
pub(super) fn mask_grids(
    rows: &Rows,
    wanted: impl Fn(&str) -> bool,
) -> Result<(Vec<String>, usize, usize, Vec<u8>), StageError> {
    let grids = grids(rows, wanted)?;
    if is_mask(&grids.3) { Ok(grids) } else { Err(rows.error(NOT_A_MASK)) }
}

/// Returns whether all pixels are 0 or 1.
pub(super) fn is_mask(pixels: &[u8]) -> bool {
    // The largest of many at a time, which processors find much faster than the first that is too large.
    pixels.chunks(1 << 12).all(|pixels| pixels.iter().fold(0, |max, &pixel| max.max(pixel)) <= 1)
}

impl Rows {
    /// Names, height, width and number of pixels of a table of images or masks.
    pub(super) fn frame(&self) -> Result<(Vec<String>, usize, usize, usize), StageError> {
        let names = self.text("image")?;
        let (height, width) = (self.constant("height")?, self.constant("width")?);
        let too_large = || self.error(format!("{} images of {height} × {width} do not fit in memory", names.len()));
        let size = height.checked_mul(width).ok_or_else(too_large)?;
        Ok((names, height, width, size))
    }
}

/// Names, height, width and pixels of the rows whose name is `wanted`.
fn grids(rows: &Rows, wanted: impl Fn(&str) -> bool) -> Result<(Vec<String>, usize, usize, Vec<u8>), StageError> {
    let (mut names, height, width, size) = rows.frame()?;
    let keep: Vec<bool> = names.iter().map(|name| wanted(name)).collect();
    let pixels = rows.bytes("pixels", &keep, size)?;
    let mut kept = keep.into_iter();
    names.retain(|_| kept.next() == Some(true));
    Ok((names, height, width, pixels))
}
