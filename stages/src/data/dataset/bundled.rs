//! Files that pydicom and nibabel bring along, where Python has both.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::file::SourceFile;
use super::nifti::Axis;
use super::raster::Values;

#[derive(Deserialize)]
struct File {
    file: String,
    pictures: Vec<Picture>,
    tolerance: f64,
    /// The message of Python, which cannot read the file either.
    error: Option<String>,
}

#[derive(Deserialize)]
struct Picture {
    data: String,
    height: usize,
    width: usize,
}

/// Files that are refused, and the start of the message.
const REFUSED: [(&str, &str); 34] = [
    ("ExplVR_BigEndNoMeta.dcm", "it holds a treatment plan"),
    ("ExplVR_LitEndNoMeta.dcm", "it holds a treatment plan"),
    ("rtplan.dcm", "it holds a treatment plan"),
    ("rtplan_truncated.dcm", "the file is damaged or cut short"),
    ("rtstruct.dcm", "it holds contours (RT Structure Set), not pixels; convert it to a mask"),
    ("reportsi.dcm", "it holds a report"),
    ("reportsi_with_empty_number_tags.dcm", "it holds a report"),
    ("test-SR.dcm", "it holds a report"),
    ("waveform_ecg.dcm", "it holds a waveform"),
    ("DICOMDIR", "it holds a list of files (DICOMDIR)"),
    ("DICOMDIR-empty.dcm", "it holds a list of files (DICOMDIR)"),
    ("UN_sequence.dcm", "it is a DICOM file without pixels"),
    ("empty_charset_LEI.dcm", "it is a DICOM file without pixels"),
    ("no_meta_group_length.dcm", "it is a DICOM file without pixels"),
    ("priv_SQ.dcm", "it is a DICOM file without pixels"),
    ("nested_priv_SQ.dcm", "its header has no Rows or no Columns"),
    ("meta_missing_tsyntax.dcm", "the file is damaged: its header names no transfer syntax"),
    ("no_meta.dcm", ""),
    ("badVR.dcm", "its Number of Frames is no number"),
    ("MR_truncated.dcm", "the file is damaged or cut short"),
    ("JPEG2000-embedded-sequence-delimiter.dcm", "the file is damaged"),
    ("JPEG-lossy.dcm", "its pixels are compressed by JPEG with 12 bits"),
    ("JPGExtended.dcm", "its pixels are compressed by JPEG with 12 bits"),
    ("JPEGLSNearLossless_08.dcm", "its pixels are compressed by JPEG-LS"),
    ("JPEGLSNearLossless_16.dcm", "its pixels are compressed by JPEG-LS"),
    ("MR_small_jpeg_ls_lossless.dcm", "its pixels are compressed by JPEG-LS"),
    ("SC_rgb_jls_lossy_line.dcm", "its pixels are compressed by JPEG-LS"),
    ("SC_rgb_jls_lossy_sample.dcm", "its pixels are compressed by JPEG-LS"),
    ("liver_1frame.dcm", "it is a segmentation (SEG), no image"),
    ("liver_expb_1frame.dcm", "it is a segmentation (SEG), no image"),
    ("example4d.nii.gz", "it has 2 volumes"),
    ("example_nifti2.nii.gz", "it has 2 volumes"),
    ("functional.nii", "it has 20 volumes"),
    ("row_major.dconn.nii", "it has 100 volumes"),
];

/// `PATH=VENV/bin:$PATH cargo test -p orchestrate-stages bundled -- --nocapture`
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn every_bundled_file_gives_the_values_of_pydicom_and_nibabel_or_a_known_refusal() {
    let python =
        |args: &[&str]| Command::new("python3").args(args).output().is_ok_and(|output| output.status.success());
    if !python(&["-c", "import pydicom, nibabel, PIL"]) {
        eprintln!("skipped: python3 has not pydicom, nibabel and Pillow");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/bundled.py");
    assert!(python(&[script.to_str().unwrap(), folder.path().to_str().unwrap()]), "bundled.py failed");
    let index = std::fs::read(folder.path().join("index.json")).unwrap();
    let files: Vec<File> = serde_json::from_slice(&index).unwrap();
    let (mut same, mut refused, mut wrong) = (0, 0, Vec::new());
    for file in files {
        let name = Path::new(&file.file).file_name().unwrap().to_str().unwrap();
        let expected = REFUSED.iter().find(|(refused, _)| *refused == name);
        match (compare(&file, folder.path()), expected) {
            (Ok(()), None) => same += 1,
            (Err(message), Some((_, start))) if message.starts_with(start) => refused += 1,
            (Ok(()), Some(_)) => wrong.push(format!("{name} is read, but listed as refused")),
            (Err(message), _) => wrong.push(format!("{name}: {message} ({:?})", file.error)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eprintln!("{same} files have the same values, {refused} are refused");
}

/// Compares all pictures of a file.
fn compare(expected: &File, folder: &Path) -> Result<(), String> {
    let file = SourceFile::open(std::fs::read(&expected.file).unwrap(), Axis::Axial)?;
    for part in 0..file.parts() {
        let raster = file.image(Some(part))?;
        let Some(Picture { data, height, width }) = expected.pictures.get(part) else {
            return Err("it is read only here".to_owned());
        };
        let bytes = std::fs::read(folder.join(data)).unwrap();
        let wanted = bytes.as_chunks().0.iter().map(|&eight| f64::from_le_bytes(eight));
        if raster.size() != (*height, *width) {
            return Err(format!("it has another size: {:?}", raster.size()));
        }
        let found = match raster.values {
            Values::Levels(levels) => levels.into_iter().map(f64::from).collect(),
            Values::Deep(values) => values,
        };
        let off =
            |(found, wanted): (f64, f64)| if found.is_nan() && wanted.is_nan() { 0.0 } else { (found - wanted).abs() };
        let worst =
            found.into_iter().zip(wanted).map(off).fold(0.0, |worst, off| if off <= worst { worst } else { off });
        if worst.is_nan() || worst > expected.tolerance + 1e-6 {
            return Err(format!("picture {part} is {worst} off"));
        }
    }
    Ok(())
}
