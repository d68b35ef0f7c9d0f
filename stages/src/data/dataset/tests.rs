//! Whole data sets through the stage, real ones included if they are on this machine.

use std::path::{Path, PathBuf};

use image::{GrayImage, Luma};
use orchestrate_cache::Digest;
use orchestrate_engine::stage::{ExternalFile, Stage};

use super::*;
use crate::testing::Bench;

/// Lists and hashes the files as the engine does, runs the stage, and reads its outputs.
fn read(json: &serde_json::Value) -> Result<(Images, Labels, Masks), Vec<String>> {
    let bench = Bench::new();
    let files = STAGE.files(json)?;
    let mut action = bench.action(&json.to_string(), &[]);
    action.files = files
        .into_iter()
        .map(|file| ExternalFile {
            digest: Digest::of(&std::fs::read(&file.path).unwrap()),
            name: file.name,
            path: file.path,
        })
        .collect();
    let outputs = bench.run(&STAGE, &[action]).remove(0).map_err(|error| vec![error.to_string()])?;
    let names: Vec<_> = outputs.iter().map(|output| output.name.clone()).collect();
    assert_eq!(names, STAGE.outputs(json));
    let [images, labels, masks, _audit] = <[_; 4]>::try_from(outputs).unwrap();
    Ok((bench.table(Ok(vec![images])), bench.table(Ok(vec![labels])), bench.table(Ok(vec![masks]))))
}

fn save(path: PathBuf, width: u32, height: u32, level: impl Fn(u32, u32) -> u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_fn(width, height, |x, y| Luma([level(x, y)])).save(path).unwrap();
}

