//! A journal for people to read. Decides nothing: all that it says is in the journal.

use crate::mail::{
    BodyEdit, Departure, Disposition, Edit, EnvelopeEdit, HeaderEdit, How, Journal, Line, Mode,
    NewOctets, Release, Ret, Scope, Scoped, Turn,
};
use std::fmt::Write;
use std::time::Duration;

pub fn text(journal: &Journal) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = head(&mut out, journal)
        .and_then(|()| authentication(&mut out, journal))
        .and_then(|()| filters(&mut out, journal))
        .and_then(|()| header(&mut out, &journal.turns))
        .and_then(|()| end(&mut out, journal));
    out
}

/// The turns alone, without a transaction around them.
pub fn turns(turns: &[Turn]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = turns
        .iter()
        .try_for_each(|turn| filter(&mut out, turn))
        .and_then(|()| header(&mut out, turns));
    out
}

fn head(out: &mut String, journal: &Journal) -> std::fmt::Result {
    let (session, envelope) = (&journal.session, &journal.envelope);
    writeln!(out, "Transaction {} at {}", journal.id, journal.at)?;
    if let Some(id) = &journal.queue_id {
        writeln!(out, "  queue id {id}")?;
    }
    if let Some(release) = &journal.release {
        let how = match release.how {
            Release::Continue => "goes on where it was stopped",
            Release::Original => "is delivered as it came in",
            Release::Again => "goes through all filters again",
        };
        writeln!(
            out,
            "  release  message {} of the quarantine, set aside as {}, {how}",
            release.id, release.transaction
        )?;
    }
    let client = session.client_address.map_or_else(
        || "a local client".to_owned(),
        |address| address.to_string(),
    );
    let tls = session.tls.as_ref().map_or_else(
        || "no TLS".to_owned(),
        |tls| {
            let client = tls.client.as_deref();
            let client = client.map(|name| format!(", certificate of {name}"));
            let client = client.unwrap_or_default();
            format!("{} {}{client}", tls.version, tls.cipher)
        },
    );
    writeln!(
        out,
        "  client   {client} ({}), {}, {tls}",
        session.helo, session.protocol
    )?;
    if let Some(via) = &session.via {
        let how = match via.how {
            How::Proxy => "PROXY",
            How::Xclient => "XCLIENT",
            How::Xforward => "XFORWARD",
        };
        let address = via.address.map_or_else(
            || "a local socket".to_owned(),
            |address| address.to_string(),
        );
        writeln!(out, "  via      {address} by {how}")?;
    }
    write!(out, "  from     <{}>", envelope.sender)?;
    if let Some(ret) = envelope.ret {
        let ret = match ret {
            Ret::Full => "FULL",
            Ret::Headers => "HDRS",
        };
        write!(out, " RET={ret}")?;
    }
    if envelope.require_tls {
        write!(out, " REQUIRETLS")?;
    }
    if let Some(envid) = &envelope.envid {
        write!(out, " ENVID={envid}")?;
    }
    writeln!(out)?;
    for (key, tag) in session.tags.iter() {
        writeln!(out, "  tag      {key} = {:?}, by {}", tag.value, tag.by)?;
    }
    for recipient in &envelope.recipients {
        write!(out, "  to       <{}>", recipient.address)?;
        if let Some(notify) = &recipient.notify {
            write!(out, " NOTIFY={notify}")?;
        }
        if let Some(original) = &recipient.original {
            write!(out, " ORCPT={original}")?;
        }
        writeln!(out)?;
    }
    write!(out, "  message  {} octets", journal.size)?;
    if let Some(id) = &journal.message_id {
        write!(out, ", <{id}>")?;
    }
    writeln!(out)?;
    if let Some(subject) = &journal.subject {
        writeln!(out, "  subject  {subject}")?;
    }
    Ok(())
}

