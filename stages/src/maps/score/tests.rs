use super::*;
use crate::testing::{Bench, cams_of};

/// Three images: the second is predicted wrongly, the third has no ground truth.
fn inputs() -> (Cams, Thresholds, Masks) {
    let mut cams = cams_of(&[[0.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]);
    cams.predicted[1] = 1;
    let thresholds = Thresholds { names: cams.names.clone(), thresholds: vec![100.0, 200.0, 0.0], scale: Scale::After };
    let names = ["2.png", "other.png", "0.png", "1.png"].map(str::to_owned).to_vec();
    let pixels = [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0]].concat();
    (cams, thresholds, Masks { names, height: 2, width: 2, pixels })
}

fn run_with(images: Which, (cams, thresholds, masks): &(Cams, Thresholds, Masks)) -> Result<Scores, String> {
    run(&Params { images }, cams, thresholds, masks).map_err(|error| error.to_string())
}

#[test]
fn golden() {
    let scores = run_with(Which::All, &inputs()).unwrap();
    let expected = Scores {
        names: ["0.png", "1.png", "2.png"].map(str::to_owned).to_vec(),
        labels: vec![0, 0, 0],
        predicted: vec![0, 1, 0],
        classes: vec!["x".to_owned(), "y".to_owned()],
        iou: vec![Some(1.0), Some(0.5), None],
        dice: vec![Some(1.0), Some(2.0 / 3.0), None],
        precision: vec![Some(1.0), Some(1.0), None],
        recall: vec![Some(1.0), Some(0.5), None],
        mask_pixels: vec![2, 1, 2],
        truth_pixels: vec![2, 2, 0],
        constant: Vec::new(),
        classified: None,
    };
    assert_eq!(scores, expected, "the numbers moved: raise VERSION of `score` and put the new ones here");
}

#[test]
fn only_correctly_classified_images_are_scored_unless_all_are_asked_for() {
    assert_eq!(run_with(Which::Correct, &inputs()).unwrap().names, ["0.png", "2.png"]);
    assert_eq!(run_with(Which::All, &inputs()).unwrap().names.len(), 3);
}

/// The first map becomes constant: its mask is empty at any threshold, and its scores are 0, as before.
#[test]
fn a_constant_heatmap_is_marked_and_the_classified_images_are_counted() {
    let (mut cams, thresholds, masks) = inputs();
    cams.maps[..4].fill(2.0);
    let inputs = (cams, thresholds, masks);
    let scores = run_with(Which::Correct, &inputs).unwrap();
    assert_eq!((scores.constant.as_slice(), scores.classified.as_deref()), (&[true, false][..], Some(&[3, 0][..])));
    assert_eq!((scores.iou[0], scores.mask_pixels[0]), (Some(0.0), 0));
    assert_eq!(Scores::decode(&scores.encode().unwrap()).unwrap(), scores);
    let all = run_with(Which::All, &inputs).unwrap();
    assert_eq!((all.constant, all.classified), (vec![true, false, false], None));
}

#[test]
fn an_empty_or_full_predicted_mask_is_marked() {
    let (_, _, masks) = inputs();
    let pixels = [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1]].concat();
    let predicted = PredictedMasks { pixels, ..predicted() };
    let scores = run_predicted(&predicted.into(), &(&masks).into()).unwrap();
    assert_eq!(scores.constant, [true, true, false]);
    assert_eq!(scores.classified, None);
}

#[test]
fn thresholds_in_another_order_are_matched_by_name() {
    let (cams, mut thresholds, masks) = inputs();
    thresholds.names.reverse();
    thresholds.thresholds.reverse();
    let scores = run_with(Which::All, &(cams, thresholds, masks));
    assert_eq!(scores, run_with(Which::All, &inputs()));
}

#[test]
fn masks_of_another_size_say_which_size_to_set() {
    let (cams, thresholds, mut masks) = inputs();
    (masks.height, masks.width) = (1, 4);
    let error = run_with(Which::All, &(cams, thresholds, masks)).unwrap_err();
    assert_eq!(
        error,
        "input `masks`: the masks are 1 × 4, but the maps are compared at the network's input size, 2 × 2; set \
         `size = 2` in the `dataset` stage that gives the masks"
    );
}

