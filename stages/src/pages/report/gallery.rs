//! The pictures of the cases: image, outline of the tumour, heatmap, and the mask of each threshold.
//!
//! Inputs are matched as the engine joins stages: a map belongs to a score if the labels of the score include all
//! labels of the map. Maps of one input are read once for all its cases, and only images that are shown are kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use orchestrate_engine::stage::{Action, Item, Label, StageError};
use rayon::prelude::*;

use super::case::{Case, Pick};
use super::params::Params;
use super::picture::{self, Size};
use super::study::{Scored, Study};
use crate::artifact::{Cams, Images, Masks, PredictedReader, Scale, Table, Thresholds};
use crate::maps::heatmap::heatmap;

/// The most bytes of all pictures together that further cases may fill; base64 adds a third.
const PICTURE_BYTES_MAX: usize = 11 << 20;

/// The most masks of a case; a sweep has hundreds of thresholds.
const MASKS_SHOWN: usize = 6;

/// The cases with their pictures.
#[derive(Default)]
pub(super) struct Gallery {
    /// Size of every picture, in pixels.
    pub(super) size: Size,
    /// Images of the data set that any case shows.
    pub(super) images: Vec<Image>,
    /// The cases, by class, series and rank.
    pub(super) cases: Vec<ShownCase>,
}

/// An image of the data set.
pub(super) struct Image {
    pub(super) name: String,
    pub(super) png: Vec<u8>,
    /// Border of the tumour, as the path of an SVG in pixels.
    pub(super) outline: String,
}

/// A case with its pictures.
pub(super) struct ShownCase {
    pub(super) case: Case,
    /// Index into [`Gallery::images`].
    pub(super) image: usize,
    /// The heatmap as PNG; `None` for a network that predicts masks.
    pub(super) heat: Option<Vec<u8>>,
    /// The mask of each threshold.
    pub(super) masks: Vec<Mask>,
}

/// A mask beside the ground truth.
pub(super) struct Mask {
    /// Label of the threshold; `None` for the prediction of a network.
    pub(super) threshold: Option<String>,
    /// The grey level to which the threshold resolved.
    pub(super) level: Option<f64>,
    /// Its IoU, from `score`.
    pub(super) iou: Option<f64>,
    pub(super) png: Vec<u8>,
}

impl Gallery {
    /// Draws the pictures of cases; none without `images` and `masks`.
    pub(super) fn draw(params: &Params, action: &Action, study: &Study, cases: &[Case]) -> Result<Self, StageError> {
        let name = |case: &Case| study.names[case.scored.image as usize].as_str();
        let wanted: BTreeSet<&str> = cases.iter().map(name).collect();
        let images = Stack::read("images", action.items("images"), |item| {
            let Images { names, height, width, pixels } = Images::select_from_item(item, |name| wanted.contains(name))?;
            Ok((names, Size { height, width }, pixels))
        });
        let Some(images) = images? else { return Ok(Self::default()) };
        let masks = Stack::read("masks", action.items("masks"), |item| {
            let Masks { names, height, width, pixels } = Masks::select_from_item(item, |name| wanted.contains(name))?;
            Ok((names, Size { height, width }, pixels))
        });
        let Some(masks) = masks? else { return Ok(Self::default()) };
        let size = images.size;
        if size != masks.size {
            return Err(StageError::input("masks", "the masks are not as large as the images; connect one data set"));
        }
        let names: Vec<&str> = wanted.into_iter().collect();
        let inputs = CaseInputs { params, action, study, masks: &masks, names: &names };
        let mut by_input: BTreeMap<usize, Vec<Case>> = BTreeMap::new();
        for case in cases {
            by_input.entry(case.input).or_default().push(*case);
        }
        let drawn = by_input.par_iter().map(|(input, cases)| inputs.draw(&study.inputs[*input], cases));
        let mut cases: Vec<ShownCase> = drawn.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        cases.sort_by_key(|ShownCase { case, .. }| (case.scored.class, case.series, case.rank));

        let encode = |name: &&str| {
            let png = picture::grey(images.of(name)?, size)?;
            Ok(Image { name: (*name).to_owned(), png, outline: picture::outline(masks.of(name)?, size) })
        };
        let images = names.par_iter().map(encode).collect::<Result<Vec<_>, StageError>>()?;
        Ok(bounded(Self { size, images, cases }, PICTURE_BYTES_MAX))
    }
}

