//! What a split promises, over 100,000 keys.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    name: String,
    weight: u32,
}

impl Weighted for Version {
    fn identity(&self) -> Identity {
        Identity::of(&self.name)
    }

    fn weight(&self) -> u32 {
        self.weight
    }
}

const KEYS: u64 = 100_000;

fn versions(weights: &[(&str, u32)]) -> Vec<Version> {
    let version = |(name, weight): &(&str, u32)| Version {
        name: (*name).to_owned(),
        weight: *weight,
    };
    weights.iter().map(version).collect()
}

/// Who has each key. Keys are hashes in life; counting up is the worst that could come.
fn owners(targets: &[Version]) -> Vec<&str> {
    let owner = |key| &*choose(targets, SplitKey(key)).unwrap().name;
    (0..KEYS).map(owner).collect()
}

fn count(owners: &[&str], name: &str) -> f64 {
    owners.iter().filter(|owner| **owner == name).count() as f64
}

/// Six standard deviations, and some keys where the share is too small for those to mean much: a
/// sound split fails one run in many millions.
fn assert_share(had: f64, share: f64) {
    let keys = KEYS as f64;
    let error = 6.0 * (keys * share * (1.0 - share)).sqrt() + 10.0;
    assert!(
        (had - keys * share).abs() <= error,
        "{had} of {keys} keys where the share is {share}"
    );
}

fn assert_shares(targets: &[Version], owners: &[&str]) {
    let total: f64 = targets.iter().map(|target| f64::from(target.weight)).sum();
    for target in targets {
        assert_share(
            count(owners, &target.name),
            f64::from(target.weight) / total,
        );
    }
}

/// Different names, 2 to 6 targets, at least one with a weight.
fn split() -> impl Strategy<Value = Vec<Version>> {
    let weight = prop_oneof![1 => Just(0_u32), 6 => 1_u32..=100, 1 => 1_u32..=1_000_000];
    prop::collection::btree_map("[a-z0-9-]{1,12}", weight, 2..=6)
        .prop_map(|targets| {
            let version = |(name, weight)| Version { name, weight };
            targets.into_iter().map(version).collect::<Vec<_>>()
        })
        .prop_filter("somebody has a weight", |targets| {
            targets.iter().any(|target| target.weight > 0)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn shares_are_weights_and_order_is_nothing(
        targets in split(), rotation in 0_usize..6, factor in 2_u32..10,
    ) {
        let before = owners(&targets);
        assert_shares(&targets, &before);
        let mut other = targets.clone();
        other.rotate_left(rotation % targets.len());
        other.swap(0, 1);
        prop_assert!(before == owners(&other), "reordering moves nobody");
        other.iter_mut().for_each(|target| target.weight *= factor);
        prop_assert!(before == owners(&other), "nor does a common factor");
    }

    #[test]
    fn a_raised_weight_only_takes_and_a_lowered_one_only_gives(
        targets in split(), place in 0_usize..6, more in 1_u32..200,
    ) {
        let place = place % targets.len();
        let mut raised = targets.clone();
        raised[place].weight += more;
        let name = &targets[place].name;
        let (low, high) = (owners(&targets), owners(&raised));
        let moved = low.iter().zip(&high).filter(|(low, high)| low != high);
        for (from, to) in moved {
            prop_assert!(from != name, "read upwards nobody leaves it");
            prop_assert_eq!(to, name, "and nobody goes elsewhere");
        }
        assert_shares(&raised, &high);
    }

    #[test]
    fn who_comes_only_takes_and_who_goes_only_gives(targets in split(), place in 0_usize..6) {
        let mut fewer = targets.clone();
        let comes = fewer.remove(place % targets.len());
        prop_assume!(fewer.iter().any(|target| target.weight > 0));
        for (without, with) in owners(&fewer).iter().zip(owners(&targets)) {
            prop_assert!(*without == with || with == comes.name);
        }
    }
}

#[test]
fn from_90_10_to_70_30_a_fifth_moves_and_all_of_it_to_the_canary() {
    let before = versions(&[("stable", 90), ("canary", 10)]);
    let after = versions(&[("stable", 70), ("canary", 30)]);
    let (before, after) = (owners(&before), owners(&after));
    let moved = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before != after);
    let (to_canary, back): (Vec<_>, Vec<_>) = moved.partition(|(_, after)| **after == "canary");
    assert!(back.is_empty());
    assert_share(to_canary.len() as f64, 0.2);
    assert_eq!(
        count(&after, "canary") - count(&before, "canary"),
        to_canary.len() as f64
    );
}

#[test]
fn without_a_weight_there_is_nobody() {
    let targets = versions(&[("stable", 1), ("dark", 0)]);
    assert_eq!(count(&owners(&targets), "dark"), 0.0);
    assert_eq!(choose(&targets[1..], SplitKey(7)), None);
    assert_eq!(choose::<Version>(&[], SplitKey(7)), None);
}

/// Two routes with targets of other names are split independently: 30 % of 30 % is 9 %.
#[test]
fn splits_by_other_names_are_independent() {
    let one = versions(&[("stable", 70), ("canary", 30)]);
    let other = versions(&[("old", 70), ("new", 30)]);
    let (one, other) = (owners(&one), owners(&other));
    let both = one
        .iter()
        .zip(&other)
        .filter(|pair| *pair == (&"canary", &"new"));
    assert_share(both.count() as f64, 0.09);
}

/// Recorded: a change would move conversations when a gateway is updated.
#[test]
fn owners_are_the_same_in_every_version() {
    let targets = versions(&[("stable", 60), ("canary", 40)]);
    let first: String = (0..32)
        .map(
            |key| match &*choose(&targets, SplitKey(key)).unwrap().name {
                "canary" => 'c',
                _ => 's',
            },
        )
        .collect();
    assert_eq!(first, "scsccsssscscsssccsscccsscsssscss");
}
