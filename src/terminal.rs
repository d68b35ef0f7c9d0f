//! Writing to people: standard output and error, with colours only where they are wanted.

use std::io::{self, IsTerminal, Write};

/// Whether standard error takes colours: it is a terminal and `NO_COLOR` is not set.
pub(crate) fn colours_on_stderr() -> bool {
    wanted() && io::stderr().is_terminal()
}

/// Whether standard output takes colours.
pub(crate) fn colours_on_stdout() -> bool {
    wanted() && io::stdout().is_terminal()
}

fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes to standard output; a closed pipe is an error that ends the command quietly.
pub(crate) fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes to standard error; if even that is impossible there is nobody left to tell.
pub(crate) fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Paints a text for a terminal.
pub(crate) fn paint(text: &str, colour: Colour, coloured: bool) -> String {
    if coloured { format!("\u{1b}[{}m{text}\u{1b}[0m", colour as u8) } else { text.to_owned() }
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

/// How long, for people: `0.04 s`, `12.3 s`, `4 min 05 s`.
pub(crate) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds as f64 / 1000.0;
    match milliseconds {
        0..10_000 => format!("{seconds:.2} s"),
        10_000..120_000 => format!("{seconds:.1} s"),
        120_000..7_200_000 => format!("{} min {:02} s", milliseconds / 60_000, milliseconds / 1000 % 60),
        _ => format!("{} h {:02} min", milliseconds / 3_600_000, milliseconds / 60_000 % 60),
    }
}

/// `1 node`, `3 nodes`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_have_the_precision_that_people_need() {
        assert_eq!(duration(41), "0.04 s");
        assert_eq!(duration(12_345), "12.3 s");
        assert_eq!(duration(245_000), "4 min 05 s");
        assert_eq!(duration(7_260_000), "2 h 01 min");
    }
}
