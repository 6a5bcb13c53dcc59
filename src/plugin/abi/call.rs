//! Hooks as functions of a component: what each takes and what it returns.

use super::answer;
use super::generated::exports::wasmilter::filter::{on_moved, on_outcome};
use super::generated::types;
use crate::mail::{Became, Call, Hook, Moved, Verdict, What};
use crate::plugin::state::State;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower};
use wasmtime::{Result, Store};

/// What is called at a hook whose answer is awaited.
type VerdictAnswer = (types::Verdict,);

/// Whether the hook has the contract's signature.
pub fn check(
    store: &mut Store<State>,
    instance: &Instance,
    index: &ComponentExportIndex,
    hook: Hook,
) -> Result<()> {
    match hook {
        Hook::Connect | Hook::Mail | Hook::Message => instance
            .get_typed_func::<(), VerdictAnswer>(store, index)
            .map(drop),
        Hook::Helo | Hook::Rcpt | Hook::Deliver => instance
            .get_typed_func::<(String,), VerdictAnswer>(store, index)
            .map(drop),
        Hook::Relay => instance
            .get_typed_func::<(String, String), VerdictAnswer>(store, index)
            .map(drop),
        Hook::Outcome => instance
            .get_typed_func::<(on_outcome::Outcome,), ()>(store, index)
            .map(drop),
        Hook::Moved => instance
            .get_typed_func::<(on_moved::Change,), ()>(store, index)
            .map(drop),
    }
}

/// Calls a hook. The inner error is what is wrong with its answer.
pub async fn call(
    store: &mut Store<State>,
    instance: &Instance,
    index: &ComponentExportIndex,
    call: &Call,
) -> Result<Result<Verdict, String>> {
    match call {
        Call::Connect | Call::Mail | Call::Message => ask(store, instance, index, ()).await,
        Call::Helo(name) => ask(store, instance, index, (name.clone(),)).await,
        Call::Rcpt(recipient) | Call::Deliver(recipient) => {
            ask(store, instance, index, (recipient.to_string(),)).await
        }
        Call::Relay {
            recipient,
            next_hop,
        } => {
            ask(
                store,
                instance,
                index,
                (recipient.to_string(), next_hop.clone()),
            )
            .await
        }
        Call::Outcome(became) => tell(store, instance, index, (outcome(became),)).await,
        Call::Moved(moved) => tell(store, instance, index, (change(moved),)).await,
    }
}

async fn ask<P: ComponentNamedList + Lower + Send + Sync + 'static>(
    store: &mut Store<State>,
    instance: &Instance,
    index: &ComponentExportIndex,
    parameters: P,
) -> Result<Result<Verdict, String>> {
    let function = instance.get_typed_func::<P, VerdictAnswer>(&mut *store, index)?;
    let (verdict,) = function.call_async(store, parameters).await?;
    Ok(answer::verdict(verdict))
}

async fn tell<P: ComponentNamedList + Lower + Lift + Send + Sync + 'static>(
    store: &mut Store<State>,
    instance: &Instance,
    index: &ComponentExportIndex,
    parameters: P,
) -> Result<Result<Verdict, String>> {
    let function = instance.get_typed_func::<P, ()>(&mut *store, index)?;
    function.call_async(store, parameters).await?;
    Ok(Ok(Verdict::Continue))
}

fn outcome(became: &Became) -> on_outcome::Outcome {
    on_outcome::Outcome {
        recipient: became.recipient.to_string(),
        what: match became.what {
            What::Delivered => on_outcome::What::Delivered,
            What::Deferred => on_outcome::What::Deferred,
            What::Bounced => on_outcome::What::Bounced,
            What::Quarantined => on_outcome::What::Quarantined,
            What::Discarded => on_outcome::What::Discarded,
            What::Refused => on_outcome::What::Refused,
        },
        where_: became.place.clone(),
        detail: became.detail.clone(),
    }
}

fn change(moved: &Moved) -> on_moved::Change {
    on_moved::Change {
        account: moved.account.clone(),
        from: moved.from.clone(),
        to: moved.to.clone(),
        added: moved.added.clone(),
        removed: moved.removed.clone(),
    }
}
