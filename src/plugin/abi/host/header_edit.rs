//! `header-edit`: changes of the header, checked and recorded.

use super::only;
use crate::mail::{FieldName, FieldValue, HeaderEdit, Line};
use crate::plugin::abi::generated::header_edit::Host;
use crate::plugin::abi::generated::types::{Refusal, Scope};
use crate::plugin::capability::Ability;
use crate::plugin::state::{Refused, State, nothing_yet};

impl State {
    fn edit(
        &mut self,
        call: &str,
        scope: Scope,
        edit: impl FnOnce(&Self) -> Result<HeaderEdit, Refused>,
    ) -> Result<(), Refusal> {
        self.count();
        let result = self.checked_edit(scope, edit);
        self.answer(call, result)
    }

    fn checked_edit(
        &mut self,
        scope: Scope,
        edit: impl FnOnce(&Self) -> Result<HeaderEdit, Refused>,
    ) -> Result<(), Refused> {
        if self.view().is_none() {
            return Err(nothing_yet());
        }
        if self.header().is_none() {
            return Err(Refused::NoSuchThing(
                "there is no header at this hook: edit it at on-message or on-deliver".to_owned(),
            ));
        }
        let scope = self.scope(only(scope))?;
        let edit = edit(self)?;
        let (HeaderEdit::Add { name, .. }
        | HeaderEdit::Insert { name, .. }
        | HeaderEdit::Change { name, .. }
        | HeaderEdit::Remove { name, .. }) = &edit;
        self.allow(Ability::HeaderEdit, name.as_str())?;
        self.edit_header(edit, scope)
    }

    /// The text of the field that is to be changed.
    fn was(&self, name: &FieldName, nth: u32) -> Result<String, Refused> {
        let field = self
            .header()
            .and_then(|header| header.nth(name.as_str(), nth));
        let field = field.ok_or_else(|| {
            Refused::NoSuchThing(format!(
                "the header has no field {name} number {nth} (they count from 1)"
            ))
        })?;
        // Before it is decoded.
        self.has_room_for_old(field.octets().len())?;
        Ok(field.text())
    }
}

fn name(text: &str) -> Result<FieldName, Refused> {
    FieldName::new(text)
        .map_err(|error| Refused::BadValue(format!("the field name {text:?}: {error}")))
}

fn value(text: String) -> Result<FieldValue, Refused> {
    let line = Line::new(text).map_err(|error| Refused::BadValue(format!("the value: {error}")))?;
    Ok(line.into())
}

impl Host for State {
    fn add(&mut self, field: String, text: String, scope: Scope) -> Result<(), Refusal> {
        self.edit("header-edit.add", scope, |_| {
            let (name, value) = (name(&field)?, value(text)?);
            Ok(HeaderEdit::Add { name, value })
        })
    }

    fn insert(
        &mut self,
        at: u32,
        field: String,
        text: String,
        scope: Scope,
    ) -> Result<(), Refusal> {
        self.edit("header-edit.insert", scope, |_| {
            let (name, value) = (name(&field)?, value(text)?);
            Ok(HeaderEdit::Insert { at, name, value })
        })
    }

    fn change(
        &mut self,
        field: String,
        nth: u32,
        text: String,
        scope: Scope,
    ) -> Result<(), Refusal> {
        self.edit("header-edit.change", scope, |state| {
            let (name, value) = (name(&field)?, value(text)?);
            let was = state.was(&name, nth)?;
            Ok(HeaderEdit::Change {
                name,
                nth,
                value,
                was,
            })
        })
    }

    fn remove(&mut self, field: String, nth: u32, scope: Scope) -> Result<(), Refusal> {
        self.edit("header-edit.remove", scope, |state| {
            let name = name(&field)?;
            let was = state.was(&name, nth)?;
            Ok(HeaderEdit::Remove { name, nth, was })
        })
    }
}
