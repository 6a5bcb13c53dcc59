//! Adds, replaces and removes header fields by rule, tags the subject, removes attachments and puts a banner in front of the text.
//! Gives no points and files nothing; `rules` knows no host functions.

pub mod rules;

use rules::{Config, Edit, Facts, Part, PartEdit};
use wasmilter_sdk::{State, body, config, export, header, log, results, session};

/// Octets of a text that gets a banner; a longer one stays as it is.
const MAX_TEXT: usize = 1024 * 1024;

static CONFIG: State<Config> = State::new();

export!(load = start, message = rewrite);

fn start() -> Result<(), String> {
    let config: Config = config::read()?;
    config.check()?;
    CONFIG.fill(config);
    Ok(())
}

fn rewrite() {
    let facts = Facts {
        symbols: results::symbols()
            .into_iter()
            .map(|symbol| (symbol.name, symbol.score))
            .collect(),
        names: header::fields()
            .into_iter()
            .map(|field| field.name)
            .collect(),
        external: session::authenticated().is_none(),
    };
    // What the rules look at is the message as it came.
    let wants_parts = CONFIG.get().wants_parts(&facts, &header::get);
    let edits = CONFIG.get().edits(&facts, &header::get);
    if wants_parts {
        rewrite_parts(&facts);
    }
    for edit in edits {
        // A refusal is in the journal; the other edits stand for themselves. What people go by is worth a word in the log.
        match edit {
            Edit::Add { name, value } => {
                if let Some(refusal) = header::add(&name, &value).refusal() {
                    log::warn(format!("{name} is not added: {}", refusal.text()));
                }
            }
            Edit::Change { name, nth, value } => drop(header::change(&name, nth, &value)),
            Edit::Remove { name, nth } => drop(header::remove(&name, nth)),
        }
    }
}

fn rewrite_parts(facts: &Facts) {
    let found = body::parts();
    let parts: Vec<_> = found
        .iter()
        .map(|part| Part {
            path: part.path.clone(),
            media_type: part.media_type.clone(),
            name: part.name.clone(),
            is_attachment: part.is_attachment(),
        })
        .collect();
    for edit in CONFIG.get().part_edits(facts, &parts, &header::get) {
        match edit {
            PartEdit::Drop { path, note } => drop(body::drop_part(&path, Some(&note))),
            PartEdit::Banner {
                path,
                is_html,
                text,
            } => {
                let part = found.iter().find(|part| part.path == path);
                let old = part.and_then(|part| part.text(MAX_TEXT).ok());
                let Some(old) = old.filter(|old| old.len() < MAX_TEXT - 4) else {
                    continue;
                };
                if let Some(new) = rules::with_banner(&old, &text, is_html) {
                    let media_type = if is_html { "text/html" } else { "text/plain" };
                    body::replace_part(&path, media_type, new.as_bytes());
                }
            }
        }
    }
}
