//! `header`: the fields as they stand after the edits so far.

use crate::mail::Field;
use crate::plugin::abi::generated::header::{Field as GuestField, Host};
use crate::plugin::state::State;

impl Host for State {
    fn fields(&mut self) -> Vec<GuestField> {
        self.count();
        let fields = self.header().map(|header| header.fields());
        fields
            .unwrap_or_default()
            .iter()
            .map(|field| GuestField {
                name: field.name().into_owned(),
                value: field.value().to_vec(),
            })
            .collect()
    }

    fn get(&mut self, name: String) -> Vec<String> {
        self.count();
        self.header()
            .map(|header| header.get(&name).map(Field::text).collect())
            .unwrap_or_default()
    }
}
