//! The generated side of the contract. Nothing in here is part of the crate's interface but what `lib.rs` lets out.
#![allow(missing_docs, clippy::all)]

/// All abilities. The linker drops those that a filter does not call.
mod abilities {
    wit_bindgen::generate!({
        path: "../wit",
        world: "wasmilter:filter/abilities",
        additional_derives: [PartialEq, Clone],
        generate_all,
    });
}

pub use abilities::wasmilter::filter::*;

// One world for each hook, so that a filter has the exports that it names and no other.

pub mod load {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world load-hook { export wasmilter:filter/on-load@0.1.1; }",
        world: "wasmilter:sdk/load-hook",
        pub_export_macro: true,
        export_macro_name: "export_load",
        type_section_suffix: "load",
    });
    pub use exports::wasmilter::filter::on_load::Guest;
}

pub mod connect {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world connect-hook { export wasmilter:filter/on-connect@0.1.1; }",
        world: "wasmilter:sdk/connect-hook",
        with: { "wasmilter:filter/types@0.1.1": crate::bindings::types },
        pub_export_macro: true,
        export_macro_name: "export_connect",
        type_section_suffix: "connect",
    });
    pub use exports::wasmilter::filter::on_connect::Guest;
}

pub mod mail {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world mail-hook { export wasmilter:filter/on-mail@0.1.1; }",
        world: "wasmilter:sdk/mail-hook",
        with: { "wasmilter:filter/types@0.1.1": crate::bindings::types },
        pub_export_macro: true,
        export_macro_name: "export_mail",
        type_section_suffix: "mail",
    });
    pub use exports::wasmilter::filter::on_mail::Guest;
}

pub mod rcpt {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world rcpt-hook { export wasmilter:filter/on-rcpt@0.1.1; }",
        world: "wasmilter:sdk/rcpt-hook",
        with: { "wasmilter:filter/types@0.1.1": crate::bindings::types },
        pub_export_macro: true,
        export_macro_name: "export_rcpt",
        type_section_suffix: "rcpt",
    });
    pub use exports::wasmilter::filter::on_rcpt::Guest;
}

pub mod message {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world message-hook { export wasmilter:filter/on-message@0.1.1; }",
        world: "wasmilter:sdk/message-hook",
        with: { "wasmilter:filter/types@0.1.1": crate::bindings::types },
        pub_export_macro: true,
        export_macro_name: "export_message",
        type_section_suffix: "message",
    });
    pub use exports::wasmilter::filter::on_message::Guest;
}

pub mod deliver {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world deliver-hook { export wasmilter:filter/on-deliver@0.1.1; }",
        world: "wasmilter:sdk/deliver-hook",
        with: { "wasmilter:filter/types@0.1.1": crate::bindings::types },
        pub_export_macro: true,
        export_macro_name: "export_deliver",
        type_section_suffix: "deliver",
    });
    pub use exports::wasmilter::filter::on_deliver::Guest;
}

pub mod helo {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world helo-hook { export wasmilter:filter/on-helo@0.1.1; }",
        world: "wasmilter:sdk/helo-hook",
        with: { "wasmilter:filter/types@0.1.1": crate::bindings::types },
        pub_export_macro: true,
        export_macro_name: "export_helo",
        type_section_suffix: "helo",
    });
    pub use exports::wasmilter::filter::on_helo::Guest;
}

pub mod relay {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world relay-hook { export wasmilter:filter/on-relay@0.1.1; }",
        world: "wasmilter:sdk/relay-hook",
        with: { "wasmilter:filter/types@0.1.1": crate::bindings::types },
        pub_export_macro: true,
        export_macro_name: "export_relay",
        type_section_suffix: "relay",
    });
    pub use exports::wasmilter::filter::on_relay::Guest;
}

pub mod outcome {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world outcome-hook { export wasmilter:filter/on-outcome@0.1.1; }",
        world: "wasmilter:sdk/outcome-hook",
        additional_derives: [PartialEq, Clone],
        pub_export_macro: true,
        export_macro_name: "export_outcome",
        type_section_suffix: "outcome",
    });
    pub use exports::wasmilter::filter::on_outcome::Guest;
    pub use exports::wasmilter::filter::on_outcome::{Outcome, What};
}

pub mod moved {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world moved-hook { export wasmilter:filter/on-moved@0.1.1; }",
        world: "wasmilter:sdk/moved-hook",
        additional_derives: [PartialEq, Clone],
        pub_export_macro: true,
        export_macro_name: "export_moved",
        type_section_suffix: "moved",
    });
    pub use exports::wasmilter::filter::on_moved::Change;
    pub use exports::wasmilter::filter::on_moved::Guest;
}
