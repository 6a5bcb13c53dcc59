//! A filter that does what its configuration tells it to, so that one component serves all tests of the plugin host.
//! `[config]` has a list of steps for each hook: `message = ["score CASINO 4 a reason", "reject 550 no"]`.

use std::cell::RefCell;
use std::collections::HashMap;
use wasmilter_sdk::{
    Change, Outcome, Reply, State, Verdict, body, config, dns, envelope, export, filing, header,
    http, kv, log, metrics, results, route, score, session, tags,
};

unsafe extern "C" {
    /// Of the C library of WASI.
    fn getentropy(octets: *mut u8, length: usize) -> i32;
}

type Steps = HashMap<String, Vec<String>>;

#[derive(serde::Deserialize)]
struct Config {
    /// For the step `setting`.
    #[serde(default, rename = "settings")]
    _settings: serde::de::IgnoredAny,
    #[serde(flatten)]
    steps: Steps,
}

struct Script {
    steps: Steps,
    /// Grows with each step `remember`.
    memory: RefCell<Vec<String>>,
}

// One thread is all there is.
unsafe impl Sync for Script {}

static SCRIPT: State<Script> = State::new();

export!(
    load = load,
    connect = connect,
    helo = helo,
    mail = mail,
    rcpt = rcpt,
    message = message,
    deliver = deliver,
    relay = relay,
    outcome = outcome,
    moved = moved,
);

fn load() -> Result<(), String> {
    SCRIPT.fill(Script {
        steps: config::read::<Config>()?.steps,
        memory: RefCell::new(Vec::new()),
    });
    match run("load", "") {
        Verdict::Reject(reply) => Err(reply.lines.join(" ")),
        _ => Ok(()),
    }
}

fn connect() -> Verdict {
    run("connect", "")
}

fn mail() -> Verdict {
    run("mail", "")
}

fn rcpt(address: &str) -> Verdict {
    run("rcpt", address)
}

fn message() -> Verdict {
    run("message", "")
}

fn deliver(recipient: &str) -> Verdict {
    run("deliver", recipient)
}

fn helo(name: &str) -> Verdict {
    run("helo", name)
}

fn relay(recipient: &str, next_hop: &str) -> Verdict {
    run("relay", &format!("{recipient} {next_hop}"))
}

fn outcome(outcome: &Outcome) {
    run("outcome", &format!("{outcome:?}"));
}

fn moved(change: &Change) {
    run("moved", &format!("{change:?}"));
}

/// The first step that gives a verdict ends the list.
fn run(hook: &str, argument: &str) -> Verdict {
    let steps = SCRIPT
        .get()
        .steps
        .get(hook)
        .map(Vec::as_slice)
        .unwrap_or_default();
    steps
        .iter()
        .find_map(|step| perform(step, argument))
        .unwrap_or(Verdict::Continue)
}

