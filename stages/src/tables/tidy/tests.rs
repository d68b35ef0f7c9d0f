//! Against pandas: `tests/reference/tidy.py` made `tidy.json` and the tables of `tidy/`.

use std::process::Command;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int32Array, StructArray, UInt64Array};
use orchestrate_engine::stage::{Content, InputFile, Output};
use serde_json::{Value, json};

use super::*;
use crate::artifact::{Columns, Scores, Table as _};
use crate::testing::Bench;

fn stored(bench: &Bench, bytes: Vec<u8>) -> InputFile {
    let output =
        Output { name: "scores".to_owned(), files: vec![("scores.parquet".to_owned(), Content::Bytes(bytes))] };
    bench.store(output)[0].clone()
}

fn merged(axes: &[&str], points: &[TidyPoint]) -> Result<Vec<u8>, StageError> {
    let mut bytes = Vec::new();
    merge(axes, points, &mut bytes)?;
    Ok(bytes)
}

/// The tables of a stage with one axis of that name.
fn of_axis(axis: &str, tables: Vec<(Value, Columns<'_>)>) -> Result<Rows, StageError> {
    let bench = Bench::new();
    let point = |(value, columns): (Value, Columns<'_>)| TidyPoint {
        values: vec![value],
        file: stored(&bench, columns.encode().unwrap()),
    };
    let points: Vec<TidyPoint> = tables.into_iter().map(point).collect();
    Ok(Rows::open("merged", Bytes::from(merged(&[axis], &points)?)).unwrap())
}

fn of_arrays(arrays: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(arrays).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn json_of(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Timestamp(..) => json!(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::List(_) => {
            let list = array.as_list::<i32>().value(row);
            (0..list.len()).map(|row| json_of(&list, row)).collect()
        }
        DataType::Struct(fields) => {
            let inner: &StructArray = array.as_struct();
            let field = |(field, column): (&Arc<Field>, _)| (field.name().clone(), json_of(column, row));
            fields.iter().zip(inner.columns()).map(field).collect::<serde_json::Map<_, _>>().into()
        }
        other => panic!("{other}"),
    }
}

fn rows_of(rows: &Rows) -> Vec<Vec<Value>> {
    let batches = rows.batches().unwrap().map(Result::unwrap);
    let of_batch = |batch: RecordBatch| {
        let row = |row| batch.columns().iter().map(|column| json_of(column, row)).collect::<Vec<_>>();
        (0..batch.num_rows()).map(row).collect::<Vec<_>>()
    };
    batches.flat_map(of_batch).collect()
}

/// Turns numbers into floats, because pandas and JSON disagree about whole numbers.
fn as_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(values) => values.iter().map(as_floats).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), as_floats(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

#[test]
fn tables_that_pandas_and_pyarrow_wrote_are_merged_as_pandas_merges_them() {
    let reference: Value = serde_json::from_str(include_str!("../../../tests/reference/tidy.json")).unwrap();
    let axes: Vec<&str> = reference["axes"].as_array().unwrap().iter().map(|axis| axis.as_str().unwrap()).collect();
    let files: [&[u8]; 4] = [
        include_bytes!("../../../tests/reference/tidy/1.parquet"),
        include_bytes!("../../../tests/reference/tidy/2.parquet"),
        include_bytes!("../../../tests/reference/tidy/3.parquet"),
        include_bytes!("../../../tests/reference/tidy/4.parquet"),
    ];
    let bench = Bench::new();
    let values = reference["points"].as_array().unwrap().iter().map(|values| values.as_array().unwrap().clone());
    let point = |(values, file): (Vec<Value>, &&[u8])| TidyPoint { values, file: stored(&bench, file.to_vec()) };
    let points: Vec<TidyPoint> = values.zip(&files).map(point).collect();
    let bytes = merged(&axes, &points).unwrap();
    assert!(bytes == merged(&axes, &points).unwrap(), "the same points give the same bytes");

    let rows = Rows::open("merged", Bytes::from(bytes.clone())).unwrap();
    assert_eq!(json!(rows.names()), reference["columns"]);
    assert_eq!(as_floats(&json!(rows_of(&rows))), as_floats(&reference["rows"]));
    let types: Vec<DataType> = rows.fields().iter().take(8).map(|field| field.data_type().clone()).collect();
    use DataType::{Boolean, Float64, Int64, Utf8};
    assert_eq!(types, [Utf8, Utf8, Float64, Int64, Boolean, Utf8, Utf8, Float64]);
    assert_eq!(rows.notes(), BTreeMap::new(), "what pandas noted of its own columns is gone");
    pandas_reads(&bytes, &reference["columns"]);
}

/// pandas itself, where it is installed.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn pandas_reads(bytes: &[u8], columns: &Value) {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let here = Command::new(&python).args(["-c", "import pandas, pyarrow"]).output();
    if !here.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {} with pandas and pyarrow is not installed", python.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scores.parquet");
    std::fs::write(&path, bytes).unwrap();
    let script = "import json, pandas, sys; t = pandas.read_parquet(sys.argv[1]); \
                  print(json.dumps([list(t.columns), len(t), [str(t[c].dtype) for c in ('lr', 'fold', 'flip')]]))";
    let output = Command::new(&python).args(["-c", script]).arg(&path).output().unwrap();
    let read: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(read, json!([columns, 6, ["float64", "int64", "bool"]]));
}

