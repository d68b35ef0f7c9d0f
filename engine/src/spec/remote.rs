//! The remote of a project: section `[store.remote]` of the `orchestrate.toml` in its root.
//!
//! ```toml
//! [store.remote]
//! url = "s3://lab-results/orchestrate"
//! mode = "read-write"                     # or "read", the default
//! endpoint = "https://minio.lab:9000"     # a server of S3's protocol; Amazon's without it
//! region = "eu-central-1"
//! timeout = "60 s"
//! ```
//!
//! Only the file in the project's root counts: in the folder of a shared store others could have one's results uploaded
//! elsewhere. Credentials stand nowhere in it.

use std::time::Duration;

use orchestrate_cache::remote::Mode;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::Reader;
use crate::diagnostic::Diagnostic;
use crate::resources::parse_duration;

/// The time in which a remote must answer, if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Names of the modes.
const MODES: [(&str, Mode); 2] = [("read", Mode::Read), ("read-write", Mode::ReadWrite)];
/// Advice about credentials.
const CREDENTIALS: &str =
    "set the variables of the vendor's tools, such as AWS_ACCESS_KEY_ID, or use their files; see docs/remote.md";

/// The place of a remote, and the rights that the project takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSettings {
    /// `s3://BUCKET/PREFIX`, `gs://…`, `az://CONTAINER/PREFIX` or `file:///FOLDER`, without a slash at its end.
    pub url: String,
    /// The address of a server of S3's protocol.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Lookups alone, or uploads too.
    pub mode: Mode,
    /// The time in which a call must answer.
    pub timeout: Duration,
}

/// Reads the section from `[store]`, if there is one and it is right.
pub(super) fn parse(store: &DeTable<'static>, reader: &mut Reader<'_>) -> Option<RemoteSettings> {
    let value = store.get("remote")?;
    let table = reader.table("`store.remote`", value)?;
    if let Some(problem) = secrets(table) {
        reader.problem(problem);
        return None;
    }
    reader.unknown_keys("`store.remote`", table, &["url", "mode", "endpoint", "region", "timeout"]);
    let mut text = |name: &str| reader.text(&format!("`{name}`"), table.get(name)?);
    let [url, mode, endpoint, region] = ["url", "mode", "endpoint", "region"].map(&mut text);
    let timeout = reader.quantity(table, "timeout", parse_timeout).unwrap_or(TIMEOUT);
    let mode = mode.map_or(Mode::default(), |mode| {
        let found = MODES.iter().find(|(name, _)| name == mode.get_ref());
        if found.is_none() {
            let problem = format!("`mode` is `{}`", mode.get_ref());
            let names = MODES.iter().map(|(name, _)| *name);
            reader.problem(Diagnostic::error(problem).at(mode.span()).names("modes", mode.get_ref(), names));
        }
        found.map_or(Mode::default(), |(_, mode)| *mode)
    });
    if let Some(endpoint) = &endpoint {
        let is_address = ["http://", "https://"].iter().any(|scheme| endpoint.get_ref().starts_with(scheme));
        if !is_address {
            let problem = "`endpoint` must begin with https:// or http://";
            reader.problem(Diagnostic::error(problem).at(endpoint.span()));
        }
    }
    let Some(url) = url else {
        if table.get("url").is_none() {
            let help = "write url = \"s3://BUCKET/PREFIX\", or gs://, az:// or file:///FOLDER";
            reader.problem(Diagnostic::error("`store.remote` has no `url`").at(value.span()).help(help));
        }
        return None;
    };
    let problem = match url.get_ref().split_once("://") {
        Some(("s3" | "gs" | "az", rest)) if rest.split('/').next().is_none_or(str::is_empty) => {
            "`url` names no bucket; write for example \"s3://BUCKET/PREFIX\""
        }
        Some(("file", rest)) if !rest.starts_with('/') => "`url` of a folder has three slashes: \"file:///FOLDER\"",
        Some(("gs" | "az" | "file", _)) if endpoint.is_some() => "`endpoint` is for s3:// alone",
        Some(("s3" | "gs" | "az" | "file", _)) => "",
        _ => "`url` must begin with s3://, gs://, az:// or file:///",
    };
    if !problem.is_empty() {
        reader.problem(Diagnostic::error(problem).at(url.span()));
    }
    let url = url.into_inner().trim_end_matches('/').to_owned();
    let [endpoint, region] = [endpoint, region].map(|text| text.map(Spanned::into_inner));
    Some(RemoteSettings { url, endpoint, region, mode, timeout })
}

