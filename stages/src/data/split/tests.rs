//! Comparison with scikit-learn; `tests/reference/split.py` made `split.json`.

use std::path::Path;

use serde::Deserialize;

use super::*;
use crate::testing::Bench;

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
    named: Vec<Named>,
    brain_tumor: BrainTumor,
}

#[derive(Deserialize)]
struct Case {
    folds: u32,
    labels: Vec<u32>,
    groups: Vec<String>,
    stratified: Vec<u32>,
    shuffled_counts: Vec<Vec<usize>>,
    grouped: Vec<u32>,
}

/// Names of classes and groups, of which scikit-learn saw what pandas reads.
#[derive(Deserialize)]
struct Named {
    folds: u32,
    names: Vec<String>,
    groups: Vec<String>,
    grouped: Vec<u32>,
}

#[derive(Deserialize)]
struct BrainTumor {
    classes: Vec<String>,
    stratified_runs: Vec<(u32, usize)>,
    stratified_shared_patients: Vec<usize>,
    shuffled_counts: Vec<Vec<usize>>,
    grouped_by_sorted_patient: String,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../../../tests/reference/split.json")).unwrap()
}

fn params(folds: u32) -> Params {
    Params { folds, shuffle: false, seed: None, group: None, folds_from: None }
}

fn shuffled(folds: u32, seed: u64) -> Params {
    Params { shuffle: true, seed: Some(seed), ..params(folds) }
}

fn patient_wise(folds: u32) -> Params {
    Params { group: Some("patient".to_owned()), ..params(folds) }
}

fn labels_of(labels: &[u32], patients: &[String]) -> Labels {
    Labels {
        names: (0..labels.len()).map(|image| format!("{image}.png")).collect(),
        labels: labels.to_vec(),
        classes: (0..=*labels.iter().max().unwrap()).map(|class| format!("class {class}")).collect(),
        patients: patients.iter().cloned().map(Some).collect(),
        columns: Vec::new(),
    }
}

/// Images per fold and class.
fn counts(split: &Split) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; split.classes.len()]; *split.folds.iter().max().unwrap() as usize];
    for (&fold, &label) in split.folds.iter().zip(&split.labels) {
        counts[fold as usize - 1][label as usize] += 1;
    }
    counts
}

#[test]
fn unshuffled_folds_are_those_of_stratified_k_fold() {
    for (index, case) in reference().cases.iter().enumerate() {
        let (split, _) = run(&params(case.folds), &labels_of(&case.labels, &case.groups), None).unwrap();
        assert_eq!(split.folds, case.stratified, "case {index}");
    }
}

#[test]
fn shuffled_folds_have_the_counts_of_stratified_k_fold() {
    for (index, case) in reference().cases.iter().enumerate() {
        let (split, _) = run(&shuffled(case.folds, 1), &labels_of(&case.labels, &case.groups), None).unwrap();
        assert_eq!(counts(&split), case.shuffled_counts, "case {index}");
        assert_ne!(split.folds, case.stratified, "case {index}");
    }
}

#[test]
fn grouped_folds_are_those_of_stratified_group_k_fold() {
    for (index, case) in reference().cases.iter().enumerate() {
        let (split, leakage) = run(&patient_wise(case.folds), &labels_of(&case.labels, &case.groups), None).unwrap();
        assert_eq!(split.folds, case.grouped, "case {index}");
        assert!(leakage.rows.iter().all(|row| row.groups.is_some_and(|groups| groups.shared == 0)), "case {index}");
    }
}

#[test]
fn numbers_are_sorted_by_size_and_many_classes_summed_as_numpy_sums() {
    for Named { folds, names, groups, grouped } in reference().named {
        let mut classes: Vec<String> = Vec::new();
        let mut index = |name: &String| {
            classes.iter().position(|class| class == name).unwrap_or_else(|| {
                classes.push(name.clone());
                classes.len() - 1
            }) as u32
        };
        let labels: Vec<u32> = names.iter().map(&mut index).collect();
        let labels = Labels { classes, ..labels_of(&labels, &groups) };
        let (split, _) = run(&patient_wise(folds), &labels, None).unwrap();
        assert_eq!(
            split.folds,
            grouped,
            "{} classes, such as {}, groups such as {}",
            labels.classes.len(),
            names[0],
            groups[0]
        );
    }
}

/// The real labels, if the development data are on this machine.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn brain_tumor() -> Option<Labels> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/brain-tumor-224/labels.csv");
    let Ok(mut reader) = csv::Reader::from_path(&path) else {
        eprintln!("skipped: there is no {}", path.display());
        return None;
    };
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let classes = reference().brain_tumor.classes;
    Some(Labels {
        names: rows.iter().map(|row| row[3].to_owned()).collect(),
        labels: rows.iter().map(|row| classes.iter().position(|class| *class == row[2]).unwrap() as u32).collect(),
        patients: rows.iter().map(|row| Some(row[1].to_owned())).collect(),
        columns: Vec::new(),
        classes,
    })
}

#[test]
fn real_slices_are_split_as_scikit_learn_splits_them() {
    let Some(labels) = brain_tumor() else { return };
    let reference = reference().brain_tumor;
    let shared = |leakage: &Leakage| -> Vec<usize> {
        leakage.rows.iter().filter(|row| row.label == Leakage::ALL).map(|row| row.groups.unwrap().shared).collect()
    };

    let (split, leakage) = run(&params(5), &labels, None).unwrap();
    let runs: Vec<(u32, usize)> = split.folds.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
    assert_eq!(runs, reference.stratified_runs);
    assert_eq!(shared(&leakage), reference.stratified_shared_patients);
    let sizes: Vec<usize> = counts(&split).iter().map(|fold| fold.iter().sum()).collect();
    assert_eq!(sizes, [613, 613, 613, 613, 612]);

    assert_eq!(counts(&run(&shuffled(5, 0), &labels, None).unwrap().0), reference.shuffled_counts);

    let (split, leakage) = run(&patient_wise(5), &labels, None).unwrap();
    let of_patient: std::collections::BTreeMap<_, _> = split.patients.iter().flatten().zip(&split.folds).collect();
    assert_eq!(
        of_patient.values().map(|fold| fold.to_string()).collect::<String>(),
        reference.grouped_by_sorted_patient
    );
    assert_eq!(shared(&leakage), [0; 5]);
}

