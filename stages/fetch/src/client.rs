//! The HTTP client: timeouts, redirects, the system's certificates, and the failures worth a retry.

use std::io::Read;
use std::time::Duration;

use ureq::http::{Response, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Error};

/// Time limits of a request.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the head of the response, and between two reads of its body.
    pub silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(30), silence: Duration::from_secs(60) }
    }
}

/// Sends requests to servers.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    direct: Agent,
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The failure, for people.
    pub(crate) message: String,
    /// Whether a retry may succeed.
    pub(crate) passing: bool,
    /// The pause that the server asks for.
    pub(crate) wait: Option<Duration>,
}

impl Problem {
    /// A failure that may pass.
    pub(crate) fn passing(message: impl Into<String>) -> Self {
        Self { message: message.into(), passing: true, wait: None }
    }
}

/// The end of a file to request, and its version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range<'a> {
    /// Offset of the first missing byte.
    pub(crate) start: u64,
    /// The version of the bytes before it, a strong entity tag.
    pub(crate) etag: Option<&'a str>,
}

impl Default for Client {
    fn default() -> Self {
        Self::new(Timeouts::default())
    }
}

impl Client {
    /// A client that uses `HTTPS_PROXY` and the like, except for servers on this machine.
    pub fn new(timeouts: Timeouts) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = || {
            Agent::config_builder()
                .http_status_as_error(false)
                .user_agent(concat!("orchestrate/", env!("CARGO_PKG_VERSION")))
                .timeout_resolve(Some(timeouts.connect))
                .timeout_connect(Some(timeouts.connect))
                .timeout_recv_response(Some(timeouts.silence))
                .timeout_per_read(Some(timeouts.silence))
                .tls_config(tls.clone())
        };
        Self { agent: config().build().into(), direct: config().proxy(None).build().into() }
    }

    /// The body of a short response.
    pub(crate) fn text(&self, url: &str) -> Result<String, Problem> {
        let mut response = self.get(url, None)?;
        response.body_mut().read_to_string().map_err(|error| from_client(&error))
    }

    /// A response of status 200 or, for a range, 206 or 416.
    pub(crate) fn get(&self, url: &str, range: Option<Range<'_>>) -> Result<Response<Body>, Problem> {
        let agent = if is_local(url) { &self.direct } else { &self.agent };
        let mut request = agent.get(url);
        if let Some(Range { start, etag }) = range {
            request = request.header(header::RANGE, format!("bytes={start}-"));
            if let Some(etag) = etag {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        let response = request.call().map_err(|error| from_client(&error))?;
        match response.status().as_u16() {
            200 => Ok(response),
            206 | 416 if range.is_some() => Ok(response),
            status => Err(from_status(status, &response)),
        }
    }
}

/// Reads more of a body.
pub(crate) fn read(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Problem> {
    reader.read(buffer).map_err(|error| Problem::passing(format!("the connection broke off: {error}")))
}

/// A header as text.
pub(crate) fn text_of<'r>(response: &'r Response<Body>, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

fn from_status(status: u16, response: &Response<Body>) -> Problem {
    let reason = response.status().canonical_reason().unwrap_or("unknown");
    let wait = text_of(response, "retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    // Figshare's firewall answers 202 to make a browser prove itself.
    let passing = matches!(status, 202 | 408 | 425 | 429 | 500..=599);
    Problem { message: format!("the server answers {status} {reason}"), passing, wait }
}

fn from_client(error: &Error) -> Problem {
    let passing = !matches!(
        error,
        Error::BadUri(_) | Error::Http(_) | Error::TooManyRedirects | Error::RedirectFailed | Error::InvalidProxyUrl
    );
    Problem { message: error.to_string(), passing, wait: None }
}

fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|local| host.strip_prefix(local).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])))
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_this_machine_is_local() {
        assert!(is_local("http://127.0.0.1:8080/v2") && is_local("http://localhost") && is_local("http://[::1]/x"));
        assert!(!is_local("https://localhost.example.org/") && !is_local("https://api.figshare.com/v2"));
    }
}
