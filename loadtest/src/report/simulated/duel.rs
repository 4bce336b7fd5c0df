//! The default against the best of the others.

use super::Entry;

/// Ratios between this and its inverse are ties.
pub const TIE_RATIO: f64 = 1.05;

/// How the default stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ahead of everybody.
    Ahead,
    /// Level with the best.
    Tie,
    /// Somebody is better.
    Behind,
}

/// The default beside the best of the others in one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Duel<'a> {
    /// What the default carries.
    pub default: f64,
    /// The best of the others; the first of equals.
    pub rival: &'a str,
    /// What it carries.
    pub rival_carries: f64,
    /// Default over rival; 1 where both carry nothing.
    pub ratio: f64,
}

impl<'a> Duel<'a> {
    /// Among `entries`, which carry `loads`; none where the default is not among them, or alone.
    #[must_use]
    pub fn of(entries: &'a [Entry], loads: &[f64]) -> Option<Duel<'a>> {
        let both = || entries.iter().zip(loads.iter().copied());
        let (_, default) = both().find(|(entry, _)| entry.is_default)?;
        let mut rival: Option<(&Entry, f64)> = None;
        for (entry, load) in both().filter(|(entry, _)| !entry.is_default) {
            if rival.is_none_or(|(_, best)| load > best) {
                rival = Some((entry, load));
            }
        }
        let (rival, rival_carries) = rival?;
        Some(Duel {
            default,
            rival: &rival.policy,
            rival_carries,
            ratio: if default == rival_carries {
                1.0
            } else {
                default / rival_carries
            },
        })
    }

    /// Who won.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.ratio {
            ratio if ratio > TIE_RATIO => Verdict::Ahead,
            ratio if ratio < 1.0 / TIE_RATIO => Verdict::Behind,
            _ => Verdict::Tie,
        }
    }
}

impl Verdict {
    /// In a word; what is not a victory stands out.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Ahead => "ahead",
            Verdict::Tie => "tie",
            Verdict::Behind => "BEHIND",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(names: &[&str]) -> Vec<Entry> {
        let entry = |name: &&str| Entry {
            policy: (*name).to_owned(),
            is_default: *name == "cost",
        };
        names.iter().map(entry).collect()
    }

    #[test]
    fn the_best_of_the_others_is_the_rival() {
        let entries = entries(&["a", "cost", "b", "c"]);
        let table = [
            ([1.0, 1.06, 0.5, 1.0], "a", Verdict::Ahead),
            ([1.0, 1.05, 0.5, 1.0], "a", Verdict::Tie),
            ([1.0, 1.0, 1.04, 1.0], "b", Verdict::Tie),
            ([1.0, 1.0, 0.1, 1.06], "c", Verdict::Behind),
            ([0.0, 0.0, 0.0, 0.0], "a", Verdict::Tie),
            ([0.0, 0.1, 0.0, 0.0], "a", Verdict::Ahead),
            ([0.1, 0.0, 0.0, 0.0], "a", Verdict::Behind),
        ];
        for (loads, rival, verdict) in table {
            let duel = Duel::of(&entries, &loads).unwrap();
            assert_eq!((duel.rival, duel.verdict()), (rival, verdict), "{loads:?}");
        }
    }

    #[test]
    fn without_the_default_or_without_others_there_is_no_duel() {
        assert_eq!(Duel::of(&entries(&["a", "b"]), &[1.0, 2.0]), None);
        assert_eq!(Duel::of(&entries(&["cost"]), &[1.0]), None);
    }
}
