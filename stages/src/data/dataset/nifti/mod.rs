//! NIfTI files, plain or compressed by gzip: the slices of a volume along an axis, or one picture. Source: nifti1.h and
//! nifti2.h; every number is compared with nibabel.
//!
//! Slices are those of the volume whose axes run to the right, the front and the top, as nibabel's
//! `as_closest_canonical` gives it, and are counted from 0. They are shown as radiologists see them; see [`Axis`].
//!
//! A volume is held as bytes of its own type, so that a mask of a byte a voxel takes a byte a voxel.

mod header;
mod orientation;
#[cfg(test)]
mod tests;

use std::io::Read;

use flate2::read::MultiGzDecoder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raster::{Header, Raster, SIDE_MAX, Samples, VOLUME_MAX_BYTES, Values, luma};
use super::window::{FileWindow, Function};

use header::{Kind, NiftiHeader};
use orientation::{Affine, Axes};

/// Largest size of a header, that of version 2.
const HEADER_BYTES: u64 = 540;

/// The direction in which slices of a volume follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// From bottom to top. The front is at the top of a picture, the patient's right at its left.
    #[default]
    Axial,
    /// From back to front. The head is at the top of a picture, the patient's right at its left.
    Coronal,
    /// From the patient's left to the right. The head is at the top of a picture, the face at its left.
    Sagittal,
}

/// A NIfTI volume.
pub(in crate::data::dataset) struct Nifti {
    bytes: Vec<u8>,
    header: NiftiHeader,
    /// Lengths of the axes of the file.
    shape: [usize; 3],
    axes: Axes,
    affine: Affine,
    axis: Axis,
}

impl Axis {
    /// The places among right, front and top of a picture's columns and rows and of the slices.
    const fn places(self) -> [usize; 3] {
        match self {
            Self::Axial => [1, 0, 2],
            Self::Coronal => [2, 0, 1],
            Self::Sagittal => [2, 1, 0],
        }
    }
}

impl Nifti {
    /// True if the bytes begin as a NIfTI file does, or are compressed by gzip.
    pub(in crate::data::dataset) fn is_start_of(bytes: &[u8]) -> bool {
        is_compressed(bytes) || NiftiHeader::is_start_of(bytes)
    }

    /// Reads a volume, decompressed if needed.
    ///
    /// - `axis`: the direction of its slices; a file with one picture shows that
    ///
    /// Errors: damage; several volumes; a type that is not read; more than 2 GiB or 8192 voxels along an axis.
    pub(in crate::data::dataset) fn open(bytes: Vec<u8>, axis: Axis) -> Result<Self, String> {
        let (bytes, header) = if is_compressed(&bytes) { decompressed(&bytes)? } else { plain(bytes)? };
        let shape = volume(&header)?;
        let affine = header.place.affine(shape)?;
        let axes = Axes::of(&affine)?;
        let (axis, affine) = (if shape[2] == 1 { axis_of_picture(&axes) } else { axis }, axes.affine(&affine, shape));
        Ok(Self { bytes, header, shape, axes, affine, axis })
    }

    /// The number of slices.
    pub(in crate::data::dataset) fn parts(&self) -> usize {
        self.axes.shape(self.shape)[self.axis.places()[2]]
    }

    /// Returns the facts of the header.
    pub(in crate::data::dataset) fn header(&self) -> Header {
        let window = self.header.display.map(|(min, max)| FileWindow {
            centre: f64::midpoint(min, max),
            width: max - min,
            function: Function::LinearExact,
        });
        Header { window, ..Header::default() }
    }

    /// Decodes a slice. Errors: none is named and there are several.
    pub(in crate::data::dataset) fn image(&self, part: Option<usize>) -> Result<Raster, String> {
        let count = self.parts();
        let slice = match part {
            None if count == 1 => 0,
            None => return Err(format!("it has {count} slices; set `slice` (0 is the first)")),
            Some(slice) if slice < count => slice,
            Some(slice) => return Err(format!("it has no slice {slice}; its slices are 0 to {}", count - 1)),
        };
        let (height, width, voxels) = self.voxels(slice);
        let values = match (self.header.kind, self.header.scale) {
            (Kind::Unsigned(1), None) => Values::Levels(voxels.map(|voxel| self.bytes_of(voxel)[0]).collect()),
            (Kind::Colour(_), _) => Values::Levels(voxels.map(|voxel| luma(self.bytes_of(voxel)) as u8).collect()),
            (_, scale) => {
                let (slope, intercept) = scale.unwrap_or((1.0, 0.0));
                let scaled = |value: f64| if scale.is_some() { value * slope + intercept } else { value };
                Values::Deep(voxels.map(|voxel| scaled(self.value(voxel))).collect())
            }
        };
        Ok(Raster { height, width, values, samples: self.samples() })
    }

