//! Intensities from stored samples: sign, rescaling, padding, colours. Source: DICOM PS3.3 2024, C.7.6.3.1 and C.11.1.

use super::super::raster::{Raster, Samples as Form, Values, luma};
use super::element::DataSet;
use super::functional::group;
use super::lut::Lut;
use super::samples::{Samples, Shape};
use super::tag;

/// The meaning of a file's samples.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    /// Bits that hold the value, and the place of its highest.
    stored: u8,
    high: u8,
    is_signed: bool,
    kind: Kind,
    /// Stored values, both included, of pixels without a value.
    padding: Option<(i64, i64)>,
}

/// The photometric interpretation.
#[derive(Clone, Debug)]
enum Kind {
    /// Larger is brighter, or darker if `inverted`.
    Grey {
        inverted: bool,
    },
    /// Grey that is stored as floating-point numbers.
    Float,
    Palette(Box<[Lut; 3]>),
    Rgb,
    Ybr,
}

/// Stored values in the units of the file.
enum Rescale {
    Linear { slope: f64, intercept: f64 },
    Table(Lut),
}

impl Meaning {
    pub(super) fn read(bytes: &[u8], set: &DataSet, shape: Shape, photometric: &str) -> Result<Self, String> {
        let allocated = shape.allocated;
        let number = |tag, default: u8| set.word(bytes, tag).map_or(default.into(), u32::from);
        let stored = number(tag::BITS_STORED, allocated);
        let high = if stored == 0 { 0 } else { number(tag::HIGH_BIT, (stored - 1) as u8) };
        if stored == 0 || stored > high + 1 || high >= allocated.into() {
            return Err(format!("the file is damaged: {stored} bits up to bit {high} are stored in {allocated}"));
        }
        let is_signed = set.word(bytes, tag::SIGNED) == Some(1);
        let kind = match (photometric, shape.samples) {
            _ if !set.has(tag::INTEGER_PIXELS) => Kind::Float,
            ("MONOCHROME1", 1) => Kind::Grey { inverted: true },
            ("MONOCHROME2", 1) => Kind::Grey { inverted: false },
            ("PALETTE COLOR", 1) => Kind::Palette(Box::new(Lut::palettes(bytes, set, is_signed)?)),
            ("RGB", 3) => Kind::Rgb,
            ("YBR_FULL" | "YBR_FULL_422" | "YBR_ICT" | "YBR_RCT", 3) => Kind::Ybr,
            _ => {
                return Err("its colours (Photometric Interpretation) are not read; MONOCHROME1, MONOCHROME2, RGB, \
                            YBR_FULL, YBR_FULL_422, YBR_ICT, YBR_RCT and PALETTE COLOR are"
                    .to_owned());
            }
        };
        let padding = |tag| {
            let word = set.word(bytes, tag)?;
            Some(if is_signed { i64::from(word.cast_signed()) } else { i64::from(word) })
        };
        let padding = padding(tag::PADDING).map(|value| {
            let limit = padding(tag::PADDING_LIMIT).unwrap_or(value);
            (value.min(limit), value.max(limit))
        });
        Ok(Self { stored: stored as u8, high: high as u8, is_signed, kind, padding })
    }

    /// True if larger values are darker.
    pub(super) const fn is_inverted(&self) -> bool {
        matches!(self.kind, Kind::Grey { inverted: true })
    }

    /// True if the file is grey, so that windows have a meaning.
    pub(super) const fn is_grey(&self) -> bool {
        matches!(self.kind, Kind::Grey { .. } | Kind::Float)
    }

