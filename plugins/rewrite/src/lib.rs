//! Adds, replaces and removes header fields by rule, and tags the subject.
//! Gives no points and files nothing; `rules` knows no host functions.

pub mod rules;

use rules::{Config, Edit, Facts};
use wasmilter_sdk::{State, config, export, header, results};

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
    };
    for edit in CONFIG.get().edits(&facts, &header::get) {
        // A refusal is in the journal; the other edits stand for themselves.
        match edit {
            Edit::Add { name, value } => header::add(&name, &value),
            Edit::Change { name, nth, value } => header::change(&name, nth, &value),
            Edit::Remove { name, nth } => header::remove(&name, nth),
        };
    }
}
