//! Charts as SVG, for the page and as files of their own.
//!
//! No chart library draws them: the page needs shapes with classes that its style sheet recolours in the dark, names
//! for screen readers, and text of the same width on every machine. `plotters` writes colours inline and measures the
//! fonts of the machine, `charming` needs a browser, `poloto` has no bars or error bars. Colours are attributes, so
//! that a file looks the same in every program; the page's style sheet overrides them by class.

use maud::{Markup, html};

/// Width of a chart in the page's pixels.
const WIDTH: f64 = 480.0;
/// Height without a legend.
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 48.0;
const LEGEND_LINE: f64 = 20.0;

/// Colours of series on white: those of Okabe and Ito, the pale ones darkened.
pub(crate) const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#008a64", "#b5548c", "#b07d00", "#2f93cf", "#555555", "#7a6a00"];

/// Dashes of series beyond the number of colours.
const DASHES: [&str; 4] = ["", "7 3", "2 3", "9 3 2 3"];

/// The look of a series, by its index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look(pub(crate) usize);

impl Look {
    /// Class in the style sheet.
    pub(crate) fn class(self) -> String {
        format!("c{}", self.0 % COLOURS.len())
    }

    /// Colour on white.
    pub(crate) fn colour(self) -> &'static str {
        COLOURS[self.0 % COLOURS.len()]
    }

    /// Dashes on and off; empty for a solid line.
    pub(crate) fn dash(self) -> &'static str {
        DASHES[self.0 / COLOURS.len() % DASHES.len()]
    }
}

/// Returns the attribute of a dashed line; a solid one has none.
pub(crate) fn dashes(dash: &str) -> Option<&str> {
    Some(dash).filter(|dash| !dash.is_empty())
}

/// The axes of a chart.
#[derive(Clone, Debug)]
pub(crate) struct Axes {
    /// The contents of the chart, for screen readers.
    pub(crate) name: String,
    /// The quantity along the horizontal axis, with its unit.
    pub(crate) x_label: String,
    /// The quantity along the vertical axis.
    pub(crate) y_label: String,
    /// Smallest and largest value along the horizontal axis.
    pub(crate) x: (f64, f64),
    /// Smallest and largest value along the vertical axis.
    pub(crate) y: (f64, f64),
    /// Marked values along the horizontal axis, with their texts.
    pub(crate) x_ticks: Vec<(f64, String)>,
}

impl Axes {
    /// The horizontal coordinate of a value.
    pub(crate) fn x(&self, value: f64) -> f64 {
        LEFT + share(value, self.x) * (WIDTH - LEFT - RIGHT)
    }

    /// The vertical coordinate of a value.
    pub(crate) fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - share(value, self.y) * (HEIGHT - TOP - BOTTOM)
    }

    /// Draws a line through points, with a class and a look.
    pub(crate) fn line(&self, points: &[(f64, f64)], look: Look, class: &str, dash: Option<&str>) -> Markup {
        let points: Vec<String> =
            points.iter().map(|&(x, y)| format!("{},{}", number(self.x(x)), number(self.y(y)))).collect();
        let dash = dash.unwrap_or(look.dash());
        html! {
            polyline class=(format!("line {class} {}", look.class())) points=(points.join(" ")) fill="none"
                stroke=(look.colour()) stroke-width="2" stroke-linejoin="round" stroke-dasharray=[dashes(dash)] {}
        }
    }

    /// Draws a point with whiskers of `sd` in both directions, moved sideways by `shift` pixels.
    pub(crate) fn point(&self, (x, y): (f64, f64), sd: Option<f64>, look: Look, shift: f64, tip: &str) -> Markup {
        let (x, low, high) = (self.x(x) + shift, sd.map(|sd| y - sd), sd.map(|sd| y + sd));
        let clamp = |value: f64| number(self.y(value.clamp(self.y.0, self.y.1)));
        html! {
            g class=(format!("point {}", look.class())) stroke=(look.colour()) fill=(look.colour()) {
                title { (tip) }
                @if let (Some(low), Some(high)) = (low, high) {
                    line x1=(number(x)) x2=(number(x)) y1=(clamp(low)) y2=(clamp(high))
                        stroke-width="1.2" opacity="0.65" {}
                }
                (marker(look, x, self.y(y)))
            }
        }
    }
}

/// Draws a filled shape that differs between series, as colour alone does not suffice.
fn marker(look: Look, x: f64, y: f64) -> Markup {
    let at = |dx: f64, dy: f64| format!("{},{}", number(x + dx), number(y + dy));
    let polygon = |points: &[(f64, f64)]| points.iter().map(|&(dx, dy)| at(dx, dy)).collect::<Vec<_>>().join(" ");
    html! {
        @match look.0 % 4 {
            0 => circle cx=(number(x)) cy=(number(y)) r="4" stroke="none" {},
            1 => polygon points=(polygon(&[(-3.7, -3.7), (3.7, -3.7), (3.7, 3.7), (-3.7, 3.7)])) stroke="none" {},
            2 => polygon points=(polygon(&[(0.0, -4.8), (4.6, 3.6), (-4.6, 3.6)])) stroke="none" {},
            _ => polygon points=(polygon(&[(0.0, -5.2), (4.6, 0.0), (0.0, 5.2), (-4.6, 0.0)])) stroke="none" {},
        }
    }
}

/// A chart: frame, axes and marks.
#[derive(Clone)]
pub(crate) struct Chart {
    pub(crate) axes: Axes,
    /// Lines, points and other shapes.
    pub(crate) marks: Markup,
    /// The drawn series.
    pub(crate) legend: Vec<(Look, String)>,
}