    /// Makes a picture of a frame. A pixel that is padding becomes NaN, or level 0 in a file of 8 bits.
    ///
    /// - `groups`: functional groups of the frame
    /// - `is_mask`: stored labels are wanted: no inversion, no padding, no colours of a palette
    pub(super) fn raster(
        &self,
        bytes: &[u8],
        set: &DataSet,
        groups: &[DataSet],
        (samples, shape): (&Samples<'_>, Shape),
        is_mask: bool,
    ) -> Result<Raster, String> {
        let pixels = shape.rows * shape.columns;
        let stored = |pixel: usize| self.stored(samples, samples.bits(pixel, 0, 1));
        let is_padding = |value: i64| !is_mask && self.padding.is_some_and(|(min, max)| (min..=max).contains(&value));
        let rgb = |pixel: usize| {
            let [first, second, third] = [0, 1, 2].map(|channel| samples.bits(pixel, channel, 3));
            let is_ybr = matches!(self.kind, Kind::Ybr) && !samples.became_rgb;
            luma(&if is_ybr { rgb_of_ybr([first, second, third]) } else { [first, second, third] })
        };
        let values = match &self.kind {
            Kind::Grey { inverted } => {
                let rescale = Rescale::read(bytes, set, groups, self.is_signed)?;
                if self.stored == 8 && !self.is_signed && rescale.is_identity() {
                    let level = |value: i64| match value as u8 {
                        _ if is_padding(value) => 0,
                        level if *inverted && !is_mask => 255 - level,
                        level => level,
                    };
                    Values::Levels((0..pixels).map(|pixel| level(stored(pixel))).collect())
                } else {
                    let value = |value| if is_padding(value) { f64::NAN } else { rescale.value(value) };
                    Values::Deep((0..pixels).map(|pixel| value(stored(pixel))).collect())
                }
            }
            Kind::Float => {
                let float = |pixel| match (samples.bits(pixel, 0, 1), samples.each) {
                    (bits, 4) => f64::from(f32::from_bits(bits as u32)),
                    (bits, _) => f64::from_bits(bits),
                };
                let rescale = Rescale::read(bytes, set, groups, true)?;
                Values::Deep((0..pixels).map(|pixel| rescale.float(float(pixel))).collect())
            }
            Kind::Palette(_) if is_mask => Values::Deep((0..pixels).map(|pixel| stored(pixel) as f64).collect()),
            Kind::Palette(palettes) => {
                let level = |value| luma(&[0, 1, 2].map(|channel: usize| palettes[channel].entry(value))) as u8;
                Values::Levels((0..pixels).map(|pixel| level(stored(pixel))).collect())
            }
            Kind::Rgb | Kind::Ybr if self.stored == 8 => Values::Levels((0..pixels).map(|at| rgb(at) as u8).collect()),
            Kind::Ybr if !samples.became_rgb => return Err("its colours have more than 8 bits in YCbCr".to_owned()),
            Kind::Rgb | Kind::Ybr => Values::Deep((0..pixels).map(|at| rgb(at) as f64).collect()),
        };
        Ok(Raster { height: shape.rows, width: shape.columns, values, samples: self.form(shape) })
    }

    /// Cuts a stored value out of its container.
    fn stored(&self, samples: &Samples<'_>, bits: u64) -> i64 {
        // Codecs align values to the lowest bit.
        let (stored, shift) = match samples.precision {
            Some(precision) => (precision, 0),
            None => (self.stored, self.high + 1 - self.stored),
        };
        let unused = 64 - u32::from(stored);
        let bits = bits >> shift << unused;
        if self.is_signed { bits.cast_signed() >> unused } else { (bits >> unused).cast_signed() }
    }

    /// The form of the samples, for the audit.
    pub(super) const fn form(&self, shape: Shape) -> Form {
        let depth = match (&self.kind, self.stored, self.is_signed) {
            (Kind::Float, ..) if shape.allocated == 32 => "float32",
            (Kind::Float, ..) => "float64",
            (_, 1, _) => "1 bit",
            (_, ..=8, false) => "8 bits",
            (_, ..=8, true) => "int8",
            (_, ..=16, false) => "16 bits",
            (_, ..=16, true) => "int16",
            (_, _, false) => "32 bits",
            (_, _, true) => "int32",
        };
        let channels = if self.is_grey() { 1 } else { 3 };
        Form { channels, depth }
    }
}

impl Rescale {
    fn read(bytes: &[u8], set: &DataSet, groups: &[DataSet], is_signed: bool) -> Result<Self, String> {
        if let Some(table) = set.item(bytes, tag::MODALITY_LUT)? {
            let tags = (tag::LUT_DESCRIPTOR, tag::LUT_DATA);
            return Lut::read(bytes, &table, tags, is_signed, "modality LUT").map(Self::Table);
        }
        let set = group(bytes, groups, set, tag::PIXEL_TRANSFORM)?;
        let slope = set.decimal(bytes, tag::RESCALE_SLOPE, "Rescale Slope")?.unwrap_or(1.0);
        let intercept = set.decimal(bytes, tag::RESCALE_INTERCEPT, "Rescale Intercept")?.unwrap_or(0.0);
        if slope == 0.0 {
            return Err("its Rescale Slope is 0, so that all values are one".to_owned());
        }
        Ok(Self::Linear { slope, intercept })
    }

    fn is_identity(&self) -> bool {
        matches!(self, Self::Linear { slope: 1.0, intercept: 0.0 })
    }

    fn value(&self, stored: i64) -> f64 {
        match self {
            Self::Linear { .. } => self.float(stored as f64),
            Self::Table(table) => table.entry(stored).into(),
        }
    }

    fn float(&self, stored: f64) -> f64 {
        match self {
            Self::Linear { slope, intercept } => stored * slope + intercept,
            Self::Table(_) => stored,
        }
    }
}

/// Converts full-range YCbCr of 8 bits, rounded half up. Source: PS3.3 C.7.6.3.1.2, ISO/IEC 10918-5 section 7.
fn rgb_of_ybr(ybr: [u64; 3]) -> [u64; 3] {
    let [y, cb, cr] = ybr.map(|sample| sample as f64);
    let (cb, cr) = (cb - 128.0, cr - 128.0);
    let red = y + 1.402 * cr;
    let green = y - 0.114 * 1.772 / 0.587 * cb - 0.299 * 1.402 / 0.587 * cr;
    let blue = y + 1.772 * cb;
    [red, green, blue].map(|level| (level + 0.5).floor().clamp(0.0, 255.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_stays_grey_and_colours_follow_the_standard() {
        assert_eq!(rgb_of_ybr([90, 128, 128]), [90, 90, 90]);
        // Pure red is (76, 85, 255).
        assert_eq!(rgb_of_ybr([76, 85, 255]), [254, 0, 0]);
        assert_eq!(luma(&[255_u16, 0, 0]), 76);
        assert_eq!(luma(&[65_535_u16; 3]), 65_535);
    }
}
