//! Output for people: standard output and standard error, with optional colours.
//!
//! Much of the text comes from elsewhere: causes, names, paths, output of programs. None of it may act on the terminal.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use jiff::Timestamp;
use jiff::tz::TimeZone;
pub(crate) use orchestrate_engine::shell::quoted;

/// Returns whether standard error takes colours: it is a terminal and `NO_COLOR` is not set.
pub(crate) fn colours_on_stderr() -> bool {
    colours_wanted() && io::stderr().is_terminal()
}

/// Returns whether standard output takes colours.
pub(crate) fn colours_on_stdout() -> bool {
    colours_wanted() && io::stdout().is_terminal()
}

fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes to standard output, with control characters [escaped](visible).
///
/// A reader that goes away (`| head`) is no error, as that is its wish; a full disk is one.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    say_as_is(&visible(text))
}

/// Writes text to standard output that is escaped already, or is for programs, such as JSON.
pub(crate) fn say_as_is(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Turns the result of writing to standard output into an error with context; a broken pipe is no error.
pub(crate) fn written(outcome: io::Result<()>) -> anyhow::Result<()> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Writes to standard error, with control characters [escaped](visible).
pub(crate) fn complain(text: &str) {
    complain_as_is(&visible(text));
}

/// Writes text to standard error that is escaped already. An error is ignored, as it could not be shown.
pub(crate) fn complain_as_is(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// A text with colours. Everything written to it is [escaped](visible), so colours come from here alone.
#[derive(Debug)]
pub(crate) struct Text {
    shown: String,
    coloured: bool,
}

impl Text {
    pub(crate) fn new(coloured: bool) -> Self {
        Self { shown: String::new(), coloured }
    }

    pub(crate) fn paint(&mut self, text: &str, colour: Colour) {
        let text = visible(text);
        if self.coloured {
            let _ = write!(self.shown, "\u{1b}[{}m{text}\u{1b}[0m", colour as u8);
        } else {
            self.shown += &text;
        }
    }

    /// Writes `3 hit, 1 ran`: numbers other than 0, with their words.
    pub(crate) fn tally(&mut self, parts: &[(usize, &str, Colour)]) {
        let mut between = "";
        for (number, word, colour) in parts.iter().filter(|(number, ..)| *number > 0) {
            self.shown += between;
            self.paint(&format!("{number} {word}"), *colour);
            between = ", ";
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.shown
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.shown += &visible(text);
        Ok(())
    }
}

/// A writer that [escapes](visible) each write; a write must not split a character.
pub(crate) struct Visible<W>(pub(crate) W);

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(visible(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Escapes (`\u{1b}`) characters that could move the cursor, colour, reorder or hide text: control characters except
/// line ends and tabs, marks of direction, and characters without width.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    // A scan over bytes is faster than over characters: most text has no first byte of a hidden character.
    let may_hide = |byte: u8| matches!(byte, 0..=8 | 11..=31 | 127 | 0xc2 | 0xd8 | 0xe1 | 0xe2 | 0xef | 0xf3);
    if !text.bytes().any(may_hide) || !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    // Lines on other systems end in two characters.
    let text = text.replace("\r\n", "\n");
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Escapes a text as [`visible`] does, and joins its lines.
pub(crate) fn visible_line(text: &str) -> String {
    visible(text).replace('\n', " ")
}

/// Returns whether a terminal would act on a character or hide it.
pub(crate) fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        c => c.is_control(),
    }
}

/// The few colours in use, by their SGR codes.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Colour {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

/// Formats a duration: `0.04 s`, `12.3 s`, `4 min 05 s`.
pub(crate) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds as f64 / 1000.0;
    match milliseconds {
        0..10_000 => format!("{seconds:.2} s"),
        10_000..120_000 => format!("{seconds:.1} s"),
        120_000..7_200_000 => format!("{} min {:02} s", milliseconds / 60_000, milliseconds / 1000 % 60),
        _ => format!("{} h {:02} min", milliseconds / 3_600_000, milliseconds / 60_000 % 60),
    }
}

/// Formats a time in milliseconds since 1970, in the time zone of this machine: `2026-01-31 17:45`.
pub(crate) fn local_time(time_ms: u64) -> String {
    let time = i64::try_from(time_ms).ok().and_then(|time_ms| Timestamp::from_millisecond(time_ms).ok());
    let zoned = time.map(|time| time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string());
    zoned.unwrap_or_else(|| "an unknown time".to_owned())
}

/// Formats the parts of a whole that are not 0: `3 same, 1 changed`.
pub(crate) fn tally(parts: &[(usize, &str)]) -> String {
    let parts = parts.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}"));
    parts.collect::<Vec<_>>().join(", ")
}

/// Formats how often something occurs, after its text: ` (×3)`; nothing for once.
pub(crate) fn times(number: usize) -> String {
    if number > 1 { format!(" (×{number})") } else { String::new() }
}

/// Cuts a text to some characters, with `…` at the end of one that was cut.
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some(_) => text.chars().take(characters - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// Formats a number with its noun: `1 node`, `3 nodes`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_durations_have_fewer_digits() {
        assert_eq!(duration(41), "0.04 s");
        assert_eq!(duration(12_345), "12.3 s");
        assert_eq!(duration(245_000), "4 min 05 s");
        assert_eq!(duration(7_260_000), "2 h 01 min");
    }

    #[test]
    fn characters_that_act_on_a_terminal_are_escaped() {
        let shown = [
            ("plain, größte – ± µ\n\tnext", "plain, größte – ± µ\n\tnext"),
            ("\u{1b}]52;c;cm0=\u{7}", "\\u{1b}]52;c;cm0=\\u{7}"),
            ("\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m"),
            ("c1 \u{9b}2J, del \u{7f}", "c1 \\u{9b}2J, del \\u{7f}"),
            ("epoch 1\rloss", "epoch 1\\rloss"),
            ("a line of DOS\r\nand one", "a line of DOS\nand one"),
            ("a\u{202e}b\u{2066}c", "a\\u{202e}b\\u{2066}c"),
            ("no\u{200b}width\u{feff}", "no\\u{200b}width\\u{feff}"),
        ];
        for (text, expected) in shown {
            assert_eq!(visible(text), expected);
        }
        assert!(matches!(visible("nothing to do"), Cow::Borrowed(_)));
        for hidden in ('\0'..=char::MAX).filter(|c| is_hidden(*c)) {
            assert_ne!(visible(hidden.encode_utf8(&mut [0; 4])), hidden.to_string());
        }
        assert_eq!(visible_line("one\ntwo\u{7}"), "one two\\u{7}");
    }

    #[test]
    fn only_painted_text_has_colours() {
        let mut text = Text::new(true);
        text.paint("error:\u{1b}[0m", Colour::Red);
        let _ = write!(text, " a\u{1b}[32m failed");
        assert_eq!(text.as_str(), "\u{1b}[31merror:\\u{1b}[0m\u{1b}[0m a\\u{1b}[32m failed");
        let mut text = Text::new(false);
        text.paint("error:", Colour::Red);
        assert_eq!(text.as_str(), "error:");
    }
}
