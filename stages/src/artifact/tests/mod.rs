use super::*;

mod foreign;

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

fn images() -> Images {
    Images { names: texts(&["b.png", "a.png"]), height: 2, width: 3, pixels: (0..12).map(|level| level * 20).collect() }
}

fn labels() -> Labels {
    Labels {
        names: texts(&["b.png", "a.png", "c.png"]),
        labels: vec![1, 0, 1],
        classes: texts(&["meningioma", "glioma", "pituitary"]),
        patients: vec![Some("7".to_owned()), None, Some("9".to_owned())],
        columns: vec![("site".to_owned(), texts(&["x", "y", ""])), ("fold".to_owned(), texts(&["1", "2", "1"]))],
    }
}

fn masks() -> Masks {
    Masks { names: texts(&["b.png", "a.png"]), height: 1, width: 3, pixels: vec![0, 1, 1, 1, 0, 0] }
}

fn cams() -> Cams {
    Cams {
        names: texts(&["b.png", "a.png"]),
        labels: vec![1, 0],
        predicted: vec![1, 1],
        classes: texts(&["meningioma", "glioma"]),
        probabilities: vec![0.25, 0.75, 0.4, 0.6],
        height: 1,
        width: 3,
        input_height: 4,
        input_width: 12,
        maps: vec![-1.5, 0.0, 2.0, f32::MIN_POSITIVE, 1e30, -0.0],
    }
}

fn thresholds() -> Thresholds {
    Thresholds { names: texts(&["a.png"]), thresholds: vec![200.5], scale: Scale::Before }
}

fn message<T: std::fmt::Debug>(result: Result<T, StageError>) -> String {
    result.expect_err("the table is wrong").to_string()
}

/// Checks that the facts have every column and note of a file, and the file every column that may not be absent.
fn is_described<T: Table>(bytes: &[u8]) {
    let file = &T::FACTS.files[0];
    let rows = Rows::open(file.name, Bytes::copy_from_slice(bytes)).unwrap().of(file).expect("it is as described");
    for field in rows.fields() {
        let column = file.column(field.name()).or(file.columns.iter().find(|column| column.is_placeholder()));
        let column = column.unwrap_or_else(|| panic!("{} has no column {}", file.name, field.name()));
        assert!(column.nullable || !field.is_nullable(), "{}: {} may be missing", file.name, field.name());
    }
    for (name, _) in rows.notes() {
        assert!(file.notes.iter().any(|note| note.name == name), "{} has no note {name}", file.name);
    }
}

fn round_trip<T: Table + PartialEq + std::fmt::Debug>(table: &T) {
    let bytes = table.encode().unwrap();
    is_described::<T>(&bytes);
    assert_eq!(T::decode(&bytes).unwrap(), *table);
    assert_eq!(T::decode(&bytes).unwrap().encode().unwrap(), bytes, "the same rows give the same bytes");
}

#[test]
fn every_artifact_reads_back_as_it_was_written() {
    round_trip(&images());
    round_trip(&labels());
    round_trip(&masks());
    round_trip(&cams());
    round_trip(&thresholds());
    round_trip(&Predictions {
        names: texts(&["a", "b"]),
        labels: vec![0, 1],
        predicted: vec![1, 1],
        classes: texts(&["x", "y"]),
        probabilities: vec![0.1, 0.9, 0.2, 0.8],
    });
    round_trip(&Split {
        names: texts(&["a", "b"]),
        labels: vec![0, 1],
        classes: texts(&["x", "y"]),
        patients: vec![None, Some("p".to_owned())],
        folds: vec![1, 5],
    });
}

#[test]
fn a_table_without_rows_reads_back() {
    round_trip(&Images { names: Vec::new(), height: 0, width: 0, pixels: Vec::new() });
    round_trip(&Thresholds { names: Vec::new(), thresholds: Vec::new(), scale: Scale::After });
}

#[test]
fn many_row_groups_read_back() {
    let (rows, side) = (1500, 224);
    let pixels = (0..rows * side * side).map(|index| ((index * 7919) >> 9) as u8).collect();
    let names = (0..rows).map(|row| format!("{row}.png")).collect();
    let images = Images { names, height: side, width: side, pixels };
    let bytes = images.encode().unwrap();
    assert!(Images::decode(&bytes).unwrap() == images);
}

#[test]
fn selecting_masks_keeps_only_the_wanted_ones_in_order() {
    let rows = Rows::open("masks.parquet", Bytes::from(masks().encode().unwrap())).unwrap();
    let selected = Masks::select(&rows, |name| name == "a.png").unwrap();
    assert_eq!(selected, Masks { names: texts(&["a.png"]), height: 1, width: 3, pixels: vec![1, 0, 0] });
}

#[test]
fn created_by_does_not_name_a_version() {
    let bytes = labels().encode().unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("orchestrate") && !text.contains("parquet-rs") && !text.contains("ARROW:schema"));
}

