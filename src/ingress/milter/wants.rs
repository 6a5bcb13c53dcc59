//! What is asked of a mail server for the filters of one generation: the commands that they need, and no others.
//! Knows no octets.

use crate::accept::Screen;
use crate::mail::Hook;
use crate::proto::milter::{Actions, Negotiated, Offer, Stage, Steps, Wants};

pub fn wants(screen: &Screen) -> Wants {
    let (hooks, uses) = (screen.hooks(), screen.uses());
    let reads_message = hooks.contains(Hook::Message) || screen.verifies();
    let mut actions = Actions::default();
    let mut act = |is_wanted, action| {
        if is_wanted {
            actions |= action;
        }
    };
    act(uses.header_edit || screen.tags(), Actions::ADD_HEADER);
    act(uses.header_edit, Actions::CHANGE_HEADER);
    act(uses.body_edit, Actions::CHANGE_BODY);
    act(
        uses.envelope_edit,
        Actions::CHANGE_SENDER | Actions::ADD_RECIPIENT | Actions::ADD_RECIPIENT_PARAMETERS,
    );
    // At `rcpt` the message to come may be discarded for one of them.
    act(
        uses.envelope_edit || hooks.contains(Hook::Rcpt),
        Actions::DELETE_RECIPIENT,
    );
    // Any filter may say so, and any failure may lead to it.
    act(!hooks.is_empty(), Actions::QUARANTINE);

    // Nothing is decided at these.
    let mut steps = Steps::NO_UNKNOWN
        | Steps::NO_DATA
        | Steps::NO_END_OF_HEADER
        | Steps::UNKNOWN_UNANSWERED
        | Steps::DATA_UNANSWERED
        | Steps::END_OF_HEADER_UNANSWERED
        | Steps::HEADER_UNANSWERED
        | Steps::LEADING_SPACE;
    // Where they come from and who they are for is known of all messages; without a hook nobody waits for it.
    for (is_asked, step) in [
        (hooks.contains(Hook::Connect), Steps::CONNECT_UNANSWERED),
        (hooks.contains(Hook::Helo), Steps::HELO_UNANSWERED),
        (
            hooks.contains(Hook::Mail) || screen.verifies(),
            Steps::MAIL_UNANSWERED,
        ),
        (hooks.contains(Hook::Rcpt), Steps::RCPT_UNANSWERED),
    ] {
        if !is_asked {
            steps |= step;
        }
    }
    if !reads_message {
        steps |= Steps::NO_HEADER;
    }
    if reads_message && uses.body {
        steps |= Steps::BODY_UNANSWERED;
    } else {
        // One that cannot leave the body out can be told at its first piece that it is enough.
        steps |= Steps::NO_BODY | Steps::SKIP;
    }
    Wants {
        actions,
        steps,
        macros: vec![
            (
                Stage::Connect,
                "j {client_addr} {client_name} {client_resolve}",
            ),
            (Stage::Helo, "{tls_version} {cipher}"),
            (
                Stage::Mail,
                "i {auth_authen} {auth_type} {tls_version} {cipher} r",
            ),
            // Postfix has it only now; Sendmail (8.17) does not look at what is asked for here.
            (Stage::End, "i"),
        ],
    }
}

/// Whether what these filters want is not more than what was agreed on for others.
pub fn is_enough(negotiated: &Negotiated, offer: &Offer, wants: &Wants) -> bool {
    let actions = wants.actions & offer.actions;
    let steps = wants.steps & offer.steps;
    negotiated.actions.contains(actions) && steps.contains(negotiated.steps)
}
