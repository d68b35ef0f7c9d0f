//! The foreground of a mask, from its levels or label values: the param `foreground`.

mod clusters;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raster::{Raster, Values};
use super::resize::Grid;
use clusters::{Clusters, clusters, main, photograph};

/// More levels than this are a picture, not a mask.
const LEVELS_MAX: usize = 1 << 16;

/// The pixels of a mask that count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a list of levels, such as [1, 2], or `above-half` is expected")]
pub enum Foreground {
    /// A rule by name.
    Named(Named),
    /// The levels or label values that count, exactly; all others are background.
    Levels(Vec<f64>),
    /// Not set: the brighter one of two levels.
    #[default]
    #[serde(skip)]
    Unset,
}

/// A rule by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Named {
    /// Levels above half of the largest that the type holds: 127 of 8 bits, 32,767 of 16, 0.5 of floats. If no level
    /// of whole numbers is above 1, level 1.
    AboveHalf,
}

/// A mask, and the levels of its foreground.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mask {
    /// 1 for foreground, else 0.
    pub(super) grid: Grid,
    /// The listed levels that occur, or the main level of the foreground if nothing is listed.
    pub(super) found: Vec<f64>,
}

impl Foreground {
    /// Returns a problem of the param's value.
    pub(super) fn problem(&self) -> Option<&'static str> {
        match self {
            Self::Levels(levels) if levels.is_empty() => Some("`foreground` is empty; leave it out for two levels"),
            Self::Levels(levels) if !levels.iter().all(|level| level.is_finite()) => {
                Some("`foreground` must be finite numbers")
            }
            _ => None,
        }
    }

    /// Tells foreground from background. A pixel without a value (NaN) is background.
    ///
    /// Errors: levels whose meaning is ambiguous, or a picture in place of a mask.
    pub(super) fn mask(&self, raster: &Raster) -> Result<Mask, String> {
        let levels = count(raster)?;
        let (is_foreground, found): (Box<dyn Fn(f64) -> bool>, Vec<f64>) = match self {
            Self::Levels(listed) => {
                let found = listed.iter().copied().filter(|listed| levels.iter().any(|(level, _)| level == listed));
                (Box::new(|value| listed.contains(&value)), found.collect())
            }
            Self::Named(Named::AboveHalf) => {
                let largest = levels.last().map_or(0.0, |(level, _)| *level);
                let half = half(raster, largest)?;
                (Box::new(move |value| value > half), main(&levels, half, largest).into_iter().collect())
            }
            Self::Unset => {
                let Clusters { threshold, foreground } = clusters(raster, &levels)?;
                (Box::new(move |value| value > threshold), foreground.into_iter().collect())
            }
        };
        let pixels = match &raster.values {
            Values::Levels(pixels) => {
                let table: Vec<u8> = (0..=255).map(|level| u8::from(is_foreground(level.into()))).collect();
                pixels.iter().map(|&level| table[usize::from(level)]).collect()
            }
            Values::Deep(values) => {
                values.iter().map(|&value| u8::from(!value.is_nan() && is_foreground(plain(value)))).collect()
            }
        };
        Ok(Mask { grid: Grid { height: raster.height, width: raster.width, pixels }, found })
    }
}

/// Levels in ascending order, with their numbers of pixels.
type Levels = Vec<(f64, usize)>;

/// Returns 0 for NaN and for −0, and other values as they are.
fn plain(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value + 0.0 }
}

/// Counts the levels. Errors: far too many for a mask, or an infinite one.
fn count(raster: &Raster) -> Result<Levels, String> {
    let values = match &raster.values {
        Values::Levels(pixels) => {
            // Several tables, as neighbours are often equal, and each count would wait for the one before.
            let mut tables = [[0; 256]; 4];
            for pixels in pixels.chunks(tables.len()) {
                tables.iter_mut().zip(pixels).for_each(|(counts, &level)| counts[usize::from(level)] += 1);
            }
            let counts: Vec<usize> = (0..256).map(|level| tables.iter().map(|counts| counts[level]).sum()).collect();
            let levels = (0..=255).map(f64::from).zip(counts);
            return Ok(levels.filter(|(_, count)| *count > 0).collect());
        }
        Values::Deep(values) => values,
    };
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for run in values.chunk_by(|a, b| a.to_bits() == b.to_bits()) {
        *counts.entry(plain(run[0]).to_bits()).or_default() += run.len();
        if run[0].is_infinite() {
            return Err(format!("the mask holds the value {}; labels are finite numbers", run[0]));
        }
        if counts.len() > LEVELS_MAX {
            return Err(photograph("more than 65,536 levels"));
        }
    }
    let mut levels: Levels = counts.into_iter().map(|(bits, count)| (f64::from_bits(bits), count)).collect();
    levels.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    Ok(levels)
}

/// Returns the largest level of the type.
fn white(raster: &Raster) -> f64 {
    let bits = |text: &str, signed: i32| text.parse().map(|bits: i32| 2_f64.powi(bits - signed) - 1.0).ok();
    let depth = raster.samples.depth;
    let deep = || {
        let count = depth.strip_suffix(" bits").or_else(|| depth.strip_suffix(" bit")).or(depth.strip_prefix("uint"));
        count.and_then(|count| bits(count, 0)).or_else(|| bits(depth.strip_prefix("int")?, 1))
    };
    match raster.values {
        Values::Levels(_) => 255.0,
        // 1 for floats.
        Values::Deep(_) => deep().unwrap_or(1.0),
    }
}

/// Returns the level above which pixels are foreground, by the rule `above-half`.
fn half(raster: &Raster, largest: f64) -> Result<f64, String> {
    let half = if white(raster) > 1.0 { ((white(raster) - 1.0) / 2.0).floor() } else { 0.5 };
    match largest {
        largest if half > 1.0 && largest <= 1.0 => Ok(0.0),
        largest if largest > half || largest <= 0.0 => Ok(half),
        largest => Err(format!("the mask's levels end at {largest}; foreground is expected to be 1 or above {half}")),
    }
}