#[test]
fn a_missing_column_is_named_beside_those_that_are_there() {
    let bytes = thresholds().encode().unwrap();
    let message = message(Split::decode(&bytes));
    assert_eq!(
        message,
        "`split.parquet`: there is no column `label`; the columns are: image, threshold; there is no column `patient`; \
         the columns are: image, threshold; there is no column `fold`; the columns are: image, threshold"
    );
}

#[test]
fn patients_are_read_from_any_table_with_images() {
    let table = labels();
    let pairs: Vec<_> = table.names.iter().cloned().zip(table.patients.iter().cloned()).collect();
    assert_eq!(Labels::patients(&table.encode().unwrap()).unwrap(), pairs);
    let without = Columns::new().text("image", &table.names).encode().unwrap();
    let nobody: Vec<_> = table.names.iter().cloned().map(|name| (name, None)).collect();
    assert_eq!(Labels::patients(&without).unwrap(), nobody);
}

#[test]
fn a_column_of_another_type_is_named() {
    let bytes = Columns::new().text("image", &texts(&["a"])).text("threshold", &texts(&["high"])).encode().unwrap();
    let message = message(Thresholds::decode(&bytes));
    assert_eq!(message, "`thresholds.parquet`: column `threshold` has text where numbers are expected");
}

#[test]
fn values_that_cannot_be_are_named() {
    let classes = texts(&["x", "y"]);
    let unknown = Columns::new()
        .text("image", &classes)
        .text("label", &texts(&["x", "z"]))
        .optional_text("patient", &[None, None])
        .integer("fold", [1, 2])
        .classes(&classes)
        .and_then(|columns| columns.encode())
        .unwrap();
    assert_eq!(
        message(Split::decode(&unknown)),
        "`split.parquet`: column `label`, row 1: `z` is no class; the classes are: x, y"
    );
    let grey = Masks { pixels: vec![0, 1, 2, 0, 0, 0], ..masks() };
    assert!(message(Masks::decode(&grey.encode().unwrap())).contains("other than 0 and 1"));
    let high = Thresholds { thresholds: vec![f64::NAN], ..thresholds() };
    assert!(message(Thresholds::decode(&high.encode().unwrap())).contains("the threshold of image `a.png` is NaN"));
}

#[test]
fn lengths_that_disagree_are_not_written() {
    assert!(message(Images { height: 3, ..images() }.encode()).contains("2 images of 3 × 3 have 18 pixels"));
    let short = Labels { patients: vec![None], ..labels() };
    assert_eq!(message(short.encode()), "column `patient` has 1 rows, but `image` has 3");
    let alike = Labels { classes: texts(&["x", "y", "x"]), ..labels() };
    assert!(message(alike.encode()).contains("two classes are named `x`"));
}

#[test]
fn class_names_without_a_note_are_those_of_the_columns() {
    let bytes = Columns::new()
        .text("image", &texts(&["a", "b"]))
        .text("label", &texts(&["y", "x"]))
        .text("predicted", &texts(&["y", "y"]))
        .floats("probabilities", 2, &[0.5; 4])
        .encode()
        .unwrap();
    let predictions = Predictions::decode(&bytes).unwrap();
    assert_eq!((predictions.classes, predictions.labels), (texts(&["x", "y"]), vec![1, 0]));
}

#[test]
fn constant_maps_are_a_warning_beside_the_table() {
    let printed = |output: Output| match output.files.into_iter().find(|(name, _)| name == "table.txt") {
        Some((_, Content::Bytes(bytes))) => String::from_utf8(bytes).unwrap(),
        _ => String::new(),
    };
    assert_eq!(printed(cams().output().unwrap()), "");
    let constant = Cams { maps: vec![-1.5, 0.0, 2.0, 3.0, 3.0, 3.0], ..cams() };
    let warning = "warning: 1 of 2 class activation maps have one value everywhere: `a.png`\n";
    assert_eq!(printed(constant.output().unwrap()), warning);
    let names: Vec<String> = (0..5).map(|image| image.to_string()).collect();
    let labels = vec![0; 5];
    let masks = PredictedMasks { names, labels, classes: texts(&["x"]), height: 1, width: 2, pixels: vec![1; 10] };
    let warning = "warning: 5 of 5 predicted masks have one value everywhere: `0`, `1`, `2`, …\n";
    assert_eq!(printed(masks.output().unwrap()), warning);
}

