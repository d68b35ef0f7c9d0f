//! Support for tests: that of `orchestrate-stages`, images to train on, and reference values.

// Shared by path, as a test of one crate cannot use the tests of another.
#[path = "../../../src/testing/bench.rs"]
mod bench;
#[path = "../../../src/testing/damage.rs"]
pub(crate) mod damage;
pub(crate) mod reference;
pub(crate) mod training;

use orchestrate_engine::stage::Stage;

use crate::artifact::{Images, Masks, Split};

pub(crate) use bench::Bench;

/// Square images of a bright disc on a noisy background, masks of the discs, and three folds; every fifth image has no
/// disc.
pub(crate) fn blobs(count: usize, size: usize) -> (Images, Masks, Split) {
    let names: Vec<String> = (0..count).map(|image| format!("{image}.png")).collect();
    let (mut pixels, mut mask) = (Vec::new(), Vec::new());
    for image in 0..count {
        let center = |step: usize| size / 4 + image * step % (size / 2);
        let (y, x, radius) = (center(7), center(11), size / 6);
        for pixel in 0..size * size {
            let distance = (pixel / size).abs_diff(y).pow(2) + (pixel % size).abs_diff(x).pow(2);
            let inside = distance <= radius * radius && image % 5 != 4;
            let noise = (pixel * 31 + image * 97) % 60;
            pixels.push((noise + if inside { 150 } else { 0 }) as u8);
            mask.push(u8::from(inside));
        }
    }
    let split = Split {
        names: names.clone(),
        labels: (0..count as u32).map(|image| image % 2).collect(),
        classes: ["a", "b"].map(str::to_owned).to_vec(),
        patients: vec![None; count],
        folds: (0..count as u32).map(|image| image % 3 + 1).collect(),
    };
    let images = Images { names: names.clone(), height: size, width: size, pixels };
    (images, Masks { names, height: size, width: size, pixels: mask }, split)
}

/// Every problem of the params of a stage, as a spec writes them.
pub(crate) fn problems(stage: &dyn Stage, toml: String) -> Vec<String> {
    let table = toml::de::DeTable::parse(toml.leak()).expect("the test's TOML is well formed");
    stage.check(&table).err().unwrap_or_default().problems.into_iter().map(|problem| problem.message).collect()
}
