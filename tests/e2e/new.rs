//! First studies: from a folder of images to tables, on miniatures of real layouts; and folders that cannot be used.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat, Luma};

use crate::data::slice;
use crate::sandbox::{Run, Said, Sandbox};

/// A picture with a bright square of a class's size, at a place of its own.
fn picture(class: u32, seed: u32) -> GrayImage {
    let inside = |x: u32, y: u32| square(class, seed, x) && square(class, seed + 3, y);
    GrayImage::from_fn(40, 40, |x, y| Luma([if inside(x, y) { 220 } else { (x * 7 + y * 11 + seed * 29) as u8 % 60 }]))
}

fn square(class: u32, seed: u32, at: u32) -> bool {
    let start = 4 + seed * 5 % 16;
    (start..start + 8 + 6 * class).contains(&at)
}

fn mask(class: u32, seed: u32) -> GrayImage {
    let inside = |x: u32, y: u32| square(class, seed, x) && square(class, seed + 3, y);
    GrayImage::from_fn(40, 40, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]))
}

fn save(sandbox: &Sandbox, name: &str, image: impl Into<DynamicImage>) {
    let mut bytes = Cursor::new(Vec::new());
    let format = ImageFormat::from_path(name).expect("the ending names a format");
    image.into().write_to(&mut bytes, format).expect("it is written to memory");
    sandbox.write(name, bytes.into_inner());
}

/// Starts a study in `study`, which must succeed.
fn start(sandbox: &Sandbox, args: &[&str]) -> Said {
    let said = sandbox.orchestrate(&[&["new"], args, &["study"]].concat());
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
    said
}

/// Runs the study, which must succeed, with fewer epochs.
fn run(sandbox: &Sandbox) -> Run {
    let run = Run::from(sandbox.orchestrate(&["run", "study/study.toml", "--json", "--set", "stages.train.epochs=1"]));
    assert_eq!(run.said.code, Some(0), "{}\n{}\n{}", run.said.out, run.said.err, sandbox.read("study/study.toml"));
    run
}

#[test]
fn study_without_data_runs_and_stays_as_it_is() {
    let sandbox = Sandbox::new();
    let said = start(&sandbox, &[]);
    let next = "next:\n  orchestrate plan study/study.toml\n  orchestrate run study/study.toml\n  \
                orchestrate report study/study.toml\n";
    assert!(said.out.ends_with(next), "{}", said.out);
    sandbox.edit("study/study.toml", "count = 300", "count = 60");
    let text = sandbox.read("study/study.toml");
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    assert!(run(&sandbox).nodes.contains_key("iou"));
    assert!(sandbox.path("study/results/study/report/report.html").exists());
    assert!(sandbox.path("study/.orchestrate").exists() && !sandbox.path(".orchestrate").exists());

    let again = sandbox.orchestrate(&["new", "study"]);
    assert_eq!(again.code, Some(2));
    assert!(again.err.contains("study holds a study: ") && again.err.contains("study.toml"), "{}", again.err);
    assert_eq!(sandbox.read("study/study.toml"), text);
    let other = sandbox.orchestrate(&["new", "study/study.toml"]);
    assert_eq!((other.code, other.err.contains("is a file; name a folder")), (Some(2), true), "{}", other.err);
}

#[test]
fn files_of_a_project_stay_and_missing_lines_are_told() {
    let sandbox = Sandbox::new();
    sandbox.write(".gitignore", "*.tmp\n");
    let said = sandbox.orchestrate(&["new", "."]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains(".gitignore is there already") && said.err.contains("/.orchestrate/ /results/"));
    assert_eq!(sandbox.read(".gitignore"), "*.tmp\n");
    assert!(said.out.contains("orchestrate plan ./study.toml") && sandbox.path("study.toml").exists(), "{}", said.out);
}

/// BUSI: masks beside images, a class without lesions, blanks and brackets in names.
#[test]
fn folder_a_class_with_masks_becomes_a_study_with_scores() {
    let sandbox = Sandbox::new();
    for (class, name) in ["benign", "größe \"<b>\""].into_iter().enumerate() {
        for image in 1..=5 {
            save(&sandbox, &format!("data/{name}/{name} ({image}).png"), picture(class as u32, image));
            save(&sandbox, &format!("data/{name}/{name} ({image})_mask.png"), mask(class as u32, image));
        }
    }
    (1..=4).for_each(|image| save(&sandbox, &format!("data/normal/{image}.png"), picture(3, image)));
    let said = start(&sandbox, &["--data", "data"]);
    assert!(said.out.contains("4 folds by image, pictures of 40 × 40, 20 epochs; maps are scored against 10 masks"));
    assert!(said.err.contains("warning: no patients are known, so folds are cut by image"), "{}", said.err);
    let text = sandbox.read("study/study.toml");
    for part in ["path = \"../data\"", "(leakage)", "the smallest class: normal has 4 images", "# group = \"patient\""]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(run(&sandbox).nodes.contains_key("iou-by-class"));
}