    /// Decodes a slice as label values; a mask of one slice has it for every part.
    pub(in crate::data::dataset) fn mask(&self, part: Option<usize>) -> Result<Raster, String> {
        self.image(part.filter(|_| self.parts() > 1))
    }

    /// Compares the places of two volumes' voxels: shapes, and affines up to a thousandth of a voxel.
    ///
    /// Errors: the thing that differs; `self` is the mask.
    pub(in crate::data::dataset) fn check_geometry(&self, image: &Self) -> Result<(), String> {
        let (mask_shape, image_shape) = (self.axes.shape(self.shape), image.axes.shape(image.shape));
        if mask_shape != image_shape {
            let text = |[right, front, top]: [usize; 3]| format!("{right} × {front} × {top}");
            return Err(format!(
                "the mask has {} voxels to the right, front and top, but the image {}",
                text(mask_shape),
                text(image_shape)
            ));
        }
        let length = |axis: usize| image.affine.iter().map(|row| row[axis] * row[axis]).sum::<f64>().sqrt();
        let most = 1e-3 * [0, 1, 2].map(length).into_iter().fold(f64::INFINITY, f64::min);
        let differs = |columns: std::ops::Range<usize>| {
            let pairs = self.affine.iter().zip(&image.affine);
            pairs
                .flat_map(|(one, other)| one[columns.clone()].iter().zip(&other[columns.clone()]))
                .any(|(one, other)| (one - other).abs() > most)
        };
        let what = match (differs(0..3), differs(3..4)) {
            (false, false) => return Ok(()),
            (true, _) => "the directions or sizes of its voxels differ",
            (false, true) => "its first voxel lies elsewhere",
        };
        Err(format!("the mask has another affine than the image: {what}; resample it to the image"))
    }

    /// Returns height, width and the places of a slice's voxels in the file, row by row.
    fn voxels(&self, slice: usize) -> (usize, usize, impl Iterator<Item = usize>) {
        let shape = self.axes.shape(self.shape);
        let [row, column, depth] = self.axis.places();
        let steps = [1, self.shape[0], self.shape[0] * self.shape[1]];
        let axes = self.axes.0;
        let step = move |place: usize, index: usize| {
            let (axis, flipped) = axes[place];
            steps[axis] * if flipped { shape[place] - 1 - index } else { index }
        };
        let (height, width) = (shape[row], shape[column]);
        let start = step(depth, slice);
        // Pictures run from the front or the top, and from the patient's right or the front.
        let of_row = move |y: usize| {
            let start = start + step(row, height - 1 - y);
            (0..width).map(move |x| start + step(column, width - 1 - x))
        };
        (height, width, (0..height).flat_map(of_row))
    }

    fn bytes_of(&self, voxel: usize) -> &[u8] {
        let size = self.header.kind.bytes();
        &self.bytes[self.header.offset + voxel * size..][..size]
    }

    fn value(&self, voxel: usize) -> f64 {
        let mut bits = [0; 8];
        let bytes = self.bytes_of(voxel);
        bits[..bytes.len()].copy_from_slice(bytes);
        if self.header.big_endian {
            bits[..bytes.len()].reverse();
        }
        let bits = u64::from_le_bytes(bits);
        match self.header.kind {
            Kind::Unsigned(_) | Kind::Colour(_) => bits as f64,
            Kind::Signed(size) => {
                let unused = 64 - 8 * u32::from(size);
                ((bits << unused).cast_signed() >> unused) as f64
            }
            Kind::Float(4) => f32::from_bits(bits as u32).into(),
            Kind::Float(_) => f64::from_bits(bits),
        }
    }

