//! The frames of a segmentation (SEG) that belong to an image. Source: DICOM PS3.3 2024, A.51 and C.8.20.
//!
//! A frame names its source images. It belongs to an image that is one of them, unless it lies in another plane: a
//! resampled segmentation names the whole series. A frame without source images belongs to the image of its series in
//! the same plane.
//!
//! The values are segment numbers, 0 without a segment. Where segments overlap, the highest number stays. A fractional
//! segment is present where it is above half of its maximum.

use super::super::raster::{Header, Raster, Values};
use super::element::DataSet;
use super::functional::group;
use super::{Dicom, plane, tag};

/// Joins the frames of an image to label values; all 0 where the segmentation knows the image but marks nothing in it.
///
/// Errors: an image of another series, or no DICOM image at all; a frame that says nowhere where it belongs.
pub(super) fn mask(file: &Dicom, image: &Header) -> Result<Raster, String> {
    let Dicom { bytes, set, frames, meaning, groups, .. } = file;
    let Some(instance) = &image.instance else {
        return Err("it is a segmentation (SEG), which belongs to DICOM images, but its image is none".to_owned());
    };
    let kind = set.text(bytes, tag::SEGMENT_TYPE).unwrap_or_default();
    let half = f64::from(set.word(bytes, tag::FRACTION_MAX).unwrap_or(255)) / 2.0;
    let references = References::read(bytes, set)?;
    let is_of_series = image.series.as_ref().is_some_and(|series| references.series.contains(series));
    let mut is_known = is_of_series || references.instances.contains(instance);
    let mut labels = vec![0.0_f64; frames.shape.rows * frames.shape.columns];
    for frame in 0..frames.count {
        let groups = groups.of(bytes, set, frame)?;
        let sources = sources(bytes, &groups)?;
        let place = plane(bytes, set, &groups)?;
        if sources.is_empty() && place.is_none() {
            return Err("a frame names neither an image nor a place in the patient".to_owned());
        }
        let is_near = place.zip(image.plane).map(|(one, other)| one.is_near(&other));
        let is_source = sources.iter().any(|source| source.is(instance, image.frame));
        is_known |= is_source;
        let belongs = if sources.is_empty() {
            is_of_series && is_near == Some(true)
        } else {
            is_source && is_near != Some(false)
        };
        if !belongs {
            continue;
        }
        let samples = frames.samples(bytes, set, frame)?;
        let Raster { values, .. } = meaning.raster(bytes, set, &groups, (&samples, frames.shape), true)?;
        let values: Vec<f64> = match values {
            Values::Levels(levels) => levels.into_iter().map(f64::from).collect(),
            Values::Deep(values) => values,
        };
        let number = group(bytes, &groups, set, tag::SEGMENT_IDENTIFICATION)?.word(bytes, tag::SEGMENT_NUMBER);
        let label: Box<dyn Fn(f64) -> f64> = match (&*kind, number) {
            ("LABELMAP", _) => Box::new(|value| value),
            (_, None) => return Err("a frame does not name its segment".to_owned()),
            ("FRACTIONAL", Some(number)) => Box::new(move |value| if value > half { number.into() } else { 0.0 }),
            (_, Some(number)) => Box::new(move |value| if value == 0.0 { 0.0 } else { number.into() }),
        };
        labels.iter_mut().zip(values).for_each(|(place, value)| *place = place.max(label(value)));
    }
    if !is_known {
        return Err("it is a segmentation (SEG) of other images than this one".to_owned());
    }
    let is_small = labels.iter().all(|label| *label <= 255.0);
    let values = if is_small {
        Values::Levels(labels.into_iter().map(|label| label as u8).collect())
    } else {
        Values::Deep(labels)
    };
    let (height, width) = (frames.shape.rows, frames.shape.columns);
    Ok(Raster { height, width, values, samples: meaning.form(frames.shape) })
}

/// Images that the whole segmentation refers to.
struct References {
    series: Vec<String>,
    instances: Vec<String>,
}

impl References {
    fn read(bytes: &[u8], set: &DataSet) -> Result<Self, String> {
        let mut references = Self { series: Vec::new(), instances: Vec::new() };
        for series in set.items(bytes, tag::REFERENCED_SERIES)? {
            references.series.extend(series.text(bytes, tag::SERIES).map(Into::into));
            for instance in series.items(bytes, tag::REFERENCED_INSTANCES)? {
                references.instances.extend(instance.text(bytes, tag::REFERENCED_INSTANCE).map(Into::into));
            }
        }
        Ok(references)
    }
}

/// An image that a frame was derived from.
struct Source {
    instance: String,
    /// Frames of the image, counted from 1; none for all.
    frames: Vec<f64>,
}

impl Source {
    fn is(&self, instance: &str, frame: Option<usize>) -> bool {
        let holds = |frame: usize| self.frames.is_empty() || self.frames.contains(&(frame as f64));
        self.instance == instance && frame.is_none_or(holds)
    }
}

/// Lists the source images of a frame.
fn sources(bytes: &[u8], groups: &[DataSet]) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    for group in groups {
        for derivation in group.items(bytes, tag::DERIVATION_IMAGES)? {
            for source in derivation.items(bytes, tag::SOURCE_IMAGES)? {
                let frames = source.decimals(bytes, tag::REFERENCED_FRAMES, "Referenced Frame Number")?;
                let instance = source.text(bytes, tag::REFERENCED_INSTANCE);
                sources.extend(instance.map(|instance| Source { instance: instance.into(), frames }));
            }
        }
    }
    Ok(sources)
}
