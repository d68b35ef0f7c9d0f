//! Checks of the words that lead to a bucket. Libraries of the network panic on some that are wrong.

/// Returns what is wrong with the address of a server, such as `https://minio.lab:9000`.
pub fn wrong_endpoint(text: &str) -> Option<&'static str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else { return Some("must begin with https:// or http://") };
    let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').or((!port.is_empty()).then_some("x"))),
        None => server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port))),
    };
    let is_v6 = server.starts_with('[');
    let is_host = match is_v6 {
        true => host.parse::<std::net::Ipv6Addr>().is_ok(),
        false => is_host(host),
    };
    if !is_host {
        return Some("names no host; write for example \"https://minio.lab:9000\"");
    }
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|it| it.is_ascii_digit()) || !is_port(port)) {
        return Some("has a port that is none; ports are numbers from 1 to 65535");
    }
    let is_path = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte));
    (!is_path).then_some("has a path with letters that none has")
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    // Numbers with dots are an address, and must be one.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    host.split('.').all(is_label) && (!is_number || host.parse::<std::net::Ipv4Addr>().is_ok())
}

fn is_port(port: &str) -> bool {
    port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Returns what is wrong with the name of a bucket or a container.
pub fn wrong_bucket(name: &str) -> Option<&'static str> {
    let is_bucket = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._$".contains(&byte));
    let is_dots = name.bytes().all(|byte| byte == b'.');
    (!is_bucket || is_dots).then_some("names a bucket with letters that none has")
}

/// Returns what is wrong with the name of a region.
pub fn wrong_region(name: &str) -> Option<&'static str> {
    let is_region = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    (!is_region).then_some("must be a name such as \"eu-central-1\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers_have_a_host_and_a_port_that_is_one() {
        for right in
            ["https://minio.lab:9000", "http://127.0.0.1:1", "https://[::1]:9000/x", "http://a_b.c./s3/", "http://h"]
        {
            assert_eq!(wrong_endpoint(right), None, "{right}");
        }
        for wrong in [
            "",
            "minio:9000",
            "127.0.0.1:5077",
            "http://",
            "https:///u:x@h",
            "http://h:99999",
            "http://h:0",
            "http://h:",
            "http://h:+1",
            "http://u:x@h",
            "http://a b",
            "http://h/a b",
            "http://h?x",
            "http://[x]",
            "http://[::1]9",
            "ftp://h",
            "http://.",
            "http://a..b",
            "http://1.2.3.4.5",
            "http://300.1.1.1",
            "http://h\n",
            "http://ä",
        ] {
            assert!(wrong_endpoint(wrong).is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn buckets_and_regions_are_words() {
        assert!(wrong_bucket("lab-results.x_1").is_none() && wrong_bucket("$web").is_none());
        assert!(["la b", "a@b", "..", "ä", "a\n"].iter().all(|name| wrong_bucket(name).is_some()));
        assert!(wrong_region("eu-central-1").is_none());
        assert!(["", "a b", "a\n", "ä"].iter().all(|name| wrong_region(name).is_some()));
    }
}