fn authentication(out: &mut String, journal: &Journal) -> std::fmt::Result {
    if journal.authentication.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nSender authentication")?;
    for result in &journal.authentication {
        write!(out, "  {:<6} {}", result.method, result.outcome)?;
        if !result.property.is_empty() {
            write!(out, "  {}", result.property)?;
        }
        if let Some(reason) = &result.reason {
            write!(out, "  ({reason})")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn filters(out: &mut String, journal: &Journal) -> std::fmt::Result {
    writeln!(
        out,
        "\nFilters (generation {}, {} in all)",
        journal.generation,
        time(journal.elapsed)
    )?;
    if journal.turns.is_empty() {
        writeln!(out, "  none was asked")?;
    }
    for turn in &journal.turns {
        filter(out, turn)?;
    }
    Ok(())
}

fn filter(out: &mut String, turn: &Turn) -> std::fmt::Result {
    write!(out, "  {} {} at {}", turn.filter, turn.version, turn.hook)?;
    if let Some(recipient) = &turn.recipient {
        write!(out, " for <{recipient}>")?;
    }
    if let Some(about) = &turn.about {
        write!(out, " ({about})")?;
    }
    match turn.mode {
        Mode::Active => {}
        Mode::Shadow => write!(out, " (shadow, without effect)")?,
        Mode::Canary => write!(out, " (canary)")?,
    }
    let answer = match &turn.result {
        Ok(_) if !turn.hook.is_answered() => "done".to_owned(),
        Err(failure) if !turn.hook.is_answered() => format!("FAILED ({failure})"),
        Ok(verdict) => verdict.name().to_owned(),
        Err(failure) => format!("FAILED ({failure}), counts as {}", turn.verdict.name()),
    };
    writeln!(
        out,
        ": {answer}; {}, {} KiB, {} host calls",
        time(turn.elapsed),
        turn.memory / 1024,
        turn.host_calls
    )?;
    for symbol in &turn.symbols {
        writeln!(
            out,
            "    {:>6.1}  {}  {}",
            symbol.score, symbol.name, symbol.reason
        )?;
    }
    for Scoped { edit, scope } in &turn.edits {
        let whom = whom(scope);
        match edit {
            Edit::Header(edit) => writeln!(out, "    header: {}{whom}", change(edit))?,
            Edit::FileInto { mailbox, why } => {
                writeln!(out, "    file into {mailbox}{whom}: {why}")?
            }
            Edit::AddFlag(flag) => writeln!(out, "    flag {flag}{whom}")?,
            Edit::Body(edit) => writeln!(out, "    body: {}{whom}", body_change(edit))?,
            Edit::Envelope(edit) => writeln!(out, "    envelope: {}", envelope_change(edit))?,
            Edit::Hold { why } => writeln!(out, "    hold{whom}: {why}")?,
            Edit::Via(next_hop) => writeln!(out, "    via {next_hop}{whom}")?,
            Edit::Tag { key, value } => writeln!(out, "    tag {key} = {value:?}")?,
        }
    }
    for call in &turn.calls {
        let argument = match call.argument.as_str() {
            "" => String::new(),
            argument => format!(" {argument}"),
        };
        writeln!(
            out,
            "    {}{argument}: {} ({})",
            call.what,
            call.result,
            time(call.elapsed)
        )?;
    }
    for refused in &turn.refused {
        writeln!(out, "    refused: {refused}")?;
    }
    for line in &turn.log {
        writeln!(out, "    log {}: {}", line.level, line.text)?;
    }
    Ok(())
}

fn whom(scope: &Scope) -> String {
    match scope {
        Scope::All => String::new(),
        Scope::Only(addresses) => {
            let names: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            format!(" (for {})", names.join(", "))
        }
    }
}

fn change(edit: &HeaderEdit) -> String {
    match edit {
        HeaderEdit::Add { name, .. } => format!("add {name}"),
        HeaderEdit::Insert { at, name, .. } => format!("insert {name} at {at}"),
        HeaderEdit::Change { name, nth, .. } => format!("change {name} ({nth})"),
        HeaderEdit::Remove { name, nth, .. } => format!("remove {name} ({nth})"),
    }
}

fn body_change(edit: &BodyEdit) -> String {
    match edit {
        BodyEdit::Replace { with } => format!("replace, {}", octets(with)),
        BodyEdit::ReplacePart {
            path,
            media_type,
            with,
        } => format!("replace part {path} with {media_type}, {}", octets(with)),
        BodyEdit::DropPart { path, note: None } => format!("drop part {path}"),
        BodyEdit::DropPart {
            path,
            note: Some(note),
        } => format!("drop part {path}, leaving {note:?}"),
    }
}

fn octets(with: &NewOctets) -> String {
    let digest = with.sha256.get(..16).unwrap_or_default();
    match with.encoding.as_str() {
        "" => format!("{} octets, SHA-256 {digest}…", with.size),
        encoding => format!("{} octets in {encoding}, SHA-256 {digest}…", with.size),
    }
}

fn envelope_change(edit: &EnvelopeEdit) -> String {
    match edit {
        EnvelopeEdit::SetSender {
            sender,
            arguments,
            was,
        } => format!("sender <{was}> becomes <{sender}>{}", given(arguments)),
        EnvelopeEdit::AddRecipient { address, arguments } => {
            format!("add <{address}>{}", given(arguments))
        }
        EnvelopeEdit::RemoveRecipient { address } => format!("remove <{address}>"),
    }
}

fn given(arguments: &Option<String>) -> String {
    arguments
        .as_ref()
        .map_or_else(String::new, |arguments| format!(" {arguments}"))
}

/// What the filters changed of the header, as a diff.
fn header<'a>(out: &mut String, turns: impl IntoIterator<Item = &'a Turn>) -> std::fmt::Result {
    let edits = turns
        .into_iter()
        .filter(|turn| turn.mode != Mode::Shadow)
        .flat_map(|turn| &turn.edits)
        .filter_map(|scoped| match &scoped.edit {
            Edit::Header(edit) => Some((edit, &scoped.scope)),
            _ => None,
        });
    let mut first = true;
    for (edit, scope) in edits {
        if first {
            writeln!(out, "\nHeader, received (-) and as the filters left it (+)")?;
            first = false;
        }
        let whom = whom(scope);
        match edit {
            HeaderEdit::Add { name, value } | HeaderEdit::Insert { name, value, .. } => {
                writeln!(out, "  + {name}: {value}{whom}")?;
            }
            HeaderEdit::Change {
                name, value, was, ..
            } => {
                writeln!(out, "  - {name}: {}{whom}", Line::lossy(was))?;
                writeln!(out, "  + {name}: {value}{whom}")?;
            }
            HeaderEdit::Remove { name, was, .. } => {
                writeln!(out, "  - {name}: {}{whom}", Line::lossy(was))?
            }
        }
    }
    Ok(())
}

fn end(out: &mut String, journal: &Journal) -> std::fmt::Result {
    writeln!(
        out,
        "\nScore {:.1}, verdict {}",
        journal.score,
        journal.verdict.name()
    )?;
    for place in &journal.dispositions {
        write!(out, "  <{}>: ", place.recipient)?;
        match &place.disposition {
            Disposition::Filed { mailbox, uid, why } => {
                writeln!(out, "filed into {mailbox} (UID {uid}): {why}")?;
            }
            Disposition::Discarded { why } => writeln!(out, "discarded: {why}")?,
            Disposition::Refused { reply } => writeln!(out, "refused: {reply}")?,
            Disposition::Passed { how } => writeln!(out, "{how}")?,
            Disposition::Relayed { next_hop, reply } => {
                writeln!(out, "handed to {next_hop}, which said {reply}")?
            }
            Disposition::Quarantined { id, why, then } => {
                writeln!(out, "in quarantine as {id}: {why}")?;
                match then {
                    None => writeln!(out, "    wasmilter quarantine release {id}")?,
                    Some(then) => writeln!(out, "    {}", departure(then))?,
                }
            }
        }
    }
    Ok(())
}

fn departure(then: &Departure) -> String {
    match then {
        Departure::Released(transaction) => format!("released as {transaction}"),
        Departure::Deleted(at) => format!("deleted at {at:.0}"),
        Departure::Expired(at) => format!("expired at {at:.0}"),
    }
}

/// With three digits or so: 812 µs, 1.2 ms.
pub fn time(time: Duration) -> String {
    let micros = time.as_micros();
    if micros < 1_000 {
        format!("{micros} µs")
    } else if micros < 1_000_000 {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}
