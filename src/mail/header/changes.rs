//! What turned the received fields into others, as single changes in an order in which each can be made on its own.
//! For protocols that change a message field by field; where octets are written, splices do.

use super::{Field, Header, Origin};

/// One change. Numbers are those at the time when all changes before it have been made.
#[derive(Debug, Clone, Copy)]
pub enum FieldChange<'a> {
    /// The `nth` field of this one's name, counted from 1, becomes this one.
    Replace { nth: u32, field: &'a Field },
    /// The `nth` field of this one's name goes away.
    Remove { nth: u32, field: &'a Field },
    /// Above all others.
    Top { field: &'a Field },
    /// Before the field with this index, counted from 0, which is not 0.
    Insert { at: u32, field: &'a Field },
    /// At the end.
    Append { field: &'a Field },
}

impl Header {
    /// What turns `received` into this header, which came of it. Removals go from the last field to the first, so that it makes no
    /// difference whether one that is removed counts on.
    pub fn changes_since<'a>(&'a self, received: &'a Self) -> Vec<FieldChange<'a>> {
        let mut kept = vec![None; received.fields.len()];
        for (index, field) in self.fields.iter().enumerate() {
            if let Origin::Received(origin) | Origin::Changed(origin) = field.origin
                && let Some(kept) = kept.get_mut(origin)
            {
                *kept = Some(index);
            }
        }
        let mut changes = Vec::new();
        for (origin, was) in received.fields.iter().enumerate().rev() {
            let now = kept.get(origin).copied().flatten();
            let now = now.and_then(|index| self.fields.get(index));
            if was.colon == 0 || now.is_some_and(|now| now.origin == Origin::Received(origin)) {
                continue;
            }
            let before = received.fields.iter().take(origin);
            let nth = 1 + before.filter(|other| other.is(&was.name())).count() as u32;
            changes.push(match now {
                Some(field) => FieldChange::Replace { nth, field },
                None => FieldChange::Remove { nth, field: was },
            });
        }
        let is_added = |field: &Field| field.origin == Origin::Added;
        let top = self
            .fields
            .iter()
            .take_while(|field| is_added(field))
            .count();
        let bottom = self
            .fields
            .iter()
            .rev()
            .take_while(|field| is_added(field))
            .count();
        let end = self.fields.len() - bottom;
        if top < self.fields.len() {
            let leading = self.fields.iter().take(top).rev();
            changes.extend(leading.map(|field| FieldChange::Top { field }));
        }
        for (at, field) in self.fields.iter().enumerate().take(end).skip(top) {
            if is_added(field) {
                let at = at as u32;
                changes.push(FieldChange::Insert { at, field });
            }
        }
        let trailing = self.fields.iter().skip(end);
        changes.extend(trailing.map(|field| FieldChange::Append { field }));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{FieldName, HeaderEdit, Line};
    use bytes::Bytes;
    use proptest::prelude::*;

    /// A header as a mail server without any idea of splices keeps it.
    fn make(received: &Header, changes: &[FieldChange<'_>], removed_count: bool) -> Vec<Bytes> {
        let mut list: Vec<_> = received
            .fields()
            .iter()
            .map(|field| {
                (
                    field.name().to_ascii_lowercase(),
                    Some(field.octets().clone()),
                )
            })
            .collect();
        let find = |list: &[(String, Option<Bytes>)], field: &Field, nth: u32| {
            let name = field.name().to_ascii_lowercase();
            let mut of_name = list.iter().enumerate().filter(|(_, (other, octets))| {
                *other == name && (removed_count || octets.is_some())
            });
            of_name.nth(nth as usize - 1).unwrap().0
        };
        for change in changes {
            let named = |field: &Field| {
                (
                    field.name().to_ascii_lowercase(),
                    Some(field.octets().clone()),
                )
            };
            match change {
                FieldChange::Replace { nth, field } => {
                    let at = find(&list, field, *nth);
                    list[at] = named(field);
                }
                FieldChange::Remove { nth, field } => {
                    let at = find(&list, field, *nth);
                    list[at].1 = None;
                }
                FieldChange::Top { field } => list.insert(0, named(field)),
                FieldChange::Insert { at, field } => {
                    list.retain(|(_, octets)| octets.is_some());
                    list.insert(*at as usize, named(field));
                }
                FieldChange::Append { field } => list.push(named(field)),
            }
        }
        list.into_iter().filter_map(|(_, octets)| octets).collect()
    }

    fn edit() -> impl Strategy<Value = HeaderEdit> {
        let name = prop_oneof![Just("A"), Just("B"), Just("a")]
            .prop_map(|name| FieldName::new(name).unwrap());
        (0..4, name, 0u32..6, "[a-z]{1,3}").prop_map(|(kind, name, number, value)| {
            let value = crate::mail::FieldValue::from(Line::new(value).unwrap());
            let was = String::new();
            match kind {
                0 => HeaderEdit::Add { name, value },
                1 => HeaderEdit::Insert {
                    at: number,
                    name,
                    value,
                },
                2 => HeaderEdit::Change {
                    name,
                    nth: number,
                    value,
                    was,
                },
                _ => HeaderEdit::Remove {
                    name,
                    nth: number,
                    was,
                },
            }
        })
    }

    proptest! {
        #[test]
        fn made_one_by_one_they_lead_to_the_same_header(
            fields in proptest::collection::vec("[ABa]", 0..6),
            edits in proptest::collection::vec(edit(), 0..8),
            removed_count: bool,
        ) {
            let text: String = fields.iter().enumerate().map(|(i, name)| format!("{name}: {i}\r\n")).collect();
            let received = Header::parse(&Bytes::from(text));
            let mut header = received.clone();
            for edit in &edits {
                header.apply(edit);
            }
            let expected: Vec<_> = header.fields().iter().map(|field| field.octets().clone()).collect();
            prop_assert_eq!(make(&received, &header.changes_since(&received), removed_count), expected);
        }
    }
}
