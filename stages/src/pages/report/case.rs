//! The choice of cases. Source: Kang et al. 2021, Figure 4, for best, median and worst.
//!
//! The images of a series and class are ranked by IoU, the best first, equal ones by name; images without ground truth
//! have no rank. The page shows the best, the middle and the worst rank, and further ranks at even distances.

use super::study::{ScoredImage, Study};
use crate::tables::first_seen::index_or_push;

/// The reason to show a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pick {
    /// The highest IoU.
    Best,
    /// The middle rank; the better of the two middle ones.
    Median,
    /// The lowest IoU.
    Worst,
    /// One of those at even distances.
    Further,
}

impl Pick {
    /// The word for the reason.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Median => "median",
            Self::Worst => "worst",
            Self::Further => "further",
        }
    }
}

/// A shown image of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Case {
    /// Index into [`Study::series`].
    pub(super) series: usize,
    /// Index of the input at the ranking threshold into [`Study::inputs`].
    pub(super) input: usize,
    /// The image with its class and score.
    pub(super) scored: ScoredImage,
    /// Its IoU.
    pub(super) iou: f64,
    /// Its rank among the images of its series and class, from 1.
    pub(super) rank: usize,
    /// Number of images with a rank in its series and class.
    pub(super) ranked: usize,
    /// The reason to show it.
    pub(super) pick: Pick,
    /// Order in which further cases are added while they fit; 0 for the others.
    pub(super) round: usize,
}

/// Chooses the cases of every series and class: by class, then series, then rank.
pub(super) fn choose(study: &Study, further: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for class in 0..study.classes.len() {
        for (series, name) in study.series.iter().enumerate() {
            let mut ranked: Vec<(usize, ScoredImage, f64)> = study
                .inputs_at(name, study.at.as_deref())
                .flat_map(|(input, scored)| scored.images.iter().map(move |image| (input, *image)))
                .filter(|(_, image)| image.class as usize == class)
                .filter_map(|(input, image)| Some((input, image, image.iou?)))
                .collect();
            let name = |image: &ScoredImage| &study.names[image.image as usize];
            ranked.sort_by(|(_, a, x), (_, b, y)| y.total_cmp(x).then_with(|| name(a).cmp(name(b))));
            let picks = picks(ranked.len(), further);
            cases.extend(picks.into_iter().map(|(rank, pick, round)| {
                let (input, scored, iou) = ranked[rank];
                Case { series, input, scored, iou, rank: rank + 1, ranked: ranked.len(), pick, round }
            }));
        }
    }
    cases
}

/// Returns the number of images with a rank.
pub(super) fn ranked(study: &Study) -> usize {
    let inputs = study.series.iter().flat_map(|series| study.inputs_at(series, study.at.as_deref()));
    inputs.map(|(_, input)| input.images.iter().filter(|image| image.iou.is_some()).count()).sum()
}

/// Returns ranks below `count`, each with its pick and round, in order.
fn picks(count: usize, further: usize) -> Vec<(usize, Pick, usize)> {
    let Some(last) = count.checked_sub(1) else { return Vec::new() };
    let mut picks = vec![(0, Pick::Best, 0)];
    let mut add = |rank: usize, pick: Pick, round: usize| {
        index_or_push(&mut picks, |(other, ..)| *other == rank, || (rank, pick, round));
    };
    add(last, Pick::Worst, 0);
    add(last / 2, Pick::Median, 0);
    for index in 1..=further {
        // Rounds to the nearest rank; the ends are shown already.
        add((2 * index * last + further + 1) / (2 * (further + 1)), Pick::Further, index);
    }
    picks.sort_unstable();
    picks
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixture::{params, scores};
    use super::*;
    use crate::testing::Bench;

    fn ranks(count: usize, further: usize) -> Vec<(usize, &'static str)> {
        picks(count, further).into_iter().map(|(rank, pick, _)| (rank, pick.name())).collect()
    }

    #[test]
    fn best_median_and_worst_are_there_as_far_as_there_are_images() {
        assert_eq!(ranks(0, 3), []);
        assert_eq!(ranks(1, 3), [(0, "best")]);
        assert_eq!(ranks(2, 3), [(0, "best"), (1, "worst")]);
        assert_eq!(ranks(4, 0), [(0, "best"), (1, "median"), (3, "worst")]);
        assert_eq!(ranks(5, 0), [(0, "best"), (2, "median"), (4, "worst")]);
    }

    #[test]
    fn further_cases_lie_at_even_distances() {
        let expected = [(0, "best"), (25, "further"), (50, "median"), (75, "further"), (100, "worst")];
        assert_eq!(ranks(101, 3), expected);
        assert_eq!(ranks(3, 9).len(), 3);
    }

    #[test]
    fn images_are_ranked_over_all_folds_and_those_without_ground_truth_are_not() {
        let bench = Bench::new();
        let items = [
            bench.item(&scores(&[("c", 0, Some(0.5)), ("z", 0, None)]), &[("fold", "1")]),
            bench.item(&scores(&[("a", 0, Some(0.5)), ("b", 0, Some(0.9)), ("d", 1, Some(0.0))]), &[("fold", "2")]),
        ];
        let study = Study::read(&params(serde_json::json!({})), &items).unwrap();
        let cases = choose(&study, 0);
        let shown: Vec<_> = cases
            .iter()
            .map(|case| (study.names[case.scored.image as usize].as_str(), case.pick.name(), case.rank, case.ranked))
            .collect();
        assert_eq!(shown, [("b", "best", 1, 3), ("a", "median", 2, 3), ("c", "worst", 3, 3), ("d", "best", 1, 1)]);
        assert_eq!(ranked(&study), 4);
    }
}
