//! Profiles of heatmaps: histograms for thresholds and scores, made without keeping pixels.

use std::sync::Arc;

use orchestrate_cache::Digest;
use orchestrate_engine::stage::StageError;
use rayon::prelude::*;

use super::histogram::{Counter, Histogram};
use super::method::{Method, Scratch, map_of};
use super::min_max::Range;
use crate::artifact::{Cams, Foreground, Run, Scale};
use crate::maps::derived_cache::DerivedCache;

/// The heatmap of one image, without its pixels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    pub(crate) histogram: Histogram,
    /// Range of the values that become grey levels.
    range: Range,
}

/// Recent profiles, by the digests of the maps; 50,000 at most.
static CACHE: DerivedCache<(Vec<Digest>, Scale), Vec<Profile>> =
    DerivedCache::new(50_000 * size_of::<Profile>(), |profiles| size_of_val(&profiles[..]));

/// Returns the profile of each image of `cams`, read from files of these digests, as [`profiles`] does.
pub(crate) fn cached_profiles(
    cams: &Cams,
    digests: Vec<Digest>,
    scale: Scale,
) -> Result<Arc<Vec<Profile>>, StageError> {
    CACHE.get_or_compute(&(digests, scale), || profiles(cams, scale))
}

/// Computes the profile of each image of `cams`, in the order of the rows.
///
/// Errors: values that are not finite, with the image's name.
pub(crate) fn profiles(cams: &Cams, scale: Scale) -> Result<Vec<Profile>, StageError> {
    let method = Method::of(cams, scale);
    let profile = |scratch: &mut Scratch, row: usize| {
        let map = map_of(cams, row);
        let constant = method.constant(map).map_err(|error| error.of(cams, row))?;
        let mut counter = Counter::default();
        let range = method.rows(map, constant, method.all_rows(), scratch, |_, levels| counter.add(levels));
        Ok(Profile { histogram: counter.histogram(), range })
    };
    (0..cams.names.len()).into_par_iter().map_init(Scratch::default, profile).collect()
}

/// Counts the foreground pixels of each grey level, for each image of `cams` and its profile.
pub(crate) fn within<'f>(
    cams: &Cams,
    scale: Scale,
    profiles: &[Profile],
    foreground: impl Fn(usize) -> &'f Foreground + Sync,
) -> Vec<Histogram> {
    let method = Method::of(cams, scale);
    let histogram = |scratch: &mut Scratch, (row, profile): (usize, &Profile)| {
        let rows: Vec<&[Run]> = foreground(row).chunk_by(|a, b| a.row == b.row).collect();
        let mut runs = rows.iter();
        let wanted = rows.iter().map(|runs| runs[0].row as usize);
        let mut counter = Counter::default();
        method.rows(map_of(cams, row), Some(profile.range), wanted, scratch, |_, levels| {
            for Run { columns, .. } in runs.next().copied().unwrap_or_default() {
                counter.add(&levels[columns.start as usize..columns.end as usize]);
            }
        });
        counter.histogram()
    };
    profiles.par_iter().enumerate().map_init(Scratch::default, histogram).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::heatmap::{each_heatmap, each_is_constant};
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
            assert_eq!(each_is_constant(&cams()).unwrap(), [false, true, false]);
        }
    }

    /// Two runs in one row, the first and the last pixel, and rows without foreground between them.
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
