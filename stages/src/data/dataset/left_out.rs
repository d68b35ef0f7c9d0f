//! Files of a data set's folder that are no images of it, by reason.
//!
//! They are part of the key, so that the audit of a cached result tells the truth about the folder.

/// The most names that are kept for a reason.
const NAMED_MAX: usize = 5;

/// Files that are left out, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut(pub(super) Vec<Reason>);

/// A reason, and the files it holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// The reason, to be read after the number of files: `in folders below those of classes`.
    pub(super) reason: String,
    pub(super) count: usize,
    /// The first files in natural order.
    pub(super) names: Vec<String>,
    /// True if images may be among them.
    pub(super) suspicious: bool,
}

impl LeftOut {
    /// The reason for files that lie too deep.
    pub(super) const NESTED: &str = "in folders below those of classes";

    /// Returns the number of files that lie too deep.
    pub(super) fn nested(&self) -> usize {
        self.0.iter().filter(|known| known.reason == Self::NESTED).map(|known| known.count).sum()
    }

    /// Adds a file.
    pub(super) fn add(&mut self, reason: &str, suspicious: bool, name: String) {
        let index = self.0.iter().position(|known| known.reason == reason).unwrap_or_else(|| {
            self.0.push(Reason { reason: reason.to_owned(), count: 0, names: Vec::new(), suspicious });
            self.0.len() - 1
        });
        let known = &mut self.0[index];
        known.count += 1;
        known.suspicious |= suspicious;
        if known.names.len() < NAMED_MAX {
            known.names.push(name);
        }
    }

    /// Returns a fact for each reason: `left out, REASON` with the number, the doubt and the first names.
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let fact = |Reason { reason, count, names, suspicious }: &Reason| {
            let doubt = if *suspicious { DOUBT } else { "" };
            (format!("{FACT}{reason}"), format!("{count}{doubt}: {}", names.join(SEPARATOR)))
        };
        self.0.iter().map(fact).collect()
    }

    /// Reads facts; others than those of [`LeftOut::facts`] are passed over.
    pub(super) fn of_facts(facts: &[(String, String)]) -> Self {
        let reason = |(name, value): &(String, String)| {
            let (count, names) = value.split_once(": ")?;
            Some(Reason {
                reason: name.strip_prefix(FACT)?.to_owned(),
                suspicious: count.ends_with(DOUBT),
                count: count.trim_end_matches(DOUBT).parse().ok()?,
                names: names.split(SEPARATOR).map(str::to_owned).collect(),
            })
        };
        Self(facts.iter().filter_map(reason).collect())
    }
}

const FACT: &str = "left out, ";
const DOUBT: &str = ", perhaps images";
const SEPARATOR: &str = ", ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_told_by_facts_of_the_key() {
        let mut left_out = LeftOut::default();
        for number in 0..7 {
            left_out.add(LeftOut::NESTED, true, format!("a/p/{number}.png"));
        }
        left_out.add("ending .txt, which is not read", false, "a/notes.txt".to_owned());
        let facts = left_out.facts();
        assert_eq!(facts[1], ("left out, ending .txt, which is not read".to_owned(), "1: a/notes.txt".to_owned()));
        assert_eq!(LeftOut::of_facts(&facts), left_out);
    }
}