#[test]
fn a_number_of_classified_images_for_each_class_is_needed() {
    let columns = |note: &str| {
        let none: [Option<f64>; 0] = [];
        let mut columns = Columns::new().text("image", &[]).text("label", &[]).text("predicted", &[]);
        columns = columns.bool("correct", []);
        for metric in Scores::METRICS {
            columns = columns.optional_float(metric, none);
        }
        let columns = columns.integer("mask_pixels", []).integer("truth_pixels", []);
        columns.classes(&texts(&["x", "y"])).unwrap().note("classified", note).encode().unwrap()
    };
    assert_eq!(Scores::decode(&columns("[3,4]")).unwrap().classified, Some(vec![3, 4]));
    for note in ["[3]", "{}", "[-1,2]"] {
        let expected = "`scores.parquet`: note `classified` must list a number of images for each class, not ";
        assert_eq!(message(Scores::decode(&columns(note))), expected.to_owned() + note);
    }
}

#[test]
fn damaged_bytes_are_an_error_or_other_values_but_no_panic() {
    let bytes = cams().encode().unwrap();
    for end in 0..bytes.len() {
        Cams::decode(&bytes[..end]).expect_err("the end of the file is missing");
    }
    for place in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << bit;
            let _ = Cams::decode(&damaged);
        }
    }
}

#[test]
fn a_file_that_pandas_wrote_is_read() {
    let cams = Cams::decode(include_bytes!("../../../tests/reference/pandas_file.parquet")).unwrap();
    assert_eq!(cams.names, ["a.png", "b.png"]);
    assert_eq!((cams.classes, cams.labels), (texts(&["glioma", "meningioma"]), vec![0, 1]));
    assert_eq!((cams.input_height, cams.maps), (4, vec![1.0, 2.0, -3.0, 4.5]));
}

#[test]
fn what_is_no_parquet_is_said_once() {
    for bytes in [&b"nonsense"[..], b"PAR1", &[0; 64]] {
        let error = Cams::decode(bytes).unwrap_err().to_string();
        assert!(error.starts_with("`cams.parquet` is no readable Parquet file: "), "{error}");
        assert!(
            !error.contains("Parquet error") && !error.contains("Invalid Parquet") && !error.contains("EOF:"),
            "{error}"
        );
    }
}

/// The digest of the bytes of a table.
fn digest<T: Table>(table: &T) -> String {
    orchestrate_cache::Digest::of(&table.encode().unwrap()).to_string()
}

#[test]
fn the_same_rows_give_the_bytes_of_earlier_versions() {
    // Several row groups with many pages each, written around the Parquet library.
    let pixels = (0..800 * 224 * 224_usize).map(|place| ((place * 7919) >> 5) as u8).collect();
    let names = (0..800).map(|image| format!("{image}.png")).collect();
    let many = Images { names, height: 224, width: 224, pixels };
    let (names, classes) = (texts(&["a", "b"]), texts(&["x", "y"]));
    let scores = Scores {
        names: names.clone(),
        labels: vec![0, 1],
        predicted: vec![1, 1],
        classes: classes.clone(),
        iou: vec![Some(0.25), None],
        dice: vec![Some(0.4), None],
        precision: vec![Some(1.0), None],
        recall: vec![Some(0.25), None],
        mask_pixels: vec![3, 2],
        truth_pixels: vec![12, 0],
        ..Scores::default()
    };
    let epoch = Epoch { epoch: 1, learning_rate: 0.1, train_loss: 0.7, validation_loss: 0.6, figure: 0.5 };
    let segment = Epoch { epoch: 1, learning_rate: 0.1, train_loss: 0.7, validation_loss: 0.6, figure: None };
    let confusion = Confusion {
        axes: vec![("fold".to_owned(), texts(&["1", "1"]))],
        labels: vec![0, 1],
        predicted: vec![0, 1],
        counts: vec![3, 4],
        classes,
    };
    is_described::<Scores>(&scores.encode().unwrap());
    is_described::<Confusion>(&confusion.encode().unwrap());
    is_described::<Curve>(&Curve { epochs: vec![epoch] }.encode().unwrap());
    is_described::<SegmentCurve>(&SegmentCurve { epochs: vec![segment] }.encode().unwrap());
    let found = [
        ("many images", digest(&many), "43250aed22116b74"),
        ("images", digest(&images()), "9d32dc20dad6bd2b"),
        ("labels", digest(&labels()), "6121185fa9ccde91"),
        ("masks", digest(&masks()), "b686057ea2efe3d4"),
        ("cams", digest(&cams()), "f2534c2dd58ae80c"),
        ("thresholds", digest(&thresholds()), "e8bee6649ea0a6d9"),
        ("scores", digest(&scores), "855d5c3515260bfa"),
        ("curve", digest(&Curve { epochs: vec![epoch] }), "d64ebeae0f17b7dc"),
        ("curve of a segmentation", digest(&SegmentCurve { epochs: vec![segment] }), "9239e001268f343b"),
        ("confusion", digest(&confusion), "617b7a649300adac"),
    ];
    for (name, found, expected) in found {
        assert!(found.starts_with(expected), "{name}: {found}; are stored tables of earlier versions still equal?");
    }
}
