//! Measures of the text in this repository: widths of lines, openings of doc comments, lengths of sentences.
//!
//! The folders are named here and not asked of git, so that the tests also run in an unpacked archive.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders with text that people read; files beside them in the root are read too.
const FOLDERS: [&str; 10] =
    [".ci", "benches", "cache", "docs", "engine", "experiments", "python", "src", "stages", "tests"];

/// Endings of the files that are measured, and two names without an ending.
const ENDINGS: [&str; 5] = [".md", ".rs", ".toml", ".py", ".sh"];
const NAMES: [&str; 2] = ["justfile", "run"];

/// The widest line, in characters.
const COLUMNS_MAX: usize = 120;

/// The share of doc comments that may open with one of [`QUESTIONS`].
const QUESTIONS_MAX: f64 = 0.02;
const QUESTIONS: [&str; 6] = ["What", "Where", "Who", "Which", "Whether", "How"];

/// Words of an average sentence stay below this.
const WORDS_MAX: f64 = 25.0;

/// A file by its path below the root.
struct Text {
    name: String,
    text: String,
}

fn texts() -> Vec<Text> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = files(root);
    let mut folders: Vec<PathBuf> = FOLDERS.map(|folder| root.join(folder)).into();
    while let Some(folder) = folders.pop() {
        paths.extend(files(&folder));
        // Tools write into `target` and into hidden folders.
        let is_ours = |path: &PathBuf| path.is_dir() && name(path) != "target" && !name(path).starts_with('.');
        folders.extend(entries(&folder).into_iter().filter(is_ours));
    }
    paths.sort();
    let text = |path: PathBuf| {
        let relative = path.strip_prefix(root).expect("it was found there").display().to_string();
        Text { name: relative, text: fs::read_to_string(path).expect("text is UTF-8") }
    };
    paths.into_iter().map(text).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("the folder can be read").path()).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let is_text =
        |path: &PathBuf| ENDINGS.iter().any(|ending| name(path).ends_with(ending)) || NAMES.contains(&name(path));
    entries(folder).into_iter().filter(|path| path.is_file() && is_text(path)).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

#[test]
fn no_line_is_wider_than_120_columns() {
    let mut wide = Vec::new();
    for Text { name, text } in texts() {
        let lines = text.lines().enumerate().filter(|(_, line)| line.chars().count() > COLUMNS_MAX);
        // A word of its own, such as an address, cannot be broken.
        let lines = lines.filter(|(_, line)| line.split_whitespace().nth(1).is_some());
        wide.extend(lines.map(|(index, _)| format!("{name}:{}", index + 1)));
    }
    assert_eq!(wide, [""; 0], "{} lines are too wide", wide.len());
}

/// The doc comments of a Rust file, each with the number of its first line and the text of all.
fn doc_comments(text: &str) -> Vec<(usize, String)> {
    let mut comments: Vec<(usize, String)> = Vec::new();
    let mut before = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let marker = ["//!", "///"].into_iter().find(|marker| line.starts_with(marker));
        if let Some(marker) = marker {
            if before != Some(marker) {
                comments.push((index + 1, String::new()));
            }
            let (_, comment) = comments.last_mut().expect("one was just begun");
            comment.push_str(line[marker.len()..].strip_prefix(' ').unwrap_or_default());
            comment.push('\n');
        }
        before = marker;
    }
    comments
}

#[test]
fn doc_comments_open_with_a_noun_or_a_verb() {
    let (mut all, mut questions) = (0, Vec::new());
    for Text { name, text } in texts().into_iter().filter(|text| text.name.ends_with(".rs")) {
        for (line, comment) in doc_comments(&text) {
            all += 1;
            let word = comment.split(|letter: char| !letter.is_alphabetic()).next().unwrap_or_default();
            if QUESTIONS.contains(&word) {
                questions.push(format!("{name}:{line}"));
            }
        }
    }
    let share = questions.len() as f64 / f64::from(all);
    assert!(share <= QUESTIONS_MAX, "{} of {all} open with a question word: {questions:#?}", questions.len());
}

/// The numbers of words of the sentences in a text of Markdown, apart from headings, tables, pictures and code.
fn sentences(text: &str) -> Vec<usize> {
    let mut paragraphs = vec![String::new()];
    let mut is_code = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("```") {
            is_code = !is_code;
        }
        let is_text = !line.starts_with(['|', '#', '!']) && !line.starts_with("```");
        let item = ["- ", "* "].into_iter().find_map(|bullet| line.strip_prefix(bullet));
        if line.is_empty() || !is_text || item.is_some() {
            paragraphs.push(String::new());
        }
        if is_text && !is_code {
            let paragraph = paragraphs.last_mut().expect("there is one from the start");
            *paragraph += item.unwrap_or(line);
            paragraph.push(' ');
        }
    }
    paragraphs.iter().flat_map(|paragraph| sentence_lengths(paragraph)).collect()
}

/// A sentence ends in a full stop, a question or an exclamation mark, before a word that does not go on in lower case.
fn sentence_lengths(paragraph: &str) -> Vec<usize> {
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let mut lengths = Vec::new();
    let mut length = 0;
    for (index, word) in words.iter().enumerate() {
        length += 1;
        let next = words.get(index + 1).and_then(|next| next.chars().next());
        let begins = next.is_none_or(|letter| letter.is_uppercase() || "`[*\"(".contains(letter));
        if begins && (next.is_none() || word.trim_end_matches(['"', ')', '*', '`']).ends_with(['.', '!', '?'])) {
            lengths.push(length);
            length = 0;
        }
    }
    lengths
}

fn average(lengths: &[usize]) -> f64 {
    lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64
}

#[test]
fn sentences_have_fewer_than_25_words_on_average() {
    let (mut averages, mut of_comments) = (Vec::new(), Vec::new());
    for Text { name, text } in texts() {
        if name.ends_with(".md") {
            averages.push((name, average(&sentences(&text))));
        } else if name.ends_with(".rs") {
            of_comments.extend(doc_comments(&text).iter().flat_map(|(_, comment)| sentences(comment)));
        }
    }
    averages.push(("doc comments".to_owned(), average(&of_comments)));
    averages.retain(|(_, average)| *average >= WORDS_MAX);
    assert!(averages.is_empty(), "words a sentence: {averages:?}");
}

#[test]
fn sentences_are_told_apart() {
    let text = "# Not this one\n\nTwo words. As in Kang et al. 2021, Eq. 3.\n\n- an item\n  of five words\n- `b`. C!\n\
        ```text\nnot this\n```\n| nor this |\nlast";
    assert_eq!(sentences(text), [2, 8, 5, 1, 1, 1]);
}

#[test]
fn doc_comments_are_read_as_blocks() {
    let text = "//! A file.\n\nfn f() {\n    /// One\n    /// of two lines.\n    //! inner\n}";
    let comments = [(1, "A file.\n"), (4, "One\nof two lines.\n"), (6, "inner\n")];
    assert_eq!(doc_comments(text), comments.map(|(line, comment)| (line, comment.to_owned())));
}
