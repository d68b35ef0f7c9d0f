//! Kinds of DICOM objects that hold no pixels, and the advice for each. Source: DICOM PS3.4 2024, table B.5-1.

/// True for a segmentation, with label maps.
pub(super) fn is_segmentation(class: &str, modality: &str) -> bool {
    matches!(class, "1.2.840.10008.5.1.4.1.1.66.4" | "1.2.840.10008.5.1.4.1.1.66.7") || modality == "SEG"
}

/// The message for an object without pixels.
///
/// - `class`: its SOP Class UID, or empty
/// - `modality`: its modality, or empty
pub(super) fn without_pixels(class: &str, modality: &str) -> String {
    let class = class.strip_prefix("1.2.840.10008.").unwrap_or_default();
    let (holds, advice) = match (class, modality) {
        ("5.1.4.1.1.481.3", _) | (_, "RTSTRUCT") => (
            "contours (RT Structure Set)",
            "; convert it to a mask, for example with `plastimatch convert` or the Python package rt-utils",
        ),
        ("5.1.4.1.1.66.5", _) => ("a surface (Surface Segmentation)", "; export it as a segmentation of pixels"),
        ("1.3.10", _) => ("a list of files (DICOMDIR)", "; name the files themselves"),
        (class, _) if class.starts_with("5.1.4.1.1.11.") => ("display settings (Presentation State)", ""),
        (class, _) if class.starts_with("5.1.4.1.1.88.59") => ("a selection of objects (Key Object)", ""),
        (class, _) if class.starts_with("5.1.4.1.1.88.") => ("a report (Structured Report)", ""),
        (class, _) if class.starts_with("5.1.4.1.1.9.") => ("a waveform", ""),
        (class, _) if class.starts_with("5.1.4.1.1.104.") => ("a document", ""),
        (class, _) if class.starts_with("5.1.4.1.1.66.") => ("a registration or raw data", ""),
        (_, "PR") => ("display settings (Presentation State)", ""),
        (_, "SR" | "KO") => ("a report (Structured Report)", ""),
        (_, "RTPLAN") => ("a treatment plan (RT Plan)", ""),
        (_, "ECG" | "HD") => ("a waveform", ""),
        _ => return "it is a DICOM file without pixels".to_owned(),
    };
    format!("it holds {holds}, not pixels{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_without_pixels_say_what_they_are() {
        for (class, modality, expected) in [
            ("5.1.4.1.1.481.3", "", "it holds contours (RT Structure Set), not pixels; convert it to a mask"),
            ("", "RTSTRUCT", "it holds contours"),
            ("1.3.10", "", "it holds a list of files (DICOMDIR), not pixels; name the files themselves"),
            ("5.1.4.1.1.88.33", "SR", "it holds a report (Structured Report), not pixels"),
            ("5.1.4.1.1.11.1", "PR", "it holds display settings (Presentation State), not pixels"),
            ("", "", "it is a DICOM file without pixels"),
        ] {
            let message = without_pixels(&format!("1.2.840.10008.{class}"), modality);
            assert!(message.starts_with(expected), "{message}");
        }
        assert!(is_segmentation("1.2.840.10008.5.1.4.1.1.66.4", "") && !is_segmentation("", "CT"));
    }
}
