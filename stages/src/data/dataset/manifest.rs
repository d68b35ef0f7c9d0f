//! `format = "manifest"`: a CSV file of images, masks, classes and patients, one image a row, in that order.
//!
//! The file has a header, is in UTF-8 and separates cells by commas. The params `image`, `label`, `mask` and `patient`
//! name its columns; all others are kept in `labels`. Paths are relative to the manifest, with `/`, and lie beside or
//! below it: `..` and absolute paths are refused, as names are part of results and must mean the same wherever the
//! folder lies. Links are followed, wherever they lead: data sets are assembled from links, and only the contents
//! count. The formats are PNG, JPEG, TIFF, DICOM and NIfTI; see [`super::file`].

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Component, Path};

use orchestrate_cache::FileStat;
use orchestrate_cache::external::{self, EXTERNAL_BYTES_MAX};
use orchestrate_engine::stage::FileName;
use rayon::prelude::*;

use super::doubtful;
use super::file;
use super::files::Files;
use super::left_out::LeftOut;
use super::listing::{ListedImage, Listing, classify};
use super::natural;
use super::params::Params;
use super::part::{Part, PartKind};
use crate::problems::all_or_problems;

/// Largest manifest; a million rows take some 100 MB.
const BYTES_MAX: u64 = 1 << 30;

/// Name of the manifest in a folder.
pub(super) const DEFAULT_NAME: &str = "labels.csv";

