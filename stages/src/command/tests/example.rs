//! Runs `experiments/command/summary.py` where Python has what it needs.

use std::io::Write;
use std::path::Path;

use orchestrate_cache::{BlobLocation, Digest};
use orchestrate_engine::stage::{InputFile, Item};

use super::bench::{Bench, params};

#[test]
fn the_example_script_summarises_gathered_scores() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments/command/summary.py");
    let python = std::process::Command::new("python3").args(["-c", "import pandas, pyarrow"]).output();
    if !python.is_ok_and(|output| output.status.success()) {
        let _ = writeln!(std::io::stderr(), "skipped: python3 with pandas and pyarrow is not installed");
        return;
    }
    let bench = Bench::new();
    bench.write("experiments/summary.py", &std::fs::read_to_string(&script).expect("the example can be read"));
    let make = "import pandas, sys
ious = [float(value) if value else None for value in sys.argv[2:]]
pandas.DataFrame({'iou': ious}).to_parquet(sys.argv[1])";
    let score = |model: &str, fold: &str, ious: &[&str]| {
        let path = bench.dir.path().join("scores.parquet");
        let made = std::process::Command::new("python3").args(["-c", make]).arg(&path).args(ious).status();
        assert!(made.is_ok_and(|status| status.success()), "pandas can write Parquet");
        let bytes = std::fs::read(&path).expect("pandas wrote it");
        let digest = Digest::of(&bytes);
        let path = bench.dir.path().join(format!("{digest}"));
        std::fs::write(&path, &bytes).expect("a file can be written");
        let size_bytes = bytes.len() as u64;
        let location = BlobLocation { path: path.into(), offset: 0, size_bytes };
        let labels = [("model", model), ("fold", fold), ("threshold", "q90")];
        Item {
            labels: labels.map(|(axis, label)| (axis.into(), label.into())).to_vec(),
            files: vec![InputFile { name: "scores.parquet".to_owned(), digest, size_bytes, location }].into(),
        }
    };
    // Means of the folds: tiny 0.25 and 0.5 (one image is excluded), so mean 0.375, sd 0.25 / √2.
    let items =
        vec![score("tiny", "1", &["0.1", "0.4"]), score("tiny", "2", &["0.5", ""]), score("other", "1", &["1"])];
    let ran = bench.run(
        params(
            r#"
            argv = ["python3", "{code}", "{in.scores}", "{out}", "--bins", "{bins}"]
            code = ["experiments/summary.py"]
            params = { bins = 4 }
            "#,
        ),
        vec![("scores", items)],
    );
    let files = ran.files();
    assert_eq!(files[0].0, "histogram.csv");
    assert_eq!(
        files[0].1,
        "model,threshold,iou_min,iou_max,images\nother,q90,0.0,0.25,0\nother,q90,0.25,0.5,0\nother,q90,0.5,0.75,0\n\
         other,q90,0.75,1.0,1\ntiny,q90,0.0,0.25,1\ntiny,q90,0.25,0.5,1\ntiny,q90,0.5,0.75,1\ntiny,q90,0.75,1.0,0\n"
    );
    assert_eq!(files[1].0, "summary.csv");
    assert_eq!(
        files[1].1,
        "model,threshold,folds,images,iou_mean,iou_sd\nother,q90,1,1,1.0000,\ntiny,q90,2,3,0.3750,0.1768\n"
    );
}