    const fn samples(&self) -> Samples {
        let (channels, depth) = match self.header.kind {
            Kind::Unsigned(1) => (1, "8 bits"),
            Kind::Unsigned(2) => (1, "16 bits"),
            Kind::Unsigned(4) => (1, "32 bits"),
            Kind::Unsigned(_) => (1, "64 bits"),
            Kind::Signed(1) => (1, "int8"),
            Kind::Signed(2) => (1, "int16"),
            Kind::Signed(4) => (1, "int32"),
            Kind::Signed(_) => (1, "int64"),
            Kind::Float(4) => (1, "float32"),
            Kind::Float(_) => (1, "float64"),
            Kind::Colour(channels) => (channels, "8 bits"),
        };
        Samples { channels, depth }
    }
}

fn is_compressed(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1F, 0x8B])
}

/// Returns the direction of the file's third axis, along which there is one picture.
fn axis_of_picture(axes: &Axes) -> Axis {
    match axes.0.iter().position(|(axis, _)| *axis == 2) {
        Some(0) => Axis::Sagittal,
        Some(1) => Axis::Coronal,
        _ => Axis::Axial,
    }
}

/// Returns the lengths of three axes. Errors: several volumes; a side that is too long.
fn volume(header: &NiftiHeader) -> Result<[usize; 3], String> {
    let &[first, second, ref others @ ..] = &header.shape[..] else { unreachable!("two axes at least") };
    let third = others.first().copied().unwrap_or(1);
    if others.len() > 1 {
        let count = others[1..].iter().fold(1_usize, |count, length| count.saturating_mul(*length));
        return Err(format!(
            "it has {count} volumes; split it into files of one volume, for example by `fslsplit` or \
             `nibabel.four_to_three`"
        ));
    }
    let shape = [first, second, third];
    if shape.iter().any(|length| *length > SIDE_MAX) {
        return Err(format!(
            "the volume is too large ({first} × {second} × {third}); at most {SIDE_MAX} a side is read"
        ));
    }
    Ok(shape)
}

/// Returns the number of bytes up to the last voxel. Errors: several volumes; more than [`VOLUME_MAX_BYTES`].
fn needed(header: &NiftiHeader) -> Result<u64, String> {
    let voxels: u64 = volume(header)?.map(|length| length as u64).iter().product();
    let needed = voxels * header.kind.bytes() as u64;
    if needed > VOLUME_MAX_BYTES {
        return Err(format!("its voxels take {needed} bytes; at most {} GiB is read", VOLUME_MAX_BYTES >> 30));
    }
    Ok(needed + header.offset as u64)
}

fn cut(found: usize, needed: u64) -> String {
    format!("the file is cut short: it has {found} bytes in place of {needed}")
}

fn plain(bytes: Vec<u8>) -> Result<(Vec<u8>, NiftiHeader), String> {
    let header = NiftiHeader::read(&bytes)?;
    let needed = needed(&header)?;
    if (bytes.len() as u64) < needed { Err(cut(bytes.len(), needed)) } else { Ok((bytes, header)) }
}

/// Decompresses a file up to its last voxel, and checks the rest.
fn decompressed(packed: &[u8]) -> Result<(Vec<u8>, NiftiHeader), String> {
    let damaged = |_| "the file is damaged: it cannot be decompressed".to_owned();
    let mut reader = MultiGzDecoder::new(packed);
    let mut bytes = Vec::new();
    reader.by_ref().take(HEADER_BYTES).read_to_end(&mut bytes).map_err(damaged)?;
    if !NiftiHeader::is_start_of(&bytes) {
        return Err("it is compressed by gzip, but holds no NIfTI file".to_owned());
    }
    let header = NiftiHeader::read(&bytes)?;
    let needed = needed(&header)?;
    let more = needed.saturating_sub(bytes.len() as u64);
    reader.by_ref().take(more).read_to_end(&mut bytes).map_err(damaged)?;
    if (bytes.len() as u64) < needed {
        return Err(cut(bytes.len(), needed));
    }
    // To the checksum at the end.
    std::io::copy(&mut reader.take(VOLUME_MAX_BYTES), &mut std::io::sink()).map_err(damaged)?;
    Ok((bytes, header))
}
