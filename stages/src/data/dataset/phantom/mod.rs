//! `format = "phantom"`: synthetic head slices with three tumour classes. **No patient's data: everything is drawn.**
//! Names of images and patients begin with `phantom`, so that no result passes for real.
//!
//! Classes differ in place, size and intensity roughly as in Cheng's set (Kang et al. 2021, section 3.1): meningioma
//! large, bright and even, at the brain's edge; glioma irregular and patchy, mostly darker than the brain, within a
//! hemisphere; pituitary small and bright, on the midline near the base. As in that set, 23 % of the images show the
//! first, 47 % the second and 30 % the third. Slices of one patient look alike, so a split with patients on both sides
//! flatters a classifier.
//!
//! There are 30 patients, or one for every four images if there are fewer than 120. A slice depends only on the seed,
//! its patient and its number within the patient, so a larger `count` adds slices and changes none. All arithmetic is
//! rounded correctly by IEEE 754, so every machine draws the same bytes.

mod anatomy;
mod noise;
mod tumour;

use crate::data::dataset::listing::{ListedImage, Listing};
use crate::data::dataset::resize::Grid;
use crate::random::{Generator, Seed};

use anatomy::Head;
use tumour::{Lesion, Tumour};

/// Number of patients of a phantom with enough images.
const PATIENTS: usize = 30;
/// Images a patient in a small phantom.
const IMAGES_PER_PATIENT: usize = 4;
/// Sample points along each side of a pixel; their levels are averaged.
const SAMPLES: usize = 2;

/// One synthetic slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slice {
    patient: usize,
    /// Number within the patient.
    number: usize,
}

impl Slice {
    /// Returns the name, `phantom-07-0003` for the third slice of the seventh patient.
    pub(super) fn name(self) -> String {
        format!("{}-{:04}", patient_name(self.patient), self.number + 1)
    }

    fn tumour(self) -> Tumour {
        Tumour::of_patient(self.patient)
    }
}

fn patient_name(patient: usize) -> String {
    format!("phantom-{:02}", patient + 1)
}

/// Returns `count` slices by patient; patients have equally many, the first ones one more.
pub(super) fn slices(count: usize) -> Vec<Slice> {
    let patients = PATIENTS.min(count / IMAGES_PER_PATIENT).max(count.min(3));
    let numbers = |patient: usize| 0..count / patients + usize::from(patient < count % patients);
    (0..patients).flat_map(|patient| numbers(patient).map(move |number| Slice { patient, number })).collect()
}

/// The names of the classes, in the order of their indices.
pub(super) fn classes() -> Vec<String> {
    Tumour::ALL.map(|tumour| tumour.name().to_owned()).to_vec()
}

/// Makes the listing of these slices.
pub(super) fn listing(slices: &[Slice]) -> Listing {
    let image = |slice: &Slice| ListedImage {
        file: slice.name(),
        label: slice.tumour().label(),
        patient: Some(patient_name(slice.patient)),
        ..ListedImage::default()
    };
    Listing { images: slices.iter().map(image).collect(), classes: classes(), columns: Vec::new(), empty: Vec::new() }
}

/// Draws a slice of `size` × `size` pixels and its mask: 1 for pixels with their centre in the tumour.
pub(super) fn draw(seed: u64, slice: Slice, size: usize) -> (Grid, Grid) {
    let seed = Seed::new("dataset", seed, &["phantom"]);
    let patient = slice.patient.to_string();
    let head = Head::of_patient(&mut seed.generator("head", &patient));
    let lesion = Lesion::of_patient(slice.tumour(), &head, &mut seed.generator("tumour", &patient));
    let mut random = seed.generator("slice", &slice.name());
    let (head, lesion) = (head.in_slice(&mut random), lesion.in_slice(&mut random));
    let noise_sd = random.between(3.0, 6.0);

    let at = |pixel: f64| pixel * 2.0 / size as f64 - 1.0;
    let level = |x: f64, y: f64| {
        let tissue = head.level(x, y);
        head.shaded(x, y, lesion.level(&head, x, y, tissue))
    };
    let mut image = Vec::with_capacity(size * size);
    let mut mask = Vec::with_capacity(size * size);
    for row in 0..size {
        for column in 0..size {
            let (row, column) = (row as f64, column as f64);
            mask.push(u8::from(lesion.contains(&head, at(column + 0.5), at(row + 0.5))));
            let mut sum = 0.0;
            for (i, j) in (0..SAMPLES).flat_map(|i| (0..SAMPLES).map(move |j| (i, j))) {
                let offset = |sample: usize| (sample as f64 + 0.5) / SAMPLES as f64;
                sum += level(at(column + offset(j)), at(row + offset(i)));
            }
            // The magnitude of a noisy signal, as from a scanner: air is not black.
            let signal = sum / (SAMPLES * SAMPLES) as f64 + noise_sd * normal(&mut random);
            image.push((signal.abs() + 0.5).floor().min(255.0) as u8);
        }
    }
    let grid = |pixels| Grid { height: size, width: size, pixels };
    (grid(image), grid(mask))
}

