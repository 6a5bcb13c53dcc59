//! Splices and times as the index holds them.
//! Does not check that splices fit the message: `Content` does.

use crate::mail::{Insert, Splice};
use crate::store::StoreError;
use bytes::Bytes;
use jiff::Timestamp;

/// Octets of an insert past which it is kept apart from the splices, once for all copies of a message.
const LONG: u64 = 16 * 1024;

/// Splices as the index holds them.
#[derive(Debug, Default, PartialEq)]
pub struct Encoded {
    pub octets: Vec<u8>,
    /// Which of them put in octets that are kept apart, and these.
    pub long: Vec<(u64, Insert)>,
}

/// For each splice: octets since the end of the last one, octets to leave out, octets to put in, and these. Numbers in LEB128. Long
/// octets are not among them.
pub fn encode_splices(splices: &[Splice]) -> Encoded {
    let mut out = Encoded::default();
    let mut end = 0;
    for (nth, splice) in (0..).zip(splices) {
        put_number(&mut out.octets, splice.at.saturating_sub(end));
        put_number(&mut out.octets, splice.remove);
        match splice.insert.in_memory() {
            Some(insert) if insert.len() as u64 <= LONG => {
                put_number(&mut out.octets, insert.len() as u64);
                out.octets.extend_from_slice(insert);
            }
            _ => {
                put_number(&mut out.octets, 0);
                out.long.push((nth, splice.insert.clone()));
            }
        }
        end = splice.at.saturating_add(splice.remove);
    }
    out
}

/// None if it is not what `encode_splices` writes.
pub fn decode_splices(octets: Vec<u8>, long: Vec<(u64, Insert)>) -> Option<Vec<Splice>> {
    let mut rest = Bytes::from(octets);
    let mut splices = Vec::new();
    let mut end = 0u64;
    while !rest.is_empty() {
        let at = end.checked_add(take_number(&mut rest)?)?;
        let remove = take_number(&mut rest)?;
        let length = usize::try_from(take_number(&mut rest)?).ok()?;
        if length > rest.len() {
            return None;
        }
        let insert = rest.split_to(length).into();
        end = at.checked_add(remove)?;
        splices.push(Splice { at, remove, insert });
    }
    for (nth, insert) in long {
        splices.get_mut(usize::try_from(nth).ok()?)?.insert = insert;
    }
    Some(splices)
}

/// Pairs of the number of a splice and the blob that it puts in. None for none.
pub fn encode_long(long: &[(u64, i64)]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (nth, blob) in long {
        put_number(&mut out, *nth);
        put_number(&mut out, unsigned(*blob));
    }
    (!out.is_empty()).then_some(out)
}

/// None if it is not what `encode_long` writes.
pub fn decode_long(octets: Vec<u8>) -> Option<Vec<(u64, i64)>> {
    let mut rest = Bytes::from(octets);
    let mut long = Vec::new();
    while !rest.is_empty() {
        let nth = take_number(&mut rest)?;
        long.push((nth, signed(take_number(&mut rest)?)));
    }
    Some(long)
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(rest: &mut Bytes) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let octet = *rest.first()?;
        let _ = rest.split_to(1);
        number |= u64::from(octet & 0x7f).checked_shl(shift)?;
        if octet < 0x80 {
            return Some(number);
        }
    }
    None
}

pub fn to_millis(time: Timestamp) -> i64 {
    time.as_millisecond()
}

pub fn from_millis(millis: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(millis).map_err(|error| {
        StoreError::Failed(format!("index.sqlite holds an impossible time: {error}"))
    })
}

/// SQLite's integers are signed; nothing that is counted here comes near 2⁶³.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn splices_come_back(steps in proptest::collection::vec((0u64..1 << 40, 0u64..1 << 40, "[a-z]{0,200}", 0usize..200), 0..9)) {
            let mut end = 0;
            let splices: Vec<_> = steps.into_iter().map(|(gap, remove, insert, times)| {
                let at = end + gap;
                end = at + remove;
                Splice { at, remove, insert: insert.repeat(times).into() }
            }).collect();
            let encoded = encode_splices(&splices);
            prop_assert!(encoded.octets.len() < 9 * 17 * 1024);
            prop_assert_eq!(decode_splices(encoded.octets, encoded.long), Some(splices));
        }

        #[test]
        fn any_octets_are_decoded_or_refused(octets: Vec<u8>) {
            let _ = decode_splices(octets.clone(), vec![(3, "x".into())]);
            let _ = decode_long(octets);
        }

        #[test]
        fn long_inserts_come_back(long in proptest::collection::vec((0u64..1 << 40, 0i64..1 << 40), 0..9)) {
            prop_assert_eq!(decode_long(encode_long(&long).unwrap_or_default()), Some(long));
        }
    }

    #[test]
    fn no_splices_take_no_room() {
        assert_eq!(encode_splices(&[]), Encoded::default());
        assert_eq!(encode_long(&[]), None);
    }
}
