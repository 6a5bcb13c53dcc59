//! Runs the rules over folders of mail and prints, for each folder, how many messages are junk and which symbols they got.
//! Reads the messages with mail-parser, not with the server: a tool to weigh rules with, close to what the server does.
//!
//! `cargo run -p spam-score --example share -- FOLDER …`; with `--list`, the messages that score 4 and more too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use mail_parser::{HeaderValue, MessageParser, MimeHeaders, PartType};
use spam_score::engine::Engine;
use spam_score::message::{Field, Message, Part};
use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

fn main() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin.toml"))
        .expect("plugin.toml");
    let manifest: toml::Table = manifest.parse().expect("plugin.toml");
    let config = manifest
        .get("config")
        .expect("[config]")
        .clone()
        .try_into()
        .expect("[config]");
    let engine = Engine::new(config).expect("[config]");
    let list = env::args().any(|argument| argument == "--list");
    for folder in env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
    {
        let mut files: Vec<_> = fs::read_dir(&folder)
            .expect("folder")
            .map(|entry| entry.expect("entry").path())
            .collect();
        files.sort();
        let (mut sums, mut symbols) = (Vec::new(), BTreeMap::<String, usize>::new());
        let mut time = std::time::Duration::ZERO;
        for path in &files {
            let raw = fs::read(path).expect("message");
            let Some(message) = read(&raw) else {
                continue;
            };
            let begin = std::time::Instant::now();
            let given = engine.examine(&message);
            time += begin.elapsed();
            let sum: f32 = given.iter().map(|symbol| symbol.points).sum();
            sums.push(sum);
            if list && sum >= 4.0 {
                let names: Vec<_> = given
                    .iter()
                    .map(|symbol| format!("{} {:.1}", symbol.name, symbol.points))
                    .collect();
                println!(
                    "{sum:5.1}  {}  {}",
                    path.file_name().unwrap().to_string_lossy(),
                    names.join(", ")
                );
            }
            for symbol in given {
                *symbols.entry(symbol.name).or_default() += 1;
            }
        }
        let share = |at: f32| {
            100.0 * sums.iter().filter(|sum| **sum >= at).count() as f64 / sums.len().max(1) as f64
        };
        println!(
            "{folder}: {} messages, {:.0} µs each",
            sums.len(),
            time.as_secs_f64() * 1e6 / sums.len().max(1) as f64
        );
        for at in [2.0, 3.0, 4.0, 5.0, 8.0, 15.0] {
            println!("  {at:4.1} and more: {:6.2} %", share(at));
        }
        let mut symbols: Vec<_> = symbols.into_iter().collect();
        symbols.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (name, count) in symbols {
            println!(
                "  {:6.2} %  {name}",
                100.0 * count as f64 / sums.len().max(1) as f64
            );
        }
    }
}

fn read(raw: &[u8]) -> Option<Message> {
    let parsed = MessageParser::default().parse(raw)?;
    let fields = parsed
        .headers()
        .iter()
        .map(|header| {
            let value = raw
                .get(header.offset_start as usize..header.offset_end as usize)
                .unwrap_or_default();
            Field {
                name: header.name().to_owned(),
                value: String::from_utf8_lossy(value).trim_end().to_owned(),
                broken: std::str::from_utf8(value).is_err(),
            }
        })
        .collect();
    let address = |name: &str| match parsed.header(name) {
        Some(HeaderValue::Address(address)) => address.first().map(|first| {
            format!(
                "{} <{}>",
                first.name().unwrap_or_default(),
                first.address().unwrap_or_default()
            )
        }),
        _ => None,
    };
    let parts = parsed
        .parts
        .iter()
        .filter(|part| !matches!(part.body, PartType::Multipart(_)))
        .enumerate()
        .map(|(index, part)| {
            let attachment = part
                .content_disposition()
                .is_some_and(|value| value.ctype().eq_ignore_ascii_case("attachment"));
            let media_type = part
                .content_type()
                .map_or("text/plain".to_owned(), |value| {
                    format!("{}/{}", value.ctype(), value.subtype().unwrap_or("")).to_lowercase()
                });
            let readable = matches!(media_type.as_str(), "text/plain" | "text/html") && !attachment;
            Part {
                path: (index + 1).to_string(),
                name: part.attachment_name().map(str::to_owned),
                attachment,
                size: u64::from(part.raw_end_offset() - part.raw_body_offset()),
                text: part.text_contents().filter(|_| readable).map(str::to_owned),
                start: part.contents().iter().copied().take(4096).collect(),
                media_type,
            }
        })
        .collect();
    Some(Message {
        fields,
        subject: parsed.subject().map(str::to_owned),
        from: address("From"),
        reply_to: address("Reply-To"),
        parts,
        sender: "someone@example.org".into(),
        ..Message::default()
    })
}
