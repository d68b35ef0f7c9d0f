use serde::Deserialize;

use super::bilinear::Bilinear;
use super::min_max::{Extremes, truncated};
use super::*;

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    size: (usize, usize),
    input_size: (usize, usize),
    map: Vec<f32>,
    upsampled: Vec<f32>,
    after: Vec<u8>,
    before: Vec<u8>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../../../tests/reference/heatmap.json")).unwrap()
}

#[test]
fn upsampling_agrees_with_pytorch() {
    for case in reference().cases {
        let largest = case.upsampled.iter().fold(0_f32, |largest, value| largest.max(value.abs()));
        let bilinear = Bilinear::new(case.size, case.input_size);
        let (mut stretched, mut ours) = (Vec::new(), Vec::new());
        bilinear.stretch(&case.map, &mut stretched);
        bilinear.rows(&stretched, 0..case.input_size.0, &mut Vec::new(), |_, row| ours.extend_from_slice(row));
        assert_eq!(ours.len(), case.upsampled.len());
        for (ours, theirs) in ours.iter().zip(&case.upsampled) {
            assert!((ours - theirs).abs() <= 1e-6 * largest, "{ours} against {theirs} of {:?}", case.size);
        }
    }
}

#[test]
fn grey_levels_scaled_after_upsampling_agree_with_pytorch_and_numpy() {
    for case in reference().cases {
        let ours = heatmap(&case.map, case.size, case.input_size, Scale::After).unwrap();
        assert_eq!(ours.pixels, case.after, "of {:?}", case.size);
    }
}

#[test]
fn grey_levels_scaled_before_upsampling_agree_with_opencv() {
    for case in reference().cases {
        let ours = heatmap(&case.map, case.size, case.input_size, Scale::Before).unwrap();
        assert_eq!(ours.pixels, case.before, "of {:?}", case.size);
    }
}

/// Along one axis 2 → 4 pixels lie at -0.25, 0.25, 0.75, 1.25 of the source: weights 0, 1/4, 3/4, 1 of the second.
#[test]
fn a_map_worked_by_hand() {
    let heatmap = heatmap(&[-1.0, 3.0], (1, 2), (1, 4), Scale::After).unwrap();
    assert_eq!(heatmap, Heatmap { pixels: vec![0, 63, 191, 255], constant: false });
}

#[test]
fn a_constant_map_is_empty_in_spite_of_rounding() {
    for scale in [Scale::After, Scale::Before] {
        let heatmap = heatmap(&[0.1; 49], (7, 7), (50, 50), scale).unwrap();
        assert_eq!(heatmap, Heatmap { pixels: vec![0; 2500], constant: true });
    }
}

#[test]
fn maps_that_are_not_finite_are_refused_by_the_name_of_their_image() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(heatmap(&[0.0, value], (1, 2), (2, 2), Scale::After), Err(NotFinite));
    }
    assert_eq!(heatmap(&[f32::MAX, f32::MIN], (1, 2), (2, 2), Scale::After), Err(NotFinite));
    let cams = Cams {
        names: vec!["a.png".to_owned(), "b.png".to_owned()],
        labels: vec![0, 0],
        predicted: vec![0, 0],
        classes: vec!["x".to_owned()],
        probabilities: vec![1.0, 1.0],
        height: 1,
        width: 2,
        input_height: 1,
        input_width: 2,
        maps: vec![0.0, 1.0, 0.0, f32::NAN],
    };
    let error = each_heatmap(&cams, Scale::After, |_, _| Ok(())).unwrap_err();
    assert_eq!(error.to_string(), "image `b.png`: the class activation map has values that are not finite");
}

#[test]
fn truncation_is_that_of_a_cast() {
    let mut value = 0.0_f32;
    while value <= 255.0 {
        assert_eq!(truncated(value), value as u8, "{value}");
        for near in [value.next_down().max(0.0), value.next_up().min(255.0)] {
            assert_eq!(truncated(near), near as u8, "{near}");
        }
        value += 1.0 / 64.0;
    }
}

#[test]
fn extremes_are_found_wherever_they_are() {
    for length in [1, 31, 32, 33, 100] {
        for at in 0..length {
            let mut values = vec![0.5_f32; length];
            values[at] = -3.0;
            values[length - 1 - at] = if 2 * at + 1 == length { -3.0 } else { 7.0 };
            let plain = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
            assert_eq!(Extremes::of(&values).range(), plain);
        }
    }
    assert_eq!(Extremes::of(&[f32::NAN, 2.0]).range(), (2.0, 2.0));
    assert_eq!(Extremes::of(&[]).range(), (f32::INFINITY, f32::NEG_INFINITY));
}
