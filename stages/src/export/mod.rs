//! What a node gave, as files that other programs open: masks and heatmaps as PNG, heatmaps as NPY, weights, tables.
//!
//! Masks and heatmaps are not stored but follow from maps and thresholds, by the same [`crate::maps::heatmap`] that is scored.

mod name;
mod npy;

use std::collections::HashSet;
use std::io::Cursor;

use image::{GrayImage, ImageFormat};
use orchestrate_engine::stage::{Action, Item, StageError};

use crate::artifact::{Cams, Figures, Masks, PredictedMasks, Scale, Scores, Table, Thresholds, WEIGHTS};
use crate::maps::heatmap::each_heatmap;

use name::file_names;

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// One PNG an image, 255 where the mask is, else 0.
    Masks,
    /// One file an image: grey levels 0..=255 at the network's input size.
    Heatmaps(Format),
    /// `weights.safetensors` and `model.json`, as they are stored.
    Weights,
    /// `table.csv`, as it is stored.
    Table,
}

/// The format of heatmaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// NumPy's format: f32, `[height, width]`.
    Npy,
    /// 8-bit grey PNG.
    Png,
}

/// A node with its recorded outputs.
pub struct Source<'a> {
    /// The kind of its stage.
    pub kind: &'a str,
    /// What it was given.
    pub action: &'a Action,
    /// What it gave, by name.
    pub outputs: &'a [(String, Item)],
}

/// A file to write, relative to the folder that it is exported to.
pub type NamedFile = (String, Vec<u8>);

/// Turns what a node gave into files.
///
/// Names of images are kept with their subfolders, with the extension of the format. Errors: a node that has nothing of the
/// kind, with the kinds that do; a name that leads out of the folder.
pub fn export(what: What, source: &Source<'_>) -> Result<Vec<NamedFile>, StageError> {
    match what {
        What::Masks => masks(source),
        What::Heatmaps(format) => heatmaps(source, format),
        What::Weights => stored(source, WEIGHTS, "weights", |_| true),
        What::Table => stored(source, Figures::OUTPUT, "a table", |name| name == "table.csv"),
    }
}

impl Source<'_> {
    fn output(&self, name: &str) -> Option<&Item> {
        self.outputs.iter().find(|(output, _)| output == name).map(|(_, item)| item)
    }

    /// Maps of the node itself, or those that it reads.
    fn cams(&self) -> Result<Option<Cams>, StageError> {
        match self.output(Cams::OUTPUT).or_else(|| self.action.one("cams").ok()) {
            Some(item) => Cams::from_item(item).map(Some),
            None => Ok(None),
        }
    }

    /// Thresholds of the node itself, or those that it reads.
    fn thresholds(&self) -> Result<Option<Thresholds>, StageError> {
        match self.output(Thresholds::OUTPUT).or_else(|| self.action.one("thresholds").ok()) {
            Some(item) => Thresholds::from_item(item).map(Some),
            None => Ok(None),
        }
    }

    fn has_none(&self, what: &str, kinds: &str) -> StageError {
        StageError::new(format!("a node of kind {} gives no {what}; {kinds} do", self.kind))
    }
}

