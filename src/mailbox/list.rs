//! LIST, LSUB and STATUS (RFC 3501 §6.3.8 to §6.3.10, RFC 3348, RFC 6154).
//! Changes nothing.

use super::connection::End;
use super::manage::name_of;
use super::refusal;
use super::session::{Context, User};
use crate::proto::imap::{Pattern, Reply, encode_mailbox, mailbox_name, string};
use crate::store::{Mailbox, MailboxName};
use imap_types::mailbox::{ListMailbox, Mailbox as Named};
use imap_types::status::StatusDataItemName as Item;
use std::collections::{BTreeMap, BTreeSet};

/// An error is the answer: to a pattern that is too long, and to that which asks for the hierarchy separator only (RFC 3501 §6.3.8).
fn pattern(
    context: &mut Context<'_>,
    what: &str,
    reference: &Named<'_>,
    wildcard: &ListMailbox<'_>,
) -> Result<Pattern, Reply> {
    let wildcard: &[u8] = match wildcard {
        ListMailbox::Token(token) => token.as_ref(),
        ListMailbox::String(text) => text.as_ref(),
    };
    let reference: &[u8] = match reference {
        Named::Inbox => MailboxName::INBOX.as_bytes(),
        Named::Other(other) => other.as_ref(),
    };
    if wildcard.is_empty() {
        let separator = format!("* {what} (\\Noselect) \"/\" \"\"\r\n");
        context.connection.write(separator.as_bytes());
        return Err(Reply::ok(format!("{what} completed")));
    }
    let too_long = || Reply::no("The pattern is too long").code("LIMIT");
    Pattern::new(reference, wildcard).ok_or_else(too_long)
}

/// With all levels above those names. The value tells whether it is one of them.
fn with_levels<'a>(names: impl Iterator<Item = &'a MailboxName>) -> BTreeMap<MailboxName, bool> {
    let mut all = BTreeMap::new();
    for name in names {
        for above in name.ancestors() {
            all.entry(above).or_insert(false);
        }
        all.insert(name.clone(), true);
    }
    all
}

fn write(context: &mut Context<'_>, what: &str, attributes: &[&str], name: &MailboxName) {
    let out = context.connection.output();
    out.extend_from_slice(format!("* {what} ({}) \"/\" ", attributes.join(" ")).as_bytes());
    mailbox_name(out, name.as_str());
    out.extend_from_slice(b"\r\n");
}

pub(super) async fn list(
    context: &mut Context<'_>,
    user: &User,
    reference: &Named<'_>,
    wildcard: &ListMailbox<'_>,
) -> Result<Reply, End> {
    let pattern = match pattern(context, "LIST", reference, wildcard) {
        Ok(pattern) => pattern,
        Err(reply) => return Ok(reply),
    };
    let mailboxes = match context.store().mailboxes(user.account).await {
        Ok(mailboxes) => mailboxes,
        Err(error) => return Ok(refusal(&error)),
    };
    let all = with_levels(mailboxes.iter().map(|mailbox| &mailbox.name));
    let parents: BTreeSet<MailboxName> = all.keys().flat_map(MailboxName::ancestors).collect();
    let uses: BTreeMap<&MailboxName, &Mailbox> = mailboxes
        .iter()
        .map(|mailbox| (&mailbox.name, mailbox))
        .collect();
    for (name, exists) in &all {
        if !pattern.matches(&encode_mailbox(name.as_str())) {
            continue;
        }
        let special_use = uses
            .get(name)
            .and_then(|mailbox| mailbox.special_use)
            .map(|special_use| format!("\\{}", special_use.name()));
        let mut attributes = Vec::new();
        if !exists {
            attributes.push("\\Noselect");
        }
        attributes.push(match parents.contains(name) {
            true => "\\HasChildren",
            false => "\\HasNoChildren",
        });
        attributes.extend(special_use.as_deref());
        write(context, "LIST", &attributes, name);
        context.connection.flush_if_large().await?;
    }
    Ok(Reply::ok("LIST completed"))
}

pub(super) async fn lsub(
    context: &mut Context<'_>,
    user: &User,
    reference: &Named<'_>,
    wildcard: &ListMailbox<'_>,
) -> Result<Reply, End> {
    let pattern = match pattern(context, "LSUB", reference, wildcard) {
        Ok(pattern) => pattern,
        Err(reply) => return Ok(reply),
    };
    let subscriptions = match context.store().subscriptions(user.account).await {
        Ok(subscriptions) => subscriptions,
        Err(error) => return Ok(refusal(&error)),
    };
    let matches = |name: &MailboxName| pattern.matches(&encode_mailbox(name.as_str()));
    let hidden = subscriptions.iter().filter(|name| !matches(name));
    let above_hidden: BTreeSet<MailboxName> = hidden.flat_map(MailboxName::ancestors).collect();
    for (name, is_subscribed) in &with_levels(subscriptions.iter()) {
        // A level that is not subscribed shows with \Noselect, and only where % stops at it (RFC 3501 §6.3.9).
        if matches(name) && (*is_subscribed || above_hidden.contains(name)) {
            let attributes: &[&str] = if *is_subscribed { &[] } else { &["\\Noselect"] };
            write(context, "LSUB", attributes, name);
            context.connection.flush_if_large().await?;
        }
    }
    Ok(Reply::ok("LSUB completed"))
}

pub(super) async fn status(
    context: &mut Context<'_>,
    user: &User,
    name: &Named<'_>,
    items: &[Item],
) -> Result<Reply, End> {
    let name = match name_of(name) {
        Ok(name) => name,
        Err(reply) => return Ok(reply),
    };
    let mailbox = match context.store().mailbox(user.account, &name).await {
        Ok(mailbox) => mailbox,
        Err(error) => return Ok(refusal(&error)),
    };
    let mut values = Vec::new();
    for item in items {
        values.push(match item {
            Item::Messages => format!("MESSAGES {}", mailbox.messages),
            Item::Recent => {
                let recent = context.mailboxes.recent.from(mailbox.id, 0, true);
                let count = match mailbox.uid_next > recent {
                    // Counted only where it can be more than none.
                    true => match context.store().messages(mailbox.id).await {
                        Ok(messages) => messages.iter().filter(|meta| meta.uid >= recent).count(),
                        Err(error) => return Ok(refusal(&error)),
                    },
                    false => 0,
                };
                format!("RECENT {count}")
            }
            Item::UidNext => format!("UIDNEXT {}", mailbox.uid_next),
            Item::UidValidity => format!("UIDVALIDITY {}", mailbox.uid_validity),
            Item::Unseen => format!("UNSEEN {}", mailbox.unseen),
            _ => return Ok(Reply::bad("This server has no such status item")),
        });
    }
    let out = context.connection.output();
    out.extend_from_slice(b"* STATUS ");
    string(out, encode_mailbox(name.as_str()).as_bytes());
    out.extend_from_slice(format!(" ({})\r\n", values.join(" ")).as_bytes());
    Ok(Reply::ok("STATUS completed"))
}
