//! The files of the AWS tools: `~/.aws/credentials` and `~/.aws/config`, which `object_store` does not read.
//!
//! Only keys that stand there as they are count. Processes that make credentials, single sign-on and roles need
//! `eval "$(aws configure export-credentials --format env)"` before.

use std::collections::HashMap;
use std::path::PathBuf;

/// One profile of these files.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) access_key_id: Option<String>,
    pub(crate) secret_access_key: Option<String>,
    pub(crate) session_token: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) endpoint_url: Option<String>,
}

impl Profile {
    /// Reads the profile that `AWS_PROFILE` names, or `default`. Errors: it is named and there is none.
    pub(crate) fn read() -> Result<Self, String> {
        let named = std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty());
        let name = named.clone().unwrap_or_else(|| "default".to_owned());
        let text = |variable: &str, file: &str| {
            let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".aws").join(file));
            let path = std::env::var_os(variable).map(PathBuf::from).or_else(home)?;
            std::fs::read_to_string(path).ok()
        };
        let credentials = text("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        let config = text("AWS_CONFIG_FILE", "config");
        let in_credentials = credentials.as_deref().and_then(|text| section(text, &[&name]));
        let in_config = config.as_deref().and_then(|text| section(text, &[&format!("profile {name}"), &name]));
        if named.is_some() && in_credentials.is_none() && in_config.is_none() {
            return Err(format!(
                "AWS_PROFILE names `{name}`, which is in neither ~/.aws/credentials nor ~/.aws/config"
            ));
        }
        let field = |name: &str| {
            let found = [&in_credentials, &in_config].into_iter().flatten().find_map(|section| section.get(name));
            found.map(|value| (*value).to_owned())
        };
        Ok(Self {
            access_key_id: field("aws_access_key_id"),
            secret_access_key: field("aws_secret_access_key"),
            session_token: field("aws_session_token"),
            region: field("region"),
            endpoint_url: field("endpoint_url"),
        })
    }
}

/// Returns the fields of the first section with one of these names.
fn section<'t>(text: &'t str, names: &[&str]) -> Option<HashMap<&'t str, &'t str>> {
    let mut found: Option<HashMap<&str, &str>> = None;
    for line in text.lines().map(str::trim_end) {
        if let Some(name) = line.trim_start().strip_prefix('[').and_then(|line| line.split_once(']')) {
            if found.is_some() {
                break;
            }
            found = names.contains(&name.0.trim()).then(HashMap::new);
        } else if let (Some(fields), Some((name, value))) = (&mut found, line.split_once('=')) {
            // Indented lines belong to a table below a field.
            if !line.starts_with([' ', '\t', '#', ';']) {
                fields.insert(name.trim(), value.trim());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment = x
[default]
aws_access_key_id = AKIA1
aws_secret_access_key=se/cr=et
s3 =
    endpoint_url = https://nested
[profile lab]
region = eu-central-1
";

    #[test]
    fn fields_are_those_of_their_section() {
        let default = section(TEXT, &["default"]).unwrap();
        assert_eq!((default["aws_access_key_id"], default["aws_secret_access_key"]), ("AKIA1", "se/cr=et"));
        assert_eq!((default.get("endpoint_url"), default.get("region")), (None, None));
        assert_eq!(section(TEXT, &["profile lab", "lab"]).unwrap()["region"], "eu-central-1");
        assert!(section(TEXT, &["nobody"]).is_none() && section("", &["default"]).is_none());
    }
}
