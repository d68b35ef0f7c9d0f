//! Files against h5py, and damaged ones; `tests/reference/mat.py` made files and values.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::data::dataset::raster::{Header, Raster, Values};
use crate::data::dataset::resize::Grid;
use crate::data::dataset::window::Window;

#[derive(Deserialize)]
struct Reference {
    files: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    file: String,
    label: u32,
    patient: String,
    height: usize,
    width: usize,
    image: Vec<u8>,
    mask: Vec<u8>,
}

fn reference_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/mat")
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../../../../tests/reference/mat.json")).unwrap()
}

/// Grey levels by min-max.
fn grey(raster: Raster) -> Grid {
    Window::default().levels(raster, &Header::default(), None).unwrap().grid
}

/// `tests/reference/mat.py` made the files and values.
#[test]
fn every_layout_and_type_gives_what_h5py_reads_transposed() {
    for expected in reference().files {
        let file = &expected.file;
        let bytes = std::fs::read(reference_dir().join(file)).unwrap();
        let annotation = read_annotation(bytes.clone()).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(annotation, Annotation { label: expected.label - 1, patient: Some(expected.patient) }, "{file}");
        let (image, mask) = read_slice(bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
        let image = grey(image);
        assert_eq!((image.size(), mask.size()), ((expected.height, expected.width), (expected.height, expected.width)));
        assert_eq!(image.pixels, expected.image, "{file}");
        assert_eq!(mask.pixels, expected.mask, "{file}");
    }
}

#[test]
fn files_are_in_the_order_of_their_numbers_and_others_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["10.MAT", "9.mat", "cvind.mat", "1.txt", ".mat", "2.mat.gz"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let names: Vec<_> = files(folder.path()).unwrap().into_iter().map(|file| file.name).collect();
    assert_eq!(names, ["9.mat", "10.MAT"]);
    let annotation = Annotation { label: 0, patient: None };
    let listing = listing(vec![("10.mat".to_owned(), annotation.clone()), ("9.mat".to_owned(), annotation)]);
    assert_eq!(listing.names(), ["9.mat", "10.mat"]);
}

#[test]
fn the_command_that_fetches_names_the_resolved_folder_quoted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("experiments")).unwrap();
    let real = folder.path().canonicalize().unwrap();
    let path = folder.path().join("experiments/../data/brain-tumor");
    assert_eq!(how_to_fetch(&path), format!("orchestrate data brain-tumor --to {}/data/brain-tumor", real.display()));
    assert_eq!(how_to_fetch(Path::new("/no/my 'data'")), r"orchestrate data brain-tumor --to '/no/my '\''data'\'''");
}

#[test]
fn two_files_of_one_number_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["1.mat", "2.mat", "02.Mat", "3.mat"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let expected = format!("{} has both 02.Mat and 2.mat, which name the same slice", folder.path().display());
    assert_eq!(files(folder.path()).unwrap_err(), [expected]);
}

#[derive(Deserialize)]
struct Kind {
    label: String,
    patient: Option<String>,
    height: usize,
    width: usize,
    image: Vec<Option<f64>>,
    mask: Vec<u8>,
}