/// Lists the manifest and, after it, every image and mask, each once.
///
/// Errors: all wrong rows and all missing files, one sentence each.
pub(super) fn files(params: &Params, path: &Path) -> Result<Vec<FileName>, Vec<String>> {
    let csv = if path.is_dir() { path.join(DEFAULT_NAME) } else { path.to_owned() };
    let cannot_read = |error: std::io::Error| vec![format!("cannot read the manifest {}: {error}", csv.display())];
    let bytes = external::read(&csv, BYTES_MAX).map_err(cannot_read)?;
    let name = csv.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = csv.parent().unwrap_or(Path::new(""));
    let rows = Rows::scan(params, &bytes);
    let of_rows: Vec<String> = match (&rows, params.limit) {
        // Problems of rows make the listing fail; without a limit, its files would be those of all rows.
        (Ok(rows), None) if !rows.problems.is_empty() => rows.files(),
        _ => Vec::new(),
    };
    let (named, mut problems) = match rows.and_then(|rows| rows.listing(params)) {
        Ok(listing) => (listing.limited(params.limit).files().collect(), Vec::new()),
        Err(problems) => (of_rows, problems),
    };
    problems.iter_mut().for_each(|problem| *problem = format!("{}: {problem}", csv.display()));
    let mut seen = HashSet::from([name.as_str()]);
    let is_first: Vec<bool> = named.iter().map(|file| seen.insert(file)).collect();
    let mut files = vec![FileName::new(&name, &csv)];
    let found =
        named.into_par_iter().zip(is_first).filter(|(_, is_first)| *is_first).map(|(name, _)| find(folder, name));
    match all_or_problems(found.collect::<Vec<_>>()) {
        Ok(found) => files.extend(found),
        Err(missing) => problems.extend(missing),
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// Finds a file of the folder; the error is one sentence.
fn find(folder: &Path, name: String) -> Result<FileName, String> {
    let path = folder.join(&name);
    let stat = std::fs::metadata(&path).and_then(|metadata| {
        external::check(&metadata, EXTERNAL_BYTES_MAX)?;
        Ok(FileStat::of(&metadata))
    });
    match stat {
        Ok(stat) => Ok(FileName { name, path, stat: Some(stat) }),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// Finds pictures that no row names, in the folders of those that rows name.
pub(super) fn left_out(params: &Params, files: &Files<'_>) -> Result<LeftOut, Vec<String>> {
    let path = params.path.as_deref().unwrap_or(Path::new(""));
    let root = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    // Of all rows, those beyond the limit too.
    let csv = files.read(files.names().next().unwrap_or_default()).map_err(|problem| vec![problem])?;
    let named: HashSet<String> = read(params, &csv)?.files().collect();
    let folder = |name: &str| name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let folders: BTreeSet<String> = named.iter().map(|name| folder(name)).collect();
    let mut left_out = LeftOut::default();
    for folder in folders {
        for name in natural::names_in(&root.join(&folder)).unwrap_or_default() {
            let name = format!("{folder}{name}");
            if !named.contains(&name) && file::is_picture(&root.join(&name)) {
                left_out.add("in no row of the manifest", false, name);
            }
        }
    }
    Ok(left_out)
}

/// Reads the rows; errors are one sentence each, with the line in the file.
pub(super) fn read(params: &Params, bytes: &[u8]) -> Result<Listing, Vec<String>> {
    Rows::scan(params, bytes)?.listing(params)
}

/// The rows that can be read, and the problems of the others.
struct Rows {
    rows: Vec<Row>,
    /// Further columns by name, one value a row.
    further: Vec<(String, Vec<String>)>,
    /// Problems with their lines, in the order of lines.
    problems: Vec<(u64, String)>,
}

struct Row {
    line: u64,
    label: String,
    /// The image, before its class index is known.
    image: ListedImage,
}

impl Rows {
    /// Reads all rows that can be read. Errors: an unreadable header, missing or ambiguous columns.
    fn scan(params: &Params, bytes: &[u8]) -> Result<Self, Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
        let header = reader.headers().map_err(|error| vec![format!("the header cannot be read: {error}")])?;
        let header: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        let columns = Columns::find(params, &header)?;
        let further = columns.further.iter().map(|&column| (header[column].clone(), Vec::new())).collect();
        let mut rows = Self { rows: Vec::new(), further, problems: Vec::new() };
        // One record for all rows, as there may be a hundred thousand.
        let mut record = csv::StringRecord::new();
        loop {
            let read = reader.read_record(&mut record);
            let position = read.as_ref().map_or_else(csv::Error::position, |_| record.position());
            let line = position.map_or(0, |position| line_of(position, bytes));
            match read {
                Ok(false) => break,
                Ok(true) if record.len() == header.len() => rows.push(line, &record, &header, &columns),
                Ok(true) => {
                    rows.wrong(line, &format!(" has {} cells, but the header {}", record.len(), header.len()));
                }
                Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
                    rows.wrong(line, " is not in UTF-8");
                }
                Err(error) => rows.wrong(line, &format!(": {error}")),
            }
        }
        if rows.rows.is_empty() && rows.problems.is_empty() {
            rows.problems.push((0, "it has no rows".to_owned()));
        }
        // A report in a further column may have many lines, but then its quotes come in pairs.
        let has_lines = |(_, values): &(String, Vec<String>)| values.iter().any(|value| value.contains('\n'));
        if rows.further.iter().any(has_lines) && bytes.iter().filter(|&&byte| byte == b'"').count() % 2 == 1 {
            rows.problems.push((0, "a quote is not closed, and a cell holds all lines after it".to_owned()));
        }
        let mut first_line: HashMap<(&str, Option<usize>), u64> = HashMap::with_capacity(rows.rows.len());
        for Row { line, image, .. } in &rows.rows {
            let first = first_line.entry((&image.file, image.part)).or_insert(*line);
            if first != line {
                let problem = format!("line {line}: image `{}` is also in line {first}", image.name());
                rows.problems.push((*line, problem));
            }
        }
        rows.problems.sort_by_key(|(line, _)| *line);
        Ok(rows)
    }

    fn wrong(&mut self, line: u64, problem: &str) {
        self.problems.push((line, format!("line {line}{problem}")));
    }

    fn push(&mut self, line: u64, record: &csv::StringRecord, header: &[String], columns: &Columns) {
        let cell = |column: usize| record[column].trim();
        let own = [Some(columns.image), Some(columns.label), columns.mask, columns.patient];
        if let Some(column) = own.into_iter().flatten().find(|&column| cell(column).contains(['\n', '\r'])) {
            let name = &header[column];
            return self.wrong(line, &format!(": column `{name}` holds a line break; is a quote not closed?"));
        }
        let mut file = |column: usize| {
            let wrong = |problem| self.wrong(line, &format!(": column `{}` {problem}", header[column]));
            relative(cell(column)).map_err(wrong).ok()
        };
        let name = file(columns.image);
        let mask = columns.mask.filter(|&column| !cell(column).is_empty()).and_then(file);
        let label = cell(columns.label).to_owned();
        if label.is_empty() {
            self.wrong(line, &format!(": column `{}` is empty", header[columns.label]));
        }
        let Some(name) = name else { return };
        let part = columns.parts[PartKind::of(&name) as usize].as_ref().map(|part| match part {
            Chosen::Index(index) => Ok(Some(*index)),
            Chosen::Column(column) if cell(*column).is_empty() => Ok(None),
            Chosen::Column(column) => cell(*column).parse().map(Some).map_err(|_| *column),
        });
        let part = part.unwrap_or(Ok(None)).unwrap_or_else(|column| {
            let problem = format!(": column `{}` is `{}`; a number from 0 is expected", header[column], cell(column));
            self.wrong(line, &problem);
            None
        });
        let patient = columns.patient.map(cell).filter(|patient| !patient.is_empty()).map(str::to_owned);
        let masks = mask.into_iter().collect();
        self.rows.push(Row { line, label, image: ListedImage { file: name, part, label: 0, patient, masks } });
        for ((_, values), &column) in self.further.iter_mut().zip(&columns.further) {
            values.push(cell(column).to_owned());
        }
    }

    /// Returns the files of images and masks.
    fn files(&self) -> Vec<String> {
        self.rows.iter().flat_map(|row| std::iter::once(&row.image.file).chain(&row.image.masks)).cloned().collect()
    }

    /// Makes the listing. Errors: the problems of rows, and labels that are no class.
    fn listing(self, params: &Params) -> Result<Listing, Vec<String>> {
        let mut problems: Vec<String> = self.problems.into_iter().map(|(_, problem)| problem).collect();
        let with_label: Vec<&Row> = self.rows.iter().filter(|row| !row.label.is_empty()).collect();
        let labels: Vec<&str> = with_label.iter().map(|row| row.label.as_str()).collect();
        let column = params.label.as_deref().unwrap_or("label");
        problems.extend(doubtful::several_labels(column, &labels, params.classes.as_deref()));
        let line = |row: usize| format!("line {}", with_label[row].line);
        let (indices, classes) = classify(&labels, params.classes.as_deref(), line, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let images = self.rows.into_iter().zip(indices).map(|(row, label)| ListedImage { label, ..row.image });
        Ok(Listing { images: images.collect(), classes, columns: self.further, empty: Vec::new() })
    }
}

/// Returns the line, from 1, in which a record begins. The position is that of any empty lines before it.
fn line_of(position: &csv::Position, bytes: &[u8]) -> u64 {
    let rest = usize::try_from(position.byte()).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
    let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).filter(|byte| **byte == b'\n');
    position.line() + empty.count() as u64
}

/// Indices of the columns in the header.
struct Columns {
    image: usize,
    label: usize,
    mask: Option<usize>,
    patient: Option<usize>,
    /// The part of a file, by [`PartKind`].
    parts: [Option<Chosen>; 3],
    further: Vec<usize>,
}

/// The choice of a part: one for all files, or a column.
enum Chosen {
    Index(usize),
    Column(usize),
}

impl Columns {
    fn find(params: &Params, header: &[String]) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        for (index, name) in header.iter().enumerate() {
            if header[..index].contains(name) {
                problems.push(format!("two columns are named `{name}`"));
            }
        }
        let index = |name: &str| header.iter().position(|column| column == name);
        let mut required = |field: &str, name: &str| {
            index(name).unwrap_or_else(|| {
                let columns = header.join(", ");
                problems.push(format!("there is no column `{name}` for `{field}`; the columns are: {columns}"));
                0
            })
        };
        let mut optional = |field: &str, name: &Option<String>| match name {
            Some(name) => Some(required(field, name)),
            None => index(field),
        };
        let mask = optional("mask", &params.mask);
        let patient = optional("patient", &params.patient);
        // Such a column stays among the further ones, as it may mean something else if no file has parts.
        let parts = PartKind::ALL.map(|kind| match params.part(kind) {
            Some(Part::Index(index)) => Some(Chosen::Index(*index)),
            Some(Part::Column(name)) => Some(Chosen::Column(required(kind.param(), name))),
            None => index(kind.param()).map(Chosen::Column),
        });
        let image = required("image", params.image.as_deref().unwrap_or("image"));
        let label = required("label", params.label.as_deref().unwrap_or("label"));
        if !problems.is_empty() {
            return Err(problems);
        }
        let taken = [Some(image), Some(label), mask, patient];
        let further = (0..header.len()).filter(|&column| !taken.contains(&Some(column))).collect();
        Ok(Self { image, label, mask, patient, parts, further })
    }
}

/// Returns the file's name with `/` between folders and without `.`; the error reads after the column's name.
fn relative(cell: &str) -> Result<String, String> {
    if cell.is_empty() {
        return Err("is empty".to_owned());
    }
    // Most names need no change.
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
    fn a_quote_that_is_not_closed_swallows_no_rows() {
        let of = |csv: &str| read(&params(""), csv.as_bytes()).map(|listing| listing.names().len());
        let problems = of("image,label,notes\na.png,\"x,\nb.png,y,\n").unwrap_err();
        assert!(problems[0].contains("line 2"), "{problems:?}");
        let problems = of("image,label,notes\na.png,x,\"seen\nb.png,y,\n").unwrap_err();
        assert_eq!(problems, ["a quote is not closed, and a cell holds all lines after it"]);
        assert_eq!(of("image,label,notes\na.png,x,\"seen\ntwice\"\nb.png,y,\n"), Ok(2));
        let problems = of("image,label,notes\na.png,\"x\ny\",\n").unwrap_err();
        assert_eq!(problems, ["line 2: column `label` holds a line break; is a quote not closed?"]);
    }

    #[test]
    fn a_column_chooses_the_part_of_files_that_have_parts() {
        let csv = "image,label,slice,site\nv.nii.gz,x,3,a\nv.nii.gz,x,,b\np.png,x,7,c\nw.nii,x,top,d\n";
        let problems = read(&params(""), csv.as_bytes()).unwrap_err();
        assert_eq!(problems, ["line 5: column `slice` is `top`; a number from 0 is expected"]);
        let listing = read(&params(""), csv.replace("top", "0").as_bytes()).unwrap();
        assert_eq!(listing.names(), ["v.nii.gz#3", "v.nii.gz", "p.png", "w.nii#0"]);
        assert_eq!(listing.columns[0].0, "slice", "it may mean something else for other files");
        let listing =
            read(&params(r#", "slice": 9, "frame": "site""#), b"image,label,site\nv.nii,x,b\np.dcm,x,2\n").unwrap();
        assert_eq!(listing.names(), ["v.nii#9", "p.dcm#2"]);
        let problems = read(&params(r#", "page": "sheet""#), b"image,label\nt.tif,x\n").unwrap_err();
        assert_eq!(problems, ["there is no column `sheet` for `page`; the columns are: image, label"]);
    }

    #[test]
    fn rows_become_images_in_their_order() {
        let csv = "\u{feff}id,patient,label,image,mask\n7,p1,glioma,images/9.png,./masks/9.png\n\
                   8, ,meningioma,\"a, b.jpg\",\n";
        let listing = read(&params(""), csv.as_bytes()).unwrap();
        assert_eq!(listing.classes, ["glioma", "meningioma"]);
        assert_eq!(listing.columns, [("id".to_owned(), vec!["7".to_owned(), "8".to_owned()])]);
        let image = |name: &str, label, patient: Option<&str>, mask: Option<&str>| ListedImage {
            file: name.to_owned(),
            label,
            patient: patient.map(str::to_owned),
            masks: mask.map(str::to_owned).into_iter().collect(),
            part: None,
        };
        let expected = [image("images/9.png", 0, Some("p1"), Some("masks/9.png")), image("a, b.jpg", 1, None, None)];
        assert_eq!(listing.images, expected);
    }

    #[test]
    fn columns_can_have_other_names_and_classes_another_order() {
        let csv = "file,kind,image\na.png,x,1\nb.png,y,2\n";
        let params = params(r#", "image": "file", "label": "kind", "classes": ["y", "x"]"#);
        let listing = read(&params, csv.as_bytes()).unwrap();
        assert_eq!(listing.classes, ["y", "x"]);
        assert_eq!(listing.images.iter().map(|image| image.label).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(listing.columns[0].0, "image");
    }

    #[test]
    fn every_wrong_row_is_named_with_its_line() {
        let csv = "image,mask,label\n../a.png,,x\n/b.png,m.png,x\n,,x\nd.png,../m.png,\ne.png,x\nf.png,,x\n\
                   f.png,,x\n./f.png,,x\n";
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
    fn files_are_the_manifest_and_those_it_names_and_all_missing_files_are_named() {
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

        // Wrong rows are reported together with the missing files of other rows.
        std::fs::write(root.join("rows.csv"), "image,mask,label\na.png,m.png,x\nb.png,,\nd.png,../m.png,y\n").unwrap();
        let rows = root.join("rows.csv");
        let problems = super::files(&params(""), &rows).unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert_eq!(problems[0], format!("{}: line 3: column `label` is empty", rows.display()));
        assert!(problems[1].contains("line 4: column `mask` names `../m.png`"), "{problems:?}");
        assert!(problems[2].starts_with(&format!("cannot read {}: ", root.join("b.png").display())), "{problems:?}");

        std::fs::write(root.join("b.png"), "").unwrap();
        // Only files within the limit are read.
        let files = files(&params(r#", "limit": 2"#), &root.join(DEFAULT_NAME)).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["labels.csv", "a.png", "m.png", "b.png"]);
        assert_eq!(files[1].path, root.join("a.png"));
    }
}
