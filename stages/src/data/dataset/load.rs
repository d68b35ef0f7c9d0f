//! Images and masks from files: decoded, brought to grey levels, not yet resized.

use std::collections::HashMap;
use std::ops::Range;

use rayon::prelude::*;

use super::cheng;
use super::facts::ImageFacts;
use super::file::SourceFile;
use super::files::Files;
use super::listing::{ListedImage, Listing};
use super::params::{Format, Params, Resize};
use super::phantom::{self, Slice};
use super::picture;
use super::raster::Header;
use super::resize::Grid;
use super::window::{Levels, Named, Window};

/// An image before it is resized.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Loaded {
    pub(super) image: Grid,
    /// 1 = foreground; `None` if the image has no mask.
    pub(super) mask: Option<Grid>,
    pub(super) facts: ImageFacts,
}

impl Loaded {
    /// Resizes image and mask, and notes the foreground before and after; `None` keeps their size.
    pub(super) fn fitted(self, size: Option<(usize, usize)>, resize: Resize) -> Self {
        let Self { mut image, mut mask, mut facts } = self;
        let before = mask.as_ref().map(Grid::foreground);
        if let Some(size) = size {
            image = image.resized(size, resize.images);
            mask = mask.map(|mask| mask.resized_mask(size, resize.masks));
        }
        facts.foreground = before.zip(mask.as_ref().map(Grid::foreground));
        Self { image, mask, facts }
    }
}

/// Loads the images of a listing.
pub(super) struct Loader<'a> {
    params: &'a Params,
    listing: &'a Listing,
    files: &'a Files,
    /// Smallest and largest value by volume, for [`Named::MinmaxVolume`].
    volumes: HashMap<String, (f64, f64)>,
    /// Slices of the phantom by name.
    slices: HashMap<String, Slice>,
}

impl<'a> Loader<'a> {
    /// Prepares for a listing. With the window of volumes, all files are read once for the ranges of their values.
    ///
    /// Errors: files that cannot be decoded, one sentence each.
    pub(super) fn new(params: &'a Params, listing: &'a Listing, files: &'a Files) -> Result<Self, Vec<String>> {
        let slices = phantom::slices(params.count.unwrap_or_default());
        let slices = slices.into_iter().map(|slice| (slice.name(), slice)).collect();
        let mut loader = Self { params, listing, files, volumes: HashMap::new(), slices };
        if loader.window().named() == Some(Named::MinmaxVolume) && params.format != Format::ChengMat {
            loader.volumes = loader.volumes()?;
        }
        Ok(loader)
    }

    fn window(&self) -> Window {
        self.params.window.unwrap_or_default()
    }

    /// Loads the images of one file, in order, and passes each on with its index. A file that cannot be opened is a
    /// problem of its first image, and an empty problem of the others.
    pub(super) fn load(&self, run: Range<usize>, mut each: impl FnMut(usize, Result<Loaded, String>)) {
        let opened = match self.params.format {
            Format::Manifest | Format::Folders => self.open(&self.listing.images[run.start]),
            Format::ChengMat | Format::Phantom => {
                return run.for_each(|index| each(index, self.load_one(&self.listing.images[index])));
            }
        };
        let mut problem = None;
        for index in run {
            let loaded = match (&opened, &mut problem) {
                (Ok(opened), _) => self.load_part(opened, &self.listing.images[index]),
                (Err(_), Some(())) => Err(String::new()),
                (Err(error), problem) => {
                    *problem = Some(());
                    Err(error.clone())
                }
            };
            each(index, loaded);
        }
    }

    /// Loads an image of a format whose files hold one image with its mask.
    fn load_one(&self, image: &ListedImage) -> Result<Loaded, String> {
        if self.params.format == Format::Phantom {
            let slice = self.slices.get(&image.file).ok_or("no such slice")?;
            let (seed, size) = (self.params.seed.unwrap_or_default(), self.params.size.unwrap_or_default());
            let (image, mask) = phantom::draw(seed, *slice, size);
            let facts = ImageFacts::of(&image, 1);
            return Ok(Loaded { image, mask: Some(mask), facts });
        }
        let (raster, mask) = cheng::read_slice(self.files.read(&image.file)?)?;
        let samples = Some(raster.samples);
        let Levels { grid, range, excluded } = self.window().levels(raster, &Header::default(), None)?;
        let facts = ImageFacts { samples, range, excluded, ..ImageFacts::of(&grid, 1) };
        Ok(Loaded { image: grid, mask: Some(mask), facts })
    }

    fn open(&self, image: &ListedImage) -> Result<Opened, String> {
        let file = self.files.open(&image.file)?;
        let masks = image.masks.iter().map(|name| {
            let bytes = self.files.read(name).map_err(|problem| format!("mask {name}: {problem}"))?;
            Ok((name.clone(), bytes))
        });
        Ok(Opened { file, masks: masks.collect::<Result<_, String>>()? })
    }

    fn load_part(&self, opened: &Opened, image: &ListedImage) -> Result<Loaded, String> {
        let Opened { file, masks } = opened;
        let (raster, header) = (file.image(image.part)?, file.header(image.part)?);
        let samples = raster.samples;
        let volume = self.volumes.get(volume(image, &header)).copied();
        let levels = self.window().levels(raster, &header, volume)?;
        let mut mask: Option<Grid> = None;
        for (name, bytes) in masks {
            let next = picture::decode_mask(bytes).map_err(|problem| format!("mask {name}: {problem}"))?;
            if next.size() != levels.grid.size() {
                let (found, expected) = (text(next.size()), text(levels.grid.size()));
                return Err(format!("the mask is {found}, but the image {expected}"));
            }
            mask = Some(mask.map_or(next.clone(), |joined| joined.united(&next)));
        }
        let facts = ImageFacts {
            samples: Some(samples),
            range: levels.range,
            excluded: levels.excluded,
            patient: header.patient,
            burned_in: header.burned_in,
            ..ImageFacts::of(&levels.grid, masks.len())
        };
        Ok(Loaded { image: levels.grid, mask, facts })
    }

    /// Reads the range of every volume.
    fn volumes(&self) -> Result<HashMap<String, (f64, f64)>, Vec<String>> {
        let ranges = self.listing.runs().into_par_iter().map(|run| {
            let image = &self.listing.images[run.start];
            let range = self
                .files
                .open(&image.file)
                .and_then(|file| Ok((volume(image, &file.header(None)?).to_owned(), file.range()?)));
            range.map_err(|problem| format!("{}: {problem}", image.file))
        });
        let ranges = crate::problems::all_or_problems(ranges.collect::<Vec<_>>())?;
        let mut volumes: HashMap<String, (f64, f64)> = HashMap::new();
        for (volume, range) in ranges.into_iter().filter_map(|(volume, range)| Some((volume, range?))) {
            let known = volumes.entry(volume).or_insert(range);
            *known = (known.0.min(range.0), known.1.max(range.1));
        }
        Ok(volumes)
    }
}

/// An opened image file with the bytes of its masks by name.
struct Opened {
    file: SourceFile,
    masks: Vec<(String, Vec<u8>)>,
}

/// Returns the identity of the volume that an image belongs to: its series, else its file.
fn volume<'a>(image: &'a ListedImage, header: &'a Header) -> &'a str {
    header.series.as_deref().unwrap_or(&image.file)
}

/// Formats a height and width as people do: width × height.
pub(super) fn text((height, width): (usize, usize)) -> String {
    format!("{width} × {height}")
}
