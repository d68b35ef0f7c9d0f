//! The way to a bucket: its address, credentials, deadlines and retries.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use orchestrate_cache::remote::{Bucket, address};

use crate::bucket::{ObjectBucket, Parts, caught};
use crate::cause;
use crate::listing::Checked;
use crate::profile::Profile;

/// The region of servers that have none.
const REGION: &str = "us-east-1";
/// Variables of credentials that are no keys.
const OTHER_CREDENTIALS: [&str; 4] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
];
/// Said with an error if neither variables nor files have credentials.
const ASKED_MACHINE: &str =
    "; neither the environment nor ~/.aws has credentials, so the machine was asked for some, as on EC2";
/// The longest time for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// The place of a remote, without secrets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `s3://BUCKET/PREFIX`, `gs://…`, `az://CONTAINER/PREFIX` or `file:///FOLDER`.
    pub url: String,
    /// The address of a server of S3's protocol, if it is not Amazon's.
    pub endpoint: Option<String>,
    /// The region, if the environment does not say it.
    pub region: Option<String>,
    /// The time in which a call must answer; a call that moves bytes has more.
    pub timeout: Duration,
}

/// Opens a bucket, without a connection yet; `stop` ends all calls. Errors: a sentence.
pub fn open(settings: &Settings, stop: Arc<AtomicBool>) -> Result<Box<dyn Bucket>, String> {
    caught(|| connect(settings, stop)).unwrap_or_else(Err)
}

fn connect(settings: &Settings, stop: Arc<AtomicBool>) -> Result<Box<dyn Bucket>, String> {
    // One choice for the process; another crate may have made the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (scheme, rest) = settings.url.split_once("://").ok_or("the address has no scheme")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if scheme != "file"
        && let Some(problem) = address::wrong_bucket(bucket)
    {
        return Err(format!("the address {problem}"));
    }
    let failed = |error: object_store::Error| cause::sentence(&error);
    let (objects, parts): (Arc<dyn object_store::ObjectStore>, _) = match scheme {
        "s3" => {
            let s3 = Arc::new(s3(settings, bucket)?.build().map_err(failed)?);
            (Arc::clone(&s3) as _, Parts::OfServer(s3))
        }
        "gs" => {
            let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
            let builder = builder.with_client_options(client(None)).with_http_connector(Checked::default());
            let builder = builder.with_retry(retry(settings.timeout));
            let gcs = Arc::new(builder.build().map_err(failed)?);
            (Arc::clone(&gcs) as _, Parts::OfServer(gcs))
        }
        "az" => {
            let builder = MicrosoftAzureBuilder::from_env().with_container_name(bucket);
            let builder = builder.with_client_options(client(None)).with_http_connector(Checked::default());
            let builder = builder.with_retry(retry(settings.timeout));
            let azure = Arc::new(builder.build().map_err(failed)?);
            (Arc::clone(&azure) as _, Parts::OfServer(azure))
        }
        "file" => {
            let folder = Path::new("/").join(prefix);
            if !folder.is_dir() {
                return Err(format!("there is no folder {}; make it, for all who share it", folder.display()));
            }
            let local = LocalFileSystem::new_with_prefix(&folder).map_err(failed)?;
            (Arc::new(local.with_fsync(true)) as _, Parts::default())
        }
        _ => return Err(format!("`{scheme}://` is no kind of remote")),
    };
    let prefix = if scheme == "file" { "" } else { prefix.trim_matches('/') };
    let note = if scheme == "s3" && !has_credentials() { ASKED_MACHINE } else { "" };
    let bucket = ObjectBucket::new(objects, parts, prefix, settings.timeout, stop, note);
    Ok(Box::new(bucket.map_err(|error| format!("no thread for the network can be started: {error}"))?))
}

fn is_set(names: &[&str]) -> bool {
    names.iter().any(|name| std::env::var_os(name).is_some())
}

