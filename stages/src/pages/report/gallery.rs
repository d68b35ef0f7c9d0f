//! The pictures of the cases that are shown: image, outline of the tumour, heatmap, and the mask of each threshold.
//!
//! Inputs are matched as the engine joins stages: a map belongs to a score if all labels of the map are among those of the
//! score. Maps of one input are read once for all its cases, and only images that are shown are kept.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use orchestrate_engine::stage::{Action, Item, Label, StageError};
use rayon::prelude::*;

use super::case::{Case, Pick};
use super::picture::{self, Size};
use super::study::{Scored, Study};
use super::{Params, items};
use crate::artifact::{Cams, Images, Masks, PredictedMasks, Scale, Table, Thresholds};
use crate::maps::heatmap::heatmap;

/// Length of all pictures together that further cases may fill; base64 makes a third more of it.
const PICTURE_BYTES_MAX: usize = 11 << 20;

/// Masks that are shown of a case; a sweep has hundreds of thresholds.
const MASKS_SHOWN: usize = 6;

/// The cases that are shown, with their pictures.
#[derive(Default)]
pub(super) struct Gallery {
    /// Size of every picture, in pixels.
    pub(super) size: Size,
    /// Images of the data set that any case shows.
    pub(super) images: Vec<Image>,
    /// The cases, by class, series and rank.
    pub(super) cases: Vec<Shown>,
}

/// An image of the data set.
pub(super) struct Image {
    /// Its name.
    pub(super) name: String,
    /// PNG.
    pub(super) png: Vec<u8>,
    /// Border of the tumour, as the path of an SVG in pixels.
    pub(super) outline: String,
}

/// A case with its pictures.
pub(super) struct Shown {
    /// Which case.
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
    /// Label of the threshold; `None` for a mask that was predicted as such.
    pub(super) threshold: Option<String>,
    /// The grey level that it came to.
    pub(super) level: Option<f64>,
    /// Its IoU, as `score` has it.
    pub(super) iou: Option<f64>,
    /// PNG.
    pub(super) png: Vec<u8>,
}

impl Gallery {
    /// Draws the pictures of cases; none without `images` and `masks`.
    pub(super) fn draw(params: &Params, action: &Action, study: &Study, cases: &[Case]) -> Result<Self, StageError> {
        let name = |case: &Case| study.names[case.scored.image as usize].as_str();
        let wanted: HashSet<&str> = cases.iter().map(name).collect();
        let Some((images, size)) = Stack::images(items(action, "images"), &wanted)? else { return Ok(Self::default()) };
        let Some((masks, mask_size)) = Stack::masks(items(action, "masks"), &wanted)? else {
            return Ok(Self::default());
        };
        if size != mask_size {
            return Err(StageError::input("masks", "the masks are not as large as the images; connect one data set"));
        }
        let source = Source { params, action, study, masks: &masks, size };
        let mut by_input: BTreeMap<usize, Vec<Case>> = BTreeMap::new();
        for case in cases {
            by_input.entry(case.input).or_default().push(*case);
        }
        let drawn: Vec<Vec<Drawn>> = by_input
            .par_iter()
            .map(|(input, cases)| source.draw(&study.inputs[*input], cases))
            .collect::<Result<_, _>>()?;
        let mut drawn: Vec<Drawn> = drawn.into_iter().flatten().collect();
        let order = |case: &Case| (case.scored.class, case.series, case.rank);
        drawn.sort_by_key(|drawn| order(&drawn.case));

        let names: BTreeSet<&str> = wanted.into_iter().collect();
        let names: Vec<&str> = names.into_iter().collect();
        let encoded: Vec<Image> = names
            .par_iter()
            .map(|name| {
                let png = picture::grey(images.of(name)?, size)?;
                Ok(Image { name: (*name).to_owned(), png, outline: picture::outline(masks.of(name)?, size) })
            })
            .collect::<Result<_, StageError>>()?;
        let index: HashMap<&str, usize> = names.iter().enumerate().map(|(index, name)| (*name, index)).collect();
        let shown =
            drawn.into_iter().map(|Drawn { case, heat, masks }| Shown { image: index[name(&case)], case, heat, masks });
        Ok(bounded(Self { size, images: encoded, cases: shown.collect() }, PICTURE_BYTES_MAX))
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
    let cases = cases.map(|(_, shown)| Shown { image: places[&shown.image], ..shown }).collect();
    let images = images.into_iter().enumerate().filter(|(index, _)| images_kept.contains(index));
    Gallery { size, images: images.map(|(_, image)| image).collect(), cases }
}

/// Pixels of images by name.
struct Stack {
    port: &'static str,
    size: usize,
    rows: HashMap<String, usize>,
    pixels: Vec<u8>,
}

impl Stack {
    fn images(items: &[Item], wanted: &HashSet<&str>) -> Result<Option<(Self, Size)>, StageError> {
        let read = |item: &Item| {
            let Images { names, height, width, pixels } = Images::select_from_item(item, |name| wanted.contains(name))?;
            Ok((names, Size { height, width }, pixels))
        };
        Self::read("images", items, read)
    }

