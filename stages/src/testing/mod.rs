//! Support for tests of stages; `stages/networks` compiles the same files into its tests.

mod bench;
pub(crate) mod damage;

use crate::artifact::Cams;

pub(crate) use bench::Bench;

/// Maps of 2 × 2 at an input size of 2 × 2, of images `0.png`, `1.png` and so on, all of class `x` and predicted so.
pub(crate) fn cams_of(maps: &[[f32; 4]]) -> Cams {
    Cams {
        names: (0..maps.len()).map(|row| format!("{row}.png")).collect(),
        labels: vec![0; maps.len()],
        predicted: vec![0; maps.len()],
        classes: vec!["x".to_owned(), "y".to_owned()],
        probabilities: [0.75, 0.25].repeat(maps.len()),
        height: 2,
        width: 2,
        input_height: 2,
        input_width: 2,
        maps: maps.concat(),
    }
}
