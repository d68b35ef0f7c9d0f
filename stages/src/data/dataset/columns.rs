//! A guess of the columns of a CSV file: by their names, and by cells that are files.

use std::path::{Path, PathBuf};

use orchestrate_cache::external;

use super::file::is_picture;
use super::part::PartKind;

/// The columns of a manifest.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Columns {
    /// By param, in the order of [`PARAMS`]; those that are not the default.
    pub(super) named: Vec<(&'static str, String)>,
    /// All others.
    pub(super) unused: Vec<String>,
}

/// The params that name columns, in the order of their guess. The first two are required.
const PARAMS: [&str; 4] = ["image", "label", "patient", "mask"];

/// Usual names of the column of images, the likeliest first; the first is the default.
const IMAGE: &[&str] =
    &["image", "file", "filename", "path", "filepath", "imagepath", "imagefile", "imagefilename", "scan", "picture"];

/// Words of names of that column.
const OF_IMAGE: &[&str] = &["image", "file", "filename", "filepath", "scan", "picture"];

/// Usual names of the column of classes. The first is the default.
const LABEL: &[&str] = &[
    "label",
    "class",
    "diagnosis",
    "dx",
    "category",
    "target",
    "finding",
    "pathology",
    "histology",
    "disease",
    "path",
];

/// Words beside these that mean another thing: a date or a code of it.
const NO_LABEL: &[&str] = &["date", "time", "age", "year", "by", "id", "code", "method", "confirm", "type"];

/// Usual names of the column of patients. The first is the default.
const PATIENT: &[&str] = &[
    "patient",
    "patientid",
    "pid",
    "pat",
    "patid",
    "mrn",
    "subject",
    "subjectid",
    "subj",
    "participant",
    "participantid",
    "case",
    "caseid",
];

/// Words beside these that leave the meaning as it is.
const OF_PATIENT: &[&str] = &["id", "no", "nr", "num", "number", "code", "name", "key", "pseudonym", "hospital"];

/// Usual names of the column of masks. The first is the default.
const MASK: &[&str] = &["mask", "maskpath", "maskfile", "segmentation", "annotation", "roi", "seg", "contour"];

/// The largest manifest whose columns are guessed.
const BYTES_MAX: u64 = 1 << 30;

/// The number of cells of a column that are looked at.
const CELLS: usize = 20;

/// A CSV file: its header, and the first cells of each column.
pub(super) struct Sheet {
    pub(super) csv: PathBuf,
    header: Vec<String>,
    /// Columns of which most cells are files that are read as images.
    files: Vec<usize>,
}

impl Sheet {
    /// Reads the beginning of a CSV file; `None` if its header cannot be read.
    pub(super) fn read(csv: &Path) -> Option<Self> {
        let bytes = external::read(csv, BYTES_MAX).ok()?;
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
        let header: Vec<String> = reader.headers().ok()?.iter().map(|name| name.trim().to_owned()).collect();
        let folder = csv.parent().unwrap_or(Path::new(""));
        let mut cells = vec![(0, 0); header.len()];
        for row in reader.records().map_while(Result::ok).take(100 * CELLS) {
            for ((looked, found), cell) in cells.iter_mut().zip(&row).filter(|(_, cell)| !cell.trim().is_empty()) {
                if *looked < CELLS {
                    let path = folder.join(cell.trim());
                    *looked += 1;
                    *found += usize::from(path.is_file() && is_picture(&path));
                }
            }
            if cells.iter().all(|(looked, _)| *looked >= CELLS) {
                break;
            }
        }
        let is_of_files = |column: &usize| cells[*column].1 * 2 > cells[*column].0;
        let files = (0..header.len()).filter(is_of_files).collect();
        (!header.is_empty()).then(|| Self { csv: csv.to_owned(), header, files })
    }

    /// Returns whether a column has images, or the usual columns are there.
    pub(super) fn names_images(&self) -> bool {
        !self.files.is_empty() || self.exact(IMAGE).is_some() && self.exact(LABEL).is_some()
    }

