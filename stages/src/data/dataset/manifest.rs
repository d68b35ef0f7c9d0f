//! `format = "manifest"`: a CSV file that names images, masks, classes and patients, one image a row, the order kept.
//!
//! The file has a header, is in UTF-8 and separates with commas. Its columns are named by the params `image`, `label`,
//! `mask` and `patient`; all others are kept in `labels`. Files are named relative to the manifest, with `/`, and lie
//! beside or below it: `..` and absolute paths are refused, as names are parts of results and must mean the same wherever
//! the folder lies. A link is followed, wherever it leads: data sets are put together from links, and what counts is the
//! contents of what is found. PNG, JPEG and TIFF are read; see [`super::picture`].

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Component, Path};

use orchestrate_cache::FileStat;
use orchestrate_cache::external::{self, EXTERNAL_BYTES_MAX};
use orchestrate_engine::stage::FileName;
use rayon::prelude::*;

use super::Params;
use super::listing::{Entry, Listing, classify};

/// A larger manifest is none: a million rows take some 100 MB.
const BYTES_MAX: u64 = 1 << 30;

/// The name of the manifest in a folder.
const DEFAULT_NAME: &str = "labels.csv";

/// The manifest itself and, after it, every image and mask, each once.
///
/// Errors: all rows that are wrong and all files that are missing, one sentence each.
pub(super) fn files(params: &Params, path: &Path) -> Result<Vec<FileName>, Vec<String>> {
    let csv = if path.is_dir() { path.join(DEFAULT_NAME) } else { path.to_owned() };
    let cannot_read = |error: std::io::Error| vec![format!("cannot read the manifest {}: {error}", csv.display())];
    let bytes = external::read(&csv, BYTES_MAX).map_err(cannot_read)?;
    let name = csv.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = csv.parent().unwrap_or(Path::new(""));
    let rows = Rows::scan(params, &bytes);
    let named: Vec<String> = match (&rows, params.limit) {
        // Which of the files would be kept is not known, so all that are named are looked for, unless few are wanted.
        (Ok(rows), None) if !rows.problems.is_empty() => rows.files(),
        _ => Vec::new(),
    };
    let listing = rows.and_then(|rows| rows.listing(params));
    let (named, mut problems) = match listing {
        Ok(listing) => {
            let entries = listing.limited(params.limit).entries.into_iter();
            (entries.flat_map(|entry| [Some(entry.name), entry.mask]).flatten().collect(), Vec::new())
        }
        Err(problems) => {
            (named, problems.into_iter().map(|problem| format!("{}: {problem}", csv.display())).collect::<Vec<_>>())
        }
    };
    let mut seen = HashSet::from([name.as_str()]);
    let is_first: Vec<bool> = named.iter().map(|file| seen.insert(file)).collect();
    let mut files = vec![FileName::new(&name, &csv)];
    let found =
        named.into_par_iter().zip(is_first).filter(|(_, is_first)| *is_first).map(|(name, _)| find(folder, name));
    for found in found.collect::<Vec<_>>() {
        match found {
            Ok(file) => files.push(file),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// A file of the folder; the error is one sentence.
fn find(folder: &Path, name: String) -> Result<FileName, String> {
    let path = folder.join(&name);
    match std::fs::metadata(&path) {
        Ok(metadata) => match external::check(&metadata, EXTERNAL_BYTES_MAX) {
            Ok(()) => Ok(FileName { name, path, stat: Some(FileStat::of(&metadata)) }),
            Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        },
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// Reads the rows; errors are one sentence each, with the line in the file.
pub(super) fn read(params: &Params, bytes: &[u8]) -> Result<Listing, Vec<String>> {
    Rows::scan(params, bytes)?.listing(params)
}

/// The rows that could be read, and what is wrong with the others.
struct Rows {
    header: Vec<String>,
    columns: Columns,
    rows: Vec<Row>,
    problems: Vec<String>,
}

struct Row {
    line: u64,
    image: String,
    mask: Option<String>,
    label: String,
    patient: Option<String>,
    /// Values of the further columns.
    further: Vec<String>,
}

impl Rows {
    /// Reads as many rows as can be; fails where the columns cannot be told.
    fn scan(params: &Params, bytes: &[u8]) -> Result<Self, Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
        let header: Vec<String> = match reader.headers() {
            Ok(header) => header.iter().map(|name| name.trim().to_owned()).collect(),
            Err(error) => return Err(vec![format!("the header cannot be read: {error}")]),
        };
        let columns = Columns::find(params, &header)?;
        // With their lines.
        let mut problems: Vec<(u64, String)> = Vec::new();
        let mut rows: Vec<Row> = Vec::new();
        // One for all rows, as there may be a hundred thousand.
        let mut record = csv::StringRecord::new();
        loop {
            match reader.read_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    let line = error.position().map_or(0, |position| line_of(position, bytes));
                    let problem = match error.kind() {
                        csv::ErrorKind::Utf8 { .. } => format!("line {line} is not in UTF-8"),
                        _ => format!("line {line}: {error}"),
                    };
                    problems.push((line, problem));
                    continue;
                }
            }
            let line = record.position().map_or(0, |position| line_of(position, bytes));
            if record.len() != header.len() {
                problems
                    .push((line, format!("line {line} has {} cells, but the header {}", record.len(), header.len())));
                continue;
            }
            let cell = |column: usize| record[column].trim();
            let mut wrong = |problem: String| problems.push((line, format!("line {line}: {problem}")));
            let mut file = |column: usize| match relative(cell(column)) {
                Ok(name) => Some(name),
                Err(problem) => {
                    wrong(format!("column `{}` {problem}", header[column]));
                    None
                }
            };
            let image = file(columns.image);
            let mask = columns.mask.filter(|&column| !cell(column).is_empty()).and_then(&mut file);
            let label = cell(columns.label).to_owned();
            if label.is_empty() {
                wrong(format!("column `{}` is empty", header[columns.label]));
            }
            let Some(image) = image else { continue };
            let patient = columns.patient.map(cell).filter(|patient| !patient.is_empty()).map(str::to_owned);
            let further = columns.further.iter().map(|&column| cell(column).to_owned()).collect();
            rows.push(Row { line, image, mask, label, patient, further });
        }
        if rows.is_empty() && problems.is_empty() {
            problems.push((0, "it has no rows".to_owned()));
        }
        let mut first_line: HashMap<&str, u64> = HashMap::with_capacity(rows.len());
        for Row { line, image, .. } in &rows {
            let first = first_line.entry(image).or_insert(*line);
            if first != line {
                problems.push((*line, format!("line {line}: image `{image}` is also in line {first}")));
            }
        }
        problems.sort_by_key(|(line, _)| *line);
        let problems = problems.into_iter().map(|(_, problem)| problem).collect();
        Ok(Self { header, columns, rows, problems })
    }

    /// All images and masks that are named.
    fn files(&self) -> Vec<String> {
        self.rows.iter().flat_map(|row| [Some(row.image.clone()), row.mask.clone()]).flatten().collect()
    }

    /// The listing, where nothing is wrong.
    fn listing(self, params: &Params) -> Result<Listing, Vec<String>> {
        let Self { header, columns, rows, mut problems } = self;
        let with_label = rows.iter().filter(|row| !row.label.is_empty());
        let labels: Vec<_> = with_label.map(|row| (Line(row.line), row.label.as_str())).collect();
        let (indices, classes) = classify(&labels, params.classes.as_deref()).unwrap_or_else(|unknown| {
            problems.extend(unknown);
            (Vec::new(), Vec::new())
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut further: Vec<(String, Vec<String>)> =
            columns.further.iter().map(|&column| (header[column].clone(), Vec::with_capacity(rows.len()))).collect();
        let mut entries = Vec::with_capacity(rows.len());
        for (row, label) in rows.into_iter().zip(indices) {
            let Row { image, mask, patient, .. } = row;
            entries.push(Entry { name: image, label, patient, mask });
            further.iter_mut().zip(row.further).for_each(|((_, values), value)| values.push(value));
        }
        Ok(Listing { entries, classes, columns: further })
    }
}

/// Where a label stands.
struct Line(u64);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.0)
    }
}

/// The line, from 1, in which a record begins: its position is that of the empty lines before it.
fn line_of(position: &csv::Position, bytes: &[u8]) -> u64 {
    let rest = usize::try_from(position.byte()).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
    let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).filter(|byte| **byte == b'\n');
    position.line() + empty.count() as u64
}

