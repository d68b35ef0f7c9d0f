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

use crate::artifact::{
    Cams, Figures, MaskReader, Masks, PredictedMasks, PredictedReader, Scale, Scores, Table, Thresholds, WEIGHTS,
};
use crate::maps::heatmap::{each_is_constant, heatmap_of};

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

/// The files of an export, of which only one is in memory at a time.
pub struct Files<'a> {
    /// Their names, relative to the folder of the export.
    pub names: Vec<String>,
    /// The image in each file; empty for stored files.
    pub images: Vec<String>,
    contents: Box<dyn Fn(usize) -> Result<Vec<u8>, StageError> + 'a>,
}

impl Files<'_> {
    /// Makes the contents of a file, given its place among the names.
    pub fn contents(&self, file: usize) -> Result<Vec<u8>, StageError> {
        (self.contents)(file)
    }
}

/// Images of one size, `[height, width]`, made one by one.
struct Pictures<'a> {
    names: Vec<String>,
    size: (usize, usize),
    /// The grey levels of the image in a row.
    levels: Box<dyn Fn(usize) -> Result<Vec<u8>, StageError> + 'a>,
}

/// Prepares the files of an export.
///
/// Names of images are kept with their subfolders, with the extension of the format. Errors: a node without such
/// outputs, with the kinds that have them; a name that leads out of the folder; maps that are not finite.
pub fn export<'a>(export: Export, node: &'a RecordedNode<'a>) -> Result<Files<'a>, StageError> {
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
        self.item::<T>(port).map(T::from_item).transpose()
    }

    fn item<T: Table>(&self, port: &str) -> Option<&Item> {
        self.output(T::OUTPUT).or_else(|| self.action.one(port).ok())
    }

    fn has_none(&self, what: &str, kinds: &str) -> StageError {
        StageError::new(format!("a node of kind {} gives no {what}; {kinds} do", self.kind))
    }
}

/// The masks of a node: ground truth of a `dataset`, those that `predict-masks` gives, those of all maps of a
/// `threshold`, and those that a `score` scored.
fn masks<'a>(node: &RecordedNode<'_>) -> Result<Files<'a>, StageError> {
    let scored: Option<HashSet<String>> = match node.output(Scores::OUTPUT) {
        Some(item) => Some(Scores::open(item)?.text("image")?.into_iter().collect()),
        None => None,
    };
    let is_scored = |name: &str| scored.as_ref().is_none_or(|scored| scored.contains(name));
    let pictures = if let Some(item) = node.output(Masks::OUTPUT) {
        Pictures::white(MaskReader::from_item(item)?)?
    } else if let Some(item) = node.item::<PredictedMasks>("predicted") {
        Pictures::white(PredictedReader::from_item(item)?.masks)?
    } else if let (Some(cams), Some(thresholds)) = (node.table("cams")?, node.table("thresholds")?) {
        Pictures::thresholded(cams, &thresholds)?
    } else {
        return Err(node.has_none("masks", "`threshold`, `score`, `predict-masks` and `dataset`"));
    };
    pictures.files(is_scored, ImageFormat::Png)
}

fn heatmaps<'a>(node: &RecordedNode<'_>, format: ImageFormat) -> Result<Files<'a>, StageError> {
    let Some(cams) = node.table::<Cams>("cams")? else {
        return Err(node.has_none("heatmaps", "`cam`, `threshold` and `score`"));
    };
    let thresholds: Option<Thresholds> = node.table("thresholds")?;
    let scale = thresholds.map_or(Scale::default(), |thresholds| thresholds.scale);
    Pictures::heatmaps(cams, scale, |_, heatmap| heatmap)?.files(|_| true, format)
}