#[test]
fn axis_has_the_type_that_fits_all_its_values() {
    let images = ["x".to_owned()];
    for (values, expected, shown) in [
        (vec![json!(1), json!(-2)], DataType::Int64, json!([1, -2])),
        (vec![json!(1), json!(0.5)], DataType::Float64, json!([1.0, 0.5])),
        (vec![json!(true), json!(false)], DataType::Boolean, json!([true, false])),
        (vec![json!(200), json!("q90"), json!(0.25)], DataType::Utf8, json!(["200", "q90", "0.25"])),
        (vec![json!(true), json!(1)], DataType::Utf8, json!(["true", "1"])),
        // 2^53 + 1 is no float64.
        (vec![json!(9_007_199_254_740_993_i64), json!(0.5)], DataType::Utf8, json!(["9007199254740993", "0.5"])),
    ] {
        let tables = values.into_iter().map(|value| (value, Columns::new().text("image", &images)));
        let rows = of_axis("axis", tables.collect()).unwrap();
        assert_eq!(rows.fields()[0].data_type(), &expected);
        assert_eq!(rows_of(&rows).iter().map(|row| row[0].clone()).collect::<Value>(), shown);
    }
}

#[test]
fn column_that_is_named_like_an_axis_is_left_out_or_renamed_and_never_taken_for_it() {
    let table = |precision: [f64; 2]| Columns::new().float("precision", precision).integer("precision_value", [1, 2]);
    let text = |value: &str| json!(value);
    let rows = of_axis("precision", vec![(text("f32"), table([0.5, 1.0])), (text("bf16"), table([1.0, 1.0]))]).unwrap();
    assert_eq!(rows.names(), ["precision", "precision_value_value", "precision_value"]);
    assert_eq!(rows_of(&rows)[2], [json!("bf16"), json!(1.0), json!(1)]);

    // 200 as a text, and as a number, is what the axis has; 201 in one row of one point is not.
    let both = vec![(json!(200), table([200.0; 2])), (json!("q90"), Columns::new().integer("precision_value", [1, 2]))];
    assert_eq!(of_axis("precision", both).unwrap().names(), ["precision", "precision_value"]);
    let other = vec![(json!(200), table([200.0; 2])), (json!(201), table([201.0, 200.0]))];
    assert_eq!(of_axis("precision", other).unwrap().names().len(), 3);
}

