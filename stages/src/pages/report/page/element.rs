//! Elements that several sections share.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

use super::super::picture::Colour;
use crate::pages::chart::{Look, dashes};

/// The headings of the columns of a table.
pub(in crate::pages::report) fn headings<'a>(headings: impl IntoIterator<Item = &'a str>) -> Markup {
    html! { thead { tr { @for heading in headings { th scope="col" { (heading) } } } } }
}

/// A row of a table: its heading, then its cells.
pub(in crate::pages::report) fn row(class: Option<&str>, heading: &str, cells: &[String]) -> Markup {
    html! { tr class=[class] { th scope="row" { (heading) } @for cell in cells { td { (cell) } } } }
}

/// A line in the colour of a series.
pub(super) fn swatch(look: Look) -> Markup {
    html! {
        svg class="swatch" viewBox="0 0 22 8" aria-hidden="true" {
            line class=(format!("line {}", look.class())) x1="0" x2="22" y1="4" y2="4" stroke=(look.colour())
                stroke-width="3" stroke-dasharray=[dashes(look.dash())] {}
        }
    }
}

/// Returns a `data:` address that contains a PNG.
pub(in crate::pages::report) fn uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}

/// Returns a colour as style sheets write it.
pub(in crate::pages::report) fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

pub(super) fn plural(number: usize, one: &str, many: &str) -> String {
    if number == 1 { one.to_owned() } else { many.to_owned() }
}

/// Returns a number as `3,064`.
pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn numbers_have_commas_at_thousands() {
        assert_eq!([7, 999, 3064, 1_234_567].map(thousands), ["7", "999", "3,064", "1,234,567"]);
    }
}