/// Leaves out further cases, the last rounds first, and images that no case shows, until the pictures fit.
fn bounded(gallery: Gallery, bytes_max: usize) -> Gallery {
    let Gallery { size, images, cases } = gallery;
    let mut order: Vec<usize> = (0..cases.len()).collect();
    order.sort_by_key(|&index| (cases[index].case.pick == Pick::Further, cases[index].case.round, index));
    let mut images_kept = BTreeSet::new();
    let mut kept = BTreeSet::new();
    let mut bytes = 0;
    for index in order {
        let shown = &cases[index];
        let own: usize = shown.heat.iter().chain(shown.masks.iter().map(|mask| &mask.png)).map(Vec::len).sum();
        let image = &images[shown.image];
        let image_bytes = if images_kept.contains(&shown.image) { 0 } else { image.png.len() + image.outline.len() };
        if shown.case.pick != Pick::Further || bytes + own + image_bytes <= bytes_max {
            bytes += own + image_bytes;
            images_kept.insert(shown.image);
            kept.insert(index);
        }
    }
    let places: HashMap<usize, usize> = images_kept.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let cases = cases.into_iter().enumerate().filter(|(index, _)| kept.contains(index));
    let cases = cases.map(|(_, shown)| ShownCase { image: places[&shown.image], ..shown }).collect();
    let images = images.into_iter().enumerate().filter(|(index, _)| images_kept.contains(index));
    Gallery { size, images: images.map(|(_, image)| image).collect(), cases }
}

/// Pixels of images by name.
struct Stack {
    port: &'static str,
    size: Size,
    rows: HashMap<String, usize>,
    pixels: Vec<u8>,
}

impl Stack {
    /// Reads all items together; if several have an image (one data set under other labels), the first one counts.
    fn read(
        port: &'static str,
        items: &[Item],
        read: impl Fn(&Item) -> Result<(Vec<String>, Size, Vec<u8>), StageError>,
    ) -> Result<Option<Self>, StageError> {
        let mut stack: Option<Self> = None;
        for item in items {
            let (names, size, pixels) = read(item)?;
            let stack = stack.get_or_insert_with(|| Self { port, size, rows: HashMap::new(), pixels: Vec::new() });
            if stack.size != size && !names.is_empty() {
                return Err(StageError::input(port, "the inputs have images of several sizes; a report shows one"));
            }
            for (name, pixels) in names.into_iter().zip(pixels.chunks(size.pixels().max(1))) {
                let next = stack.rows.len();
                if let std::collections::hash_map::Entry::Vacant(entry) = stack.rows.entry(name) {
                    entry.insert(next);
                    stack.pixels.extend_from_slice(pixels);
                }
            }
        }
        Ok(stack)
    }

    fn of(&self, name: &str) -> Result<&[u8], StageError> {
        let row = self.rows.get(name).ok_or_else(|| missing(self.port, name, "connect the data set of the scores"))?;
        Ok(&self.pixels[row * self.size.pixels()..(row + 1) * self.size.pixels()])
    }
}

/// The inputs from which cases are drawn.
struct CaseInputs<'a> {
    params: &'a Params,
    action: &'a Action,
    study: &'a Study,
    masks: &'a Stack,
    /// Names of all images of cases, sorted as in [`Gallery::images`].
    names: &'a [&'a str],
}

