//! Finds a byte that is probably near. memchr is unbeaten over long distances, but its start costs
//! as much as looking at some forty bytes, and quotes and backslashes stand closer in source code.

use memchr::memchr;

/// Bytes looked at in one step; eight fill a register.
pub(super) const STEP_BYTES: usize = 8;

/// How far to look step by step.
pub(super) const NEAR_BYTES: usize = 64;

/// The position of the first `wanted` among eight bytes.
#[inline]
pub(super) fn find_in_step(wanted: u8, step: [u8; STEP_BYTES]) -> Option<usize> {
    const LOW_BITS: u64 = u64::MAX / 0xff;
    // Mycroft's test: the lowest high bit left is that of the first byte that became zero.
    let zeroed = u64::from_le_bytes(step) ^ (LOW_BITS * u64::from(wanted));
    let found = zeroed.wrapping_sub(LOW_BITS) & !zeroed & (LOW_BITS << 7);
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

/// The position of the first `wanted` in a text.
#[inline]
pub(super) fn find(wanted: u8, text: &[u8]) -> Option<usize> {
    let mut from = 0;
    for step in text
        .as_chunks::<STEP_BYTES>()
        .0
        .iter()
        .take(NEAR_BYTES / STEP_BYTES)
    {
        if let Some(offset) = find_in_step(wanted, *step) {
            return Some(from + offset);
        }
        from += STEP_BYTES;
    }
    memchr(wanted, &text[from..]).map(|offset| from + offset)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_memchr_finds(
            text in proptest::collection::vec(prop_oneof![8 => Just(b'a'), 1 => any::<u8>()], 0..200),
            wanted in prop_oneof![Just(b'"'), Just(b'\\'), any::<u8>()],
        ) {
            prop_assert_eq!(find(wanted, &text), memchr(wanted, &text));
        }
    }
}
