//! A check of lists before `object_store` reads them: it takes any XML for an empty list, and one odd name ends its
//! read.

use futures_util::future::BoxFuture;
use http::Method;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::path::Path;

/// A form of lists.
struct Form {
    root: &'static str,
    object: &'static str,
    name: &'static str,
}

/// Lists of S3 and of Google.
const S3: Form = Form { root: "ListBucketResult", object: "Contents", name: "Key" };
/// Lists of Azure.
const AZURE: Form = Form { root: "EnumerationResults", object: "Blob", name: "Name" };

/// Connects as usual, with this check.
#[derive(Debug, Default)]
pub(crate) struct Checked(ReqwestConnector);

impl HttpConnector for Checked {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Client(self.0.connect(options)?)))
    }
}

#[derive(Debug)]
struct Client(HttpClient);

impl HttpService for Client {
    fn call<'s, 'f>(&'s self, request: HttpRequest) -> BoxFuture<'f, Result<HttpResponse, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async {
            let form = form(&request);
            let response = self.0.execute(request).await?;
            let Some(form) = form.filter(|_| response.status().is_success()) else { return Ok(response) };
            let (head, body) = response.into_parts();
            let bytes = body.bytes().await?;
            let list =
                str::from_utf8(&bytes).map_err(|_| "its bytes are no text").and_then(|text| checked(text, &form));
            let list = list.map_err(|why| HttpError::new(HttpErrorKind::Decode, NoList(why)))?;
            Ok(HttpResponse::from_parts(head, list.into()))
        })
    }
}

/// An answer that is no list.
#[derive(Debug)]
struct NoList(&'static str);

impl std::error::Error for NoList {}

impl std::fmt::Display for NoList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the answer to a request for a list is not a whole list of a bucket: {}", self.0)
    }
}

/// Returns the form of the answer if a request asks for a list.
fn form(request: &HttpRequest) -> Option<Form> {
    let mut fields = request.uri().query()?.split('&');
    let asks = fields.find_map(|field| match field {
        "list-type=2" => Some(S3),
        "comp=list" => Some(AZURE),
        _ => None,
    });
    asks.filter(|_| request.method() == Method::GET)
}

/// Returns a list without the objects whose names no object of ours has. Errors: the reason why it is no whole list.
fn checked(text: &str, form: &Form) -> Result<String, &'static str> {
    let mut body = text.trim_start_matches('\u{feff}').trim();
    while let Some((_, rest)) = body.strip_prefix("<?").and_then(|rest| rest.split_once("?>")) {
        body = rest.trim_start();
    }
    let is_root = body.strip_prefix('<').and_then(|rest| rest.strip_prefix(form.root));
    if !is_root.is_some_and(|rest| rest.starts_with(['>', ' ', '\n', '\r', '\t'])) {
        return Err("it is something else");
    }
    if !body.ends_with(&format!("</{}>", form.root)) {
        return Err("it breaks off");
    }
    if field(body, "IsTruncated").is_some_and(|is| is.trim() == "true")
        && field(body, "NextContinuationToken").is_none_or(str::is_empty)
    {
        return Err("it says that more follows, and not where");
    }
    let (from, to) = (format!("<{}>", form.object), format!("</{}>", form.object));
    let mut parts = text.split(&from);
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (object, rest) = part.split_once(&to).ok_or("it breaks off")?;
        if field(object, form.name).is_some_and(is_name) {
            kept.extend([&from, object, &to]);
        }
        kept += rest;
    }
    Ok(kept)
}

/// Returns the text of the first element of a name; attributes may follow that.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let rest = text.split_once(&format!("<{name}"))?.1;
    let rest = rest.split_once('>')?.1;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

/// Returns whether an object of ours could have this name: nothing in it is left out or means another place.
fn is_name(name: &str) -> bool {
    Path::parse(name).is_ok_and(|path| path.as_ref() == name)
        && !name.contains(char::is_control)
        && !has_control_reference(name)
}

/// Returns whether a name has a character that XML cannot hold, by its number.
fn has_control_reference(name: &str) -> bool {
    name.split("&#").skip(1).any(|rest| {
        let number = rest.split(';').next().unwrap_or_default();
        let number = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number.parse(),
        };
        number.map_or(true, |number| char::from_u32(number).is_none_or(char::is_control))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(inner: &str) -> String {
        format!("<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\">{inner}</ListBucketResult>\n")
    }

    fn object(name: &str) -> String {
        format!("<Contents><Key>{name}</Key><Size>1</Size></Contents>")
    }

    #[test]
    fn what_is_no_whole_list_is_refused() {
        for text in [
            "",
            "<html><body>Welcome</body></html>",
            "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code></Error>",
            "<ListBucketResultOther></ListBucketResultOther>",
            "ok",
            &list(&object("a"))[..40],
            &list("<IsTruncated>true</IsTruncated>"),
            &list("<Contents><Key>a</Key>"),
        ] {
            assert!(checked(text, &S3).is_err(), "{text}");
        }
        for text in [list(""), list("<IsTruncated>false</IsTruncated>"), list(&object("a/b"))] {
            assert_eq!(checked(&text, &S3).unwrap(), text);
        }
        let next = "<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>";
        assert!(checked(&list(next), &S3).is_ok());
    }

    #[test]
    fn names_that_are_not_ours_are_left_out_and_the_others_stay() {
        let ours = object("lab&#39;s &amp; x/v1/index/a");
        for name in ["v1/index//x", "v1/index/..", "v1/./x", "/v1/x", "v1/a&#x1;b", "v1/a&#1;", "v1/\u{7}x"] {
            let text = list(&format!("{}{ours}<KeyCount>2</KeyCount>", object(name)));
            assert_eq!(checked(&text, &S3).unwrap(), list(&format!("{ours}<KeyCount>2</KeyCount>")), "{name}");
        }
    }

    #[test]
    fn lists_of_azure_are_checked_in_their_form() {
        let blob = |name: &str| format!("<Blob><Name>{name}</Name></Blob>");
        let list = |blobs: &str| {
            format!("\u{feff}<?xml version=\"1.0\"?><EnumerationResults><Blobs>{blobs}</Blobs></EnumerationResults>")
        };
        assert_eq!(checked(&list(&(blob("a//b") + &blob("a"))), &AZURE).unwrap(), list(&blob("a")));
        assert!(checked(&list(""), &S3).is_err());
    }
}
