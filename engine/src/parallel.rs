//! Work that is the same for many nodes, on all threads where there is enough of it.

use rayon::prelude::*;

/// Fewer items are done here: starting threads costs more than it saves.
const ITEMS_MIN: usize = 4096;

/// Items that a thread takes up at once.
const ITEMS_AT_ONCE: usize = 1024;

/// Gives items part by part to a function, and what it makes of each part in the order of the parts.
pub fn parts<T: Sync, R: Send>(items: &[T], each: impl Fn(&[T]) -> R + Send + Sync) -> Vec<R> {
    if items.len() < ITEMS_MIN { vec![each(items)] } else { items.par_chunks(ITEMS_AT_ONCE).map(each).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_in_the_order_of_the_items_however_many_there_are() {
        for count in [0, 3, 20 * ITEMS_MIN + 1] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(parts(&items, <[usize]>::to_vec).concat(), items);
        }
    }
}
