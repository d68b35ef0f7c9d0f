//! The listing of a figshare article. Source: figshare's API v2, `GET /articles/{id}`: `files` of `id`, `name`, `size`,
//! `is_link_only`, `download_url`, `supplied_md5`, `computed_md5`.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use serde::Deserialize;

use crate::client::Client;
use crate::error::FetchError;
use crate::progress::Progress;
use crate::retry::Retries;

/// The base of figshare's public API.
pub const FIGSHARE: &str = "https://api.figshare.com/v2";

/// Largest file that is fetched, 16 GiB, so that a wrong listing cannot fill a disk.
const BYTES_MAX: u64 = 1 << 34;

/// The files of an article.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// In the order of the article.
    pub files: Vec<RemoteFile>,
}

/// A file of an article.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// A plain file name, without folders.
    pub name: String,
    /// Its length.
    pub size_bytes: u64,
    /// MD5 of its contents, 32 hexadecimal digits, if the article has one.
    pub md5: Option<String>,
    /// The address to fetch it from.
    pub url: String,
}

#[derive(Deserialize)]
struct Article {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    name: String,
    size: u64,
    #[serde(default)]
    is_link_only: bool,
    download_url: String,
    #[serde(default)]
    supplied_md5: String,
    #[serde(default)]
    computed_md5: String,
}

/// The address of the listing of an article.
pub(crate) fn address(base: &str, article: u64) -> String {
    format!("{}/articles/{article}", base.trim_end_matches('/'))
}

/// Requests the listing of an article.
pub(crate) fn list(
    client: &Client,
    base: &str,
    article: u64,
    retries: &Retries,
    listener: &mut dyn FnMut(Progress<'_>),
) -> Result<Listing, FetchError> {
    let url = address(base, article);
    let text = retries.request(&url, listener, || client.text(&url))?;
    Listing::parse(&text, base).map_err(|problem| FetchError::Listing { url, problem })
}

impl Listing {
    /// Reads the API's answer. Relative addresses start at `base`, so a folder of static files can be a mirror.
    pub fn parse(json: &str, base: &str) -> Result<Self, String> {
        let article: Article = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let mut problems = Vec::new();
        let mut names = BTreeSet::new();
        let mut files = Vec::new();
        for file in article.files {
            let File { name, size, is_link_only, download_url, supplied_md5, computed_md5 } = file;
            if !is_plain(&name) {
                problems.push(format!("`{name}` is no plain file name"));
            }
            if !names.insert(name.clone()) {
                problems.push(format!("`{name}` is there twice"));
            }
            if is_link_only {
                problems.push(format!("`{name}` is only a link to another site"));
            }
            if size > BYTES_MAX {
                problems.push(format!("`{name}` claims {size} bytes"));
            }
            // The supplied MD5 may be of a file that was replaced; figshare computes the other from the stored file.
            let md5 =
                [computed_md5, supplied_md5].into_iter().map(|md5| md5.trim().to_lowercase()).find(|md5| is_md5(md5));
            files.push(RemoteFile { url: resolve(base, &download_url), name, size_bytes: size, md5 });
        }
        if problems.is_empty() { Ok(Self { files }) } else { Err(problems.join("; ")) }
    }
}

fn resolve(base: &str, url: &str) -> String {
    if url.contains("://") {
        url.to_owned()
    } else {
        format!("{}/{}", base.trim_end_matches('/'), url.trim_start_matches('/'))
    }
}

/// Returns whether a name is a file name without folders, and not hidden.
pub(crate) fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(components.next(), Some(Component::Normal(only)) if only == name)
        && components.next().is_none()
        && !name.starts_with('.')
        && !name.contains(['/', '\\', '\0'])
}

fn is_md5(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As figshare's documentation shows an answer, shortened.
    const ANSWER: &str = r#"{
      "id": 1512427, "title": "brain tumor dataset", "doi": "10.6084/m9.figshare.1512427", "is_public": true,
      "files": [
        {"id": 7953679, "name": "cvind.mat", "size": 1024, "is_link_only": false,
         "mimetype": "application/octet-stream",
         "download_url": "https://ndownloader.figshare.com/files/7953679",
         "supplied_md5": "", "computed_md5": "D41D8CD98F00B204E9800998ECF8427E"},
        {"id": 3381290, "name": "brainTumorDataPublic_1-766.zip", "size": 7, "download_url": "files/3381290"}
      ]}"#;

    #[test]
    fn names_sizes_checksums_and_addresses_are_read() {
        let files = Listing::parse(ANSWER, "http://127.0.0.1:80/v2/").unwrap().files;
        let expected = RemoteFile {
            name: "cvind.mat".to_owned(),
            size_bytes: 1024,
            md5: Some("d41d8cd98f00b204e9800998ecf8427e".to_owned()),
            url: "https://ndownloader.figshare.com/files/7953679".to_owned(),
        };
        assert_eq!(files[0], expected);
        assert_eq!((files[1].md5.as_deref(), files[1].url.as_str()), (None, "http://127.0.0.1:80/v2/files/3381290"));
    }

    #[test]
    fn everything_wrong_with_a_listing_is_said_at_once() {
        let file = |name: &str, size: u64, link: bool| {
            format!(r#"{{"name": "{name}", "size": {size}, "is_link_only": {link}, "download_url": "x"}}"#)
        };
        let files = [file("../a", 1, false), file("b", 1 << 40, true), file("b", 1, false), file(".lock", 1, false)];
        let problem = Listing::parse(&format!(r#"{{"files": [{}]}}"#, files.join(",")), "").unwrap_err();
        assert_eq!(
            problem,
            "`../a` is no plain file name; `b` is only a link to another site; `b` claims 1099511627776 bytes; \
             `b` is there twice; `.lock` is no plain file name"
        );
        assert!(Listing::parse("<html>", "").is_err());
        assert!(Listing::parse(r#"{"message": "not found"}"#, "").unwrap_err().contains("files"));
    }
}