fn has_credentials() -> bool {
    is_set(&["AWS_ACCESS_KEY_ID"])
        || is_set(&OTHER_CREDENTIALS)
        || Profile::read().is_ok_and(|it| it.access_key_id.is_some())
}

fn s3(settings: &Settings, bucket: &str) -> Result<AmazonS3Builder, String> {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry(settings.timeout));
    builder = builder.with_http_connector(Checked::default());
    let says = |builder: &AmazonS3Builder, key| builder.get_config_value(&key).is_some();
    // What the environment says counts, then the files of the tools.
    let profile = Profile::read()?;
    if !says(&builder, AmazonS3ConfigKey::AccessKeyId) && !is_set(&OTHER_CREDENTIALS) {
        if let (Some(id), Some(secret)) = (&profile.access_key_id, &profile.secret_access_key) {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
            if let Some(token) = &profile.session_token {
                builder = builder.with_token(token);
            }
        } else if std::env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|is| is.eq_ignore_ascii_case("true")) {
            return Err("there are no credentials for S3; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run \
                        `aws configure`"
                .to_owned());
        }
    }
    let in_environment = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| std::env::var(name).ok());
    let region = settings.region.clone().or(in_environment).or(profile.region).unwrap_or_else(|| REGION.to_owned());
    if let Some(problem) = address::wrong_region(&region) {
        return Err(format!("the region {problem}; see AWS_REGION and `region` in ~/.aws/config"));
    }
    builder = builder.with_region(region);
    let of_environment = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
    let of_environment = of_environment.iter().find_map(|name| std::env::var(name).ok());
    let endpoint = settings.endpoint.clone().or(of_environment).or(profile.endpoint_url);
    if let Some(endpoint) = &endpoint {
        // Not shown, as it may hold a password.
        if let Some(problem) = address::wrong_endpoint(endpoint) {
            return Err(format!(
                "the endpoint {problem}; see AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL and `endpoint_url` in ~/.aws/config"
            ));
        }
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    Ok(builder.with_client_options(client(endpoint.as_deref())))
}

/// Options of a client; a server is asked without encryption only if its address says so.
fn client(endpoint: Option<&str>) -> ClientOptions {
    let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let agent = http::HeaderValue::from_static(concat!("orchestrate/", env!("CARGO_PKG_VERSION")));
    // Deadlines follow from the bytes of a call, see `bucket.rs`.
    let options = ClientOptions::new().with_user_agent(agent).with_connect_timeout(CONNECT).with_timeout_disabled();
    options.with_allow_http(is_plain)
}

/// Tries a few times: after no connection, 429, and errors of the server.
fn retry(timeout: Duration) -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(5),
        ..BackoffConfig::default()
    };
    RetryConfig { backoff, max_retries: 4, retry_timeout: timeout }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str, endpoint: Option<&str>, region: Option<&str>) -> String {
        let [endpoint, region] = [endpoint, region].map(|text| text.map(str::to_owned));
        let settings = Settings { url: url.to_owned(), endpoint, region, timeout: CONNECT };
        open(&settings, Arc::default()).err().unwrap_or_default()
    }

    #[test]
    fn odd_words_are_errors_of_the_opening_and_are_not_shown() {
        for endpoint in ["http://", "https:///u:SECRET@h", "http://h:99999", "127.0.0.1:5077"] {
            let error = refused("s3://lab/x", Some(endpoint), None);
            assert!(error.starts_with("the endpoint ") && !error.contains("SECRET"), "{endpoint}: {error}");
        }
        assert!(refused("s3://la b/x", None, None).starts_with("the address "));
        assert!(refused("s3://lab/x", None, Some("eu central")).starts_with("the region "));
    }

    #[test]
    fn a_panic_of_the_library_is_an_error() {
        let error = caught(|| -> u8 { panic!("no header") }).unwrap_err();
        assert!(error.ends_with("no header"), "{error}");
    }
}
