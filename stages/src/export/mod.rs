//! Files for other programs, made of the outputs of a node: masks and heatmaps as images, weights, tables.
//!
//! Masks and heatmaps are not stored. They follow from maps and thresholds, by the [`heatmap`](crate::maps::heatmap)
//! that is scored.

mod name;
mod npy;

use std::collections::{HashMap, HashSet};
use std::io::Cursor;

use image::GrayImage;
use orchestrate_engine::stage::{Action, Item, StageError};

use crate::artifact::{Cams, Figures, Masks, PredictedMasks, Scale, Scores, Table, Thresholds, WEIGHTS};
use crate::maps::heatmap::each_heatmap;

use name::file_names;

/// A choice of files to export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// One PNG an image, 255 inside the mask and 0 outside.
    Masks,
    /// One file an image: grey levels 0..=255 at the network's input size.
    Heatmaps(ImageFormat),
    /// `weights.safetensors` and `model.json`, as they are stored.
    Weights,
    /// `table.csv`, as it is stored.
    Table,
}

/// The format of exported images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFormat {
    /// NumPy's format: f32, `[height, width]`.
    Npy,
    /// 8-bit grey PNG.
    Png,
}

/// A node with its recorded outputs.
pub struct RecordedNode<'a> {
    /// The kind of its stage.
    pub kind: &'a str,
    /// Its params and inputs.
    pub action: &'a Action,
    /// Its outputs by name.
    pub outputs: &'a [(String, Item)],
}

/// A file to write, relative to the folder of the export.
pub type NamedFile = (String, Vec<u8>);

/// Makes the files of an export.
///
/// Names of images are kept with their subfolders, with the extension of the format. Errors: a node without such
/// outputs, with the kinds that have them; a name that leads out of the folder.
pub fn export(export: Export, node: &RecordedNode<'_>) -> Result<Vec<NamedFile>, StageError> {
    match export {
        Export::Masks => masks(node),
        Export::Heatmaps(format) => heatmaps(node, format),
        Export::Weights => stored(node, WEIGHTS, "weights", |_| true),
        Export::Table => stored(node, Figures::OUTPUT, "a table", |name| name == "table.csv"),
    }
}

impl RecordedNode<'_> {
    fn output(&self, name: &str) -> Option<&Item> {
        self.outputs.iter().find(|(output, _)| output == name).map(|(_, item)| item)
    }

    /// A table that is an output of the node, or its input at a port.
    fn table<T: Table>(&self, port: &str) -> Result<Option<T>, StageError> {
        self.output(T::OUTPUT).or_else(|| self.action.one(port).ok()).map(T::from_item).transpose()
    }

    fn has_none(&self, what: &str, kinds: &str) -> StageError {
        StageError::new(format!("a node of kind {} gives no {what}; {kinds} do", self.kind))
    }
}

/// The masks of a node: ground truth of a `dataset`, those that `predict-masks` gives, those of all maps of a
/// `threshold`, and those that a `score` scored.
fn masks(node: &RecordedNode<'_>) -> Result<Vec<NamedFile>, StageError> {
    let scored: Option<HashSet<String>> = match node.output(Scores::OUTPUT) {
        Some(item) => Some(Scores::open(item)?.text("image")?.into_iter().collect()),
        None => None,
    };
    let (names, size, masks) = if let Some(item) = node.output(Masks::OUTPUT) {
        let Masks { names, height, width, pixels } = Masks::from_item(item)?;
        let masks = white(&pixels, names.len(), height * width);
        (names, (height, width), masks)
    } else if let Some(predicted) = node.table("predicted")? {
        let PredictedMasks { names, height, width, pixels, .. } = predicted;
        let masks = white(&pixels, names.len(), height * width);
        (names, (height, width), masks)
    } else if let (Some(cams), Some(thresholds)) = (node.table("cams")?, node.table("thresholds")?) {
        let masks = thresholded(&cams, &thresholds)?;
        (cams.names, (cams.input_height, cams.input_width), masks)
    } else {
        return Err(node.has_none("masks", "`threshold`, `score`, `predict-masks` and `dataset`"));
    };
    let named = names.iter().map(String::as_str).zip(masks);
    let wanted = |(name, _): &(&str, Vec<u8>)| scored.as_ref().is_none_or(|scored| scored.contains(*name));
    image_files(named.filter(wanted).collect(), size, ImageFormat::Png)
}

