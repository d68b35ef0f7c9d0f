//! The foreground of a mask, from its levels or label values: the param `foreground`.
//!
//! If it is not set, a mask has two levels: a dark background, and one level of foreground. A mask that was saved as
//! JPEG, or drawn with smooth edges, has more levels, but two *main* ones. It is read like this:
//!
//! 1. The main levels are the most frequent ones in the lowest and in the highest eighth of the range. The background
//!    is at most a sixteenth of the largest level.
//! 2. A level is near a main level within an eighth of the range. A pixel far from both is an edge, unless it lies in
//!    a region of its own: its 3 × 3 neighbourhood has about its level, within 1/32 of the range.
//! 3. A level near a main one is ringing, unless a square of 5 × 5 pixels has exactly this other level.
//! 4. Files with few levels are label maps rather than smooth edges. Up to 4 levels, or whole numbers up to 32, all
//!    levels far from the main ones are regions. Up to 8, they are so where one main level is not within 2 pixels.
//!
//! A third region is an error, and so is a mask of which more than a quarter is far from the main levels.
//!
//! Of polygons saved as JPEG of quality 10 to 100, or drawn at 2 to 8 times the size and reduced by any filter of
//! Pillow, none has a third region.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::raster::{Raster, Values};
use super::resize::Grid;

/// More levels than this are a picture, not a mask.
const LEVELS_MAX: usize = 1 << 16;

/// Which pixels of a mask count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
        let values = values(raster)?;
        let levels = count(&values)?;
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
                let Clusters { threshold, foreground } = clusters(raster, &values, &levels)?;
                (Box::new(move |value| value > threshold), foreground.into_iter().collect())
            }
        };
        let pixels = values.into_iter().map(|value| u8::from(is_foreground(value))).collect();
        Ok(Mask { grid: Grid { height: raster.height, width: raster.width, pixels }, found })
    }
}

/// Levels in ascending order, with their numbers of pixels.
type Levels = Vec<(f64, usize)>;

/// Returns the values, 0 for NaN. Errors: an infinite value.
fn values(raster: &Raster) -> Result<Vec<f64>, String> {
    let finite = |value: &f64| match value {
        value if value.is_infinite() => Err(format!("the mask holds the value {value}; labels are finite numbers")),
        // The sum makes −0 to 0.
        value => Ok(if value.is_nan() { 0.0 } else { value + 0.0 }),
    };
    match &raster.values {
        Values::Levels(levels) => Ok(levels.iter().map(|&level| f64::from(level)).collect()),
        Values::Deep(values) => values.iter().map(finite).collect(),
    }
}

