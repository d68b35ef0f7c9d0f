//! Matching of images by name, and of the sizes of their masks.

use std::collections::HashMap;

use orchestrate_engine::stage::StageError;

use crate::problems::all_or_problems;

/// Fails unless the ground truth has the `wanted` size, (height, width); `why` reads after "but".
pub(super) fn check_size(found: (usize, usize), wanted: (usize, usize), why: &str) -> Result<(), StageError> {
    if found == wanted {
        return Ok(());
    }
    let ((height, width), (wanted_height, wanted_width)) = (found, wanted);
    let size = if wanted_height == wanted_width {
        wanted_height.to_string()
    } else {
        format!("[{wanted_height}, {wanted_width}]")
    };
    Err(StageError::input(
        "masks",
        format!(
            "the masks are {height} × {width}, but {why}, {wanted_height} × {wanted_width}; set `size = {size}` in the \
             `dataset` stage that gives the masks"
        ),
    ))
}

/// Returns the row in `names`, read at `port`, of each image of `wanted`, read at `other`.
///
/// Errors: a name that occurs twice; missing images.
pub(super) fn rows_by_name(
    port: &str,
    names: &[String],
    other: &str,
    wanted: &[String],
) -> Result<Vec<usize>, StageError> {
    if names == wanted {
        return Ok((0..wanted.len()).collect());
    }
    let mut rows = HashMap::new();
    for (row, name) in names.iter().enumerate() {
        if rows.insert(name, row).is_some() {
            return Err(StageError::input(port, format!("image `{name}` occurs twice; images are matched by name")));
        }
    }
    all_or_problems(wanted.iter().map(|name| rows.get(name).copied().ok_or(name))).map_err(|missing| {
        let problem = format!(
            "{} of the {} images of `{other}` are missing, `{}` for one; both must come from the same data set",
            missing.len(),
            wanted.len(),
            missing[0]
        );
        StageError::input(port, problem)
    })
}