/// Masks of 0 and 1 as masks of 0 and 255.
fn white(pixels: &[u8], masks: usize, size: usize) -> Vec<Vec<u8>> {
    let mask = |mask: usize| pixels[mask * size..(mask + 1) * size].iter().map(|&pixel| 255 * pixel).collect();
    (0..masks).map(mask).collect()
}

/// The masks of all maps.
fn thresholded(cams: &Cams, thresholds: &Thresholds) -> Result<Vec<Vec<u8>>, StageError> {
    let levels: HashMap<_, _> = thresholds.names.iter().zip(thresholds.thresholds.iter().copied()).collect();
    each_heatmap(cams, thresholds.scale, |row, heatmap| {
        let name = &cams.names[row];
        let missing = || StageError::input("thresholds", format!("image `{name}` of `cams` is missing"));
        let level = *levels.get(name).ok_or_else(missing)?;
        Ok(heatmap.iter().map(|&grey| if f64::from(grey) > level { 255 } else { 0 }).collect())
    })
}

fn heatmaps(node: &RecordedNode<'_>, format: ImageFormat) -> Result<Vec<NamedFile>, StageError> {
    let Some(cams) = node.table::<Cams>("cams")? else {
        return Err(node.has_none("heatmaps", "`cam`, `threshold` and `score`"));
    };
    let thresholds: Option<Thresholds> = node.table("thresholds")?;
    let scale = thresholds.map_or(Scale::default(), |thresholds| thresholds.scale);
    let heatmaps = each_heatmap(&cams, scale, |_, heatmap| Ok(heatmap))?;
    let named = cams.names.iter().map(String::as_str).zip(heatmaps);
    image_files(named.collect(), (cams.input_height, cams.input_width), format)
}

/// One file an image of `[height, width]` grey levels.
fn image_files(
    named: Vec<(&str, Vec<u8>)>,
    size: (usize, usize),
    format: ImageFormat,
) -> Result<Vec<NamedFile>, StageError> {
    let extension = match format {
        ImageFormat::Npy => "npy",
        ImageFormat::Png => "png",
    };
    let files = file_names(named.iter().map(|(name, _)| *name), extension)?;
    let encode = |(file, (name, pixels)): (String, (&str, Vec<u8>))| match format {
        ImageFormat::Npy => Ok((file, npy::encode(&pixels, size))),
        ImageFormat::Png => png(pixels, size)
            .map(|bytes| (file, bytes))
            .map_err(|problem| StageError::new(format!("image `{name}` cannot be written as PNG: {problem}"))),
    };
    files.into_iter().zip(named).map(encode).collect()
}

fn png(pixels: Vec<u8>, (height, width): (usize, usize)) -> Result<Vec<u8>, String> {
    let image = GrayImage::from_raw(width as u32, height as u32, pixels)
        .ok_or_else(|| format!("it has no {height} × {width} pixels"))?;
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).map_err(|error| error.to_string())?;
    Ok(bytes.into_inner())
}

/// The stored files of an output.
fn stored(
    node: &RecordedNode<'_>,
    output: &str,
    what: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<NamedFile>, StageError> {
    let item = node.output(output).ok_or_else(|| {
        let outputs: Vec<_> = node.outputs.iter().map(|(name, _)| format!("`{name}`")).collect();
        StageError::new(format!("a node of kind {} gives no {what}, only: {}", node.kind, outputs.join(", ")))
    })?;
    let files = item.files.iter().filter(|file| wanted(&file.name));
    files.map(|file| Ok((file.name.clone(), file.read()?))).collect()
}

#[cfg(test)]
mod tests;