#[test]
fn values_that_no_column_of_one_table_holds_are_named_with_their_points() {
    let one = ["x".to_owned()];
    let error = |tables| of_axis("fold", tables).err().unwrap().to_string();
    let numbers = || Columns::new().float("note", [1.0]);
    assert_eq!(
        error(vec![(json!(1), numbers()), (json!(2), numbers()), (json!(3), Columns::new().text("note", &one))]),
        "column `note` holds numbers at fold=1 and text at fold=3, and no column of one table holds both; \
         give it one type"
    );
    let large = Columns::new().integer("n", [9_007_199_254_740_993]);
    assert_eq!(
        error(vec![(json!(1), large), (json!(2), Columns::new().float("n", [0.5]))]),
        "column `n` holds 9007199254740993 at fold=1, which is no number of the type Float64 that other points need"
    );
    let bench = Bench::new();
    let broken = TidyPoint { values: vec![json!(1)], file: stored(&bench, b"no table".to_vec()) };
    let message = merged(&["fold"], &[broken]).unwrap_err().to_string();
    assert!(message.starts_with("`scores.parquet at fold=1` is no readable Parquet file: "), "{message}");
}

#[test]
fn integers_of_all_widths_go_together_and_none_becomes_another() {
    let bench = Bench::new();
    let point = |fold: i64, array: ArrayRef| TidyPoint {
        values: vec![json!(fold)],
        file: stored(&bench, of_arrays(vec![("n", array)])),
    };
    let unsigned = |value: u64| Arc::new(UInt64Array::from(vec![value]));
    let points = [point(1, unsigned(7)), point(2, Arc::new(Int32Array::from(vec![-1])))];
    let rows = Rows::open("merged", Bytes::from(merged(&["fold"], &points).unwrap())).unwrap();
    assert_eq!(rows_of(&rows), [[json!(1), json!(7)], [json!(2), json!(-1)]]);
    let points = [point(1, unsigned(u64::MAX)), point(2, Arc::new(Int32Array::from(vec![-1])))];
    let error = merged(&["fold"], &points).unwrap_err().to_string();
    assert!(error.contains("column `n` holds 18446744073709551615 at fold=1"), "{error}");
}

/// Our own lists, without missing elements, beside those of pandas, which may have some; in both, integers beside
/// floats.
#[test]
fn nested_columns_merge_if_their_elements_do() {
    let bench = Bench::new();
    let of = |array: ArrayRef| of_arrays(vec![("x", array)]);
    let inner = |array: ArrayRef, may_lack: bool| -> ArrayRef {
        let field = Arc::new(Field::new("high", array.data_type().clone(), may_lack));
        Arc::new(StructArray::from(vec![(field, array)]))
    };
    let merged_x = |tables: [Vec<u8>; 2]| {
        let point =
            |(fold, table): (usize, Vec<u8>)| TidyPoint { values: vec![json!(fold)], file: stored(&bench, table) };
        let points: Vec<TidyPoint> = tables.into_iter().enumerate().map(point).collect();
        let rows = Rows::open("merged", Bytes::from(merged(&["fold"], &points)?)).unwrap();
        Ok::<_, StageError>(rows_of(&rows).into_iter().map(|mut row| row.remove(1)).collect::<Value>())
    };
    let whole: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let float: ArrayRef = Arc::new(arrow_array::Float64Array::from(vec![2.5]));
    let text: ArrayRef = Arc::new(arrow_array::StringArray::from(vec!["a"]));
    let both = merged_x([of(inner(Arc::clone(&whole), true)), of(inner(Arc::clone(&float), false))]);
    assert_eq!(both.unwrap(), json!([{ "high": 1.0 }, { "high": null }, { "high": 2.5 }]));
    assert!(merged_x([of(inner(whole, true)), of(inner(text, false))]).is_err());
    let ours = Columns::new().floats("x", 1, &[0.5, 2.0]).encode().unwrap();
    let list = arrow_array::ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(0.1), None])]);
    assert_eq!(merged_x([ours, of(Arc::new(list))]).unwrap(), json!([[0.5, 2.0], [0.1, null]]));
}

#[test]
fn notes_that_all_points_have_in_common_stay() {
    let table = |size: &str| Columns::new().float("x", [1.0]).note("size", size).note("classes", "[\"a\"]");
    let rows = of_axis("fold", vec![(json!(1), table("2")), (json!(2), table("3"))]).unwrap();
    assert_eq!(rows.notes(), BTreeMap::from([("classes".to_owned(), "[\"a\"]".to_owned())]));
}

