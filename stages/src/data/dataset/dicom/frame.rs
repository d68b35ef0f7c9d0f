//! The samples of one frame: a part of the pixel data, or fragments for a codec. Source: DICOM PS3.5 2024, A.4, 8.1 and
//! 8.2; PS3.3 C.7.6.3.1.2.

use std::borrow::Cow;
use std::ops::Range;

use super::codec;
use super::element::DataSet;
use super::samples::{Samples, Shape};
use super::syntax::Pixels;
use super::tag::{self, Tag};

/// Pixel data of a file.
pub(super) struct Frames {
    tag: Tag,
    pub(super) shape: Shape,
    pub(super) count: usize,
    pub(super) is_ybr: bool,
    /// Two pixels share their colour, PS3.3 C.7.6.3.1.2.
    is_halved: bool,
    planar: bool,
    pixels: Pixels,
    /// Fragments of compressed frames, after the table of offsets.
    fragments: Vec<Range<usize>>,
    /// Offsets of compressed frames, counted from the start of the first fragment's item; none if the file has none.
    offsets: Vec<u64>,
}

impl Frames {
    /// Finds the frames. Errors: less data than the header claims; compressed data where the syntax says plain.
    pub(super) fn find(
        bytes: &[u8],
        set: &DataSet,
        shape: Shape,
        count: usize,
        photometric: &str,
        pixels: Pixels,
    ) -> Result<Self, String> {
        let tag = *tag::PIXELS.iter().find(|tag| set.has(**tag)).ok_or("it has no pixels")?;
        let is_halved = photometric == "YBR_FULL_422" && pixels == Pixels::Plain;
        let planar = set.word(bytes, tag::PLANAR) == Some(1) && shape.samples > 1 && !is_halved;
        let is_ybr = photometric.starts_with("YBR");
        let (fragments, offsets) = (Vec::new(), Vec::new());
        let mut frames = Self { tag, shape, count, is_ybr, is_halved, planar, pixels, fragments, offsets };
        if set.is_encapsulated(tag) {
            let mut places = set.item_places(bytes, tag)?.into_iter();
            let table = places.next().ok_or("the file is damaged: its pixel data has no items")?;
            frames.fragments = places.collect();
            if frames.fragments.len() < count {
                let found = frames.fragments.len();
                return Err(format!("the file is cut short: it has {found} compressed frames in place of {count}"));
            }
            frames.offsets = bytes[table].as_chunks().0.iter().map(|&four| u32::from_le_bytes(four).into()).collect();
            if let Some(table) = set.value(bytes, tag::OFFSETS) {
                frames.offsets = table.as_chunks().0.iter().map(|&eight| u64::from_le_bytes(eight)).collect();
            }
            if frames.offsets.len() != count {
                frames.offsets.clear();
            }
            return Ok(frames);
        }
        if pixels != Pixels::Plain {
            return Err("the file is damaged: it names a codec, but its pixels are not compressed".to_owned());
        }
        if is_halved && !shape.columns.is_multiple_of(2) {
            return Err("its columns are odd, but two pixels share a colour (YBR_FULL_422)".to_owned());
        }
        let (found, needed) = (set.value(bytes, tag).map_or(0, <[u8]>::len), frames.bits(count).map(|n| n.div_ceil(8)));
        if needed.is_none_or(|needed| needed > found) {
            let needed = needed.map_or("more".to_owned(), |needed| needed.to_string());
            return Err(format!("the file is cut short: it has {found} bytes of pixels in place of {needed}"));
        }
        Ok(frames)
    }

    /// The number of bits of the first frames in plain pixel data.
    fn bits(&self, frames: usize) -> Option<usize> {
        let samples = if self.is_halved { self.shape.count() / 3 * 2 } else { self.shape.count() };
        samples.checked_mul(self.shape.allocated.into())?.checked_mul(frames)
    }

    /// Returns the samples of a frame, counted from 0; decodes them if needed.
    pub(super) fn samples<'a>(&self, bytes: &'a [u8], set: &DataSet, frame: usize) -> Result<Samples<'a>, String> {
        if set.is_encapsulated(self.tag) {
            return codec::decode(&self.compressed(bytes, frame)?, self.pixels, self.shape, self.is_ybr);
        }
        let value = set.value(bytes, self.tag).unwrap_or_default();
        let first = self.bits(frame).unwrap_or(usize::MAX);
        let last = self.bits(frame + 1).unwrap_or(usize::MAX);
        let cut = "the file is cut short: a frame is missing";
        let mut part = Cow::Borrowed(value.get(first / 8..last.div_ceil(8)).ok_or(cut)?);
        let encoding = set.encoding();
        if encoding.big_endian && self.shape.allocated <= 8 && &set.vr(self.tag) == b"OW" {
            part = Cow::Owned(swapped(value, first / 8..last.div_ceil(8)).ok_or(cut)?);
        }
        if self.shape.allocated == 1 {
            let bit = |index: usize| part[(first % 8 + index) / 8] >> ((first % 8 + index) % 8) & 1;
            part = Cow::Owned((0..self.shape.count()).map(bit).collect());
        }
        if self.is_halved {
            // Y₁ Y₂ Cb Cr become Y₁ Cb Cr Y₂ Cb Cr.
            let pairs = part.as_chunks().0.iter();
            part = Cow::Owned(pairs.flat_map(|&[first, second, cb, cr]| [first, cb, cr, second, cb, cr]).collect());
        }
        let each = usize::from(self.shape.allocated).div_ceil(8);
        let (big_endian, planar) = (encoding.big_endian, self.planar);
        Ok(Samples { bytes: part, each, big_endian, planar, precision: None, became_rgb: false })
    }

    /// Joins the fragments of a frame: by the table of offsets, one a frame, or up to the end of a JPEG picture.
    fn compressed<'a>(&self, bytes: &'a [u8], frame: usize) -> Result<Cow<'a, [u8]>, String> {
        let fragments = &self.fragments[..];
        let of_frame = if self.count == 1 {
            fragments
        } else if let (Some(&start), Some(first)) = (self.offsets.get(frame), fragments.first()) {
            // An item begins eight bytes before its value.
            let base = first.start as u64;
            let place = |offset: &u64| fragments.partition_point(|fragment| (fragment.start as u64) < base + offset);
            let end = self.offsets.get(frame + 1).map_or(fragments.len(), place);
            fragments.get(place(&start)..end).unwrap_or_default()
        } else if fragments.len() == self.count {
            &fragments[frame..=frame]
        } else {
            self.up_to_end_of_jpeg(bytes, frame)
        };
        match of_frame {
            [] => Err("the file is damaged: a frame is missing".to_owned()),
            [one] => Ok(Cow::Borrowed(&bytes[one.clone()])),
            many => Ok(Cow::Owned(many.iter().flat_map(|place| &bytes[place.clone()]).copied().collect())),
        }
    }

    /// Finds a frame where no table says which fragments are its own; as pydicom does.
    fn up_to_end_of_jpeg(&self, bytes: &[u8], frame: usize) -> &[Range<usize>] {
        let ends_picture = |place: &Range<usize>| {
            let tail = &bytes[place.end.saturating_sub(10).max(place.start)..place.end];
            tail.windows(2).any(|pair| pair == [0xFF, 0xD9])
        };
        self.fragments.split_inclusive(ends_picture).nth(frame).unwrap_or_default()
    }
}

/// Returns bytes that lie in words of 16 bits, big endian.
fn swapped(value: &[u8], place: Range<usize>) -> Option<Vec<u8>> {
    place.map(|index| value.get(index ^ 1).copied()).collect()
}