/// Counts the levels. Errors: far too many for a mask.
fn count(values: &[f64]) -> Result<Levels, String> {
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for value in values {
        *counts.entry(value.to_bits()).or_default() += 1;
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

/// The two main levels of a mask.
struct Clusters {
    /// Pixels above it are foreground.
    threshold: f64,
    /// The main level of the foreground, if there is any.
    foreground: Option<f64>,
}

/// Finds the main levels of a mask. Errors: there are more than two, or what is background is ambiguous.
fn clusters(raster: &Raster, values: &[f64], levels: &Levels) -> Result<Clusters, String> {
    let white = white(raster);
    let (Some(&(lowest, _)), Some(&(highest, _))) = (levels.first(), levels.last()) else {
        return Err("the mask has no pixels".to_owned());
    };
    if levels.len() == 1 {
        return match highest {
            0.0 => Ok(Clusters { threshold: 0.0, foreground: None }),
            level if level == 1.0 || level >= white * 15.0 / 16.0 => {
                Ok(Clusters { threshold: 0.0, foreground: Some(level) })
            }
            level => Err(format!("all of the mask has level {level}; {SET_LEVELS}")),
        };
    }
    let labels = highest <= 32.0 && levels.iter().all(|(level, _)| level.fract() == 0.0);
    if labels && (levels.len() > 2 || lowest != 0.0) {
        return Err(ambiguous(levels, lowest));
    }
    let range = highest - lowest;
    let (Some(background), Some(foreground)) =
        (main(levels, lowest - 1.0, lowest + range / 8.0), main(levels, highest - range / 8.0, highest))
    else {
        return Err(ambiguous(levels, lowest));
    };
    if background < 0.0 || background > highest / 16.0 {
        return Err(ambiguous(levels, lowest));
    }
    if levels.len() > 2 {
        regions(raster, values, levels, [background, foreground])?;
    }
    let is_white = (white * 15.0 / 16.0..=white).contains(&foreground);
    // For white the same as `above-half`, to the level.
    let threshold = if is_white { half(raster, foreground)? } else { f64::midpoint(background, foreground) };
    Ok(Clusters { threshold, foreground: Some(foreground) })
}

/// Returns the most frequent level above one and up to another; of equals the lowest.
fn main(levels: &Levels, above: f64, up_to: f64) -> Option<f64> {
    let within = levels.iter().rev().filter(|(level, _)| *level > above && *level <= up_to);
    within.max_by_key(|(_, count)| *count).map(|(level, _)| *level)
}

/// Looks for regions beside the two main levels. Errors: there is one; see the module.
fn regions(raster: &Raster, values: &[f64], levels: &Levels, mains: [f64; 2]) -> Result<(), String> {
    let (height, width) = raster.size();
    let range = levels[levels.len() - 1].0 - levels[0].0;
    let is_near = |value: f64, main: f64| (value - main).abs() <= range / 8.0;
    // Calls a test for the pixels at most `reach` away; outside of the picture it is `beyond`.
    let around = |at: usize, reach: usize, beyond: bool, test: &dyn Fn(f64) -> bool| {
        let (row, column) = (at / width, at % width);
        let inside = row >= reach && column >= reach && row + reach < height && column + reach < width;
        if !inside && !beyond {
            return false;
        }
        let rows = row.saturating_sub(reach)..(row + reach + 1).min(height);
        let columns = column.saturating_sub(reach)..(column + reach + 1).min(width);
        rows.into_iter().all(|row| columns.clone().all(|column| test(values[row * width + column])))
    };
    let mut strange: BTreeMap<u64, usize> = BTreeMap::new();
    let mut far = 0;
    for (at, &value) in values.iter().enumerate() {
        if mains.contains(&value) {
            continue;
        }
        let is_region = if mains.iter().any(|&main| is_near(value, main)) {
            around(at, if levels.len() > 4 { 2 } else { 1 }, false, &|other| other == value)
        } else {
            far += 1;
            levels.len() <= 4
                || around(at, 1, false, &|other| (other - value).abs() <= range / 32.0)
                || levels.len() <= 8 && mains.iter().any(|&main| around(at, 2, true, &|other| !is_near(other, main)))
        };
        if is_region {
            *strange.entry(value.to_bits()).or_default() += 1;
        }
    }
    if strange.is_empty() && far <= values.len() / 4 {
        return Ok(());
    }
    // The most frequent level of a region stands for those within 1/16 of the range.
    let mut strange: Vec<(f64, usize)> = strange.into_iter().map(|(bits, n)| (f64::from_bits(bits), n)).collect();
    let mut shown = mains.to_vec();
    while let Some(&(level, _)) = strange.iter().max_by_key(|(_, count)| *count) {
        shown.push(level);
        strange.retain(|(other, _)| (other - level).abs() > range / 16.0);
    }
    if shown.len() == 2 || shown.len() > 8 && levels.len() > 32 {
        let (lowest, highest) = (levels[0].0, levels[levels.len() - 1].0);
        return Err(photograph(&format!("{} levels from {lowest} to {highest}", levels.len())));
    }
    let shown: Levels = levels.iter().copied().filter(|(level, _)| shown.contains(level)).collect();
    Err(ambiguous(&shown, levels[0].0))
}

const SET_LEVELS: &str =
    "set `foreground` to the levels that count, such as [1, 2], or to \"above-half\" of the largest possible level";

fn photograph(levels: &str) -> String {
    format!("it looks like a picture, not a mask: {levels}; if it is a mask, set `foreground` to \"above-half\"")
}

/// Lists the main levels.
fn ambiguous(levels: &Levels, lowest: f64) -> String {
    const SHOWN: usize = 8;
    let text = |(level, count): &(f64, usize)| format!("{level} ({count} pixels)");
    let mut shown: Vec<String> = levels.iter().take(SHOWN).map(text).collect();
    if levels.len() > SHOWN {
        shown.push(format!("{} more", levels.len() - SHOWN));
    }
    let (last, first) = shown.split_last().expect("a mask has a level");
    let what = if lowest > 0.0 && levels.len() == 2 { "none of them a dark background" } else { "not two" };
    format!("the mask's levels are {} and {last}, {what}; {SET_LEVELS}", first.join(", "))
}