impl CaseInputs<'_> {
    /// Draws the cases of one input: from its maps, else from the masks that a network predicted, else without masks.
    fn draw(&self, input: &Scored, cases: &[Case]) -> Result<Vec<ShownCase>, StageError> {
        let size = self.masks.size;
        if let Some(item) = belonging(self.action.items("cams"), &input.labels) {
            let cams = Cams::from_item(item)?;
            if (cams.input_height, cams.input_width) != (size.height, size.width) {
                return Err(StageError::input("cams", "the maps are not of the connected images: their sizes differ"));
            }
            let cuts = self.cuts(input)?;
            return self.draw_each(cases, |case, name, truth| self.draw_map(&cams, &cuts, case, name, truth));
        }
        let Some(item) = belonging(self.action.items("predicted"), &input.labels) else {
            return self.draw_each(cases, |_, _, _| Ok((None, Vec::new())));
        };
        let predicted = PredictedReader::from_item(item)?.masks;
        if (predicted.height, predicted.width) != (size.height, size.width) {
            let message = "the masks are not of the connected images: their sizes differ";
            return Err(StageError::input("predicted", message));
        }
        self.draw_each(cases, |case, name, truth| {
            let row = row_of("predicted", &predicted.names, name)?;
            let pixels = predicted.pixels(row)?;
            let agreement = picture::agreement(pixels.iter().map(|&pixel| pixel != 0), truth);
            let png = picture::overlay(&agreement, size)?;
            Ok((None, vec![Mask { threshold: None, level: None, iou: case.scored.iou, png }]))
        })
    }

    /// Draws heatmap and masks of each case, given its name and ground truth.
    fn draw_each(
        &self,
        cases: &[Case],
        draw: impl Fn(&Case, &str, &[u8]) -> Result<(Option<Vec<u8>>, Vec<Mask>), StageError>,
    ) -> Result<Vec<ShownCase>, StageError> {
        let one = |case: &Case| {
            let name = self.study.names[case.scored.image as usize].as_str();
            let (heat, masks) = draw(case, name, self.masks.of(name)?)?;
            let image = self.names.binary_search(&name).expect("every name of a case is listed");
            Ok(ShownCase { case: *case, image, heat, masks })
        };
        cases.iter().map(one).collect()
    }

    /// Draws the heatmap of a case, and its mask at each threshold.
    fn draw_map(
        &self,
        cams: &Cams,
        cuts: &[Cut<'_>],
        case: &Case,
        name: &str,
        truth: &[u8],
    ) -> Result<(Option<Vec<u8>>, Vec<Mask>), StageError> {
        let size = self.masks.size;
        let row = row_of("cams", &cams.names, name)?;
        let map = &cams.maps[row * cams.height * cams.width..(row + 1) * cams.height * cams.width];
        let scale = cuts.first().map_or(Scale::default(), |cut| cut.thresholds.scale);
        let levels = heatmap(map, (cams.height, cams.width), (size.height, size.width), scale)
            .map_err(|error| StageError::new(format!("image `{name}`: {error}")))?;
        let mask = |cut: &Cut<'_>| {
            let level = cut.thresholds.thresholds[row_of("thresholds", &cut.thresholds.names, name)?];
            let agreement = picture::agreement(levels.iter().map(|&grey| f64::from(grey) > level), truth);
            let image = cut.scored.images.iter().find(|image| image.image == case.scored.image);
            Ok(Mask {
                threshold: Some(cut.label.to_owned()),
                level: Some(level),
                iou: image.and_then(|image| image.iou),
                png: picture::overlay(&agreement, size)?,
            })
        };
        let masks = cuts.iter().map(mask).collect::<Result<_, StageError>>()?;
        Ok((Some(picture::heat(&levels, size)?), masks))
    }

    /// Returns the thresholds that are shown, at the series and group of an input.
    fn cuts<'a>(&'a self, input: &'a Scored) -> Result<Vec<Cut<'a>>, StageError> {
        let mut cuts = Vec::new();
        for label in shown_thresholds(&self.study.thresholds, self.study.at.as_deref()) {
            let mut at = self.study.inputs_at(&input.point.series, Some(label)).map(|(_, scored)| scored);
            let Some(scored) = at.find(|scored| scored.point.group == input.point.group) else { continue };
            let is_at = |item: &&Item| item.label(&self.params.threshold) == Some(label);
            if let Some(item) = belonging(self.action.items("thresholds").iter().filter(is_at), &scored.labels) {
                cuts.push(Cut { label, scored, thresholds: Thresholds::from_item(item)? });
            }
        }
        Ok(cuts)
    }
}