impl Chart {
    /// Renders the chart for the page, which has a legend of its own.
    pub(crate) fn inline(&self) -> Markup {
        html! {
            svg class="chart" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(self.axes.name) {
                (self.body())
            }
        }
    }

    /// Renders a file of its own, with the legend below.
    pub(crate) fn file(&self) -> Vec<u8> {
        let columns = 2;
        let lines = self.legend.len().div_ceil(columns) as f64;
        let height = HEIGHT + if self.legend.is_empty() { 0.0 } else { lines * LEGEND_LINE + 8.0 };
        let column_width = (WIDTH - LEFT) / columns as f64;
        let markup = html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(WIDTH) height=(height)
                viewBox=(format!("0 0 {WIDTH} {height}")) {
                title { (self.axes.name) }
                rect width="100%" height="100%" fill="#ffffff" {}
                (self.body())
                @for (index, (look, name)) in self.legend.iter().enumerate() {
                    @let x = LEFT + (index % columns) as f64 * column_width;
                    @let y = HEIGHT + 6.0 + (index / columns) as f64 * LEGEND_LINE;
                    line x1=(x) x2=(x + 20.0) y1=(y) y2=(y) stroke=(look.colour()) stroke-width="3"
                        stroke-dasharray=[dashes(look.dash())] {}
                    text x=(x + 27.0) y=(y + 4.0) font-family="sans-serif" font-size="12" fill="#222222" { (name) }
                }
            }
        };
        (markup.into_string() + "\n").into_bytes()
    }

    fn body(&self) -> Markup {
        let axes = &self.axes;
        let (left, right, bottom) = (LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM);
        let middle = f64::midpoint(TOP, bottom);
        html! {
            g class="grid" stroke="#dddddd" stroke-width="1" {
                @for (value, _) in ticks(axes.y) {
                    line x1=(left) x2=(right) y1=(number(axes.y(value))) y2=(number(axes.y(value))) {}
                }
            }
            (self.marks)
            g class="axis" font-family="sans-serif" font-size="12.5" fill="#333333" {
                line x1=(left) x2=(right) y1=(bottom) y2=(bottom) stroke="#555555" {}
                @for (value, text) in ticks(axes.y) {
                    text x=(left - 7.0) y=(number(axes.y(value) + 4.2)) text-anchor="end" { (text) }
                }
                @for (value, text) in &axes.x_ticks {
                    @let x = number(axes.x(*value));
                    line x1=(x) x2=(x) y1=(bottom) y2=(bottom + 4.0) stroke="#555555" {}
                    text x=(x) y=(bottom + 18.0) text-anchor="middle" { (text) }
                }
                text x=(f64::midpoint(left, right)) y=(HEIGHT - 9.0) text-anchor="middle" { (axes.x_label) }
                @let turned = format!("rotate(-90 14 {middle})");
                text x="14" y=(middle) text-anchor="middle" transform=(turned) { (axes.y_label) }
            }
        }
    }
}

/// Returns about five values at round steps within a range, with their texts.
pub(crate) fn ticks((low, high): (f64, f64)) -> Vec<(f64, String)> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return vec![(low, format!("{low}"))];
    }
    let power = (span / 5.0).log10().floor() as i32;
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * 10_f64.powi(power)).into_iter();
    let step = step.min_by(|a, b| (span / a - 5.0).abs().total_cmp(&(span / b - 5.0).abs())).expect("there are four");
    let digits = usize::try_from(-step.log10().floor() as i32).unwrap_or(0);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|index| index as f64 * step).map(|value| (value, format!("{value:.digits$}"))).collect()
}

/// Returns a round number not below any value, and at least `least`.
pub(crate) fn round_above(values: impl Iterator<Item = f64>, least: f64) -> f64 {
    let largest = values.filter(|value| value.is_finite()).fold(least, f64::max);
    let step = 10_f64.powi(largest.log10().floor() as i32) / 4.0;
    (largest / step - 1e-9).ceil() * step
}

/// Formats a coordinate with one digit after the point: a tenth of a pixel.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    if text == "-0.0" { "0.0".to_owned() } else { text }
}

fn share(value: f64, (low, high): (f64, f64)) -> f64 {
    if high > low { (value - low) / (high - low) } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(range: (f64, f64)) -> Vec<String> {
        ticks(range).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_numbers_within_the_range() {
        assert_eq!(texts((0.0, 1.0)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts((0.0, 0.15)), ["0.00", "0.05", "0.10", "0.15"]);
        assert_eq!(texts((1.0, 12.0)), ["2", "4", "6", "8", "10", "12"]);
        assert_eq!(texts((3.0, 3.0)), ["3"]);
    }

    #[test]
    fn round_number_above_leaves_no_value_out() {
        assert!((round_above([0.3, 0.72].into_iter(), 0.1) - 0.725).abs() < 1e-12);
        assert_eq!(round_above([2.0].into_iter(), 0.1), 2.0);
        assert_eq!(round_above(std::iter::empty(), 1.0), 1.0);
    }

    #[test]
    fn values_at_the_ends_of_the_axes_lie_on_the_frame() {
        let axes = Axes {
            name: String::new(),
            x_label: String::new(),
            y_label: String::new(),
            x: (0.0, 1.0),
            y: (0.0, 0.5),
            x_ticks: Vec::new(),
        };
        assert_eq!((axes.x(0.0), axes.x(1.0)), (LEFT, WIDTH - RIGHT));
        assert_eq!((axes.y(0.0), axes.y(0.5)), (HEIGHT - BOTTOM, TOP));
    }
}