    /// Finds the columns; those that are given are taken as they are.
    ///
    /// Errors: a given column that is not there; no column for images or classes. They read after the file's name.
    pub(super) fn columns(&self, given: &[(&'static str, String)]) -> Result<Columns, String> {
        let mut found: [Option<usize>; 4] = [None; 4];
        for (param, name) in given {
            let column = self.header.iter().position(|column| column == name);
            let column = column.ok_or_else(|| self.problem(&format!("there is no column `{name}`")))?;
            if let Some(index) = PARAMS.iter().position(|other| other == param) {
                found[index] = Some(column);
            }
        }
        // Files are told by their cells, so the classes are none of them.
        for index in [0, 3, 1, 2] {
            let is_free = |column: &usize| !found.contains(&Some(*column));
            let free: Vec<usize> = (0..self.header.len()).filter(is_free).collect();
            let of_files: Vec<usize> = free.iter().copied().filter(|column| self.files.contains(column)).collect();
            let others: Vec<usize> = free.iter().copied().filter(|column| !self.files.contains(column)).collect();
            found[index] = found[index].or_else(|| match index {
                0 => {
                    let no_masks = |columns: &[usize]| -> Vec<usize> {
                        columns.iter().copied().filter(|column| self.word(*column, MASK, &[]).is_none()).collect()
                    };
                    let (files, others) = (no_masks(&of_files), no_masks(&others));
                    let found = self.exact_of(&files, IMAGE).or(files.first().copied());
                    // Files that are missing are an error; masks never take their place.
                    let named = || self.exact_of(&others, IMAGE).or_else(|| self.worded(&others, OF_IMAGE, NO_LABEL));
                    found.or_else(named)
                }
                1 => self.exact_of(&others, LABEL).or_else(|| self.worded(&others, LABEL, NO_LABEL)),
                2 => self.exact_of(&others, PATIENT).or_else(|| self.patient(&others)),
                _ => {
                    let named = self.exact_of(&of_files, MASK).or_else(|| self.worded(&of_files, MASK, &[]));
                    named.or(of_files.first().copied()).or_else(|| self.exact_of(&others, MASK))
                }
            });
        }
        if found[0].is_none() {
            return Err(self.problem("no column is known as that of the images"));
        }
        if found[1].is_none() {
            return Err(self.problem("it names images, but no column is known as that of the classes"));
        }
        let named = PARAMS.into_iter().zip(found).filter_map(|(param, column)| Some((param, &self.header[column?])));
        let named = named.filter(|(param, name)| param != name).map(|(param, name)| (param, name.clone())).collect();
        let is_part = |name: &String| PartKind::ALL.iter().any(|kind| kind.param() == name);
        let unused = (0..self.header.len()).filter(|column| !found.contains(&Some(*column)));
        let unused = unused.map(|column| self.header[column].clone()).filter(|name| !is_part(name));
        Ok(Columns { named, unused: unused.collect() })
    }

    fn problem(&self, problem: &str) -> String {
        let columns = self.header.join(", ");
        let separated = match self.header.as_slice() {
            [only] if only.contains([';', '\t']) => "; cells are to be separated by commas",
            _ => "",
        };
        format!("{}: {problem}; the columns are: {columns}{separated}", self.csv.display())
    }

    fn exact(&self, names: &[&str]) -> Option<usize> {
        self.exact_of(&(0..self.header.len()).collect::<Vec<_>>(), names)
    }

    /// Finds a column by its whole name, the likeliest name first.
    fn exact_of(&self, columns: &[usize], names: &[&str]) -> Option<usize> {
        let plain = |column: usize| words(&self.header[column]).concat();
        let find = |name: &&str| columns.iter().copied().find(|column| plain(*column) == *name);
        // The default is exactly that.
        let default = columns.iter().copied().find(|column| self.header[*column] == names[0]);
        default.or_else(|| names.iter().find_map(find))
    }

    /// Finds a column by a word of its name.
    fn worded(&self, columns: &[usize], names: &[&str], but: &[&str]) -> Option<usize> {
        columns.iter().copied().find(|column| self.word(*column, names, but).is_some())
    }

    fn word(&self, column: usize, names: &[&str], but: &[&str]) -> Option<String> {
        let words = words(&self.header[column]);
        let is_other = words.iter().any(|word| but.contains(&word.as_str()));
        words.into_iter().find(|word| names.contains(&word.as_str())).filter(|_| !is_other)
    }

    /// Finds a column whose name says nothing but that it is of patients: `patient age` does not.
    fn patient(&self, columns: &[usize]) -> Option<usize> {
        let is_patient = |column: &usize| {
            let words = words(&self.header[*column]);
            let is_known = |word: &String| PATIENT.contains(&word.as_str()) || OF_PATIENT.contains(&word.as_str());
            words.iter().any(|word| PATIENT.contains(&word.as_str())) && words.iter().all(is_known)
        };
        columns.iter().copied().find(is_patient)
    }
}

/// Returns the words of a name in lower case: `patientID`, `Patient-ID` and `patient_id` have two.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || was_lower && letter.is_uppercase() {
            words.push(String::new());
        }
        was_lower = letter.is_lowercase();
        if letter.is_alphanumeric() {
            words.last_mut().into_iter().for_each(|word| word.extend(letter.to_lowercase()));
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns of a header above rows whose first column, and those in `files`, are pictures.
    fn columns(header: &str, files: &[usize]) -> Result<Columns, String> {
        let header = header.split(',').map(str::to_owned).collect();
        Sheet { csv: PathBuf::from("x.csv"), header, files: files.to_vec() }.columns(&[])
    }

    #[test]
    fn columns_are_told_by_usual_names_and_by_files() {
        let named = |header: &str, files: &[usize]| {
            let columns = columns(header, files).unwrap();
            columns.named.into_iter().map(|(param, name)| format!("{param}={name}")).collect::<Vec<_>>().join(" ")
        };
        for (header, files, expected) in [
            ("image,label,mask,patient", &[][..], ""),
            ("image,label,patient,mask", &[0, 3], ""),
            ("dx,File Name,PatientID", &[1], "image=File Name label=dx patient=PatientID"),
            ("seg,t1,Dx date,final diagnosis,pat", &[0, 1], "image=t1 label=final diagnosis patient=pat mask=seg"),
            ("path,class_name,Patient age,case-no", &[0], "image=path label=class_name patient=case-no"),
            ("image,path,label", &[1], "image=path"),
            ("label,image,group,dx", &[0, 1], "label=dx mask=label"),
            ("Scan,Diagnosis,MRN,ROI,Age", &[3], "image=Scan label=Diagnosis patient=MRN mask=ROI"),
            ("Image,label,Mask", &[2], "image=Image mask=Mask"),
            ("image,label,patient,mask,Age", &[3], ""),
            ("Scan file,dx,ROI", &[2], "image=Scan file label=dx mask=ROI"),
            ("file,target,subjectID,study_id", &[], "image=file label=target patient=subjectID"),
        ] {
            assert_eq!(named(header, files), expected, "{header}");
        }
    }

    #[test]
    fn unclear_columns_are_named() {
        let error = columns("a;class", &[]).unwrap_err();
        let expected = "x.csv: no column is known as that of the images; the columns are: a;class; cells are to be \
                        separated by commas";
        assert_eq!(error, expected);
        assert_eq!(columns("image,label,site", &[0]).unwrap().unused, ["site"]);
    }
}