#[test]
fn other_types_layouts_and_names_give_what_h5py_reads() {
    #[derive(Deserialize)]
    struct Kinds {
        kinds: BTreeMap<String, Kind>,
    }
    let Kinds { kinds } = serde_json::from_str(include_str!("../../../../tests/reference/mat.json")).unwrap();
    assert_eq!(kinds.len(), std::fs::read_dir(reference_dir().join("../mat_kinds")).unwrap().count());
    for (name, kind) in kinds {
        let bytes = std::fs::read(reference_dir().join("../mat_kinds").join(&name)).unwrap();
        let annotation = read_annotation(bytes.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(annotation.patient, kind.patient, "{name}");
        let class = CLASSES[annotation.label as usize];
        assert!(
            kind.label == (annotation.label + 1).to_string() || kind.label.to_lowercase() == class,
            "{name}: {class}"
        );
        let (image, mask) = read_slice(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(image.size(), (kind.height, kind.width), "{name}");
        let Values::Deep(values) = image.values else { panic!("{name}: values of any type are deep") };
        let values: Vec<_> = values.into_iter().map(|value| Some(value).filter(|value| !value.is_nan())).collect();
        assert_eq!(values, kind.image, "{name}");
        assert_eq!((mask.size(), mask.pixels), ((kind.height, kind.width), kind.mask), "{name}");
    }
}

#[test]
fn files_that_cannot_be_used_say_why_and_what_to_do() {
    let read = |name: &str| std::fs::read(reference_dir().join("../mat_refused").join(name)).unwrap();
    let save_again = "load it in MATLAB and save it again with `save(..., '-v7.3')`";
    let expected = "a text or a whole number is expected";
    let annotations = [
        ("level_4.mat", format!("it is no HDF5, but perhaps a MATLAB file of level 4 (`-v4`); {save_again}")),
        ("level_5.mat", format!("it is a MATLAB file of level 5 (`-v7` or `-v6`); {save_again}")),
        ("no_struct.mat", "it has no struct `cjdata`; it holds: data".to_owned()),
        ("pid_fraction.mat", format!("`cjdata/PID` is 1.5; {expected}")),
        ("pid_nan.mat", format!("`cjdata/PID` is NaN; {expected}")),
        ("pid_too_large.mat", format!("`cjdata/PID` is 1152921504606847000; {expected}")),
        (
            "pid_logical.mat",
            "`cjdata/PID` is of the class `logical`; a text (`char`) or a whole number is expected".to_owned(),
        ),
        (
            "pid_bool.mat",
            "`cjdata/PID` is of the class `enum[FALSE, TRUE]`; a text (`char`) or a whole number is expected"
                .to_owned(),
        ),
        ("pid_numbers.mat", "`cjdata/PID` has 2 values, of the shape [1, 2]; one is expected".to_owned()),
        (
            "pid_two_lines.mat",
            "`cjdata/PID` is a matrix of letters, of the shape [3, 2]; one text is expected".to_owned(),
        ),
        ("pid_cells.mat", "`cjdata/PID` has 2 values, of the shape [2, 1]; one is expected".to_owned()),
        (
            "pid_object.mat",
            "`cjdata/PID` is of the class `string`; a text (`char`) or a whole number is expected".to_owned(),
        ),
        ("pid_surrogate.mat", "`cjdata/PID` is no text in Unicode".to_owned()),
        ("pid_missing.mat", "`cjdata` has no field `PID`; its fields are: image, label, tumorMask".to_owned()),
        ("pid_twice.mat", "`pid` and `Pid` could each be `PID`".to_owned()),
        (
            "label_4.mat",
            "`cjdata/label` is `4`; 1, 2, 3 or one of meningioma, glioma, pituitary is expected".to_owned(),
        ),
        (
            "label_logical.mat",
            "`cjdata/label` is of the class `logical`; a text (`char`) or a whole number is expected".to_owned(),
        ),
        (
            "label_text.mat",
            "`cjdata/label` is `tumour`; 1, 2, 3 or one of meningioma, glioma, pituitary is expected".to_owned(),
        ),
        (
            "label_empty.mat",
            "`cjdata/label` is ``; 1, 2, 3 or one of meningioma, glioma, pituitary is expected".to_owned(),
        ),
    ];
    let found = annotations.each_ref().map(|(name, _)| (*name, read_annotation(read(name)).unwrap_err()));
    assert_eq!(found, annotations);
    let resave = "if other programs read the file, save it again with `save(..., '-v7.3')` in MATLAB, or with \
                  `h5py.File(..., libver=\"earliest\")`";
    let layout_5 = format!("cannot read `cjdata/image`: version 5 of HDF5's data layout is not read; {resave}");
    let tree = format!(
        "cannot read `cjdata/image`: HDF5 format error: chunked read error: a version 2 B-tree chunk index cannot be \
         enumerated; {resave}"
    );
    let slices = [
        ("layout_5.mat", &*layout_5),
        ("layout_4_tree.mat", &*tree),
        ("pid_fraction.mat", "`cjdata/image` is empty"),
        ("pid_nan.mat", "`cjdata/image` has the shape [2, 2, 3]; a matrix is expected"),
        ("pid_too_large.mat", "`cjdata` has no field `image`; its fields are: PID, label, tumorMask"),
        (
            "pid_logical.mat",
            "cannot read `cjdata/image`: it holds no real numbers, but a Compound; complex numbers, cells and structs \
             are not read",
        ),
        (
            "pid_bool.mat",
            "cannot read `cjdata/image`: it holds no real numbers, but a Reference; complex numbers, cells and structs \
             are not read",
        ),
        ("pid_numbers.mat", "`cjdata` has no field `tumorMask`; its fields are: PID, image, label"),
        (
            "pid_two_lines.mat",
            "`cjdata/tumorMask` is a struct or a sparse matrix; a matrix as `full` gives it is expected",
        ),
        ("pid_cells.mat", "`cjdata/tumorMask` holds the values 1, 3; a mask of 0 and 1 is expected"),
        (
            "pid_object.mat",
            "`cjdata/tumorMask` holds the values -5, 0, 1, 2, 40 and more; a mask of 0 and 1 is expected",
        ),
        ("pid_surrogate.mat", "`cjdata/tumorMask` holds the value NaN; a mask of 0 and 1 is expected"),
        ("pid_missing.mat", "the mask is 2 × 2, but the image 3 × 2"),
        ("label_4.mat", "`cjdata/tumorMask` is empty"),
    ];
    let found = slices.map(|(name, _)| (name, read_slice(read(name)).unwrap_err()));
    assert_eq!(found.each_ref().map(|(name, message)| (*name, message.as_str())), slices);
    assert_eq!(read_annotation(Vec::new()).unwrap_err(), "it is empty");
    let plain = std::fs::read(reference_dir().join("1.mat")).unwrap();
    assert_eq!(read_annotation(plain[..5000].to_vec()).unwrap_err(), "it is cut short: 5000 of 11392 bytes are there");
    assert_eq!(
        read_annotation(plain[..512].to_vec()).unwrap_err(),
        "it is cut short or damaged: no HDF5 follows MATLAB's header"
    );
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_the_same_slice() {
    let expected = &reference().files[0];
    let bytes = std::fs::read(reference_dir().join(&expected.file)).unwrap();
    let whole = read_slice(bytes.clone()).unwrap();
    for end in (0..bytes.len()).step_by(37) {
        if let Ok(slice) = read_slice(bytes[..end].to_vec()) {
            assert_eq!(slice, whole, "cut at {end}");
        }
    }
}

/// Found by fuzzing: a file with a claim of ninety bytes per number took 1.5 GB.
#[test]
fn numbers_of_many_bytes_are_refused_before_memory_is_taken() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found/matlab-elements-of-many-bytes");
    let error = read_slice(std::fs::read(path).unwrap()).unwrap_err();
    assert!(error.starts_with("cannot read `cjdata/"), "{error}");
    assert!(error.contains("it claims to have "), "{error}");
}

#[test]
fn a_file_with_any_wrong_byte_is_an_error_or_some_slice_but_no_panic() {
    let plain = reference().files.into_iter().map(|expected| reference_dir().join(expected.file));
    let others =
        ["../mat_kinds", "../mat_refused"].map(|folder| std::fs::read_dir(reference_dir().join(folder)).unwrap());
    for path in plain.chain(others.into_iter().flatten().map(|entry| entry.unwrap().path())) {
        let bytes = std::fs::read(path).unwrap();
        for offset in (0..bytes.len()).step_by(23) {
            let mut damaged = bytes.clone();
            damaged[offset] ^= 0xFF;
            let _ = (read_annotation(damaged.clone()), read_slice(damaged));
        }
    }
}

/// The images span 0..=255, so that min-max leaves them as they are; `tests/reference/mat.py` made the digests with
/// h5py.
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn real_files_give_what_h5py_reads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/cheng-mat-30");
    let Ok(files) = files(&folder) else {
        eprintln!("skipped: there are no files in {}", folder.display());
        return;
    };
    #[derive(Deserialize)]
    struct Real {
        real: BTreeMap<String, (u32, String, usize, usize, u64, u64)>,
    }
    let Real { real } = serde_json::from_str(include_str!("../../../../tests/reference/mat.json")).unwrap();
    assert_eq!(files.len(), real.len());
    for file in files {
        let (label, patient, height, width, image_sum, mask_sum) = real[&file.name].clone();
        let bytes = std::fs::read(&file.path).unwrap();
        assert_eq!(read_annotation(bytes.clone()).unwrap(), Annotation { label: label - 1, patient: Some(patient) });
        let (image, mask) = read_slice(bytes).unwrap();
        let image = grey(image);
        assert_eq!((image.size(), mask.size()), ((height, width), (height, width)), "{}", file.name);
        assert_eq!((weighted(&image), weighted(&mask)), (image_sum, mask_sum), "{}", file.name);
    }
}

/// A sum, modulo 2⁶¹ − 1, that depends on the position of every pixel.
fn weighted(grid: &Grid) -> u64 {
    let prime = (1_u128 << 61) - 1;
    grid.pixels.iter().fold(0_u128, |sum, &pixel| (sum * 1_000_003 + u128::from(pixel) + 1) % prime) as u64
}
