//! Grey levels from intensities, one definition for all formats: the param `window`.
//!
//! A file of at most 8 bits a sample keeps its levels. Values of every deeper file become levels 0..=255 by a window.
//! NaN, which marks padding and background without a value, is left out of every range and becomes level 0.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raster::{Header, Raster, Values};
use super::resize::Grid;

/// The intensities that become the levels 0 and 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "`minmax`, `minmax-volume`, `file` or [centre, width] is expected")]
pub enum Window {
    /// A range by name.
    Named(Named),
    /// Centre and width in the units of the file, such as Hounsfield units; the function LINEAR of DICOM.
    Range([f64; 2]),
    /// Not set: `minmax`.
    #[default]
    #[serde(skip)]
    Unset,
}

/// A range by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Named {
    /// From the smallest to the largest value of the picture.
    Minmax,
    /// From the smallest to the largest value of the volume: all pictures of the file, or all listed files of a DICOM
    /// series.
    MinmaxVolume,
    /// The window that the file itself names.
    File,
}

/// A window in the header of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FileWindow {
    pub(super) centre: f64,
    pub(super) width: f64,
    pub(super) function: Function,
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unset | Self::Named(Named::Minmax) => formatter.write_str("minmax"),
            Self::Named(Named::MinmaxVolume) => formatter.write_str("minmax-volume"),
            Self::Named(Named::File) => formatter.write_str("file"),
            Self::Range([centre, width]) => write!(formatter, "[{centre}, {width}]"),
        }
    }
}

/// The function of a window. Source: DICOM PS3.3 2024, C.11.2.1.2 and C.11.2.1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Linear,
    LinearExact,
    Sigmoid,
}

/// Grey levels of a picture, and the intensities they came from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Levels {
    pub(super) grid: Grid,
    /// Smallest and largest value, of values that are deep and not NaN.
    pub(super) range: Option<(f64, f64)>,
    /// Number of pixels without a value.
    pub(super) excluded: usize,
}

impl Window {
    /// Returns the range by name; `None` for a range in numbers.
    pub(super) const fn named(self) -> Option<Named> {
        match self {
            Self::Unset => Some(Named::Minmax),
            Self::Named(named) => Some(named),
            Self::Range(_) => None,
        }
    }

    /// Maps the values of a picture to grey levels.
    ///
    /// - `volume`: smallest and largest value of the picture's volume, for [`Named::MinmaxVolume`]
    ///
    /// Errors: an infinite value; no value at all; a header without a window.
    pub(super) fn levels(self, raster: Raster, header: &Header, volume: Option<(f64, f64)>) -> Result<Levels, String> {
        let Raster { height, width, values, .. } = raster;
        let grid = |pixels| Grid { height, width, pixels };
        let values = match values {
            Values::Levels(pixels) => return Ok(Levels { grid: grid(pixels), range: None, excluded: 0 }),
            Values::Deep(values) => values,
        };
        let range = range(&values)?.ok_or("no pixel has a value: all are padding or NaN")?;
        let excluded = values.iter().filter(|value| value.is_nan()).count();
        let level: Box<dyn Fn(f64) -> f64> = match (self.named(), self) {
            (None, Self::Range([centre, width])) => {
                let window = FileWindow { centre, width, function: Function::Linear };
                Box::new(move |value| window.level(value))
            }
            (Some(Named::File), _) => {
                let window = header.window.ok_or("its header names no window; set `window` to `minmax` or numbers")?;
                Box::new(move |value| window.level(value))
            }
            (Some(Named::MinmaxVolume), _) => {
                let (min, max) = volume.unwrap_or(range);
                Box::new(move |value| min_max(value, min, max))
            }
            _ => Box::new(move |value| min_max(value, range.0, range.1)),
        };
        let inverted = |level: f64| if header.is_inverted { 255.0 - level } else { level };
        // 0 for NaN, as `as` converts it.
        let pixels = values.iter().map(|&value| (inverted(level(value)) + 0.5).floor() as u8).collect();
        Ok(Levels { grid: grid(pixels), range: Some(range), excluded })
    }
}

/// Returns the smallest and the largest value; `None` if all are NaN. Errors: an infinite value.
pub(super) fn range(values: &[f64]) -> Result<Option<(f64, f64)>, String> {
    let mut range = (f64::INFINITY, f64::NEG_INFINITY);
    for &value in values {
        if value.is_infinite() {
            return Err(format!("it holds the value {value}; every pixel must be a finite number or NaN"));
        }
        range = (range.0.min(value), range.1.max(value));
    }
    Ok((range.0 <= range.1).then_some(range))
}

/// Returns 255 (v − min) / (max − min), not rounded; 0 in a constant picture.
fn min_max(value: f64, min: f64, max: f64) -> f64 {
    if max > min { (value - min) * 255.0 / (max - min) } else { 0.0 * value }
}

