//! Names in the order in which people count: `9.png` before `10.png`.

use std::cmp::Ordering;

/// Compares runs of digits as numbers and the rest by characters; where this leaves two equal (`1` and `01`), by
/// characters.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (left_run, right_run) = (digits(left), digits(right));
        let order = if left_run > 0 && right_run > 0 {
            let number = |text: &str, run: usize| text[..run].trim_start_matches('0').to_owned();
            let (x, y) = (number(left, left_run), number(right, right_run));
            (left, right) = (&left[left_run..], &right[right_run..]);
            x.len().cmp(&y.len()).then_with(|| x.cmp(&y))
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

/// Length of the run of ASCII digits at the start.
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
