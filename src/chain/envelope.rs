//! Edits of the envelope, as they take effect when a hook has returned.
//! Doesn't know whose mailbox an address is: it asks.

use super::Draft;
use crate::mail::{Address, Edit, Envelope, EnvelopeEdit, Recipient, ReversePath, Turn};
use crate::proto::smtp::arguments;
use async_trait::async_trait;
use std::sync::Arc;

/// Whether this server takes mail for an address that a filter adds.
#[async_trait]
pub trait Admit: Send + Sync {
    /// An error says why not.
    async fn admit(&self, address: &Address, envelope: &Envelope) -> Result<(), String>;
}

/// What is refused is moved from the edits of the turn to its refusals.
pub(super) async fn apply(
    admit: Option<&dyn Admit>,
    turn: &mut Turn,
    envelope: &mut Arc<Envelope>,
    mut draft: Option<&mut Draft>,
) {
    let is_ours = |edit: &Edit| matches!(edit, Edit::Envelope(_));
    if !turn.edits.iter().any(|scoped| is_ours(&scoped.edit)) {
        return;
    }
    for scoped in std::mem::take(&mut turn.edits) {
        let changed = match &scoped.edit {
            Edit::Envelope(edit) => change(admit, edit, envelope, draft.as_deref_mut()).await,
            _ => Ok(()),
        };
        match changed {
            Ok(()) => turn.edits.push(scoped),
            Err(why) => turn.refused.push(why),
        }
    }
}

async fn change(
    admit: Option<&dyn Admit>,
    edit: &EnvelopeEdit,
    envelope: &mut Arc<Envelope>,
    draft: Option<&mut Draft>,
) -> Result<(), String> {
    match edit {
        EnvelopeEdit::SetSender {
            sender, arguments, ..
        } => {
            let given = arguments.as_deref().map(arguments::of_sender).transpose();
            let refused = |why: String| format!("envelope-edit.set-sender: {why}");
            let given = given.map_err(|reply| refused(reply.to_string()))?;
            if let ReversePath::Address(address) = sender {
                envelope.allows(address).map_err(refused)?;
            }
            let envelope = Arc::make_mut(envelope);
            envelope.sender = sender.clone();
            if let Some((ret, envid)) = given {
                (envelope.ret, envelope.envid) = (ret, envid);
            }
        }
        EnvelopeEdit::AddRecipient { address, arguments } => {
            if envelope.has(address) {
                return Ok(());
            }
            let refused = |why: String| format!("envelope-edit.add-recipient <{address}>: {why}");
            envelope.allows(address).map_err(refused)?;
            let arguments = arguments.as_deref().unwrap_or_default();
            let (notify, original) =
                arguments::of_recipient(arguments).map_err(|reply| refused(reply.to_string()))?;
            if let Some(admit) = admit {
                admit.admit(address, envelope).await.map_err(refused)?;
            }
            Arc::make_mut(envelope).recipients.push(Recipient {
                address: address.clone(),
                notify,
                original,
            });
            if let Some(draft) = draft {
                draft.add(address);
            }
        }
        EnvelopeEdit::RemoveRecipient { address } => {
            let recipients = &mut Arc::make_mut(envelope).recipients;
            recipients.retain(|recipient| recipient.address != *address);
            if let Some(draft) = draft {
                draft.remove(address);
            }
        }
    }
    Ok(())
}