impl FileWindow {
    /// Returns the level 0..=255 of a value, not rounded; NaN for NaN.
    fn level(self, value: f64) -> f64 {
        let Self { centre, width, function } = self;
        let share = match function {
            Function::Linear if width > 1.0 => ((value - (centre - 0.5)) / (width - 1.0) + 0.5).clamp(0.0, 1.0),
            // A width of 1 is a step.
            Function::Linear => f64::from(u8::from(value > centre - 0.5)),
            Function::LinearExact => ((value - centre) / width + 0.5).clamp(0.0, 1.0),
            Function::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - centre) / width).exp()),
        };
        if value.is_nan() { value } else { 255.0 * share }
    }
}

#[cfg(test)]
mod tests {
    use super::super::raster::Samples;
    use super::*;

    fn levels(window: Window, values: &[f64], header: &Header, volume: Option<(f64, f64)>) -> Result<Levels, String> {
        let samples = Samples { channels: 1, depth: "float64" };
        let raster = Raster { height: 1, width: values.len(), values: Values::Deep(values.to_vec()), samples };
        window.levels(raster, header, volume)
    }

    fn pixels(window: Window, values: &[f64]) -> Vec<u8> {
        levels(window, values, &Header::default(), None).unwrap().grid.pixels
    }

    #[test]
    fn the_range_of_a_picture_becomes_0_to_255() {
        // 255 × 0.5 = 127.5, rounded up.
        assert_eq!(pixels(Window::Unset, &[-4.0, 0.0, 4.0]), [0, 128, 255]);
        assert_eq!(pixels(Window::Unset, &(0..=255).map(f64::from).collect::<Vec<_>>()), (0..=255).collect::<Vec<_>>());
        assert_eq!(pixels(Window::Unset, &[7.0; 3]), [0; 3]);
    }

    #[test]
    fn nan_is_left_out_of_the_range_and_becomes_0() {
        let levels = |values: &[f64]| levels(Window::Unset, values, &Header::default(), None);
        let found = levels(&[f64::NAN, 10.0, 20.0, f64::NAN]).unwrap();
        assert_eq!((found.grid.pixels, found.range, found.excluded), (vec![0, 0, 255, 0], Some((10.0, 20.0)), 2));
        assert_eq!(levels(&[f64::NAN]).unwrap_err(), "no pixel has a value: all are padding or NaN");
        assert!(levels(&[1.0, f64::INFINITY]).unwrap_err().starts_with("it holds the value inf"));
    }

    #[test]
    fn inversion_follows_the_window_and_leaves_nan_at_0() {
        let header = Header { is_inverted: true, ..Header::default() };
        let pixels = |window, values: &[f64]| levels(window, values, &header, None).unwrap().grid.pixels;
        assert_eq!(pixels(Window::Unset, &[10.0, 20.0, f64::NAN]), [255, 0, 0]);
        assert_eq!(pixels(Window::Range([40.0, 400.0]), &[-1000.0, 239.0, f64::NAN]), [255, 0, 0]);
    }

    #[test]
    fn a_volume_has_one_range() {
        let window = Window::Named(Named::MinmaxVolume);
        let found = levels(window, &[0.0, 50.0], &Header::default(), Some((-50.0, 205.0))).unwrap();
        assert_eq!(found.grid.pixels, [50, 100]);
    }

    /// Values by hand from PS3.3 C.11.2.1.2.1: at 40 ± 200, −160 is level 0 and 239 level 255.
    #[test]
    fn numbers_are_the_linear_function_of_dicom() {
        let window = Window::Range([40.0, 400.0]);
        assert_eq!(pixels(window, &[-1000.0, -160.0, 39.5, 239.0, 3000.0]), [0, 0, 128, 255, 255]);
        assert_eq!(pixels(Window::Range([10.0, 1.0]), &[9.0, 9.5, 10.0]), [0, 0, 255]);
    }

    #[test]
    fn the_window_of_a_file_is_asked_for_and_may_be_missing() {
        let window = |function| Some(FileWindow { centre: 0.0, width: 4.0, function });
        let levels = |window, values: &[f64]| {
            let header = Header { window, ..Header::default() };
            levels(Window::Named(Named::File), values, &header, None).map(|levels| levels.grid.pixels)
        };
        assert_eq!(levels(window(Function::LinearExact), &[-2.0, 0.0, 1.0]).unwrap(), [0, 128, 191]);
        // 255 / (1 + e⁻¹) = 186.4.
        assert_eq!(levels(window(Function::Sigmoid), &[0.0, 1.0]).unwrap(), [128, 186]);
        assert!(levels(None, &[0.0]).unwrap_err().starts_with("its header names no window"));
    }

    #[test]
    fn a_window_is_a_word_or_two_numbers() {
        let read = |json: &str| serde_json::from_str::<Window>(json);
        assert_eq!(read(r#""minmax-volume""#).unwrap(), Window::Named(Named::MinmaxVolume));
        assert_eq!(read("[40, 400]").unwrap(), Window::Range([40.0, 400.0]));
        assert!(read(r#""wide""#).is_err() && read("[40]").is_err());
    }
}