/// Refuses credentials in the section: a field for them, or a user, a password or a query in an address.
///
/// The problem has no place, as people are shown the line of a place, with the secret in it.
fn secrets(table: &DeTable<'static>) -> Option<Diagnostic> {
    let is_for_secrets = |name: &str| ["secret", "password", "token", "key"].iter().any(|word| name.contains(word));
    let holds_more = |text: &str| {
        let text = text.to_ascii_lowercase();
        ["@", "%40", "?", "#"].iter().any(|mark| text.contains(mark))
    };
    let is_address = |name: &str, value: &DeValue<'_>| {
        matches!(name, "url" | "endpoint") && matches!(value, DeValue::String(text) if holds_more(text))
    };
    let mut fields = table.iter().map(|(name, value)| (name.get_ref().to_lowercase(), value.get_ref()));
    let (name, _) = fields.find(|(name, value)| is_for_secrets(name) || is_address(name, value))?;
    let problem = format!(
        "`{name}` of [store.remote] in orchestrate.toml holds more than a place: no user, password, key, query or \
         fragment belongs there"
    );
    Some(Diagnostic::error(problem).help(CREDENTIALS))
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        short if short < Duration::from_secs(1) => Err("at least a second is needed".to_owned()),
        timeout => Ok(timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::ProjectStore;

    fn remote(text: &str) -> Result<Option<RemoteSettings>, String> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("orchestrate.toml");
        std::fs::write(&path, format!("[store.remote]\n{text}\n")).expect("the folder is writable");
        let read = ProjectStore::read(dir.path()).map(|project| project.remote);
        read.map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn an_address_is_enough_and_reads_alone() {
        let found = remote("url = \"s3://lab/results/\"").unwrap().unwrap();
        let (endpoint, region) = (None, None);
        let expected =
            RemoteSettings { url: "s3://lab/results".to_owned(), endpoint, region, mode: Mode::Read, timeout: TIMEOUT };
        assert_eq!(found, expected);
        let all = "url = \"s3://lab\"\nmode = \"read-write\"\nendpoint = \"http://127.0.0.1:9\"\nregion = \"x\"\n\
                   timeout = \"5 s\"";
        let found = remote(all).unwrap().unwrap();
        assert_eq!((found.mode, found.timeout), (Mode::ReadWrite, Duration::from_secs(5)));
        for url in ["gs://lab", "az://lab/x", "file:///srv/results"] {
            assert_eq!(remote(&format!("url = \"{url}\"")).unwrap().unwrap().url, url);
        }
    }

    #[test]
    fn mistakes_are_reported_with_their_locations_and_secrets_are_not_shown() {
        let error = remote("mode = \"write\"\ntimeout = \"0 s\"\nbucket = 3").unwrap_err();
        for part in [
            "FILE:1:1: `store.remote` has no `url`",
            "FILE:2:8: `mode` is `write`",
            "FILE:3:11: `timeout`: ",
            "FILE:4:1: unknown field `bucket` in `store.remote`",
        ] {
            assert!(error.contains(part), "{error}");
        }
        let error = remote("url = \"https://x\"\nendpoint = \"minio:9000\"").unwrap_err();
        assert!(error.contains("FILE:2:7: `url` must begin with"), "{error}");
        assert!(error.contains("FILE:3:12: `endpoint` must begin with https://"), "{error}");
        for url in ["s3://", "s3:///x", "file://x", "lab/results", ""] {
            let error = remote(&format!("url = \"{url}\"")).unwrap_err();
            assert!(error.starts_with("FILE:2:7: `url`"), "{error}");
        }
        for line in [
            "url = \"s3://key:SECRET@lab/x\"",
            "url = \"az://lab/x?sig=SECRET\"",
            "url = \"s3://lab\"\nendpoint = \"https://u:SECRET@host\"",
            "url = \"s3://lab\"\nendpoint = \"https:///u:SECRET@host\"",
            "url = \"s3://lab\"\nsecret_access_key = \"SECRET\"",
        ] {
            let error = remote(line).unwrap_err();
            assert!(error.contains("no user, password") && !error.contains("SECRET"), "{error}");
            // Without a place there is no line to show.
            assert!(!error.contains("FILE"), "{error}");
        }
    }
}
