//! The two main levels of a mask whose param `foreground` is not set.
//!
//! A mask that was saved as JPEG, or drawn with smooth edges, has more than two levels. It is read like this:
//!
//! 1. The main levels are the most frequent ones in the lowest and in the highest eighth of the range. The background
//!    is at most a sixteenth of the largest level.
//! 2. A level is near a main level within an eighth of the range. A pixel far from both is an edge, unless it lies in
//!    a region of its own: its 3 × 3 neighbourhood has about its level, within 1/16 of the range.
//! 3. A level near a main one is ringing, unless a square of 5 × 5 pixels has exactly this other level. In a file of
//!    more than 16 levels, those within 1/32 of the range are ringing anyway.
//! 4. Files with few levels are label maps rather than smooth edges. Up to 4 levels, or whole numbers up to 32, all
//!    levels far from the main ones are regions. Up to 8, they are so where one main level is not within 2 pixels.
//!
//! A third region is an error, and so is a mask of which more than a quarter is far from the main levels.
//!
//! Of some 1,500 masks of polygons, none has a third region by these rules: as JPEG of quality 10 to 100, and drawn at
//! 2 to 8 times the size and reduced by the filters of Pillow, with and without JPEG. Only the filter `BOX` at 2 times
//! the size leaves so few levels that some are taken for label maps. Of 128 label maps and slices of at least three
//! levels, 127 are found; the other has a third level of 68 pixels in a JPEG file.

use std::collections::BTreeMap;

use super::super::raster::{Raster, Values};
use super::{Levels, half, plain, white};

/// The two main levels of a mask.
pub(super) struct Clusters {
    /// Pixels above it are foreground.
    pub(super) threshold: f64,
    /// The main level of the foreground, if there is any.
    pub(super) foreground: Option<f64>,
}

/// Finds the main levels of a mask. Errors: there are more than two, or what is background is ambiguous.
pub(super) fn clusters(raster: &Raster, levels: &Levels) -> Result<Clusters, String> {
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
        regions(raster, levels, [background, foreground])?;
    }
    let is_white = (white * 15.0 / 16.0..=white).contains(&highest);
    // For white the same as `above-half`, to the level.
    let threshold = if is_white { half(raster, highest)? } else { f64::midpoint(background, foreground) };
    Ok(Clusters { threshold, foreground: Some(foreground) })
}

/// Returns the most frequent level above one and up to another; of equals the lowest.
pub(super) fn main(levels: &Levels, above: f64, up_to: f64) -> Option<f64> {
    let within = levels.iter().rev().filter(|(level, _)| *level > above && *level <= up_to);
    within.max_by_key(|(_, count)| *count).map(|(level, _)| *level)
}

/// Looks for regions beside the two main levels. Errors: there is one; see the module.
fn regions(raster: &Raster, levels: &Levels, mains: [f64; 2]) -> Result<(), String> {
    let (height, width) = raster.size();
    let values: Vec<f64> = match &raster.values {
        Values::Levels(pixels) => pixels.iter().map(|&level| level.into()).collect(),
        Values::Deep(values) => values.iter().map(|&value| plain(value)).collect(),
    };
    let range = levels[levels.len() - 1].0 - levels[0].0;
    let is_near = |value: f64, main: f64| (value - main).abs() <= range / 8.0;
    let noise = if levels.len() > 16 { range / 32.0 } else { 0.0 };
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
        if mains.iter().any(|&main| (value - main).abs() <= noise) {
            continue;
        }
        let is_region = if mains.iter().any(|&main| is_near(value, main)) {
            around(at, if levels.len() > 4 { 2 } else { 1 }, false, &|other| other == value)
        } else {
            far += 1;
            levels.len() <= 4
                || around(at, 1, false, &|other| (other - value).abs() <= range / 16.0)
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

pub(super) fn photograph(levels: &str) -> String {
    format!("it looks like a picture, not a mask: {levels}; if it is a mask, set `foreground` to \"above-half\"")
}

/// Lists the main levels.
fn ambiguous(levels: &Levels, lowest: f64) -> String {
    const SHOWN: usize = 8;
    let text = |(level, count): &(f64, usize)| match count {
        1 => format!("{level} (1 pixel)"),
        count => format!("{level} ({count} pixels)"),
    };
    let mut shown: Vec<String> = levels.iter().take(SHOWN).map(text).collect();
    if levels.len() > SHOWN {
        shown.push(format!("{} more", levels.len() - SHOWN));
    }
    let (last, first) = shown.split_last().expect("a mask has a level");
    let what = if lowest > 0.0 && levels.len() == 2 { "none of them a dark background" } else { "not two" };
    format!("the mask's levels are {} and {last}, {what}; {SET_LEVELS}", first.join(", "))
}