#[test]
fn table_of_no_points_and_points_without_rows_are_tables() {
    let rows = Rows::open("merged", Bytes::from(merged(&["fold"], &[]).unwrap())).unwrap();
    assert_eq!((rows.len(), rows.names()), (0, vec!["fold".to_owned()]));
    let none: [String; 0] = [];
    let some = ["a.png".to_owned()];
    let tables = vec![
        (json!(1), Columns::new().text("image", &none).integer("n", [])),
        (json!(2), Columns::new().text("image", &some).text("n", &some)),
    ];
    let rows = of_axis("fold", tables).unwrap();
    assert_eq!(rows_of(&rows), [[json!(2), json!("a.png"), json!("a.png")]], "a column without values fits any");
}

#[test]
fn scores_of_points_keep_their_columns_classes_and_missing_values() {
    let bench = Bench::new();
    let scores = |name: &str, iou: Option<f64>| Scores {
        names: vec![name.to_owned()],
        labels: vec![1],
        predicted: vec![0],
        classes: ["glioma", "meningioma"].map(str::to_owned).to_vec(),
        iou: vec![iou],
        dice: vec![iou],
        precision: vec![iou],
        recall: vec![iou],
        mask_pixels: vec![3],
        truth_pixels: vec![0],
        ..Scores::default()
    };
    let point = |value: Value, table: Scores| TidyPoint {
        values: vec![value],
        file: bench.store(table.output().unwrap())[0].clone(),
    };
    let points = [point(json!("q90"), scores("a", None)), point(json!(200), scores("b", Some(0.1)))];
    let merged = merged(&["threshold"], &points).unwrap();
    let own = Scores::from_rows(&Rows::open("merged", Bytes::from(merged.clone())).unwrap()).unwrap();
    assert_eq!((own.iou, own.classes[0].as_str()), (vec![None, Some(0.1)], "glioma"));
    let rows = rows_of(&Rows::open("merged", Bytes::from(merged)).unwrap());
    assert_eq!(rows[1][..3], [json!("200"), json!("b"), json!("meningioma")]);
}

/// 700,000 rows: read from the store in parts, and written as several row groups.
#[test]
fn table_that_is_large_is_merged_in_parts() {
    const ROWS: i64 = 700_000;
    let table = || Columns::new().float("x", (0..ROWS).map(|row| (row * 7_919 % 1_000_003) as f64 / 1e6));
    let rows = of_axis("fold", vec![(json!(1), table()), (json!(2), Columns::new().float("x", [0.5]))]).unwrap();
    assert_eq!(rows.len() as i64, ROWS + 1);
    let folds = rows.integer("fold").unwrap();
    assert_eq!((folds[0], folds[ROWS as usize - 1], folds[ROWS as usize]), (1, 1, 2));
    let values = rows.float("x").unwrap();
    assert!((0..ROWS as usize).all(|row| values[row] == (row * 7_919 % 1_000_003) as f64 / 1e6));
}

/// The number of points of a sweep over thresholds, read one after the other.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stderr, reason = "a measurement says what it measured")]
fn a_thousand_points_take_a_fraction_of_a_second() {
    let bench = Bench::new();
    let names: Vec<String> = (0..60).map(|image| format!("phantom-{image:04}.png")).collect();
    let points: Vec<TidyPoint> = (0..1000_i64)
        .map(|point| {
            let float =
                |step: i64| names.iter().enumerate().map(move |(row, _)| (row as i64 * step + point) as f64 / 7.0);
            let columns = Columns::new().many().text("image", &names).float("iou", float(3)).float("dice", float(5));
            let columns = columns.float("precision", float(7)).float("recall", float(9)).integer("n", 0..60);
            TidyPoint { values: vec![json!(point)], file: stored(&bench, columns.encode().unwrap()) }
        })
        .collect();
    let began = std::time::Instant::now();
    let bytes = merged(&["threshold"], &points).unwrap();
    eprintln!("{:.3} s, {} bytes", began.elapsed().as_secs_f64(), bytes.len());
}
