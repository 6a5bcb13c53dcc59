//! Spam scores by rule: looks at header, text, HTML, links and attachments, and gives symbols with points and reasons.
//! Decides nothing: the policy adds the points up. The rules know no host functions; only `collect` does.
//!
//! | module | |
//! |---|---|
//! | `config` | the table `[config]`: points, phrases, lists, limits |
//! | `message` | what the rules get to see of a message |
//! | `rules` | the names of the rules in code, and the symbols they give |
//! | `engine` | a configuration made ready; runs all rules over a message |
//! | `header` `authentication` `phrases` `html` `links` `attachments` | the rules, by what they look at |
//! | `address` `date` `text` `url` | the parsing they need |
//! | `normal` | the form in which text is searched |
//! | `collect` | asks the host for the message |

pub mod address;
mod attachments;
mod authentication;
mod collect;
pub mod config;
pub mod date;
pub mod engine;
mod header;
pub mod html;
mod links;
pub mod message;
pub mod normal;
pub mod phrases;
pub mod rules;
pub mod text;
pub mod url;

use engine::Engine;
use wasmilter_sdk::{State, config::read, export, score};

static ENGINE: State<Engine> = State::new();

export!(load = start, message = examine);

fn start() -> Result<(), String> {
    ENGINE.fill(Engine::new(read()?)?);
    Ok(())
}

fn examine() {
    let engine = ENGINE.get();
    for symbol in engine.examine(&collect::message(engine.limits())) {
        score::add(&symbol.name, symbol.points, &symbol.reason);
    }
}
