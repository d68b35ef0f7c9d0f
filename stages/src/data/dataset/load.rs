//! Images and masks from files: decoded, brought to grey levels, not yet resized.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use rayon::prelude::*;

use super::cheng;
use super::doubtful::is_placeholder;
use super::facts::ImageFacts;
use super::file::SourceFile;
use super::files::Files;
use super::foreground::{Foreground, Mask};
use super::listing::{ListedImage, Listing};
use super::params::{Format, Params, Resize};
use super::part::PartKind;
use super::phantom::{self, Slice};
use super::pseudonym::pseudonym;
use super::raster::{Header, Raster};
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
        let is_as_before = size.is_none_or(|size| size == facts.size);
        let after = if is_as_before { before } else { mask.as_ref().map(Grid::foreground) };
        facts.foreground = before.zip(after);
        Self { image, mask, facts }
    }
}

/// Loads the images of a listing.
pub(super) struct Loader<'a> {
    params: &'a Params,
    listing: &'a Listing,
    files: &'a Files<'a>,
    foreground: Foreground,
    /// Smallest and largest value by volume, for [`Named::MinmaxVolume`].
    volumes: HashMap<String, (f64, f64)>,
    /// Slices of the phantom by name.
    slices: HashMap<String, Slice>,
}

impl<'a> Loader<'a> {
    /// Prepares for a listing. With the window of volumes, all files are read once for the ranges of their values.
    ///
    /// Errors: files that cannot be decoded, one sentence each.
    pub(super) fn new(params: &'a Params, listing: &'a Listing, files: &'a Files<'a>) -> Result<Self, Vec<String>> {
        let slices = phantom::slices(params.count.unwrap_or_default());
        let slices = slices.into_iter().map(|slice| (slice.name(), slice)).collect();
        let foreground = params.foreground.clone().unwrap_or_default();
        let mut loader = Self { params, listing, files, foreground, volumes: HashMap::new(), slices };
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
        match opened {
            Ok(opened) => run.for_each(|index| each(index, self.load_part(&opened, &self.listing.images[index]))),
            Err(problem) => {
                let mut problem = Some(problem);
                run.for_each(|index| each(index, Err(problem.take().unwrap_or_default())));
            }
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
        let axis = self.params.axis.unwrap_or_default();
        let file = self.files.open(&image.file, axis)?;
        let masks = image.masks.iter().map(|name| {
            let mask = self.files.open(name, axis).and_then(|mask| {
                mask.check_geometry(&file)?;
                Ok(mask)
            });
            Ok((name.clone(), mask.map_err(|problem| format!("mask {name}: {problem}"))?))
        });
        let masks = masks.collect::<Result<_, String>>()?;
        Ok(Opened { file, masks })
    }

    /// Replaces every NIfTI volume without a slice by its slices with foreground.
    ///
    /// Errors: a volume without a mask; unreadable files; one sentence each.
    pub(super) fn expanded(params: &Params, listing: Listing, files: &Files<'_>) -> Result<Listing, Vec<String>> {
        let axis = params.axis.unwrap_or_default();
        let foreground = params.foreground.clone().unwrap_or_default();
        let has_foreground = |raster: &Raster| Ok(foreground.mask(raster)?.grid.foreground() > 0);
        listing.expanded(|image| {
            if PartKind::of(&image.file) != PartKind::Slice || image.part.is_some() {
                return Ok(None);
            }
            let slices = files.open(&image.file, axis)?.parts();
            if slices == 1 {
                return Ok(None);
            }
            if image.masks.is_empty() {
                let help = "set `slice` (0 is the first), or give a mask for each slice with a lesion";
                return Err(format!("it has {slices} slices and no mask; {help}"));
            }
            let mut wanted = BTreeSet::new();
            for name in &image.masks {
                let found = files.open(name, axis).and_then(|mask| match mask.parts() {
                    parts if parts == slices => mask.parts_where(has_foreground),
                    parts => {
                        Err(format!("it has {parts} slices, but the image {slices}; set `slice` (0 is the first)"))
                    }
                });
                wanted.extend(found.map_err(|problem| format!("mask {name}: {problem}"))?);
            }
            Ok(Some(wanted.into_iter().collect()))
        })
    }

    fn load_part(&self, opened: &Opened, image: &ListedImage) -> Result<Loaded, String> {
        let Opened { file, masks } = opened;
        let (raster, header) = (file.image(image.part)?, file.header(image.part)?);
        let samples = raster.samples;
        let volume = self.volumes.get(volume(image, &header)).copied();
        let levels = self.window().levels(raster, &header, volume)?;
        let mut mask: Option<Grid> = None;
        let mut found = Vec::new();
        for (name, file) in masks {
            let next = file.mask(image.part, &header).and_then(|raster| self.foreground.mask(&raster));
            let Mask { grid: next, found: own } = next.map_err(|problem| format!("mask {name}: {problem}"))?;
            found.extend(own);
            if next.size() != levels.grid.size() {
                let (found, expected) = (text(next.size()), text(levels.grid.size()));
                return Err(format!("the mask is {found}, but the image {expected}"));
            }
            mask = Some(match mask {
                Some(joined) => joined.united(&next),
                None => next,
            });
        }
        let facts = ImageFacts {
            samples: Some(samples),
            range: levels.range,
            excluded: levels.excluded,
            // `ANONYMOUS` and the like are no patient, and would make one of many.
            patient: header
                .patient
                .filter(|patient| !is_placeholder(patient))
                .map(|patient| pseudonym(self.params.pseudonym_key.as_deref().unwrap_or_default(), &patient)),
            levels: found,
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
                .open(&image.file, self.params.axis.unwrap_or_default())
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

/// An opened image file with those of its masks by name.
struct Opened {
    file: SourceFile,
    masks: Vec<(String, SourceFile)>,
}

/// Returns the identity of the volume that an image belongs to: its series, else its file.
fn volume<'a>(image: &'a ListedImage, header: &'a Header) -> &'a str {
    header.series.as_deref().unwrap_or(&image.file)
}

/// Formats a height and width as people do: width × height.
pub(super) fn text((height, width): (usize, usize)) -> String {
    format!("{width} × {height}")
}