fn perform(step: &str, argument: &str) -> Option<Verdict> {
    let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
    match word {
        "loop" => loop {
            std::hint::black_box(());
        },
        "sleep" => std::thread::sleep(std::time::Duration::from_millis(rest.parse().unwrap())),
        "panic" => panic!("{rest}"),
        "exit" => std::process::exit(rest.parse().unwrap()),
        "eat" => eat(rest.parse().unwrap()),
        "print" => println!("{rest}"),
        // `for ADDRESS STEP`: only where the hook is called for this recipient.
        "for" => {
            let (address, step) = rest.split_once(' ').unwrap();
            if argument.split(' ').next() == Some(address) {
                return perform(step, argument);
            }
        }
        // `when WORD STEP`: only where the subject has this word.
        "when" => {
            let (word, step) = rest.split_once(' ').unwrap();
            if header::get("Subject")
                .iter()
                .any(|value| value.contains(word))
            {
                return perform(step, argument);
            }
        }
        "recurse" => {
            std::hint::black_box(recurse(1));
        }
        "calls" => (0..rest.parse().unwrap()).for_each(|_| drop(header::get("Subject"))),
        "log" => log::info(rest.replace("\\n", "\n")),
        // Text that is not UTF-8, which Rust would not let one have.
        "invalid" => log::info(unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe]) }),
        "flood" => (0..1000).for_each(|_| log::info("x".repeat(1000))),
        "remember" => SCRIPT.get().memory.borrow_mut().push(rest.to_owned()),
        "recall" => log::info(SCRIPT.get().memory.borrow().join(",")),
        "argument" => log::info(argument),
        "score" => {
            let mut words = rest.splitn(3, ' ');
            let mut next = || words.next().unwrap_or_default();
            score::add(next(), next().parse().unwrap(), next());
        }
        "kv" => log::info(keep(rest)),
        "dns" => log::info(look_up(rest)),
        "web" => log::info(fetch(rest)),
        "count" => {
            let mut words = rest.split(' ');
            let (name, by) = (words.next().unwrap(), words.next().unwrap());
            let labels: Vec<_> = words.map(|word| word.split_once('=').unwrap()).collect();
            metrics::count(name, by.parse().unwrap(), &labels);
        }
        "observe" => {
            let (name, value) = rest.split_once(' ').unwrap();
            metrics::observe(name, value.parse().unwrap(), &[]);
        }
        // `times N STEP`
        "times" => {
            let (times, step) = rest.split_once(' ').unwrap();
            for n in 0..times.parse().unwrap() {
                perform(&step.replace("{n}", &n.to_string()), argument);
            }
        }
        "setting" => log::info(setting(rest)),
        "now" => log::info(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_secs()
                .to_string(),
        ),
        "symbols" => log::info(format!("{:?}", results::symbols())),
        "authentication" => log::info(format!("{:?}", results::authentication())),
        "get" => log::info(header::get(rest).join("|")),
        "fields" => log::info(
            header::fields()
                .iter()
                .map(|field| field.name.as_str())
                .collect::<Vec<_>>()
                .join("|"),
        ),
        "add" => {
            let (name, value) = rest.split_once(' ').unwrap();
            header::add(name, &value.replace("\\n", "\r\n"));
        }
        "add-many" => (0..rest.parse().unwrap()).for_each(|_| drop(header::add("X-Many", "1"))),
        "add-for" => {
            let (recipient, rest) = rest.split_once(' ').unwrap();
            let (name, value) = rest.split_once(' ').unwrap();
            header::add_for(&[recipient], name, value);
        }
        // `add-for-all-of N ADDRESS`: the address so many times.
        "add-for-all-of" => {
            let (times, recipient) = rest.split_once(' ').unwrap();
            let all = vec![recipient; times.parse().unwrap()];
            header::add_for(&all, "X-A", "b");
        }
        "remove-for" => {
            let (recipient, name) = rest.split_once(' ').unwrap();
            header::remove_for(&[recipient], name, 1);
        }
        "change-for" => {
            let (recipient, name) = rest.split_once(' ').unwrap();
            header::change_for(&[recipient], name, 1, "changed");
        }
        "insert" => drop(header::insert(0, rest, "inserted")),
        "change" => {
            let (name, value) = rest.split_once(' ').unwrap();
            header::change(name, 1, value);
        }
        "remove" => drop(header::remove(rest, 1)),
        "file" => drop(filing::file_into(rest, "a test")),
        "flag" => drop(filing::add_flag(rest)),
        "hold" => drop(route::hold(rest)),
        "via" => drop(route::via(rest)),
        "via-for" => {
            let (recipient, next_hop) = rest.split_once(' ').unwrap();
            route::via_for(&[recipient], next_hop);
        }
        "hold-for" => {
            let (recipient, why) = rest.split_once(' ').unwrap();
            route::hold_for(&[recipient], why);
        }
        "session" => log::info(format!(
            "{} {} {:?} {} {} {:?} {:?} {}",
            session::server_name(),
            session::client_address(),
            session::client_name(),
            session::helo(),
            session::protocol(),
            session::tls(),
            session::authenticated(),
            session::transaction(),
        )),
        "envelope" => {
            let recipients: Vec<_> = envelope::recipients()
                .into_iter()
                .map(|recipient| {
                    let parameters = [recipient.notify, recipient.original];
                    let parameters = parameters.into_iter().flatten();
                    std::iter::once(recipient.address)
                        .chain(parameters)
                        .collect::<Vec<_>>()
                        .join(" ")
                })
                .collect();
            log::info(format!(
                "{} -> {}",
                envelope::sender(),
                recipients.join(" ")
            ));
        }
        "tag" => {
            let (key, value) = rest.split_once(' ').unwrap();
            tags::set(key, &value.replace("\\n", "\r\n"));
        }
        "tag-many" => (0..rest.parse().unwrap()).for_each(|n: u32| {
            tags::set(&format!("many.{n}"), "x");
        }),
        "tags" => log::info(
            tags::all()
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
                .join(" "),
        ),
        "tagged" => log::info(format!("{:?}", tags::get(rest))),
        // ADDRESS or <>, and parameters.
        "sender" => drop(match rest.split_once(' ') {
            Some((address, parameters)) => envelope::set_sender_with(address, parameters),
            None => envelope::set_sender(rest.trim_matches(['<', '>'])),
        }),
        "add-recipient" => drop(match rest.split_once(' ') {
            Some((address, parameters)) => envelope::add_recipient_with(address, parameters),
            None => envelope::add_recipient(rest),
        }),
        "remove-recipient" => drop(envelope::remove_recipient(rest)),
        "size" => log::info(body::size().to_string()),
        "raw" => {
            let (offset, length) = rest.split_once(' ').unwrap();
            log::info(format!(
                "{:?}",
                body::raw(offset.parse().unwrap(), length.parse().unwrap()).map(String::from_utf8)
            ));
        }
        "parts" => log::info(
            body::parts()
                .iter()
                .map(|part| format!("{} {}", part.path, part.media_type))
                .collect::<Vec<_>>()
                .join("|"),
        ),
        // `replace[-for ADDRESS] TEXT`, `replace-part[-for ADDRESS] PATH TYPE TEXT`, `drop-part[-for ADDRESS] PATH [NOTE]`
        "replace" => drop(body::replace(&text(rest))),
        "replace-for" => {
            let (address, rest) = rest.split_once(' ').unwrap();
            body::replace_for(&[address], &text(rest));
        }
        "replace-part" => {
            let [path, media_type, rest] = words(rest);
            body::replace_part(path, media_type, &text(rest));
        }
        "replace-part-for" => {
            let (address, rest) = rest.split_once(' ').unwrap();
            let [path, media_type, rest] = words(rest);
            body::replace_part_for(&[address], path, media_type, &text(rest));
        }
        "drop-part" => {
            let (path, note) = rest.split_once(' ').unwrap_or((rest, ""));
            body::drop_part(path, Some(note).filter(|note| !note.is_empty()));
        }
        "drop-part-for" => {
            let [address, path, note] = words(rest);
            body::drop_part_for(&[address], path, Some(note).filter(|note| !note.is_empty()));
        }
        // So many KiB.
        "replace-long" => drop(body::replace(
            "0123456789abcde\n"
                .repeat(64 * rest.parse::<usize>().unwrap())
                .as_bytes(),
        )),
        "text" => log::info(body::text(rest.parse().unwrap())),
        "environment" => log::info(format!(
            "{:?} {:?} {}",
            std::env::vars().collect::<Vec<_>>(),
            std::env::args().collect::<Vec<_>>(),
            std::fs::read_dir("/").is_ok() || std::net::TcpStream::connect("127.0.0.1:1").is_ok(),
        )),
        "random-octets" => {
            drop(wasip2::random::random::get_random_bytes(
                rest.parse().unwrap(),
            ));
        }
        "random" => {
            // Not by way of a hash map: its seeds are in the image that all instances start from.
            let mut octets = [0u8; 8];
            assert_eq!(unsafe { getentropy(octets.as_mut_ptr(), octets.len()) }, 0);
            log::info(format!("{octets:?}"));
        }
        "accept" => return Some(Verdict::Accept),
        "discard" => return Some(Verdict::Discard),
        "quarantine" => return Some(Verdict::quarantine(rest)),
        "reject" => return Some(Verdict::Reject(reply(rest))),
        "tempfail" => return Some(Verdict::Tempfail(reply(rest))),
        _ => panic!("no such step: {step}"),
    }
    None
}

