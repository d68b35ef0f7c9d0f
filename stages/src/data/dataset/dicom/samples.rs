//! Stored samples of one frame, as bytes with the key to read them. Source: DICOM PS3.5 2024, 8.1.

use std::borrow::Cow;

/// The number of samples that a header claims, and their container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Samples a pixel: 1 or 3.
    pub(super) samples: usize,
    /// Bits of a container: 1, 8, 16, 32 or 64.
    pub(super) allocated: u8,
}

/// The samples of one frame.
#[derive(Clone, Debug)]
pub(super) struct Samples<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// Bytes of a sample.
    pub(super) each: usize,
    pub(super) big_endian: bool,
    /// Samples lie plane by plane.
    pub(super) planar: bool,
    /// Bits of a decompressed sample, where the codec names them.
    pub(super) precision: Option<u8>,
    /// Colours that the header calls YCbCr are RGB already.
    pub(super) became_rgb: bool,
}

impl Shape {
    /// The number of samples of a frame.
    pub(super) const fn count(self) -> usize {
        self.rows * self.columns * self.samples
    }
}

impl Samples<'_> {
    /// Wraps what a codec gave. Errors: bytes that are not a whole number a sample.
    pub(super) fn decoded(bytes: Vec<u8>, shape: Shape, precision: u8, became_rgb: bool) -> Result<Self, String> {
        let each = bytes.len() / shape.count();
        if each * shape.count() != bytes.len() || each == 0 {
            return Err("the file is damaged: its compressed picture has another size than the header says".to_owned());
        }
        let (bytes, precision) = (Cow::Owned(bytes), Some(precision));
        Ok(Self { bytes, each, big_endian: false, planar: false, precision, became_rgb })
    }

    /// Returns the bits of a sample.
    ///
    /// - `pixel`: counted row by row
    /// - `channel`: counted from 0, of `channels`
    pub(super) fn bits(&self, pixel: usize, channel: usize, channels: usize) -> u64 {
        let index = if self.planar {
            channel * (self.bytes.len() / self.each / channels) + pixel
        } else {
            pixel * channels + channel
        };
        let sample = &self.bytes[index * self.each..][..self.each];
        let fold = |bits: u64, byte: &u8| bits << 8 | u64::from(*byte);
        if self.big_endian { sample.iter().fold(0, fold) } else { sample.iter().rev().fold(0, fold) }
    }
}