/// Masks: of a `threshold` those of all maps, of a `score` those that it scored, of `predict-masks` its own, of a `dataset` the
/// ground truth.
fn masks(source: &Source<'_>) -> Result<Vec<NamedFile>, StageError> {
    if let Some(item) = source.output(Masks::OUTPUT) {
        let Masks { names, height, width, pixels } = Masks::from_item(item)?;
        let masks = names.iter().enumerate().map(|(row, name)| {
            let mask = &pixels[row * height * width..(row + 1) * height * width];
            (name.as_str(), mask.iter().map(|&pixel| 255 * pixel).collect())
        });
        return pictures(masks, (height, width));
    }
    let scored: Option<HashSet<String>> = match source.output(Scores::OUTPUT) {
        Some(item) => Some(Scores::open(item)?.text("image")?.into_iter().collect()),
        None => None,
    };
    if let Some(item) = source.output(PredictedMasks::OUTPUT).or_else(|| source.action.one("predicted").ok()) {
        let PredictedMasks { names, height, width, pixels, .. } = PredictedMasks::from_item(item)?;
        let masks = names.iter().enumerate().map(|(row, name)| {
            let mask = &pixels[row * height * width..(row + 1) * height * width];
            (name.as_str(), mask.iter().map(|&pixel| 255 * pixel).collect())
        });
        let wanted = |(name, _): &(&str, Vec<u8>)| scored.as_ref().is_none_or(|scored| scored.contains(*name));
        return pictures(masks.filter(wanted), (height, width));
    }
    let (Some(cams), Some(thresholds)) = (source.cams()?, source.thresholds()?) else {
        return Err(source.has_none("masks", "`threshold`, `score`, `predict-masks` and `dataset`"));
    };
    let levels: std::collections::HashMap<&str, f64> =
        thresholds.names.iter().map(String::as_str).zip(thresholds.thresholds.iter().copied()).collect();
    let masks = each_heatmap(&cams, thresholds.scale, |row, heatmap| {
        let name = &cams.names[row];
        let level = *levels
            .get(name.as_str())
            .ok_or_else(|| StageError::input("thresholds", format!("image `{name}` of `cams` is missing")))?;
        let mask = |&grey: &u8| if f64::from(grey) > level { 255 } else { 0 };
        Ok(heatmap.iter().map(mask).collect::<Vec<u8>>())
    })?;
    let wanted = |(name, _): &(&str, Vec<u8>)| scored.as_ref().is_none_or(|scored| scored.contains(*name));
    let named = cams.names.iter().map(String::as_str).zip(masks).filter(wanted);
    pictures(named, (cams.input_height, cams.input_width))
}

fn heatmaps(source: &Source<'_>, format: Format) -> Result<Vec<NamedFile>, StageError> {
    let Some(cams) = source.cams()? else {
        return Err(source.has_none("heatmaps", "`cam`, `threshold` and `score`"));
    };
    let scale = source.thresholds()?.map_or(Scale::default(), |thresholds| thresholds.scale);
    let maps = each_heatmap(&cams, scale, |_, heatmap| Ok(heatmap))?;
    let named = cams.names.iter().map(String::as_str).zip(maps);
    let size = (cams.input_height, cams.input_width);
    match format {
        Format::Png => pictures(named, size),
        Format::Npy => {
            let names = file_names(cams.names.iter().map(String::as_str), "npy")?;
            Ok(names.into_iter().zip(named).map(|(file, (_, levels))| (file, npy::encode(&levels, size))).collect())
        }
    }
}

/// Grey PNGs of `[height, width]`.
fn pictures<'a>(
    named: impl Iterator<Item = (&'a str, Vec<u8>)>,
    (height, width): (usize, usize),
) -> Result<Vec<NamedFile>, StageError> {
    let named: Vec<(&str, Vec<u8>)> = named.collect();
    let names = file_names(named.iter().map(|(name, _)| *name), "png")?;
    let encode = |(file, (name, pixels)): (String, (&str, Vec<u8>))| {
        let failed = |problem: String| StageError::new(format!("image `{name}` cannot be written as PNG: {problem}"));
        let image = GrayImage::from_raw(width as u32, height as u32, pixels)
            .ok_or_else(|| failed(format!("it has no {height} × {width} pixels")))?;
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).map_err(|error| failed(error.to_string()))?;
        Ok((file, bytes))
    };
    names.into_iter().zip(named).map(encode).collect()
}

/// Files of an output, as they are stored.
fn stored(
    source: &Source<'_>,
    output: &str,
    what: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<NamedFile>, StageError> {
    let item = source.output(output).ok_or_else(|| {
        let given: Vec<_> = source.outputs.iter().map(|(name, _)| format!("`{name}`")).collect();
        StageError::new(format!("a node of kind {} gives no {what}, only: {}", source.kind, given.join(", ")))
    })?;
    let files = item.files.iter().filter(|file| wanted(&file.name));
    files.map(|file| Ok((file.name.clone(), file.read()?))).collect()
}

#[cfg(test)]
mod tests;
