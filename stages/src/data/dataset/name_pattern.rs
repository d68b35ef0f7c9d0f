//! Patterns of file names with one placeholder, such as `{stem}_mask*` and `{patient}_*`.

/// The text before and after a placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamePattern<'a> {
    pub(super) prefix: &'a str,
    pub(super) suffix: &'a str,
    /// True if any text may follow.
    pub(super) open: bool,
}

impl<'a> NamePattern<'a> {
    /// Parses a pattern. The error reads after the name of the param, and leaves out an example.
    pub(super) fn parse(text: &'a str, placeholder: &str, of: &str) -> Result<Self, String> {
        let (prefix, rest) = text.split_once(placeholder).ok_or_else(|| format!("has no `{placeholder}`, {of}"))?;
        let (suffix, open) = rest.strip_suffix('*').map_or((rest, false), |suffix| (suffix, true));
        if prefix.contains('*') || suffix.contains('*') || suffix.contains(placeholder) {
            return Err(format!("may have one `{placeholder}`, and `*` only as its last letter"));
        }
        if suffix.contains('.') {
            return Err("leaves out the ending, such as `.png`".to_owned());
        }
        Ok(Self { prefix, suffix, open })
    }
}
