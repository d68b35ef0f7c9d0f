//! Files of data sets with arbitrary bytes; see `crate::fuzz`.

use super::dicom::Dicom;
use super::file::SourceFile;
use super::foreground::{Foreground, Named};
use super::nifti::{Axis, Nifti};
use super::params::Params;
use super::picture::Picture;
use super::raster::Header;
use super::{cheng, folders, manifest as csv};

pub(crate) fn picture(bytes: &[u8]) {
    let Ok(picture) = Picture::open(bytes.to_vec()) else { return };
    for page in [None, Some(0), Some(1)] {
        let _ = picture.image(page);
        if let Ok(mask) = picture.mask(page) {
            for foreground in [Foreground::Unset, Foreground::Levels(vec![1.0]), Foreground::Named(Named::AboveHalf)] {
                let _ = foreground.mask(&mask);
            }
        }
    }
}

pub(crate) fn dicom(bytes: &[u8]) {
    let image = Header { instance: Some("1.2.3".to_owned()), series: Some("1.2".to_owned()), ..Header::default() };
    if let Ok(dicom) = Dicom::open(bytes.to_vec()) {
        for part in [None, Some(0), Some(dicom.parts() - 1)] {
            let _ = (dicom.header(part), dicom.image(part), dicom.mask(part, &image));
        }
    }
}

pub(crate) fn nifti(bytes: &[u8]) {
    for axis in [Axis::Axial, Axis::Coronal, Axis::Sagittal] {
        if let Ok(nifti) = Nifti::open(bytes.to_vec(), axis) {
            let _ =
                (nifti.header(), nifti.image(None), nifti.mask(Some(nifti.parts() - 1)), nifti.check_geometry(&nifti));
        }
    }
    let _ = SourceFile::open(bytes.to_vec(), Axis::Axial).map(|file| (file.parts(), file.header(None)));
}

pub(crate) fn cheng(bytes: &[u8]) {
    let _ = (cheng::read_annotation(bytes.to_vec()), cheng::read_slice(bytes.to_vec()));
}

pub(crate) fn manifest(bytes: &[u8]) {
    let params = |json: &str| serde_json::from_str::<Params>(json).expect("these are params");
    let plain = params(r#"{"format": "manifest", "path": "x"}"#);
    let named =
        params(r#"{"format": "manifest", "path": "x", "mask": "roi", "patient": "pid", "classes": ["a", "b"]}"#);
    for params in [&plain, &named] {
        if let Ok(listing) = csv::read(params, bytes) {
            let _ = listing.limited(Some(3)).labels();
        }
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = folders::read(&params(r#"{"format": "folders", "path": "x"}"#), text.lines().collect());
}