/// Places of the columns in the header.
struct Columns {
    image: usize,
    label: usize,
    mask: Option<usize>,
    patient: Option<usize>,
    further: Vec<usize>,
}

impl Columns {
    fn find(params: &Params, header: &[String]) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        for (index, name) in header.iter().enumerate() {
            if header[..index].contains(name) {
                problems.push(format!("two columns are named `{name}`"));
            }
        }
        let place = |name: &str| header.iter().position(|column| column == name);
        let mut required = |field: &str, name: &str| {
            place(name).unwrap_or_else(|| {
                let columns = header.join(", ");
                problems.push(format!("there is no column `{name}` for `{field}`; the columns are: {columns}"));
                0
            })
        };
        let mut optional = |field: &str, name: &Option<String>| match name {
            Some(name) => Some(required(field, name)),
            None => place(field),
        };
        let mask = optional("mask", &params.mask);
        let patient = optional("patient", &params.patient);
        let image = required("image", params.image.as_deref().unwrap_or("image"));
        let label = required("label", params.label.as_deref().unwrap_or("label"));
        if !problems.is_empty() {
            return Err(problems);
        }
        let taken = [Some(image), Some(label), mask, patient];
        let further = (0..header.len()).filter(|&column| !taken.contains(&Some(column))).collect();
        Ok(Self { image, label, mask, patient, further })
    }
}

