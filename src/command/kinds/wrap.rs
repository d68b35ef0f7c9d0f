//! Words in lines of a given width.

use std::fmt::Write;

/// Writes words after a start, in lines of at most `width` columns that are indented from the second on.
pub(super) fn wrap(text: &mut String, width: usize, start: &str, indent: usize, words: &str) {
    let mut line = start.to_owned();
    let mut is_first = true;
    for word in words.split_whitespace() {
        let separator = usize::from(!line.is_empty() && !line.ends_with(' '));
        if !is_first && line.chars().count() + separator + word.chars().count() > width {
            let _ = writeln!(text, "{}", line.trim_end());
            line = " ".repeat(indent);
        }
        if !line.is_empty() && !line.ends_with(' ') {
            line.push(' ');
        }
        line += word;
        is_first = false;
    }
    if !line.trim().is_empty() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_on_below_the_first() {
        let mut text = String::new();
        wrap(&mut text, 96, "  name  ", 8, &"word ".repeat(40));
        assert!(text.lines().skip(1).all(|line| line.starts_with("        word")), "{text}");
        assert_eq!(text.split_whitespace().count(), 41);
    }
}