impl<'a> Pictures<'a> {
    /// Masks as 255 inside and 0 outside.
    fn white(masks: MaskReader) -> Result<Self, StageError> {
        masks.load(&(0..masks.names.len()).collect::<Vec<_>>())?;
        let (names, size) = (masks.names.clone(), (masks.height, masks.width));
        let levels = move |row: usize| {
            let mut pixels = masks.pixels(row)?;
            pixels.iter_mut().for_each(|pixel| *pixel *= 255);
            Ok(pixels)
        };
        Ok(Self { names, size, levels: Box::new(levels) })
    }

    /// The masks of all maps.
    fn thresholded(cams: Cams, thresholds: &Thresholds) -> Result<Self, StageError> {
        let levels: HashMap<_, _> = thresholds.names.iter().zip(thresholds.thresholds.iter().copied()).collect();
        let level_of = |name: &String| {
            let missing = || StageError::input("thresholds", format!("image `{name}` of `cams` is missing"));
            levels.get(name).copied().ok_or_else(missing)
        };
        let levels = cams.names.iter().map(level_of).collect::<Result<Vec<f64>, _>>()?;
        let mask = move |row: usize, mut heatmap: Vec<u8>| {
            heatmap.iter_mut().for_each(|grey| *grey = if f64::from(*grey) > levels[row] { 255 } else { 0 });
            heatmap
        };
        Self::heatmaps(cams, thresholds.scale, mask)
    }

    /// The heatmaps of all maps, changed by `each`, which receives their rows.
    fn heatmaps(cams: Cams, scale: Scale, each: impl Fn(usize, Vec<u8>) -> Vec<u8> + 'a) -> Result<Self, StageError> {
        // Maps that are not finite are found before any file is written.
        each_is_constant(&cams)?;
        let (names, size) = (cams.names.clone(), (cams.input_height, cams.input_width));
        let levels = move |row: usize| Ok(each(row, heatmap_of(&cams, row, scale)?));
        Ok(Self { names, size, levels: Box::new(levels) })
    }

    /// One file for each image whose name is `wanted`.
    fn files(self, wanted: impl Fn(&str) -> bool, format: ImageFormat) -> Result<Files<'a>, StageError> {
        let Self { names, size, levels } = self;
        let extension = match format {
            ImageFormat::Npy => "npy",
            ImageFormat::Png => "png",
        };
        let rows: Vec<usize> = (0..names.len()).filter(|&row| wanted(&names[row])).collect();
        let files = file_names(rows.iter().map(|&row| names[row].as_str()), extension)?;
        let images = rows.iter().map(|&row| names[row].clone()).collect();
        let contents = move |file: usize| {
            let row = rows[file];
            let pixels = levels(row)?;
            match format {
                ImageFormat::Npy => Ok(npy::encode(&pixels, size)),
                ImageFormat::Png => png(pixels, size).map_err(|problem| {
                    StageError::new(format!("image `{}` cannot be written as PNG: {problem}", names[row]))
                }),
            }
        };
        Ok(Files { names: files, images, contents: Box::new(contents) })
    }
}

fn png(pixels: Vec<u8>, (height, width): (usize, usize)) -> Result<Vec<u8>, String> {
    let image = GrayImage::from_raw(width as u32, height as u32, pixels)
        .ok_or_else(|| format!("it has no {height} × {width} pixels"))?;
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).map_err(|error| error.to_string())?;
    Ok(bytes.into_inner())
}

/// The stored files of an output.
fn stored<'a>(
    node: &'a RecordedNode<'a>,
    output: &str,
    what: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Files<'a>, StageError> {
    let item = node.output(output).ok_or_else(|| {
        let outputs: Vec<_> = node.outputs.iter().map(|(name, _)| format!("`{name}`")).collect();
        StageError::new(format!("a node of kind {} gives no {what}, only: {}", node.kind, outputs.join(", ")))
    })?;
    let files: Vec<_> = item.files.iter().filter(|file| wanted(&file.name)).collect();
    let names = files.iter().map(|file| file.name.clone()).collect();
    Ok(Files { names, images: Vec::new(), contents: Box::new(move |file: usize| files[file].read()) })
}

#[cfg(test)]
mod tests;
