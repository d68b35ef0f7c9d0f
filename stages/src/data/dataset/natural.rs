//! Natural order of names, in which `9.png` comes before `10.png`.

use std::cmp::Ordering;
use std::path::Path;

use crate::problems::all_or_problems;

/// Lists the names in a folder that are not hidden, in natural order.
///
/// Errors: a folder that cannot be read; every name that is not UTF-8.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>, Vec<String>> {
    let cannot_read = |error: std::io::Error| vec![format!("cannot read the folder {}: {error}", folder.display())];
    let entries = std::fs::read_dir(folder).map_err(cannot_read)?;
    let entries = entries.collect::<Result<Vec<_>, _>>().map_err(cannot_read)?;
    let mut names = all_or_problems(entries.into_iter().map(|entry| {
        let not_utf_8 = |_| format!("the name of {} is not in UTF-8", entry.path().display());
        entry.file_name().into_string().map_err(not_utf_8)
    }))?;
    names.retain(|name| !name.starts_with('.'));
    names.sort_by(|a, b| compare(a, b));
    Ok(names)
}

/// Compares runs of digits as numbers and the rest by characters; names that are then equal (`1` and `01`), by
/// characters alone.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (left_run, right_run) = (digits(left), digits(right));
        let order = if left_run > 0 && right_run > 0 {
            let (x, y) = (left[..left_run].trim_start_matches('0'), right[..right_run].trim_start_matches('0'));
            (left, right) = (&left[left_run..], &right[right_run..]);
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            let (x, y) = (left.chars().next(), right.chars().next());
            let (Some(x), Some(y)) = (x, y) else { return x.cmp(&y).then_with(|| a.cmp(b)) };
            (left, right) = (&left[x.len_utf8()..], &right[y.len_utf8()..]);
            x.cmp(&y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Returns the length of the run of ASCII digits at the start.
fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_comes_before_ten() {
        let mut names = [
            "x10.png",
            "x9.png",
            "x1.png",
            "x01.png",
            "a/2/10",
            "a/2/9",
            "a/11/1",
            "x",
            "99999999999999999999999",
            "é1",
        ];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(
            names,
            [
                "99999999999999999999999",
                "a/2/9",
                "a/2/10",
                "a/11/1",
                "x",
                "x01.png",
                "x1.png",
                "x9.png",
                "x10.png",
                "é1"
            ]
        );
    }
}