#[test]
fn images_without_a_mask_are_named() {
    let (cams, thresholds, mut masks) = inputs();
    masks.names[2] = "0.jpg".to_owned();
    let error = run_with(Which::All, &(cams.clone(), thresholds.clone(), masks.clone())).unwrap_err();
    assert!(error.starts_with("input `masks`: 1 of the 3 images of `cams` are missing, `0.png` for one"), "{error}");
    masks.names[2] = "1.png".to_owned();
    let error = run_with(Which::All, &(cams, thresholds, masks)).unwrap_err();
    assert!(error.starts_with("input `masks`: image `1.png` occurs twice"), "{error}");
}

#[test]
fn a_batch_gives_each_member_what_it_gets_alone() {
    let (cams, thresholds, masks) = inputs();
    let bench = Bench::new();
    let (cams_item, masks_item) = (bench.item(&cams, &[]), bench.item(&masks, &[]));
    let members: Vec<_> = [(0.0, Scale::After), (200.0, Scale::Before), (85.0, Scale::After), (255.0, Scale::After)]
        .into_iter()
        .zip([Which::All, Which::All, Which::Correct, Which::All])
        .map(|((level, scale), images)| {
            (Params { images }, Thresholds { thresholds: vec![level; 3], scale, ..thresholds.clone() })
        })
        .collect();
    let batch: Vec<_> = members
        .iter()
        .map(|(params, thresholds)| {
            let inputs = [
                ("cams", [cams_item.clone()]),
                ("thresholds", [bench.item(thresholds, &[])]),
                ("masks", [masks_item.clone()]),
            ];
            let inputs = inputs.each_ref().map(|(port, items)| (*port, items.as_slice()));
            bench.action(&serde_json::to_string(params).unwrap(), &inputs)
        })
        .collect();
    for ((params, thresholds), outcome) in members.iter().zip(bench.run(&STAGE, &batch)) {
        assert_eq!(bench.table::<Scores>(outcome), run(params, &cams, thresholds, &masks).unwrap());
    }
}

#[test]
fn a_member_whose_thresholds_are_unreadable_fails_alone() {
    let (cams, thresholds, masks) = inputs();
    let bench = Bench::new();
    let (cams, masks) = ([bench.item(&cams, &[])], [bench.item(&masks, &[])]);
    let good = [bench.item(&thresholds, &[])];
    let bad = [bench.item(&thresholds, &[])];
    std::fs::write(&bad[0].files[0].location.path, vec![0; bad[0].files[0].size_bytes as usize]).unwrap();
    let batch = [&bad, &good].map(|thresholds| {
        bench.action("{}", &[("cams", &cams[..]), ("thresholds", &thresholds[..]), ("masks", &masks[..])])
    });
    let outcomes = bench.run(&STAGE, &batch);
    assert!(matches!(outcomes[0], Err(StageError::Corrupt { .. })));
    assert!(outcomes[1].is_ok());
}

