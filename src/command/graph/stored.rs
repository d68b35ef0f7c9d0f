//! The part of nodes that the store has, for a box of a drawing.

use orchestrate_engine::survey::Answer;

use crate::terminal;

/// Hits, misses and unknown nodes, as `plan` counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) hit: usize,
    pub(crate) miss: usize,
    pub(crate) unknown: usize,
}

/// The look of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// All are hits.
    Hit,
    /// Some are misses.
    Miss,
    /// None are misses, but some are not known before others have run.
    Unknown,
    /// The store was not asked.
    Plain,
}

/// A look's name, its fill and line on white, the same in the dark, and the dashes of its line.
///
/// Colours are those of Okabe and Ito, made pale to fill boxes; dashes tell them apart without colour.
pub(super) struct Style {
    pub(super) class: &'static str,
    pub(super) word: &'static str,
    pub(super) fill: &'static str,
    pub(super) line: &'static str,
    pub(super) dark_fill: &'static str,
    pub(super) dark_line: &'static str,
    pub(super) dash: &'static str,
    /// The same dashes for Graphviz.
    pub(super) dot: &'static str,
}

impl Look {
    pub(super) const ALL: [Self; 4] = [Self::Hit, Self::Miss, Self::Unknown, Self::Plain];

    /// Returns the look of a box.
    pub(super) fn of(stored: Option<Stored>) -> Self {
        match stored {
            None => Self::Plain,
            Some(Stored { miss: 1.., .. }) => Self::Miss,
            Some(Stored { unknown: 1.., .. }) => Self::Unknown,
            Some(_) => Self::Hit,
        }
    }

    pub(super) fn style(self) -> Style {
        match self {
            Self::Hit => Style {
                class: "hit",
                word: "all hits",
                fill: "#dcecf8",
                line: "#0072b2",
                dark_fill: "#12344d",
                dark_line: "#58aeea",
                dash: "",
                dot: "solid",
            },
            Self::Miss => Style {
                class: "miss",
                word: "some misses: they would run",
                fill: "#fde6d5",
                line: "#b84f00",
                dark_fill: "#4a2410",
                dark_line: "#ff8a4c",
                dash: "7 3",
                dot: "dashed",
            },
            Self::Unknown => Style {
                class: "unknown",
                word: "unknown until their inputs have run",
                fill: "#f1f1f1",
                line: "#555555",
                dark_fill: "#2b3036",
                dark_line: "#c3c8ce",
                dash: "2 3",
                dot: "dotted",
            },
            Self::Plain => Style {
                class: "plain",
                word: "hits and misses are unknown",
                fill: "#ffffff",
                line: "#555555",
                dark_fill: "#1e2329",
                dark_line: "#c3c8ce",
                dash: "",
                dot: "solid",
            },
        }
    }
}

impl Stored {
    /// Counts answers.
    pub(super) fn count<'a>(answers: impl Iterator<Item = &'a Answer>) -> Self {
        answers.fold(Self::default(), |mut stored, answer| {
            match answer {
                Answer::Hit { .. } => stored.hit += 1,
                Answer::Miss { .. } => stored.miss += 1,
                Answer::Unknown { .. } => stored.unknown += 1,
            }
            stored
        })
    }

    /// Formats the counts other than 0, as in `3 hit, 1 miss`.
    pub(super) fn told(self) -> String {
        terminal::tally(&[(self.hit, "hit"), (self.miss, "miss"), (self.unknown, "unknown")])
    }
}