    fn masks(items: &[Item], wanted: &HashSet<&str>) -> Result<Option<(Self, Size)>, StageError> {
        let read = |item: &Item| {
            let Masks { names, height, width, pixels } = Masks::select_from_item(item, |name| wanted.contains(name))?;
            Ok((names, Size { height, width }, pixels))
        };
        Self::read("masks", items, read)
    }

    /// All items together; an image that several have (the same data set under other labels) is that of the first.
    fn read(
        port: &'static str,
        items: &[Item],
        read: impl Fn(&Item) -> Result<(Vec<String>, Size, Vec<u8>), StageError>,
    ) -> Result<Option<(Self, Size)>, StageError> {
        let mut stack: Option<(Self, Size)> = None;
        for item in items {
            let (names, size, pixels) = read(item)?;
            let (stack, first) = stack.get_or_insert_with(|| {
                let empty = Self { port, size: size.height * size.width, rows: HashMap::new(), pixels: Vec::new() };
                (empty, size)
            });
            if *first != size && !names.is_empty() {
                return Err(StageError::input(port, "the inputs have images of several sizes; a report shows one"));
            }
            for (row, name) in names.into_iter().enumerate() {
                let next = stack.rows.len();
                if let std::collections::hash_map::Entry::Vacant(entry) = stack.rows.entry(name) {
                    entry.insert(next);
                    stack.pixels.extend_from_slice(&pixels[row * stack.size..(row + 1) * stack.size]);
                }
            }
        }
        Ok(stack)
    }

    fn of(&self, name: &str) -> Result<&[u8], StageError> {
        let row = self.rows.get(name).ok_or_else(|| {
            let message = format!("image `{name}` is scored, but is not there; connect the data set of the scores");
            StageError::input(self.port, message)
        })?;
        Ok(&self.pixels[row * self.size..(row + 1) * self.size])
    }
}

struct Drawn {
    case: Case,
    heat: Option<Vec<u8>>,
    masks: Vec<Mask>,
}

/// What the pictures are drawn from.
struct Source<'a> {
    params: &'a Params,
    action: &'a Action,
    study: &'a Study,
    masks: &'a Stack,
    size: Size,
}