/// Returns a float with mean 0 and standard deviation 1, almost normal: the sum of four uniform ones, because the last
/// bit of a logarithm differs between machines.
fn normal(random: &mut Generator) -> f64 {
    let sum: f64 = (0..4).map(|_| random.unit()).sum();
    (sum - 2.0) * 3_f64.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_class(count: usize) -> Vec<usize> {
        let mut counts = vec![0; 3];
        slices(count).iter().for_each(|slice| counts[slice.tumour().label() as usize] += 1);
        counts
    }

    #[test]
    fn classes_have_the_shares_of_the_paper_and_patients_one_class() {
        assert_eq!(by_class(300), [70, 140, 90]);
        assert_eq!(slices(300).last().unwrap().patient, 29);
        assert_eq!(by_class(3), [1, 1, 1]);
        for count in 3..200 {
            assert_eq!(slices(count).len(), count);
            assert!(slices(count).is_sorted());
        }
    }

    #[test]
    fn a_larger_count_changes_no_slice_and_a_larger_size_no_shape() {
        assert!(slices(200).iter().all(|slice| slices(300).contains(slice)));
        let slice = Slice { patient: 4, number: 2 };
        assert_eq!(draw(1, slice, 32), draw(1, slice, 32));
        assert_ne!(draw(1, slice, 32), draw(2, slice, 32));
        assert_ne!(draw(1, slice, 32), draw(1, Slice { number: 3, ..slice }, 32));
        let share = |size| {
            let (_, mask) = draw(1, slice, size);
            mask.pixels.iter().filter(|&&pixel| pixel == 1).count() as f64 / (size * size) as f64
        };
        assert!((share(64) / share(256) - 1.0).abs() < 0.1, "{} {}", share(64), share(256));
    }

    /// The share of the picture in a mask, and the mask's centre in 0..1.
    fn extent(mask: &Grid) -> (f64, f64, f64) {
        let inside: Vec<usize> = (0..mask.pixels.len()).filter(|&place| mask.pixels[place] == 1).collect();
        let mean = |value: fn(usize, usize) -> usize| {
            inside.iter().map(|&place| value(place, mask.width)).sum::<usize>() as f64
                / inside.len() as f64
                / mask.width as f64
        };
        (
            inside.len() as f64 / mask.pixels.len() as f64,
            mean(|place, width| place % width),
            mean(|place, width| place / width),
        )
    }

    #[test]
    fn tumours_differ_in_place_size_and_intensity() {
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let mut of_class: Vec<Vec<[f64; 4]>> = vec![Vec::new(); 3];
        for slice in slices(300) {
            let (image, mask) = draw(7, slice, 64);
            let (area, x, y) = extent(&mask);
            assert!(area > 0.0, "{} has no tumour", slice.name());
            let mean = |inside: u8| {
                let levels: Vec<f64> = image
                    .pixels
                    .iter()
                    .zip(&mask.pixels)
                    .filter(|&(&level, &mask)| mask == inside && level > 30)
                    .map(|(&level, _)| f64::from(level))
                    .collect();
                levels.iter().sum::<f64>() / levels.len() as f64
            };
            of_class[slice.tumour().label() as usize].push([area, (x - 0.5).abs(), y, mean(1) / mean(0)]);
        }
        let value = |class: usize, index: usize| median(of_class[class].iter().map(|values| values[index]).collect());
        let [meningioma, glioma, pituitary] = [0, 1, 2];
        assert!(value(pituitary, 0) < 0.6 * value(meningioma, 0) && value(pituitary, 0) < 0.6 * value(glioma, 0));
        assert!(value(pituitary, 1) < 0.05 && value(glioma, 1) > 0.07);
        assert!(value(pituitary, 2) > 0.55 && value(glioma, 2) < 0.52);
        assert!(value(meningioma, 3) > 1.2 && value(pituitary, 3) > 1.2 && value(glioma, 3) < 1.0);
    }

    #[test]
    fn golden() {
        let (image, mask) = draw(7, Slice { patient: 0, number: 0 }, 16);
        let sum =
            |grid: &Grid| grid.pixels.iter().enumerate().map(|(place, &pixel)| (place + 1) * usize::from(pixel)).sum();
        let sums: (usize, usize) = (sum(&image), sum(&mask));
        assert_eq!(sums, (1_065_077, 1340), "the picture moved: raise VERSION of `dataset` and put the new sums here");
    }
}