/// The file's name with `/` between folders and without `.`; the error reads after the column's name.
fn relative(cell: &str) -> Result<String, String> {
    if cell.is_empty() {
        return Err("is empty".to_owned());
    }
    // As most names are written.
    if cell.split('/').all(|part| !matches!(part, "" | "." | "..")) {
        return Ok(cell.to_owned());
    }
    let mut parts = Vec::new();
    for component in Path::new(cell).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy()),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(format!("names `{cell}`, which is not below the manifest's folder"));
            }
        }
    }
    if parts.is_empty() { Err(format!("names `{cell}`, which is no file")) } else { Ok(parts.join("/")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(json: &str) -> Params {
        serde_json::from_str(&format!(r#"{{"format": "manifest", "path": "x"{json}}}"#)).unwrap()
    }

    #[test]
    fn rows_become_entries_in_their_order() {
        let csv = "\u{feff}id,patient,label,image,mask\n7,p1,glioma,images/9.png,./masks/9.png\n8, ,meningioma,\"a, b.jpg\",\n";
        let listing = read(&params(""), csv.as_bytes()).unwrap();
        assert_eq!(listing.classes, ["glioma", "meningioma"]);
        assert_eq!(listing.columns, [("id".to_owned(), vec!["7".to_owned(), "8".to_owned()])]);
        let entry = |name: &str, label, patient: Option<&str>, mask: Option<&str>| Entry {
            name: name.to_owned(),
            label,
            patient: patient.map(str::to_owned),
            mask: mask.map(str::to_owned),
        };
        let expected = [entry("images/9.png", 0, Some("p1"), Some("masks/9.png")), entry("a, b.jpg", 1, None, None)];
        assert_eq!(listing.entries, expected);
    }

    #[test]
    fn columns_can_have_other_names_and_classes_another_order() {
        let csv = "file,kind,image\na.png,x,1\nb.png,y,2\n";
        let params = params(r#", "image": "file", "label": "kind", "classes": ["y", "x"]"#);
        let listing = read(&params, csv.as_bytes()).unwrap();
        assert_eq!(listing.classes, ["y", "x"]);
        assert_eq!(listing.entries.iter().map(|entry| entry.label).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(listing.columns[0].0, "image");
    }

    #[test]
    fn every_wrong_row_is_named_with_its_line() {
        let csv = "image,mask,label\n../a.png,,x\n/b.png,m.png,x\n,,x\nd.png,../m.png,\ne.png,x\nf.png,,x\nf.png,,x\n./f.png,,x\n";
        let problems = read(&params(""), csv.as_bytes()).unwrap_err();
        assert_eq!(
            problems,
            [
                "line 2: column `image` names `../a.png`, which is not below the manifest's folder",
                "line 3: column `image` names `/b.png`, which is not below the manifest's folder",
                "line 4: column `image` is empty",
                "line 5: column `mask` names `../m.png`, which is not below the manifest's folder",
                "line 5: column `label` is empty",
                "line 6 has 2 cells, but the header 3",
                "line 8: image `f.png` is also in line 7",
                "line 9: image `f.png` is also in line 7",
            ]
        );
    }

    #[test]
    fn a_row_that_is_not_in_utf_8_is_named_and_empty_lines_count() {
        let problems = read(&params(""), b"image,label\na.png,x\nb\xff.png,x\n\nc.png,\n").unwrap_err();
        assert_eq!(problems, ["line 3 is not in UTF-8", "line 5: column `label` is empty"]);
    }

    #[test]
    fn missing_columns_are_named_at_once() {
        let problems = read(&params(r#", "mask": "roi""#), b"file,kind\na.png,x\n").unwrap_err();
        let columns = "the columns are: file, kind";
        assert_eq!(
            problems,
            [
                format!("there is no column `roi` for `mask`; {columns}"),
                format!("there is no column `image` for `image`; {columns}"),
                format!("there is no column `label` for `label`; {columns}"),
            ]
        );
        assert_eq!(read(&params(""), b"image,label\n").unwrap_err(), ["it has no rows"]);
        assert_eq!(read(&params(""), b"image,image,label\n").unwrap_err(), ["two columns are named `image`"]);
        let error = read(&params(r#", "classes": ["x"]"#), b"image,label\na.png,y\nb.png,y\n").unwrap_err();
        assert_eq!(error, ["line 2: class `y` is not in `classes`, which has x"]);
    }

    #[test]
    fn files_are_the_manifest_and_what_it_names_and_all_that_are_missing_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::write(root.join(DEFAULT_NAME), "image,mask,label\na.png,m.png,x\nb.png,m.png,y\nc.png,,x\n").unwrap();
        for file in ["a.png", "m.png"] {
            std::fs::write(root.join(file), "").unwrap();
        }
        std::fs::create_dir(root.join("c.png")).unwrap();
        let problems = files(&params(""), root).unwrap_err();
        assert_eq!(problems.len(), 2);
        assert!(problems[0].starts_with(&format!("cannot read {}: ", root.join("b.png").display())), "{}", problems[0]);
        assert_eq!(problems[1], format!("cannot read {}: it is a folder, not a file", root.join("c.png").display()));

        // Rows that are wrong are told with the files that others lack.
        std::fs::write(root.join("rows.csv"), "image,mask,label\na.png,m.png,x\nb.png,,\nd.png,../m.png,y\n").unwrap();
        let rows = root.join("rows.csv");
        let problems = super::files(&params(""), &rows).unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert_eq!(problems[0], format!("{}: line 3: column `label` is empty", rows.display()));
        assert!(problems[1].contains("line 4: column `mask` names `../m.png`"), "{problems:?}");
        assert!(problems[2].starts_with(&format!("cannot read {}: ", root.join("b.png").display())), "{problems:?}");

        std::fs::write(root.join("b.png"), "").unwrap();
        // Only what the limit keeps is read.
        let files = files(&params(r#", "limit": 2"#), &root.join(DEFAULT_NAME)).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["labels.csv", "a.png", "m.png", "b.png"]);
        assert_eq!(files[1].path, root.join("a.png"));
    }
}