#[test]
fn problems_of_the_data_are_reported_by_name() {
    let labels = |labels: &[u32]| labels_of(labels, &vec!["p".to_owned(); labels.len()]);
    for (params, labels, message) in [
        (
            params(3),
            labels(&[0, 0, 0, 1, 1]),
            "every class needs an image for each of the 3 folds; too small: class 1 (2)",
        ),
        (
            params(3),
            labels(&[0, 1]),
            "every class needs an image for each of the 3 folds; too small: class 0 (1), class 1 (1)",
        ),
        (patient_wise(2), labels(&[0, 0, 1, 1]), "column `patient` makes 1 groups, too few for 2 folds"),
        (
            Params { folds_from: Some(FoldsFrom::Column("patient".to_owned())), ..params(2) },
            labels_of(&[0, 1], &["2".to_owned(), "2".to_owned()]),
            "fold 1 of 2 has no images; use fewer folds",
        ),
    ] {
        assert_eq!(run(&params, &labels, None).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_seed_that_draws_nothing_is_not_in_the_params() {
    use orchestrate_engine::params::Params as _;
    let read = |json: &str| serde_json::from_str::<Params>(json).unwrap().completed();
    assert_eq!(read(r#"{"folds": 5, "seed": 7}"#), read(r#"{"folds": 5, "seed": 8}"#));
    assert_ne!(
        read(r#"{"folds": 5, "shuffle": true, "seed": 7}"#),
        read(r#"{"folds": 5, "shuffle": true, "seed": 8}"#)
    );
    let params = shuffled(5, 7);
    assert_eq!(read(&serde_json::to_string(&params).unwrap()), params);
}

#[test]
fn params_that_contradict_each_other_are_all_reported() {
    use orchestrate_engine::params::Params as _;
    let params = Params {
        folds_from: Some(FoldsFrom::Column("cvind".to_owned())),
        group: Some("patient".to_owned()),
        ..shuffled(5, 0)
    };
    let fields: Vec<_> = params.problems().into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["shuffle", "group"]);
    assert_eq!(patient_wise(5).problems(), []);
}

#[test]
fn both_outputs_come_from_stored_labels() {
    let bench = Bench::new();
    let case = &reference().cases[0];
    let item = bench.item(&labels_of(&case.labels, &case.groups), &[]);
    let action = bench.action(&format!(r#"{{"folds": {}}}"#, case.folds), &[("labels", &[item])]);
    let outcome = |bench: &Bench| bench.run(&STAGE, std::slice::from_ref(&action)).remove(0);
    assert_eq!(bench.table::<Split>(outcome(&bench)).folds, case.stratified);
    assert_eq!(bench.table::<Leakage>(outcome(&bench)).group.as_deref(), Some("patient"));
}

#[test]
fn folds_of_a_matlab_file_go_through_the_stage_and_its_path_stays_out_of_the_params() {
    let bench = Bench::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/cvind/compressed.mat");
    let checked = bench.check(&STAGE, "folds = 5\nfolds_from = \"compressed.mat\"").unwrap();
    assert_eq!(checked["folds_from"], serde_json::json!({ "file": "compressed.mat" }));
    let params = serde_json::json!({ "folds": 5, "folds_from": { "file": path } });
    let files = orchestrate_engine::stage::Stage::files(&STAGE, &params).unwrap();
    assert_eq!((files[0].name.as_str(), &files[0].path), ("folds.mat", &path));
    let labels: Vec<u32> = vec![0; 12];
    let item = bench.item(&labels_of(&labels, &vec![String::new(); 12]), &[]);
    let mut action = bench.action(&params.to_string(), &[("labels", &[item])]);
    let digest = orchestrate_cache::Digest::of(&std::fs::read(&path).unwrap());
    action.files.push(ExternalFile { name: files[0].name.clone(), path, digest });
    let split = bench.table::<Split>(bench.run(&STAGE, std::slice::from_ref(&action)).remove(0));
    let json: serde_json::Value = serde_json::from_str(include_str!("../../../tests/reference/cvind.json")).unwrap();
    assert_eq!(serde_json::json!(split.folds), json["files"]["compressed.mat"]);
}

#[test]
fn golden() {
    let labels: [u32; 10] = [0, 0, 1, 0, 1, 1, 0, 1, 0, 0];
    let patients = ["a", "a", "b", "b", "c", "c", "d", "d", "e", "e"].map(str::to_owned);
    let labels = labels_of(&labels, &patients);
    let folds = |params: &Params| run(params, &labels, None).unwrap().0.folds;
    let all = [
        folds(&params(2)),
        folds(&shuffled(2, 7)),
        folds(&patient_wise(2)),
        folds(&Params { shuffle: true, seed: Some(7), ..patient_wise(2) }),
    ];
    let expected = [
        [1, 1, 1, 1, 1, 2, 2, 2, 2, 2],
        [2, 1, 1, 1, 1, 2, 2, 2, 1, 2],
        [1, 1, 1, 1, 2, 2, 1, 1, 2, 2],
        [1, 1, 1, 1, 2, 2, 1, 1, 2, 2],
    ];
    assert_eq!(all, expected, "the folds moved: raise VERSION of `split` and put the new ones here");
}