#[test]
fn patients_in_names_keep_together_and_without_masks_there_are_no_scores() {
    let sandbox = Sandbox::new();
    for (class, name) in ["a", "b"].into_iter().enumerate() {
        for image in 0..6 {
            let picture = DynamicImage::ImageLuma8(picture(class as u32, image)).to_rgb8();
            save(&sandbox, &format!("data/{name}/p{class}{}_{image}.jpg", image / 2), picture);
        }
    }
    let said = start(&sandbox, &["--data", "data"]);
    assert!(said.out.contains("3 folds by patient") && said.out.contains("no masks"), "{}", said.out);
    let text = sandbox.read("study/study.toml");
    for part in
        ["patient = \"{patient}_*\"", "a/p00_0.jpg is of patient p00", "\ngroup = \"patient\"", "colours become"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let run = run(&sandbox);
    assert!(run.nodes.contains_key("classification") && !run.nodes.contains_key("score"));
}

#[test]
fn folders_of_patients_and_other_names_of_masks_are_found() {
    let sandbox = Sandbox::new();
    for (class, name) in ["a", "b"].into_iter().enumerate() {
        for image in 0..6 {
            let stem = format!("data/{name}/pat{class}{}/{image}", image / 2);
            save(&sandbox, &format!("{stem}.png"), picture(class as u32, image));
            save(&sandbox, &format!("{stem}_seg.png"), mask(class as u32, image));
        }
    }
    let said = start(&sandbox, &["--data", "data"]);
    assert!(said.out.contains("3 folds by patient") && said.out.contains("12 masks"), "{}", said.out);
    let text = sandbox.read("study/study.toml");
    assert!(text.contains("patient = \"{patient}/*\"") && text.contains("mask = \"{stem}_seg\""), "{text}");
    run(&sandbox);
}

#[test]
fn csv_file_of_any_name_with_usual_columns_becomes_a_study() {
    let sandbox = Sandbox::new();
    let mut rows = "File Name,dx,patient_id,mask\n".to_owned();
    for image in 0..12 {
        let class = image % 2;
        save(&sandbox, &format!("data/img/{image}.png"), picture(class, image));
        save(&sandbox, &format!("data/seg/{image}.png"), mask(class, image));
        rows += &format!("img/{image}.png,{},{}{class},seg/{image}.png\n", ["x", "y"][class as usize], image / 4);
    }
    sandbox.write("data/meta.csv", rows);
    let said = start(&sandbox, &["--data", "data"]);
    assert!(said.out.contains("3 folds by patient"), "{}", said.out);
    assert!(sandbox.read("study/study.toml").contains("path = \"../data/meta.csv\""));
    run(&sandbox);
}

#[test]
fn csv_file_with_columns_of_any_names_wins_over_folders_beside_it() {
    let sandbox = Sandbox::new();
    let mut rows = "Scan file,Diagnosis (path),MRN,ROI,Age\n".to_owned();
    for image in 0..12 {
        let class = image % 2;
        save(&sandbox, &format!("data/pics/{image}.png"), picture(class, image));
        save(&sandbox, &format!("data/roi/{image}.png"), mask(class, image));
        rows += &format!("pics/{image}.png,{},{},roi/{image}.png,5{image}\n", ["x", "y"][class as usize], image);
    }
    sandbox.write("data/list.csv", &rows);
    let said = start(&sandbox, &["--data", "data"]);
    assert!(said.out.contains("data: unused columns: Age\n") && said.out.contains("12 masks"), "{}", said.out);
    let text = sandbox.read("study/study.toml");
    for part in ["../data/list.csv", "label = \"Diagnosis (path)\"", "patient = \"MRN\"", "mask = \"ROI\""] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let checked = sandbox.orchestrate(&["data", "check", "data", "--patient", "Age"]);
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    assert!(
        checked.out.contains("patient = \"Age\"") && checked.out.contains("unused columns: MRN"),
        "{}",
        checked.out
    );

    sandbox.write("data/list.csv", rows.replace("Diagnosis (path)", "Group").replace("Scan file", "Scan"));
    for data in ["data", "data/list.csv"] {
        let unclear = sandbox.orchestrate(&["new", "--data", data, "other"]);
        assert_eq!(unclear.code, Some(2), "{}", unclear.out);
        for part in ["the columns are: Scan, Group, MRN, ROI, Age", "--image COLUMN --label COLUMN"] {
            assert!(unclear.err.contains(part), "{part}: {}", unclear.err);
        }
        assert!(!sandbox.path("other").exists());
    }
    let named = sandbox.orchestrate(&["new", "--data", "data", "--label", "Group", "other"]);
    assert_eq!(named.code, Some(0), "{}", named.err);
}

#[test]
fn cheng_files_at_an_absolute_path_become_a_study() {
    let sandbox = Sandbox::new();
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/tests/reference/mat/1.mat");
    let template = fs::read(template).expect("the reference files are there");
    for number in 0..12 {
        sandbox
            .write(&format!("data/{}.mat", number + 1), slice(&template, f64::from(number % 3 + 1), number as usize));
    }
    let data = sandbox.path("data");
    let data = data.to_str().expect("temporary folders have plain names");
    let said = start(&sandbox, &["--data", data]);
    assert!(said.out.contains("4 folds by patient"), "{}", said.out);
    let text = sandbox.read("study/study.toml");
    assert!(text.contains(&format!("path = \"{data}\"")) && text.contains("format = \"cheng-mat\""), "{text}");
    run(&sandbox);
}

#[test]
fn folders_that_cannot_be_used_say_why_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    let mut seed = 0;
    let mut images = |folder: &str, count: u32| {
        for image in 0..count {
            seed += 1;
            save(&sandbox, &format!("{folder}/{image}.png"), picture(0, seed));
        }
    };
    ["one/only", "masks/images", "masks/masks", "parts/train", "parts/test"].into_iter().for_each(|it| images(it, 3));
    ["kaggle/Training/x", "kaggle/Training/y", "kaggle/Testing/x", "kaggle/Testing/y"]
        .into_iter()
        .for_each(|it| images(it, 2));
    ["few/a", "broken/a", "broken/b"].into_iter().for_each(|it| images(it, 2));
    images("few/b", 1);
    (0..3).for_each(|image| save(&sandbox, &format!("apart/masks/{image}_mask.png"), mask(0, image)));
    images("apart/images", 3);
    sandbox.write("broken/b/0.png", "no picture");
    images("patient", 8);
    let rows: String = (0..8).map(|image| format!("{image}.png,{},{}\n", image / 6, (image + 1) % 7)).collect();
    sandbox.write("patient/labels.csv", format!("image,label,patient\n{rows}").replace("1,1\n", "1,0\n"));
    fs::create_dir(sandbox.path("empty")).expect("tests can make folders");
    for (data, expected) in [
        ("one", "one has one class, only, and a classifier needs two"),
        ("masks", "which are no classes\nhelp: write a CSV file"),
        ("apart", "error: apart has the folders images, masks, which are no classes\nhelp: write a CSV file"),
        ("parts", "which are no classes but parts"),
        ("kaggle", "or take one part: --data kaggle/Training"),
        ("few", "few has 1 image of class b"),
        ("broken", "broken cannot be used: 1 problem; nothing was written\n  b/0.png: "),
        ("patient", "patient cannot be split by patient: class 1 has 1 patient"),
        ("empty", "empty has no folders, and a folder a class is expected"),
        ("nowhere", "there is no nowhere"),
    ] {
        let said = sandbox.orchestrate(&["new", "--data", data, "study"]);
        assert_eq!(said.code, Some(2), "{data}: {}\n{}", said.out, said.err);
        assert!(said.err.contains(expected), "{data}: {}", said.err);
        assert!(!sandbox.path("study").exists(), "{data}");
    }
    let inside = sandbox.orchestrate(&["new", "--data", "few", "few/study"]);
    assert_eq!(inside.code, Some(2));
    assert!(inside.err.contains("the study would lie in few, the folder of the images"), "{}", inside.err);
}

#[test]
fn a_folder_or_a_csv_file_in_place_of_a_spec_is_told_what_to_do() {
    let sandbox = Sandbox::new();
    start(&sandbox, &[]);
    sandbox.write("list.csv", "image,label\n");
    for (what, expected) in [
        ("study", "study is a folder, not a spec"),
        ("study", "name the file: study/study.toml"),
        ("list.csv", "list.csv is no spec (a CSV file)"),
        ("list.csv", "`orchestrate new --data list.csv NAME` makes one"),
    ] {
        let said = sandbox.orchestrate(&["plan", what]);
        assert_eq!(said.code, Some(2));
        assert!(said.err.contains(expected) && said.err.matches("error").count() == 1, "{what}: {}", said.err);
    }
}
