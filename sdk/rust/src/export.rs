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
/// | `mail` | `fn() -> impl Answer` | MAIL FROM has been given |
/// | `rcpt` | `fn(&str) -> impl Answer` | RCPT TO names this recipient |
/// | `message` | `fn() -> impl Answer` | the message is here and not yet answered for |
/// | `deliver` | `fn(&str) -> impl Answer` | for each local recipient, before filing |
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
                $function()
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
    ($other:ident, $filter:ident, $function:path) => {
        ::core::compile_error!(::core::concat!(
            "there is no hook `", ::core::stringify!($other),
            "`: the hooks are load, connect, mail, rcpt, message and deliver"
        ));
    };
}
