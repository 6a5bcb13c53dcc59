//! Files messages into folders by rule, for each recipient: junk, mailing lists, plus addresses, senders.
//! Changes no message and gives no points; `rules` knows no host functions.

pub mod rules;

use rules::{Config, Facts};
use wasmilter_sdk::{State, config, envelope, export, filing, header, results};

static CONFIG: State<Config> = State::new();

export!(load = start, deliver = file);

fn start() -> Result<(), String> {
    let config: Config = config::read()?;
    config.check()?;
    CONFIG.fill(config);
    Ok(())
}

fn file(recipient: &str) {
    let facts = Facts {
        recipient,
        sender: envelope::sender(),
        symbols: results::symbols()
            .into_iter()
            .map(|symbol| (symbol.name, symbol.score))
            .collect(),
        get: &header::get,
    };
    let filed = CONFIG.get().file(&facts);
    if let Some((folder, why)) = filed.folder {
        filing::file_into(&folder, &why);
    }
    for flag in filed.flags {
        filing::add_flag(&flag);
    }
}