#[test]
fn a_manifest_becomes_images_labels_and_masks_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    save(root.join("images/b.png"), 4, 4, |x, y| (10 * x + y) as u8);
    save(root.join("images/a.png"), 4, 4, |_, _| 100);
    save(root.join("masks/b.png"), 4, 4, |x, _| if x < 2 { 255 } else { 0 });
    let csv = "id,image,label,mask,patient,site\n1,images/b.png,tumour,masks/b.png,p,x\n2,images/a.png,none,,,y\n";
    std::fs::write(root.join("labels.csv"), csv).unwrap();
    let params = serde_json::json!({ "format": "manifest", "path": root });
    let (images, labels, masks) = read(&params).unwrap();
    assert_eq!(images.names, ["images/b.png", "images/a.png"]);
    assert_eq!((images.height, images.width), (4, 4));
    assert_eq!(images.pixels[..6], [0, 10, 20, 30, 1, 11]);
    assert_eq!(images.pixels[16..], [100; 16]);
    assert_eq!(masks.pixels[..8], [1, 1, 0, 0, 1, 1, 0, 0]);
    assert_eq!(masks.pixels[16..], [0; 16]);
    assert_eq!(labels.labels, [0, 1]);
    assert_eq!(labels.classes, ["tumour", "none"]);
    assert_eq!(labels.patients, [Some("p".to_owned()), None]);
    let columns: Vec<_> = labels.columns.iter().map(|(name, values)| format!("{name}={}", values.join(","))).collect();
    assert_eq!(columns, ["id=1,2", "site=x,y", "picture_hash=ffffffffffffffff,0000000000000000"]);

    let mut smaller = params;
    smaller["size"] = 2.into();
    let (images, _, masks) = read(&smaller).unwrap();
    assert_eq!((images.height, images.width), (2, 2));
    assert_eq!(masks.pixels, [1, 0, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn bad_files_are_all_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["a.png", "b.png", "c.png", "d.png"] {
        save(root.join(name), 4, 4, |_, _| 9);
    }
    save(root.join("m.png"), 3, 4, |_, _| 255);
    std::fs::write(root.join("b.png"), "no picture").unwrap();
    std::fs::write(root.join("labels.csv"), "image,mask,label\na.png,m.png,x\nb.png,,x\nc.png,,x\nd.png,b.png,x\n")
        .unwrap();
    let params = serde_json::json!({ "format": "manifest", "path": root, "size": 4 });
    let expected = "3 files cannot be used:
  a.png: the mask is 3 × 4, but the image 4 × 4
  b.png: the file is no PNG, JPEG or TIFF
  d.png: mask b.png: the file is no PNG, JPEG or TIFF";
    assert_eq!(read(&params).unwrap_err(), [expected]);
}

#[test]
fn folders_become_classes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (name, level) in [("b/10.png", 10), ("b/9.png", 9), ("a/1.png", 1), ("a/1_mask.png", 255)] {
        save(root.join(name), 2, 2, |_, _| level);
    }
    let params = serde_json::json!({ "format": "folders", "path": root });
    let (images, labels, masks) = read(&params).unwrap();
    assert_eq!(images.names, ["a/1.png", "b/9.png", "b/10.png"]);
    assert_eq!(images.pixels, [1, 1, 1, 1, 9, 9, 9, 9, 10, 10, 10, 10]);
    assert_eq!(masks.pixels, [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((labels.labels, labels.classes), (vec![0, 1, 1], vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn mat_files_become_slices_with_patients() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/mat");
    let params = serde_json::json!({ "format": "cheng-mat", "path": path, "limit": 3 });
    let (images, labels, masks) = read(&params).unwrap();
    // Two of each class in six files: one of each stays, the first.
    assert_eq!(images.names, ["1.mat", "2.mat", "3.mat"]);
    assert_eq!((images.height, images.width, masks.height, masks.width), (24, 32, 24, 32));
    assert_eq!(labels.labels, [0, 1, 2]);
    assert_eq!(labels.classes, ["meningioma", "glioma", "pituitary"]);
    assert_eq!(labels.patients[1].as_deref(), Some("MR017260B"));
    assert!(masks.pixels.chunks(24 * 32).all(|mask| mask.contains(&1)));
}

#[test]
fn a_phantom_is_drawn_by_its_params_alone() {
    let params = serde_json::json!({ "format": "phantom", "count": 12, "size": 16, "seed": 3, "limit": 6 });
    let (images, labels, masks) = read(&params).unwrap();
    assert_eq!(images.names.len(), 6);
    assert!(images.names.iter().all(|name| name.starts_with("phantom-")), "{:?}", images.names);
    assert!(labels.patients.iter().flatten().all(|patient| patient.starts_with("phantom-")));
    assert_eq!(masks.names, images.names);
    assert_eq!(read(&params).unwrap().0, images);
}

#[test]
fn a_file_that_changed_after_its_key_was_made_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path().join("a/1.png"), 2, 2, |_, _| 1);
    let json = serde_json::json!({ "format": "folders", "path": folder.path() });
    let bench = Bench::new();
    let mut action = bench.action(&json.to_string(), &[]);
    let file = STAGE.files(&json).unwrap().remove(0);
    action.files = vec![ExternalFile { digest: Digest::of(b"other"), name: file.name, path: file.path }];
    let error = bench.run(&STAGE, &[action]).remove(0).unwrap_err().to_string();
    assert!(error.ends_with("changed while the run was reading it; run again"), "{error}");
}

/// `cargo test --release -p orchestrate-stages -- --ignored --nocapture measure_the_real_slices`, under `/usr/bin/time
/// -v`.
#[test]
#[ignore = "a measurement, with data that are not in the repository"]
#[expect(clippy::print_stderr, reason = "people read the measurement")]
fn measure_the_real_slices() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/brain-tumor-224");
    if !path.is_dir() {
        eprintln!("skipped: there is no {}", path.display());
        return;
    }
    let bench = Bench::new();
    for size in ["null", "96", "224"] {
        let json = format!(r#"{{"format": "manifest", "path": "{}", "size": {size}}}"#, path.display());
        let started = std::time::Instant::now();
        let mut action = bench.action(&json, &[]);
        let files = STAGE.files(&serde_json::from_str(&json).unwrap()).unwrap();
        let listed = started.elapsed();
        action.files = files
            .into_iter()
            .map(|file| ExternalFile {
                digest: Digest::of(&std::fs::read(&file.path).unwrap()),
                name: file.name,
                path: file.path,
            })
            .collect();
        let hashed = started.elapsed();
        let outputs = bench.run(&STAGE, &[action]).remove(0).unwrap();
        eprintln!("size {size}: listed {listed:?}, hashed {:?}, ran {:?}", hashed - listed, started.elapsed() - hashed);
        drop(outputs);
    }
}

/// Writes pictures of the phantom for inspection: `PHANTOM_DIR=… cargo test … -- --ignored
/// draw_a_sheet_of_the_phantom`.
#[test]
#[ignore = "writes pictures for people"]
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn draw_a_sheet_of_the_phantom() {
    let Ok(folder) = std::env::var("PHANTOM_DIR") else {
        eprintln!("skipped: PHANTOM_DIR is not set");
        return;
    };
    let params = serde_json::json!({ "format": "phantom", "count": 300, "seed": 7, "size": 64 });
    let (images, labels, masks) = read(&params).unwrap();
    for (name, grid, factor) in [("images", &images.pixels, 1), ("masks", &masks.pixels, 255)] {
        let mut sheet = GrayImage::new(15 * 64, 20 * 64);
        for (index, _) in images.names.iter().enumerate() {
            for (place, pixel) in grid[index * 64 * 64..][..64 * 64].iter().enumerate() {
                let (x, y) = (index % 15 * 64 + place % 64, index / 15 * 64 + place / 64);
                sheet.put_pixel(x as u32, y as u32, Luma([pixel * factor]));
            }
        }
        sheet.save(Path::new(&folder).join(format!("phantom-{name}.png"))).unwrap();
    }
    let label = |(image, label): (&String, &u32)| format!("{image},{label}\n");
    let lines: String = images.names.iter().zip(&labels.labels).map(label).collect();
    std::fs::write(Path::new(&folder).join("phantom.csv"), lines).unwrap();
}