impl Source<'_> {
    /// Cases of one input.
    fn draw(&self, input: &Scored, cases: &[Case]) -> Result<Vec<Drawn>, StageError> {
        let Some(item) = belonging(items(self.action, "cams"), &input.labels) else {
            return self.draw_predicted(input, cases);
        };
        let cams = Cams::from_item(item)?;
        if (cams.input_height, cams.input_width) != (self.size.height, self.size.width) {
            return Err(StageError::input("cams", "the maps are not of the connected images: their sizes differ"));
        }
        let cuts = self.cuts(input)?;
        let scale = cuts.first().map_or(Scale::default(), |cut| cut.thresholds.scale);
        let row_of = |names: &[String], name: &str| names.iter().position(|other| other == name);
        cases
            .iter()
            .map(|case| {
                let name = &self.study.names[case.scored.image as usize];
                let row = row_of(&cams.names, name).ok_or_else(|| missing("cams", name))?;
                let length = cams.height * cams.width;
                let map = &cams.maps[row * length..(row + 1) * length];
                let size = (self.size.height, self.size.width);
                let levels = heatmap(map, (cams.height, cams.width), size, scale)
                    .map_err(|error| StageError::new(format!("image `{name}`: {error}")))?;
                let truth = self.masks.of(name)?;
                let mask = |cut: &Cut<'_>| {
                    let row = row_of(&cut.thresholds.names, name).ok_or_else(|| missing("thresholds", name))?;
                    let level = cut.thresholds.thresholds[row];
                    let agreement = picture::agreement(levels.iter().map(|&grey| f64::from(grey) > level), truth);
                    let image = cut.scored.images.iter().find(|image| image.image == case.scored.image);
                    Ok(Mask {
                        threshold: Some(cut.label.to_owned()),
                        level: Some(level),
                        iou: image.and_then(|image| image.iou),
                        png: picture::overlay(&agreement, self.size)?,
                    })
                };
                let masks = cuts.iter().map(mask).collect::<Result<_, StageError>>()?;
                Ok(Drawn { case: *case, heat: Some(picture::heat(&levels, self.size)?), masks })
            })
            .collect()
    }

    /// Cases of one input without maps: masks that a network predicted, if they are connected.
    fn draw_predicted(&self, input: &Scored, cases: &[Case]) -> Result<Vec<Drawn>, StageError> {
        let predicted = match belonging(items(self.action, "predicted"), &input.labels) {
            Some(item) => PredictedMasks::from_item(item)?,
            None => return Ok(cases.iter().map(|case| Drawn { case: *case, heat: None, masks: Vec::new() }).collect()),
        };
        let length = self.size.height * self.size.width;
        if (predicted.height, predicted.width) != (self.size.height, self.size.width) {
            return Err(StageError::input(
                "predicted",
                "the masks are not of the connected images: their sizes differ",
            ));
        }
        cases
            .iter()
            .map(|case| {
                let name = &self.study.names[case.scored.image as usize];
                let row = predicted.names.iter().position(|other| other == name);
                let row = row.ok_or_else(|| missing("predicted", name))?;
                let mask = predicted.pixels[row * length..(row + 1) * length].iter().map(|&pixel| pixel != 0);
                let png = picture::overlay(&picture::agreement(mask, self.masks.of(name)?), self.size)?;
                let mask = Mask { threshold: None, level: None, iou: case.scored.iou, png };
                Ok(Drawn { case: *case, heat: None, masks: vec![mask] })
            })
            .collect()
    }

    /// The thresholds that are shown, at the series and group of an input.
    fn cuts<'a>(&'a self, input: &'a Scored) -> Result<Vec<Cut<'a>>, StageError> {
        let mut cuts = Vec::new();
        let series = input.place.series.as_str();
        for label in shown_thresholds(&self.study.thresholds, self.study.at.as_deref()) {
            let mut at = self.study.inputs_at(series, Some(label)).map(|(_, scored)| scored);
            let Some(scored) = at.find(|scored| scored.place.group == input.place.group) else { continue };
            let candidates = items(self.action, "thresholds");
            let is_at = |item: &&Item| item.label(&self.params.threshold) == Some(label);
            let candidates: Vec<Item> = candidates.iter().filter(is_at).cloned().collect();
            if let Some(item) = belonging(&candidates, &scored.labels) {
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

/// The item whose labels are all among those given; of several, the one with the most labels.
fn belonging<'a>(items: &'a [Item], labels: &[Label]) -> Option<&'a Item> {
    let fits = |item: &&Item| item.labels.iter().all(|label| labels.contains(label));
    items.iter().filter(fits).max_by_key(|item| item.labels.len())
}

/// All thresholds, or the one that ranks and others at even distances.
fn shown_thresholds<'a>(all: &'a [String], at: Option<&str>) -> Vec<&'a str> {
    let is_shown = |index: usize| {
        let step = |index: usize| index * MASKS_SHOWN.saturating_sub(1) / all.len().max(1);
        all.len() <= MASKS_SHOWN || index == 0 || step(index) != step(index - 1) || Some(all[index].as_str()) == at
    };
    (0..all.len()).filter(|&index| is_shown(index)).map(|index| all[index].as_str()).collect()
}

fn missing(port: &str, name: &str) -> StageError {
    StageError::input(port, format!("image `{name}` is scored, but is not there; both must come from the same maps"))
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

    fn shown(image: usize, pick: Pick, round: usize) -> Shown {
        let scored = ScoredImage { image: image as u32, class: 0, predicted: 0, iou: Some(0.5) };
        let case = Case { series: 0, input: 0, scored, iou: 0.5, rank: 1, ranked: 9, pick, round };
        let mask = Mask { threshold: None, level: None, iou: None, png: vec![0; 10] };
        Shown { case, image, heat: None, masks: vec![mask] }
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
