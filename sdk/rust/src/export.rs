//! The macro that makes functions the hooks of a filter.

use crate::Verdict;

/// What a hook may return: a [`Verdict`], or nothing for [`Verdict::Continue`].
pub trait Answer {
    fn verdict(self) -> Verdict;
}

impl Answer for Verdict {
    fn verdict(self) -> Verdict {
        self
    }
}

impl Answer for () {
    fn verdict(self) -> Verdict {
        Verdict::Continue
    }
}

/// None continues.
impl Answer for Option<Verdict> {
    fn verdict(self) -> Verdict {
        self.unwrap_or(Verdict::Continue)
    }
}

/// Makes functions the hooks of this filter: `export!(load = start, message = check);`, once in a crate.
///
/// | hook | function | called |
/// |---|---|---|
/// | `load` | `fn() -> Result<(), String>` | once, when the plugin is loaded; what is in memory then is what every transaction starts with |
/// | `connect` | `fn() -> impl Answer` | a client has connected |
/// | `helo` | `fn(&str) -> impl Answer` | EHLO, HELO or LHLO has been given with this name |
/// | `mail` | `fn() -> impl Answer` | MAIL FROM has been given |
/// | `rcpt` | `fn(&str) -> impl Answer` | RCPT TO names this recipient |
/// | `message` | `fn() -> impl Answer` | the message is here and not yet answered for |
/// | `deliver` | `fn(&str) -> impl Answer` | for each local recipient, before filing |
/// | `relay` | `fn(&str, &str) -> impl Answer` | for each recipient whose message is handed to a next hop, with that hop |
/// | `outcome` | `fn(&Outcome)` | what became of the message for one recipient; nobody waits for it |
/// | `moved` | `fn(&Change)` | a person moved or flagged a message; nobody waits for it |
#[macro_export]
macro_rules! export {
    ($($hook:ident = $function:path),+ $(,)?) => {
        // Off wasm nothing calls the hooks.
        #[allow(dead_code)]
        const _: () = {
            struct Filter;
            $( $crate::__export_hook!($hook, Filter, $function); )+
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    (load, $filter:ident, $function:path) => {
        impl $crate::bindings::load::Guest for $filter {
            fn handle() -> ::core::result::Result<(), ::std::string::String> {
                $function()?;
                $crate::make_room();
                ::core::result::Result::Ok(())
            }
        }
        // Elsewhere these symbols do not link, and a crate with rlib beside cdylib could not be tested.
        #[cfg(target_family = "wasm")]
        $crate::bindings::load::export_load!($filter with_types_in $crate::bindings::load);
    };
    (connect, $filter:ident, $function:path) => {
        impl $crate::bindings::connect::Guest for $filter {
            fn handle() -> $crate::Verdict {
                $crate::Answer::verdict($function())
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::connect::export_connect!($filter with_types_in $crate::bindings::connect);
    };
    (helo, $filter:ident, $function:path) => {
        impl $crate::bindings::helo::Guest for $filter {
            fn handle(name: ::std::string::String) -> $crate::Verdict {
                $crate::Answer::verdict($function(&name))
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::helo::export_helo!($filter with_types_in $crate::bindings::helo);
    };
    (mail, $filter:ident, $function:path) => {
        impl $crate::bindings::mail::Guest for $filter {
            fn handle() -> $crate::Verdict {
                $crate::Answer::verdict($function())
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::mail::export_mail!($filter with_types_in $crate::bindings::mail);
    };
    (rcpt, $filter:ident, $function:path) => {
        impl $crate::bindings::rcpt::Guest for $filter {
            fn handle(address: ::std::string::String) -> $crate::Verdict {
                $crate::Answer::verdict($function(&address))
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::rcpt::export_rcpt!($filter with_types_in $crate::bindings::rcpt);
    };
    (message, $filter:ident, $function:path) => {
        impl $crate::bindings::message::Guest for $filter {
            fn handle() -> $crate::Verdict {
                $crate::Answer::verdict($function())
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::message::export_message!($filter with_types_in $crate::bindings::message);
    };
    (deliver, $filter:ident, $function:path) => {
        impl $crate::bindings::deliver::Guest for $filter {
            fn handle(recipient: ::std::string::String) -> $crate::Verdict {
                $crate::Answer::verdict($function(&recipient))
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::deliver::export_deliver!($filter with_types_in $crate::bindings::deliver);
    };
    (relay, $filter:ident, $function:path) => {
        impl $crate::bindings::relay::Guest for $filter {
            fn handle(recipient: ::std::string::String, next_hop: ::std::string::String) -> $crate::Verdict {
                $crate::Answer::verdict($function(&recipient, &next_hop))
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::relay::export_relay!($filter with_types_in $crate::bindings::relay);
    };
    (outcome, $filter:ident, $function:path) => {
        impl $crate::bindings::outcome::Guest for $filter {
            fn handle(outcome: $crate::Outcome) {
                $function(&outcome)
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::outcome::export_outcome!($filter with_types_in $crate::bindings::outcome);
    };
    (moved, $filter:ident, $function:path) => {
        impl $crate::bindings::moved::Guest for $filter {
            fn handle(change: $crate::Change) {
                $function(&change)
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::moved::export_moved!($filter with_types_in $crate::bindings::moved);
    };
    ($other:ident, $filter:ident, $function:path) => {
        ::core::compile_error!(::core::concat!(
            "there is no hook `", ::core::stringify!($other),
            "`: the hooks are load, connect, helo, mail, rcpt, message, deliver, relay, outcome and moved"
        ));
    };
}