#[test]
#[ignore = "measures; run with --release -- --ignored --nocapture"]
#[expect(clippy::print_stdout, reason = "its output is its purpose")]
fn seconds_for_256_thresholds_of_613_maps() {
    let (images, side, input) = (613_usize, 7_usize, 224_usize);
    let names: Vec<String> = (0..images).map(|image| format!("images/{image:04}.png")).collect();
    let cams = Cams {
        labels: (0..images).map(|image| image as u32 % 3).collect(),
        predicted: (0..images).map(|image| image as u32 % 3).collect(),
        classes: ["x", "y", "z"].map(str::to_owned).to_vec(),
        probabilities: vec![1.0 / 3.0; images * 3],
        height: side,
        width: side,
        input_height: input,
        input_width: input,
        maps: (0..images * side * side).map(|index| (index as f32 * 0.7).sin() * 10.0).collect(),
        names: names.clone(),
    };
    let pixel = |index: usize| u8::from((index / 97).is_multiple_of(11));
    let masks = Masks { names, height: input, width: input, pixels: (0..images * input * input).map(pixel).collect() };
    let bench = Bench::new();
    let (cams, masks) = ([bench.item(&cams, &[])], [bench.item(&masks, &[])]);

    let started = std::time::Instant::now();
    let batch: Vec<_> =
        (0..256).map(|level| bench.action(&format!(r#"{{"threshold": {level}}}"#), &[("cams", &cams[..])])).collect();
    let thresholds = bench.run(&crate::maps::threshold::STAGE, &batch);
    println!("threshold, one batch of 256: {:.2} s", started.elapsed().as_secs_f64());

    let thresholds: Vec<[_; 1]> =
        thresholds.into_iter().map(|outcome| [bench.item(&bench.table::<Thresholds>(outcome), &[])]).collect();
    let action = |thresholds: &[_; 1]| {
        bench.action("{}", &[("cams", &cams[..]), ("thresholds", &thresholds[..]), ("masks", &masks[..])])
    };
    let batch: Vec<_> = thresholds.iter().map(action).collect();
    for size in [1, 256] {
        let started = std::time::Instant::now();
        let outcomes = bench.run(&STAGE, &batch[..size]);
        assert!(outcomes.iter().all(Result::is_ok));
        println!("score, one batch of {size}: {:.2} s", started.elapsed().as_secs_f64());
    }
}

/// The predictions of a U-Net for the images of [`inputs`].
fn predicted() -> PredictedMasks {
    let (cams, _, _) = inputs();
    let pixels = [[0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 1]].concat();
    PredictedMasks { names: cams.names, labels: vec![0, 1, 0], classes: cams.classes, height: 2, width: 2, pixels }
}

#[test]
fn every_predicted_mask_is_scored_under_its_true_class() {
    let (_, _, masks) = inputs();
    let scores = run_predicted(&predicted().into(), &(&masks).into()).unwrap();
    let expected = Scores {
        names: ["0.png", "1.png", "2.png"].map(str::to_owned).to_vec(),
        labels: vec![0, 1, 0],
        predicted: vec![0, 1, 0],
        classes: vec!["x".to_owned(), "y".to_owned()],
        iou: vec![Some(1.0), Some(0.5), None],
        dice: vec![Some(1.0), Some(2.0 / 3.0), None],
        precision: vec![Some(1.0), Some(1.0), None],
        recall: vec![Some(1.0), Some(0.5), None],
        mask_pixels: vec![2, 1, 1],
        truth_pixels: vec![2, 2, 0],
        ..Scores::default()
    };
    assert_eq!(scores, expected);

    let bench = Bench::new();
    let inputs = [("predicted", [bench.item(&predicted(), &[])]), ("masks", [bench.item(&masks, &[])])];
    let inputs = inputs.each_ref().map(|(port, items)| (*port, items.as_slice()));
    let batch = ["{}", r#"{"images": "all"}"#].map(|params| bench.action(params, &inputs));
    for outcome in bench.run(&STAGE, &batch) {
        assert_eq!(bench.table::<Scores>(outcome), expected);
    }
}

#[test]
fn predicted_masks_of_another_size_or_of_other_images_are_refused() {
    let (_, _, masks) = inputs();
    let tall = PredictedMasks { height: 4, width: 1, ..predicted() };
    let error = run_predicted(&tall.into(), &(&masks).into()).unwrap_err().to_string();
    assert_eq!(
        error,
        "input `masks`: the masks are 2 × 2, but the predicted masks have the size of the network's input, 4 × 1; set \
         `size = [4, 1]` in the `dataset` stage that gives the masks"
    );
    let mut other = predicted();
    other.names[0] = "else.png".to_owned();
    let error = run_predicted(&other.into(), &(&masks).into()).unwrap_err().to_string();
    assert!(error.starts_with("input `masks`: 1 of the 3 images of `predicted` are missing, `else.png`"), "{error}");
}

#[test]
fn heatmaps_need_thresholds_and_exclude_predicted_masks() {
    let table: [(&[&str], &str); 6] = [
        (&["cams", "thresholds", "masks"], ""),
        (&["predicted", "masks"], ""),
        (&["masks"], "it has no masks to score; read either `cams` and `thresholds`, or `predicted`"),
        (&["cams", "masks"], "it reads `cams` without `thresholds`; read"),
        (&["thresholds", "masks"], "it reads `thresholds` without `cams`; read"),
        (&["cams", "thresholds", "predicted", "masks"], "it has both heatmaps and predicted masks to score; read"),
    ];
    for (ports, expected) in table {
        let found = check_ports(ports).err().unwrap_or_default();
        assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{ports:?}: {found}");
    }
    let bench = Bench::new();
    let (_, _, masks) = inputs();
    let action = bench.action("{}", &[("masks", &[bench.item(&masks, &[])])]);
    let error = bench.run(&STAGE, &[action]).remove(0).unwrap_err().to_string();
    assert!(error.starts_with("it has no masks to score"), "{error}");
}
