//! Files of data sets with arbitrary bytes; see `crate::fuzz`.

use super::foreground::{Foreground, Named};
use super::params::Params;
use super::picture::Picture;
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
