//! What thresholds and scores need of a heatmap, found without keeping its pixels.

use std::sync::Arc;

use orchestrate_cache::Digest;
use orchestrate_engine::stage::StageError;
use rayon::prelude::*;

use super::histogram::Counter;
use super::{Histogram, Method, Range, Scratch, map, not_finite};
use crate::artifact::{Cams, Foreground, Run, Scale};
use crate::maps::memo::Memo;

/// The heatmap of one image, without its pixels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    /// How many pixels have each grey level.
    pub(crate) histogram: Histogram,
    /// Of what becomes grey levels; `None` where the map is constant and thus the heatmap 0 everywhere.
    range: Option<Range>,
}

impl Profile {
    /// Whether the map has the same value everywhere, so that nothing in it stands out.
    pub(crate) fn is_constant(&self) -> bool {
        self.range.is_none()
    }
}

/// Profiles that `threshold` and `score` made lately, by the digests of the maps: 50,000 of them.
static RECENT: Memo<(Vec<Digest>, Scale), Vec<Profile>> = Memo::new(50_000 * size_of::<Profile>());

/// The profile of each image of `cams`, which were read from files of these digests.
pub(crate) fn recent(cams: &Cams, digests: Vec<Digest>, scale: Scale) -> Result<Arc<Vec<Profile>>, StageError> {
    RECENT.get(&(digests, scale), || {
        let profiles = profiles(cams, scale)?;
        let size_bytes = size_of_val(&profiles[..]);
        Ok((profiles, size_bytes))
    })
}

/// The profile of each image of `cams`, in the order of the rows.
///
/// Errors: values that are not finite, with the image's name.
pub(crate) fn profiles(cams: &Cams, scale: Scale) -> Result<Vec<Profile>, StageError> {
    let method = Method::of(cams, scale);
    let profile = |scratch: &mut Scratch, row: usize| {
        let map = map(cams, row);
        let mut counter = Counter::default();
        let constant = method.is_constant(map).map_err(|error| not_finite(cams, row, error))?;
        let mut count = |_, levels: &[u8]| counter.add(levels);
        let range = if constant {
            let levels = vec![0; cams.input_width];
            method.all_rows().for_each(|row| count(row, &levels));
            None
        } else {
            Some(method.rows(map, None, method.all_rows(), scratch, count))
        };
        Ok(Profile { histogram: counter.histogram(), range })
    };
    (0..cams.names.len()).into_par_iter().map_init(Scratch::default, profile).collect()
}

/// How many pixels of the foreground have each grey level, for each image of `cams`, of which these are the profiles.
pub(crate) fn within<'f>(
    cams: &Cams,
    scale: Scale,
    profiles: &[Profile],
    foreground: impl Fn(usize) -> &'f Foreground + Sync,
) -> Vec<Histogram> {
    let method = Method::of(cams, scale);
    let histogram = |scratch: &mut Scratch, (row, profile): (usize, &Profile)| {
        let foreground = foreground(row);
        let mut counter = Counter::default();
        match profile.range {
            None => foreground.iter().for_each(|run| counter.add(&vec![0; run.columns.len()])),
            range => {
                let rows: Vec<&[Run]> = foreground.chunk_by(|a, b| a.row == b.row).collect();
                let mut runs = rows.iter();
                let wanted = rows.iter().map(|runs| runs[0].row as usize);
                method.rows(map(cams, row), range, wanted, scratch, |_, levels| {
                    for Run { columns, .. } in runs.next().copied().unwrap_or_default() {
                        counter.add(&levels[columns.start as usize..columns.end as usize]);
                    }
                });
            }
        }
        counter.histogram()
    };
    profiles.par_iter().enumerate().map_init(Scratch::default, histogram).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::heatmap::each_heatmap;
    use crate::testing::cams_of;

    fn cams() -> Cams {
        let mut cams = cams_of(&[[4.0, 1.0, 1.5, 9.0], [2.0; 4], [0.25, 0.5, 0.125, 0.0]]);
        (cams.input_height, cams.input_width) = (37, 41);
        cams
    }

    #[test]
    fn profiles_count_the_pixels_of_heatmaps() {
        for scale in [Scale::After, Scale::Before] {
            let whole = each_heatmap(&cams(), scale, |_, heatmap| Ok(Histogram::of(heatmap.pixels))).unwrap();
            let profiles = profiles(&cams(), scale).unwrap();
            assert_eq!(profiles.iter().map(|profile| profile.histogram.clone()).collect::<Vec<_>>(), whole);
            assert_eq!(profiles.iter().map(Profile::is_constant).collect::<Vec<_>>(), [false, true, false]);
        }
    }

    /// Two runs in one row, the first and the last pixel, and rows without foreground between.
    #[test]
    fn foreground_is_counted_as_its_pixels_are() {
        let run = |row, columns| Run { row, columns };
        let foreground = vec![run(0, 0..1), run(7, 3..20), run(7, 22..41), run(36, 40..41)];
        for scale in [Scale::After, Scale::Before] {
            let pixel_by_pixel = each_heatmap(&cams(), scale, |_, heatmap| {
                let of_run = |run: &Run| {
                    let start = run.row as usize * 41;
                    heatmap.pixels[start + run.columns.start as usize..start + run.columns.end as usize].to_vec()
                };
                Ok(Histogram::of(foreground.iter().flat_map(of_run)))
            });
            let found = within(&cams(), scale, &profiles(&cams(), scale).unwrap(), |_| &foreground);
            assert_eq!(found, pixel_by_pixel.unwrap());
        }
        let nothing =
            within(&cams(), Scale::After, &profiles(&cams(), Scale::After).unwrap(), |_| const { &Vec::new() });
        assert!(nothing.iter().all(|histogram| histogram.total() == 0));
    }
}