/// A threshold at one series and group.
struct Cut<'a> {
    label: &'a str,
    scored: &'a Scored,
    thresholds: Thresholds,
}

/// Returns the item whose labels are all among those given; of several, the one with the most labels.
fn belonging<'a>(items: impl IntoIterator<Item = &'a Item>, labels: &[Label]) -> Option<&'a Item> {
    let fits = |item: &&Item| item.labels.iter().all(|label| labels.contains(label));
    items.into_iter().filter(fits).max_by_key(|item| item.labels.len())
}

/// Returns all thresholds if they are few, else the one that ranks and others at even distances.
fn shown_thresholds<'a>(all: &'a [String], at: Option<&str>) -> Vec<&'a str> {
    let is_shown = |index: usize| {
        let step = |index: usize| index * MASKS_SHOWN.saturating_sub(1) / all.len().max(1);
        all.len() <= MASKS_SHOWN || index == 0 || step(index) != step(index - 1) || Some(all[index].as_str()) == at
    };
    (0..all.len()).filter(|&index| is_shown(index)).map(|index| all[index].as_str()).collect()
}

fn row_of(port: &str, names: &[String], name: &str) -> Result<usize, StageError> {
    let row = names.iter().position(|other| other == name);
    row.ok_or_else(|| missing(port, name, "both must come from the same maps"))
}

fn missing(port: &str, name: &str, remedy: &str) -> StageError {
    StageError::input(port, format!("image `{name}` is scored, but is not there; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::super::study::ScoredImage;
    use super::*;

    fn item(labels: &[(&str, &str)]) -> Item {
        let labels = labels.iter().map(|&(axis, label)| (axis.into(), label.into())).collect();
        Item { labels, files: Vec::new().into() }
    }

    #[test]
    fn an_input_belongs_where_all_its_labels_are() {
        let items = [item(&[]), item(&[("model", "b")]), item(&[("model", "a")])];
        let labels = item(&[("model", "a"), ("fold", "1")]).labels;
        assert_eq!(belonging(&items, &labels).unwrap().label("model"), Some("a"));
        assert!(belonging(&items[..2], &labels).unwrap().labels.is_empty());
        assert!(belonging(&items[1..2], &labels).is_none());
    }

    #[test]
    fn sweep_shows_some_thresholds_and_always_the_one_that_ranks() {
        let all: Vec<String> = (0..60).map(|level| (level * 4).to_string()).collect();
        let shown = shown_thresholds(&all, Some("16"));
        assert!(shown.contains(&"16") && shown.contains(&"0") && shown.len() <= MASKS_SHOWN, "{shown:?}");
        assert_eq!(shown_thresholds(&all[..3], Some("0")), ["0", "4", "8"]);
    }

    fn shown(image: usize, pick: Pick, round: usize) -> ShownCase {
        let scored = ScoredImage { image: image as u32, class: 0, predicted: 0, iou: Some(0.5) };
        let case = Case { series: 0, input: 0, scored, iou: 0.5, rank: 1, ranked: 9, pick, round };
        let mask = Mask { threshold: None, level: None, iou: None, png: vec![0; 10] };
        ShownCase { case, image, heat: None, masks: vec![mask] }
    }

    #[test]
    fn further_cases_that_do_not_fit_are_left_out_with_their_images() {
        let image = |index: usize| Image { name: index.to_string(), png: vec![0; 90], outline: String::new() };
        let cases = vec![
            shown(0, Pick::Best, 0),
            shown(1, Pick::Further, 1),
            shown(2, Pick::Further, 2),
            shown(3, Pick::Worst, 0),
            shown(3, Pick::Further, 3),
        ];
        let gallery = Gallery { size: Size::default(), images: (0..4).map(image).collect(), cases };
        let gallery = bounded(gallery, 310);
        let names: Vec<_> = gallery.cases.iter().map(|shown| gallery.images[shown.image].name.as_str()).collect();
        assert_eq!(names, ["0", "1", "3", "3"], "100 + 100 + 100 + 10 bytes; the second round does not fit");
        assert_eq!(gallery.images.len(), 3);
    }
}
