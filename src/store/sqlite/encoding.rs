//! Splices and times as the index holds them.
//! Does not check that splices fit the message: `Content` does.

use crate::mail::Splice;
use crate::store::StoreError;
use bytes::Bytes;
use jiff::Timestamp;

/// For each splice: octets since the end of the last one, octets to leave out, octets to put in, and these. Numbers in LEB128.
pub fn encode_splices(splices: &[Splice]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut end = 0;
    for splice in splices {
        put_number(&mut out, splice.at.saturating_sub(end));
        put_number(&mut out, splice.remove);
        put_number(&mut out, splice.insert.len() as u64);
        out.extend_from_slice(&splice.insert);
        end = splice.at.saturating_add(splice.remove);
    }
    out
}

/// None if it is not what `encode_splices` writes.
pub fn decode_splices(octets: Vec<u8>) -> Option<Vec<Splice>> {
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
        let insert = rest.split_to(length);
        end = at.checked_add(remove)?;
        splices.push(Splice { at, remove, insert });
    }
    Some(splices)
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
        fn splices_come_back(steps in proptest::collection::vec((0u64..1 << 40, 0u64..1 << 40, "[a-z]{0,200}"), 0..9)) {
            let mut end = 0;
            let splices: Vec<_> = steps.into_iter().map(|(gap, remove, insert)| {
                let at = end + gap;
                end = at + remove;
                Splice { at, remove, insert: insert.into() }
            }).collect();
            prop_assert_eq!(decode_splices(encode_splices(&splices)), Some(splices));
        }

        #[test]
        fn any_octets_are_decoded_or_refused(octets: Vec<u8>) {
            let _ = decode_splices(octets);
        }
    }

    #[test]
    fn no_splices_take_no_room() {
        assert!(encode_splices(&[]).is_empty());
    }
}
