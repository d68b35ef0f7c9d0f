//! Errors of `object_store` in a person's words, without queries of addresses, which may hold signatures.

use std::error::Error;

use orchestrate_cache::remote::BucketError;

/// Length of a cause that is shown.
const SHOWN: usize = 240;

/// Texts of errors by which a server refuses this user.
const REFUSALS: [&str; 2] = ["status code: 401", "status code: 403"];

/// Words of refusals that are no matter of rights: a wrong clock, a session that is over, a full bucket.
const PASSING: [&str; 5] = ["RequestTimeTooSkewed", "Expired", "expired", "Quota", "SlowDown"];

/// Tells errors apart.
pub(crate) fn tell(error: &object_store::Error) -> BucketError {
    let text = sentence(error);
    if PASSING.iter().any(|code| text.contains(code)) {
        return BucketError::Failed(text);
    }
    match error {
        object_store::Error::NotFound { .. } => BucketError::Missing(text),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            BucketError::Denied(text)
        }
        // Those of lists are of no kind of their own.
        _ if REFUSALS.iter().any(|status| innermost(error).to_string().contains(status)) => BucketError::Denied(text),
        _ => BucketError::Failed(text),
    }
}

/// Returns the error that caused all others.
fn innermost(error: &object_store::Error) -> &dyn Error {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

/// Returns the cause of an error: the code that a server sent, or the innermost error.
pub(crate) fn sentence(error: &object_store::Error) -> String {
    let text = innermost(error).to_string();
    let field = |name: &str| {
        let from = text.split_once(&format!("<{name}>"))?.1;
        Some(from.split_once(&format!("</{name}>"))?.0.trim().to_owned())
    };
    let said = match (field("Code"), field("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        _ => text,
    };
    shorten(&said)
}

/// Cuts off queries and line ends, and what is too long.
fn shorten(text: &str) -> String {
    let words = text.split_whitespace().map(|word| match word.split_once("://") {
        Some(_) => word.split('?').next().unwrap_or_default(),
        None => word,
    });
    let text = words.collect::<Vec<_>>().join(" ");
    let mut letters = text.trim_end_matches(['.', ':', ' ']).chars();
    let shown: String = letters.by_ref().take(SHOWN).collect();
    if letters.next().is_some() { shown + "…" } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn a_server_is_cited_by_its_code_and_message() {
        let body = "status code: 403: <?xml?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        assert_eq!(sentence(&error(body)), "AccessDenied: Access Denied");
        let denied = object_store::Error::PermissionDenied { path: "x".to_owned(), source: body.into() };
        assert_eq!(tell(&denied), BucketError::Denied("AccessDenied: Access Denied".to_owned()));
        assert!(matches!(tell(&error("x")), BucketError::Failed(_)));
        assert!(matches!(tell(&error(body)), BucketError::Denied(_)), "of a list");
        let clock = body.replace("AccessDenied", "RequestTimeTooSkewed");
        assert!(matches!(tell(&error(&clock)), BucketError::Failed(_)), "no matter of rights");
    }

    #[test]
    fn signatures_in_addresses_are_not_shown() {
        let text = "error sending request for url https://a.blob.example/c/x?sv=2024&sig=SECRET%3D: refused";
        let shown = sentence(&error(text));
        assert!(shown.contains("https://a.blob.example/c/x") && !shown.contains("SECRET"), "{shown}");
        assert!(sentence(&error(&"x ".repeat(1000))).chars().count() <= SHOWN + 1);
    }
}
