//! Placeholders in the items of `argv`.

use std::collections::BTreeMap;

use orchestrate_engine::nearest;
use orchestrate_engine::stage::StageError;
use serde_json::Value;

use super::code::Code;

/// A part of an item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    /// A text.
    Text(String),
    /// A placeholder, filled in when the program runs.
    Hole(Hole),
}

/// The meaning of a placeholder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Hole {
    /// `{params.NAME}` or `{NAME}`.
    Param(String),
    /// `{in.PORT}`.
    Input(String),
    /// `{out}` or `{out.NAME}`.
    Output(Option<String>),
    /// `{code}` or `{code.NAME}`.
    Code(Option<String>),
    /// `{threads}`.
    Threads,
}

impl Hole {
    fn parse(inner: &str) -> Self {
        match (inner, inner.split_once('.')) {
            ("out", _) => Self::Output(None),
            ("code", _) => Self::Code(None),
            ("threads", _) => Self::Threads,
            (_, Some(("params", name))) => Self::Param(name.to_owned()),
            (_, Some(("in", port))) => Self::Input(port.to_owned()),
            (_, Some(("out", name))) => Self::Output(Some(name.to_owned())),
            (_, Some(("code", name))) => Self::Code(Some(name.to_owned())),
            _ => Self::Param(inner.to_owned()),
        }
    }
}

/// Splits an item into its pieces; the error is about its braces.
pub(crate) fn parse(item: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = item;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            text.push_str(brace);
            rest = after;
        } else if brace == "}" {
            return Err("`}` closes no placeholder".to_owned());
        } else {
            let end = rest.find(['{', '}']).filter(|end| rest[*end..].starts_with('}'));
            let Some(end) = end else { return Err("`{` opens a placeholder that is not closed".to_owned()) };
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Hole(Hole::parse(&rest[..end])));
            rest = &rest[end + 1..];
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// The values of the placeholders of one run.
pub(super) struct Names<'a> {
    pub(super) params: &'a BTreeMap<String, Value>,
    pub(super) ports: Vec<&'a str>,
    pub(super) outputs: &'a [String],
    pub(super) code: &'a Code,
    pub(super) threads: usize,
}

impl Names<'_> {
    /// Fills in an item. Folders are relative to the folder in which the program starts.
    pub(super) fn render(&self, item: &str) -> Result<String, StageError> {
        let pieces = parse(item).map_err(|message| StageError::new(format!("argv `{item}`: {message}")))?;
        pieces
            .into_iter()
            .map(|piece| match piece {
                Piece::Text(text) => Ok(text),
                Piece::Hole(hole) => {
                    self.fill(&hole).map_err(|message| StageError::new(format!("argv `{item}`: {message}")))
                }
            })
            .collect()
    }

    fn fill(&self, hole: &Hole) -> Result<String, String> {
        match hole {
            Hole::Param(name) => self.params.get(name).map(plain).ok_or(format!("there is no param `{name}`")),
            Hole::Input(port) if self.ports.contains(&port.as_str()) => Ok(format!("../in/{port}")),
            Hole::Input(port) => Err(unknown_port(port, &self.ports)),
            Hole::Output(name) => output(name.as_deref(), self.outputs).map(|name| format!("../out/{name}")),
            Hole::Code(name) => self.code.find(name.as_deref()).map(|name| format!("../code/{name}")),
            Hole::Threads => Ok(self.threads.to_string()),
        }
    }
}

fn unknown_port(port: &str, ports: &[&str]) -> String {
    let connected = if ports.is_empty() { "none".to_owned() } else { ports.join(", ") };
    match nearest(port, ports.iter().copied()) {
        Some(near) => {
            format!("there is no input `{port}`; did you mean `{{in.{near}}}`? connected inputs: {connected}")
        }
        None => format!("there is no input `{port}`; connected inputs: {connected}"),
    }
}

/// The output of `{out}` or `{out.NAME}`.
pub(super) fn output<'a>(name: Option<&str>, outputs: &'a [String]) -> Result<&'a str, String> {
    match (name, outputs) {
        (None, [only]) => Ok(only),
        (None, _) => Err(format!("`{{out}}` could be any of the outputs {}", outputs.join(", "))),
        (Some(name), _) => outputs
            .iter()
            .find(|output| *output == name)
            .map(String::as_str)
            .ok_or_else(|| format!("there is no output `{name}`")),
    }
}

/// Fills in items with params only.
pub(super) fn render_params(items: &[String], params: &BTreeMap<String, Value>) -> Result<Vec<String>, String> {
    let code = Code::new(&[]);
    let names = Names { params, ports: Vec::new(), outputs: &[], code: &code, threads: 1 };
    items.iter().map(|item| names.render(item).map_err(|error| error.to_string())).collect()
}

/// A text as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_text_placeholders_and_doubled_braces() {
        let text = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(parse("plain"), Ok(vec![text("plain")]));
        assert_eq!(parse(""), Ok(vec![]));
        assert_eq!(
            parse("a{bins}b{in.x}"),
            Ok(vec![
                text("a"),
                Piece::Hole(Hole::Param("bins".into())),
                text("b"),
                Piece::Hole(Hole::Input("x".into()))
            ])
        );
        assert_eq!(
            parse("{{\"x\": {params.out}}}"),
            Ok(vec![text("{\"x\": "), Piece::Hole(Hole::Param("out".into())), text("}"),].into_iter().collect())
        );
        assert_eq!(parse("{code.lib/a.py}"), Ok(vec![Piece::Hole(Hole::Code(Some("lib/a.py".into())))]));
    }

    #[test]
    fn braces_that_do_not_match_are_refused() {
        assert_eq!(parse("a}b"), Err("`}` closes no placeholder".to_owned()));
        for open in ["{", "x{out", "{a{b}}"] {
            assert_eq!(parse(open), Err("`{` opens a placeholder that is not closed".to_owned()), "{open}");
        }
    }

    #[test]
    fn params_are_substituted_as_people_write_them() {
        let params = [("a", 20.into()), ("b", 0.1.into()), ("c", "x y".into()), ("d", true.into())];
        let mut params: BTreeMap<_, _> = params.map(|(name, value): (_, Value)| (name.to_owned(), value)).into();
        params.insert("e".to_owned(), serde_json::json!([1, "two"]));
        let rendered = render_params(&["{a} {params.b} {c} {d} {e}".to_owned()], &params);
        assert_eq!(rendered, Ok(vec!["20 0.1 x y true [1,\"two\"]".to_owned()]));
    }
}
