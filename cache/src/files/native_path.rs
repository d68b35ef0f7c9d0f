//! Paths in JSON: a path in UTF-8 is a text, any other a list of its bytes.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path with the serialization of this [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativePath<P>(pub P);

impl<P: AsRef<Path>> Serialize for NativePath<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let path = self.0.as_ref();
        match path.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => path.as_os_str().as_bytes().serialize(serializer),
        }
    }
}

/// The two forms of a path.
#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Text(PathBuf),
    Bytes(Vec<u8>),
}

impl<'de, P: From<PathBuf>> Deserialize<'de> for NativePath<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(P::from(match Form::deserialize(deserializer)? {
            Form::Text(path) => path,
            Form::Bytes(bytes) => OsString::from_vec(bytes).into(),
        })))
    }
}

/// For `#[serde(with = "native_path")]`.
pub fn serialize<S: Serializer>(path: &impl AsRef<Path>, serializer: S) -> Result<S::Ok, S::Error> {
    NativePath(path).serialize(serializer)
}

/// For `#[serde(with = "native_path")]`.
pub fn deserialize<'de, P: From<PathBuf>, D: Deserializer<'de>>(deserializer: D) -> Result<P, D::Error> {
    NativePath::deserialize(deserializer).map(|path| path.0)
}

/// The same for an optional path; add `default` if the field may be missing.
pub mod option {
    use super::*;

    /// For `#[serde(with = "native_path::option")]`.
    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_ref().map(NativePath).serialize(serializer)
    }

    /// For `#[serde(with = "native_path::option")]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        Option::<NativePath<PathBuf>>::deserialize(deserializer).map(|path| path.map(|path| path.0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn path_survives_json_whatever_its_bytes_are() {
        for (bytes, json) in
            [(&b"/data/b\xc3\xa4r"[..], "\"/data/b\u{e4}r\""), (b"/x\xff", "[47,120,255]"), (b"", "\"\"")]
        {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            let written = serde_json::to_string(&NativePath(&path)).unwrap();
            assert_eq!(written, json);
            assert_eq!(serde_json::from_str::<NativePath<PathBuf>>(&written).unwrap().0, path);
            assert_eq!(&*serde_json::from_str::<NativePath<Arc<Path>>>(&written).map(|path| path.0).unwrap(), path);
        }
        assert!(serde_json::from_str::<NativePath<PathBuf>>("[300]").is_err());
    }
}