fn words(rest: &str) -> [&str; 3] {
    let mut words = rest.splitn(3, ' ');
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

/// With `\n` for LF, `\r` for CR, `\0` for NUL and `\x` for an octet that is not UTF-8.
fn text(rest: &str) -> Vec<u8> {
    let text = rest
        .replace("\\n", "\n")
        .replace("\\r", "\r")
        .replace("\\0", "\0");
    let mut octets = Vec::new();
    for (index, piece) in text.split("\\x").enumerate() {
        octets.extend((index > 0).then_some(0xff));
        octets.extend_from_slice(piece.as_bytes());
    }
    octets
}

/// `get KEY`, `set KEY VALUE`, `set-for SECONDS KEY VALUE`, `delete KEY`, `increment KEY BY`, `swap KEY OLD NEW`, `scan PREFIX`, `fill KEY OCTETS`
fn keep(rest: &str) -> String {
    let words: Vec<_> = rest.split(' ').collect();
    let seconds = |text: &str| Some(std::time::Duration::from_secs(text.parse().unwrap()));
    match words[..] {
        ["get", key] => format!("{:?}", kv::text(key)),
        ["set", key, value] => format!("{:?}", kv::set(key, value, None)),
        ["set-for", ttl, key, value] => format!("{:?}", kv::set(key, value, seconds(ttl))),
        ["fill", key, octets] => {
            format!("{:?}", kv::set(key, vec![0; octets.parse().unwrap()], None))
        }
        ["delete", key] => format!("{:?}", kv::delete(key)),
        ["increment", key, by] => format!("{:?}", kv::increment(key, by.parse().unwrap(), None)),
        ["swap", key, old, new] => {
            let old = (old != "-").then_some(old.as_bytes());
            format!("{:?}", kv::compare_and_set(key, old, new, None))
        }
        ["scan", prefix] => kv::scan(prefix)
            .map(|entry| entry.map_or_else(|refusal| refusal.text().to_owned(), |entry| entry.0))
            .collect::<Vec<_>>()
            .join("|"),
        _ => panic!("no such call of kv: {rest}"),
    }
}

/// `KIND NAME` or `listed ZONE WHAT`
fn look_up(rest: &str) -> String {
    let words: Vec<_> = rest.split(' ').collect();
    match words[..] {
        ["a", name] => format!("{:?}", dns::a(name)),
        ["aaaa", name] => format!("{:?}", dns::aaaa(name)),
        ["mx", name] => format!("{:?}", dns::mx(name)),
        ["txt", name] => format!("{:?}", dns::txt(name)),
        ["ptr", address] => format!("{:?}", dns::ptr(address.parse().unwrap())),
        ["listed", zone, what] => format!("{:?}", dns::listed(zone, what)),
        _ => panic!("no such question: {rest}"),
    }
}

/// `METHOD URL [BODY]`
fn fetch(rest: &str) -> String {
    let mut words = rest.splitn(3, ' ');
    let mut next = || words.next().unwrap_or_default();
    let (method, url, body) = (next(), next(), next());
    let request = http::Request::new(method, url)
        .header("X-Guest", "yes")
        .body(body);
    match request.send() {
        Ok(answer) if answer.body.len() > 100 => {
            format!("{} {} octets", answer.status, answer.body.len())
        }
        Ok(answer) => format!(
            "{} {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        ),
        Err(error) => format!("error: {error}"),
    }
}

/// `TYPE KEY`
fn setting(rest: &str) -> String {
    match rest.split_once(' ').unwrap() {
        ("text", key) => format!("{:?}", config::text(key)),
        ("integer", key) => format!("{:?}", config::integer(key)),
        ("number", key) => format!("{:?}", config::number(key)),
        ("truth", key) => format!("{:?}", config::truth(key)),
        ("texts", key) => format!("{:?}", config::texts(key)),
        other => panic!("no such type: {other:?}"),
    }
}

/// `CODE CLASS TEXT`
fn reply(rest: &str) -> Reply {
    let mut words = rest.splitn(3, ' ');
    let mut next = || words.next().unwrap_or_default();
    let (code, class, text) = (next(), next(), next());
    let mut reply = Reply::new(
        code.parse().unwrap_or(550),
        (class.parse().unwrap_or(5), 7, 1),
        "",
    );
    reply.lines.push(text.replace("\\n", "\r\n"));
    reply
}

#[inline(never)]
fn recurse(n: u64) -> u64 {
    // Never 0: but the compiler must not know.
    if std::hint::black_box(n) == 0 {
        0
    } else {
        recurse(n + 1) + std::hint::black_box(n)
    }
}

fn eat(mib: usize) {
    let mut all = Vec::new();
    for _ in 0..mib {
        all.push(vec![1u8; 1024 * 1024]);
    }
    std::hint::black_box(all);
}
