//! Producers of results: who ran the program, and where. Provenance only, and a claim: whoever writes a record can
//! write any name into it.

use std::fmt;
use std::sync::OnceLock;

use nix::unistd::{Uid, User, gethostname};
use serde::{Deserialize, Serialize};

/// The user, host and program that recorded a result.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Producer {
    /// Name of the user, or `uid 1001` if the system knows none.
    pub user: String,
    /// Name of the host.
    pub host: String,
    /// Version of the program.
    pub version: String,
}

impl Producer {
    /// Stands in for the producer of a record that names none.
    pub(crate) const UNKNOWN: &str = "an unknown producer";

    /// Returns this process as a producer; user and host are looked up once.
    pub fn this(version: &str) -> Self {
        static USER_AND_HOST: OnceLock<(String, String)> = OnceLock::new();
        let (user, host) = USER_AND_HOST.get_or_init(|| (user(), host())).clone();
        Self { user, host, version: version.to_owned() }
    }
}

fn user() -> String {
    let uid = Uid::effective();
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |user| user.name)
}

fn host() -> String {
    gethostname().map_or_else(|_| "unknown host".to_owned(), |name| name.to_string_lossy().into_owned())
}

impl fmt::Display for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}, version {}", self.user, self.host, self.version)
    }
}
