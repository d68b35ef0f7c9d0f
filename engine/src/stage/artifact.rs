//! Facts about the outputs of a kind: files, columns and notes, as people and foreign programs read and write them.

use crate::bounds::Bounds;

/// Facts about one output of a kind.
#[derive(Clone, Copy, Debug)]
pub struct ArtifactFacts {
    /// Name of the output, such as `cams`.
    pub name: &'static str,
    /// One sentence: the meaning of a row, and the order of rows.
    pub about: &'static str,
    /// Its files.
    pub files: &'static [FileFacts],
}

/// Facts about one file of an artifact.
#[derive(Clone, Copy, Debug)]
pub struct FileFacts {
    /// Its name, such as `cams.parquet`.
    pub name: &'static str,
    /// One sentence about its contents.
    pub about: &'static str,
    /// True if it may be absent.
    pub optional: bool,
    /// Columns of a table, in order; empty for another file.
    pub columns: &'static [ColumnFacts],
    /// Texts about the whole table, in the key-value metadata of the Parquet file.
    pub notes: &'static [NoteFacts],
}

impl FileFacts {
    /// A file that is no table, always there.
    pub const fn new(name: &'static str, about: &'static str) -> Self {
        Self { name, about, optional: false, columns: &[], notes: &[] }
    }

    /// Returns the facts about a column.
    pub fn column(&self, name: &str) -> Option<&'static ColumnFacts> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Facts about a column of a table.
#[derive(Clone, Copy, Debug)]
pub struct ColumnFacts {
    /// Its name; `AXIS`, `COLUMN` and the like in capitals stand for any number of columns.
    pub name: &'static str,
    /// Its type.
    pub dtype: Dtype,
    /// One sentence with unit and order.
    pub about: &'static str,
    /// Shape of the values in a row, such as `[height, width]`; empty for a single value.
    pub shape: &'static str,
    /// Range of its numbers.
    pub bounds: Bounds,
    /// True if a table may lack the column.
    pub optional: bool,
    /// True if a row may lack a value.
    pub nullable: bool,
    /// True if no two rows have the same value.
    pub unique: bool,
}

impl ColumnFacts {
    /// A column with one value in every row.
    pub const fn new(name: &'static str, dtype: Dtype, about: &'static str) -> Self {
        let bounds = Bounds { min: None, above: None, max: None, below: None };
        Self { name, dtype, about, shape: "", bounds, optional: false, nullable: false, unique: false }
    }

    /// The same, which a table may lack.
    pub const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// The same, without a value in some rows.
    pub const fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }

    /// The same, with another value in every row.
    pub const fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    /// The same with a range.
    pub const fn within(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// The same with several values a row.
    pub const fn shaped(self, shape: &'static str) -> Self {
        Self { shape, ..self }
    }

    /// Returns whether the name stands for any number of columns.
    pub fn is_placeholder(&self) -> bool {
        self.name.chars().all(|letter| letter.is_ascii_uppercase())
    }
}

/// The type of a column, whatever the width of its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// UTF-8.
    Text,
    /// Integers of any width; written as int64.
    Whole,
    /// Floats or integers; written as float64.
    Number,
    /// True or false.
    Truth,
    /// A byte string, one byte a value.
    Bytes,
    /// A list of floats; written as float32.
    Numbers,
}

impl Dtype {
    /// Its name for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Whole => "whole numbers",
            Self::Number => "numbers",
            Self::Truth => "truth values",
            Self::Bytes => "byte strings",
            Self::Numbers => "lists of numbers",
        }
    }

    /// Its name in Arrow and pandas, as the program writes it.
    pub const fn arrow(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Whole => "int64",
            Self::Number => "float64",
            Self::Truth => "bool",
            Self::Bytes => "binary",
            Self::Numbers => "list<float32>",
        }
    }
}

/// Facts about a note of a table.
#[derive(Clone, Copy, Debug)]
pub struct NoteFacts {
    /// Its key.
    pub name: &'static str,
    /// One sentence about its text.
    pub about: &'static str,
    /// True if a table may lack it.
    pub optional: bool,
}
