//! Files of other programs: every problem is told with the file, the column and the row.

use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use arrow_array::builder::{Float64Builder, ListBuilder};
use arrow_array::types::{Float64Type, Int32Type};
use arrow_array::{ArrayRef, BinaryArray, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray};

use super::super::*;

type Column = (&'static str, ArrayRef);

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn texts(values: [&str; 3]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn whole(values: [i64; 3]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn numbers(values: [f64; 3]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn lists<const N: usize>(values: [[f64; N]; 3]) -> ArrayRef {
    let lists = values.map(|list| Some(list.map(Some)));
    Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists))
}

/// Writes a table as another program does.
fn file(columns: &[Column]) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.iter().map(|(name, array)| (*name, Arc::clone(array), array.null_count() > 0)),
    );
    let batch = batch.expect("columns of one length");
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("it has a form in Parquet");
    writer.write(&batch).expect("it fits in memory");
    writer.into_inner().expect("it fits in memory")
}

/// Three maps of 1 × 2.
fn cams() -> Vec<Column> {
    vec![
        ("image", texts(["a", "b", "c"])),
        ("label", texts(["x", "y", "x"])),
        ("predicted", texts(["x", "x", "x"])),
        ("probabilities", lists([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]])),
        ("height", whole([1, 1, 1])),
        ("width", whole([2, 2, 2])),
        ("input_height", whole([4, 4, 4])),
        ("input_width", whole([8, 8, 8])),
        ("map", lists([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])),
    ]
}

fn split() -> Vec<Column> {
    vec![
        ("image", texts(["a", "b", "c"])),
        ("label", texts(["x", "y", "x"])),
        ("patient", text(&[Some("p"), None, None])),
        ("fold", whole([1, 2, 1])),
    ]
}

fn with(mut columns: Vec<Column>, name: &'static str, array: ArrayRef) -> Vec<Column> {
    columns.iter_mut().find(|(other, _)| *other == name).expect("the column is there").1 = array;
    columns
}

fn problem<T: Table>(columns: &[Column]) -> String {
    let error = T::decode(&file(columns)).err().expect("the file is wrong").to_string();
    let start = format!("`{}`: ", T::FACTS.files[0].name);
    error.strip_prefix(&start).unwrap_or_else(|| panic!("{error} names no file")).to_owned()
}

#[test]
fn a_right_file_is_read_whatever_the_width_of_its_numbers() {
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![1, 1, 1]));
    let lists = [[1, 2], [3, 4], [5, 6]].map(|list| Some(list.map(Some)));
    let map: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
    let read = Cams::decode(&file(&with(with(cams(), "height", narrow), "map", map))).expect("it is right");
    assert_eq!((read.height, read.maps), (1, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    assert_eq!(Split::decode(&file(&split())).expect("it is right").folds, [1, 2, 1]);
}

#[test]
fn columns_that_are_missing_or_of_another_type_are_told_all_at_once() {
    let mut columns = with(split(), "fold", texts(["one", "two", "one"]));
    columns[1].0 = "lable";
    let expected = "there is no column `label`; the columns are: image, lable, patient, fold; did you mean `lable`?; \
                    column `fold` has text where whole numbers are expected";
    assert_eq!(problem::<Split>(&columns), expected);
    let columns = with(cams(), "height", numbers([1.0; 3]));
    assert_eq!(problem::<Cams>(&columns), "column `height` has numbers where whole numbers are expected");
    let columns = with(cams(), "map", texts(["1 2", "3 4", "5 6"]));
    assert_eq!(problem::<Cams>(&columns), "column `map` has text where lists of numbers are expected");
}

#[test]
fn a_wrong_value_is_told_with_its_column_and_row() {
    let mut ragged = ListBuilder::new(Float64Builder::new());
    for list in [&[1.0, 2.0][..], &[3.0, 4.0], &[5.0]] {
        ragged.append_value(list.iter().map(|&value| Some(value)));
    }
    let mut holed = ListBuilder::new(Float64Builder::new());
    for list in [[Some(1.0), Some(2.0)], [Some(3.0), None], [Some(5.0), Some(6.0)]] {
        holed.append_value(list);
    }
    let none = ListArray::from_iter_primitive::<Float64Type, _, _>([
        Some(vec![Some(1.0), Some(2.0)]),
        Some(vec![Some(3.0), Some(4.0)]),
        None,
    ]);
    let cases = [
        ("image", texts(["a", "b", "a"]), "row 2: `a` is in row 0 already"),
        ("label", text(&[Some("x"), None, Some("x")]), "row 1: there is no value"),
        ("height", whole([1, 1, 3]), "row 2: 3, but row 0 has 1; all rows must agree"),
        ("width", whole([-2, 2, 2]), "row 0: -2, but it must be at least 0"),
        ("map", Arc::new(ragged.finish()), "row 2: 1 values, but row 0 has 2"),
        ("map", Arc::new(holed.finish()), "row 1: a value of the list is missing"),
        ("map", Arc::new(none), "row 2: there is no list"),
        ("map", lists([[1.0; 3]; 3]), "row 0: 3 values, but the map has 1 × 2"),
        ("probabilities", lists([[0.5, 0.5], [1.5, -0.5], [0.0, 1.0]]), "row 1: 1.5, but it must be at most 1"),
        ("probabilities", lists([[0.5; 3]; 3]), "row 0: 3 values, but there are 2 classes: x, y"),
    ];
    for (column, array, expected) in cases {
        assert_eq!(problem::<Cams>(&with(cams(), column, array)), format!("column `{column}`, {expected}"));
    }
    let folds = problem::<Split>(&with(split(), "fold", whole([1, 0, 2])));
    assert_eq!(folds, "column `fold`, row 1: 0, but it must be at least 1");
    let thresholds = [("image", texts(["a", "b", "c"])), ("threshold", numbers([0.0, 255.0, f64::NAN]))];
    assert_eq!(problem::<Thresholds>(&thresholds), "column `threshold`, row 2: NaN, but it must be a number");
}

#[test]
fn pixels_of_masks_and_images_are_told_with_their_row_or_image() {
    let pixels = |values: [&[u8]; 3]| Arc::new(BinaryArray::from_iter_values(values)) as ArrayRef;
    let masks = |values| {
        let sizes = [("height", whole([1, 1, 1])), ("width", whole([2, 2, 2]))];
        [&[("image", texts(["a", "b", "c"]))], &sizes[..], &[("pixels", pixels(values))]].concat()
    };
    let grey = problem::<Masks>(&masks([&[0, 1], &[1, 7], &[0, 0]]));
    let expected = "column `pixels`, image `b`: it has values other than 0 and 1; a mask is 1 where the tumour is";
    assert_eq!(grey, expected);
    let short = problem::<Images>(&masks([&[0, 1], &[1, 7], &[0]]));
    assert_eq!(short, "column `pixels`, row 2: 1 bytes, not 2");
}
