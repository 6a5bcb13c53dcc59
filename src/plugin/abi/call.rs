//! Hooks as functions of a component: what each takes and what it returns.

use super::answer;
use super::generated::exports::wasmilter::filter::{on_moved, on_outcome};
use super::generated::types;
use crate::mail::{Became, Call, Hook, Moved, Verdict, What};
use crate::plugin::state::State;
use wasmtime::component::{ComponentExportIndex, Instance, TypedFunc};
use wasmtime::{Result, Store, bail};

/// What is called at a hook whose answer is awaited.
type VerdictAnswer = (types::Verdict,);

/// The function of an instance that a hook is, its signature that of the contract.
#[derive(Clone, Copy)]
pub enum Function {
    Bare(TypedFunc<(), VerdictAnswer>),
    Named(TypedFunc<(String,), VerdictAnswer>),
    Relay(TypedFunc<(String, String), VerdictAnswer>),
    Outcome(TypedFunc<(on_outcome::Outcome,), ()>),
    Moved(TypedFunc<(on_moved::Change,), ()>),
}

impl Function {
    /// An error if it has another signature.
    pub fn find(
        store: &mut Store<State>,
        instance: &Instance,
        index: &ComponentExportIndex,
        hook: Hook,
    ) -> Result<Self> {
        Ok(match hook {
            Hook::Connect | Hook::Mail | Hook::Message => {
                Self::Bare(instance.get_typed_func(store, index)?)
            }
            Hook::Helo | Hook::Rcpt | Hook::Deliver => {
                Self::Named(instance.get_typed_func(store, index)?)
            }
            Hook::Relay => Self::Relay(instance.get_typed_func(store, index)?),
            Hook::Outcome => Self::Outcome(instance.get_typed_func(store, index)?),
            Hook::Moved => Self::Moved(instance.get_typed_func(store, index)?),
        })
    }

    /// The inner error is what is wrong with its answer.
    pub async fn call(
        self,
        store: &mut Store<State>,
        call: &Call,
    ) -> Result<Result<Verdict, String>> {
        let (verdict,) = match (self, call) {
            (Self::Bare(function), Call::Connect | Call::Mail | Call::Message) => {
                function.call_async(store, ()).await?
            }
            (Self::Named(function), Call::Helo(name)) => {
                function.call_async(store, (name.clone(),)).await?
            }
            (Self::Named(function), Call::Rcpt(recipient) | Call::Deliver(recipient)) => {
                function.call_async(store, (recipient.to_string(),)).await?
            }
            (
                Self::Relay(function),
                Call::Relay {
                    recipient,
                    next_hop,
                },
            ) => {
                let arguments = (recipient.to_string(), next_hop.clone());
                function.call_async(store, arguments).await?
            }
            (Self::Outcome(function), Call::Outcome(became)) => {
                function.call_async(store, (outcome(became),)).await?;
                return Ok(Ok(Verdict::Continue));
            }
            (Self::Moved(function), Call::Moved(moved)) => {
                function.call_async(store, (change(moved),)).await?;
                return Ok(Ok(Verdict::Continue));
            }
            (_, call) => bail!("on-{} is called as another hook", call.hook()),
        };
        Ok(answer::verdict(verdict))
    }
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
