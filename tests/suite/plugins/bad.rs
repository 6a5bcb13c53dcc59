//! Plugins that do their worst, and plugins that change all the time, beside healthy ones under load: nothing is lost, each has its own
//! `on-error`, the others don't notice. `WASMILTER_BAD_MESSAGES` and `WASMILTER_RELOADS` make it as long as you like, and with
//! `WASMILTER_BREAKER=0` no breaker opens.

use super::*;
use crate::support::process::{Process, Sender, run};
use crate::support::{self, ALICE, Server};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use wasmilter::chain::{Chain, Draft, Run};
use wasmilter::mail::{Disposition, Journal};
use wasmilter::store::Store;

fn from_environment(name: &str, default: usize) -> usize {
    let set = std::env::var(name).ok();
    set.map_or(default, |text| text.parse().unwrap())
}

/// To each server.
fn messages() -> usize {
    from_environment("WASMILTER_BAD_MESSAGES", 60)
}

fn config() -> String {
    let failures = from_environment("WASMILTER_BREAKER", 5);
    format!("[plugins]\ndirectory = \"plugins\"\n[plugins.breaker]\nfailures = {failures}\n")
}

/// What each does at `message`, with `skip` for its failures. The limits are small so that the suite ends soon.
const BAD: &[(&str, &str, &str)] = &[
    ("loops", "cpu-ms = 20", r#"["loop"]"#),
    ("recurses", "", r#"["recurse"]"#),
    ("eats", "memory-mib = 8", r#"["eat 100"]"#),
    ("traps", "", r#"["panic no"]"#),
    ("exits", "", r#"["exit 3"]"#),
    ("forges-code", "", r#"["reject 250 2 fine"]"#),
    (
        "forges-reply",
        "",
        r#"["reject 550 5 no\\n250 2.0.0 fine"]"#,
    ),
    (
        "forges-header",
        "",
        r#"["add X-Forged a\\nBcc: eve@example.org", "add X-Nul a\u0000b", "add X-Fine 1"]"#,
    ),
    (
        "out-of-range",
        "",
        r#"["raw 99999999999 100", "change X-None 1", "insert X-Far"]"#,
    ),
    ("invalid-utf-8", "", r#"["invalid"]"#),
    ("floods-host", "", r#"["calls 20000"]"#),
    ("floods-log", "", r#"["flood"]"#),
    ("sleeps", "wall-ms = 50", r#"["sleep 60000"]"#),
    ("traps-at-times", "", r#"["when Poison panic no"]"#),
];

fn write(plugins: &Path, name: &str, manifest: &str, wasm: &[u8]) {
    let folder = plugins.join(name);
    fs::create_dir_all(&folder).unwrap();
    let all = "[\"*\"]\nabilities = [\"*\"]\nverdicts = [\"*\"]\n";
    fs::write(plugins.join("grants.toml"), all).unwrap();
    fs::write(folder.join("plugin.toml"), manifest).unwrap();
    fs::write(folder.join("filter.wasm"), wasm).unwrap();
}

/// A component with so many exports, none of which is a hook.
fn many_exports(count: u32) -> Vec<u8> {
    let mut body = leb(count);
    for n in 0..count {
        let name = format!("e{n}");
        body.push(0);
        body.extend(leb(u32::try_from(name.len()).unwrap()));
        body.extend(name.as_bytes());
        // An instance, the first; as what it is.
        body.extend([5, 0, 0]);
    }
    let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
    wasm.extend([5, 3, 1, 1, 0]);
    wasm.push(11);
    wasm.extend(leb(u32::try_from(body.len()).unwrap()));
    wasm.extend(body);
    wasm
}

/// The guest with a section that says nothing, this long.
fn fat(octets: u32) -> Vec<u8> {
    let mut wasm = GUEST.to_vec();
    wasm.push(0);
    wasm.extend(leb(octets + 2));
    wasm.extend([1, b'x']);
    wasm.resize(wasm.len() + octets as usize, 0);
    wasm
}

fn leb(mut value: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if value == 0 {
            octets.push(low);
            return octets;
        }
        octets.push(low | 0x80);
    }
}

/// Sends so many messages over a few connections; replies by the number of the message.
async fn send(smtp: SocketAddr, count: usize) -> HashMap<usize, (u16, String)> {
    const CONNECTIONS: usize = 4;
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|first| {
            tokio::task::spawn_blocking(move || {
                let mut sender = Sender::connect(smtp).unwrap();
                (first..count)
                    .step_by(CONNECTIONS)
                    .map(|n| {
                        let word = if n % 100 == 7 { "Poison" } else { "Food" };
                        let message = format!("Subject: {word} {n}\r\n\r\nHello {n}\r\n");
                        let reply = sender.send_octets(ALICE, message.as_bytes()).unwrap();
                        if reply.0 >= 400 {
                            // At RCPT, when the breaker opened after MAIL.
                            sender.command("RSET").unwrap();
                        }
                        (n, reply)
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let mut replies = HashMap::new();
    for sender in senders {
        replies.extend(sender.await.unwrap());
    }
    assert_eq!(replies.len(), count);
    replies
}

async fn journal(server: &Server, reply: &str) -> Journal {
    let (_, id) = reply
        .split_once(" as ")
        .unwrap_or_else(|| panic!("no id in {reply}"));
    server.app.store().journal(id).await.unwrap().unwrap()
}

fn is_filed(journal: &Journal) -> bool {
    matches!(
        &journal.dispositions[0].disposition,
        Disposition::Filed { .. }
    )
}

/// For a reader of figures: nothing is asserted of time and memory here.
fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("median {:?}, p99 {:?}", at(50), at(99))
}

/// The healthy ones did what they do, in this time.
fn untouched(journal: &Journal, name: &str) -> Duration {
    let mut turns = journal.turns.iter();
    let turn = turns.find(|turn| turn.filter == name && turn.hook == Hook::Message);
    let turn = turn.unwrap_or_else(|| panic!("{name} was not asked: {journal:?}"));
    assert_eq!(turn.result, Ok(Verdict::Continue), "{turn:?}");
    assert_eq!((turn.symbols.len(), turn.edits.len()), (1, 1), "{turn:?}");
    turn.elapsed
}

fn write_healthy(plugins: &Path, name: &str, order: u32) {
    let does = "message = [\"score FINE 1 a\", \"add X-Fine 1\"]";
    let manifest = format!("order = {order}\n[config]\n{does}");
    write(plugins, name, &manifest, GUEST);
}

/// As many as there are bad ones, which do next to nothing.
fn write_quiet(plugins: &Path) {
    for (name, ..) in BAD {
        write(plugins, name, "[config]\nmessage = [\"log here\"]", GUEST);
    }
}

fn write_bad(plugins: &Path) {
    for (name, limits, steps) in BAD {
        let manifest =
            format!("on-error = \"skip\"\n[limits]\n{limits}\n[config]\nmessage = {steps}");
        write(plugins, name, &manifest, GUEST);
    }
    write(plugins, "many-exports", "", &many_exports(5000));
    let octets = if messages() > 1000 {
        100 << 20
    } else {
        4 << 20
    };
    write(plugins, "fat", "on-error = \"skip\"", &fat(octets));
}

/// Each bad one failed, or was refused what it must not do, and the message went on to the next filter.
fn contained(journal: &Journal) {
    let harmless = ["forges-header", "out-of-range", "floods-host", "floods-log"];
    for turn in &journal.turns {
        assert_eq!(turn.verdict, Verdict::Continue, "{turn:?}");
        if turn.hook != Hook::Message {
            continue;
        }
        let bad = BAD.iter().any(|(name, ..)| *name == turn.filter);
        if bad && !harmless.contains(&turn.filter.as_str()) && turn.filter != "traps-at-times" {
            assert!(turn.result.is_err(), "{turn:?}");
        }
        if turn.filter == "forges-header" && turn.result.is_ok() {
            assert_eq!((turn.edits.len(), turn.refused.len()), (1, 2), "{turn:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_plugins_cost_their_own_turn_and_no_message() {
    let messages = messages();
    // They take turns, so that a slow minute of the machine is that of all of them.
    let rounds = if messages > 1000 { 20 } else { 2 };
    let config = config();
    let beside = |write_others: fn(&Path)| {
        Server::with(&config, move |home| {
            let plugins = home.join("plugins");
            write_healthy(&plugins, "a-healthy", 1);
            write_healthy(&plugins, "z-healthy", 99);
            write_others(&plugins);
        })
    };
    let nobody = beside(|_| {}).await;
    let quiet = beside(write_quiet).await;
    let bad = beside(write_bad).await;
    let filters = bad.app.filters();
    assert_eq!(filters.len(), BAD.len() + 3, "{filters:?}");
    assert!(!filters.iter().any(|name| name.starts_with("many-exports")));

    let mut servers = [
        ("no other one", nobody, Vec::new()),
        ("quiet ones", quiet, Vec::new()),
        ("bad ones", bad, Vec::new()),
    ];
    for _ in 0..rounds {
        for (others, server, times) in &mut servers {
            for (n, (code, reply)) in send(server.smtp(), messages / rounds).await {
                assert_eq!(code, 250, "message {n} beside {others}: {reply}");
                let journal = journal(server, &reply).await;
                assert!(is_filed(&journal), "message {n}: {journal:?}");
                times.push(untouched(&journal, "a-healthy"));
                untouched(&journal, "z-healthy");
                if *others == "bad ones" {
                    contained(&journal);
                }
            }
        }
    }
    for (others, server, times) in servers {
        eprintln!("a healthy filter beside {others}: {}", quantiles(times));
        server.app.stop().await;
    }
}

/// MiB of this process; 0 where there is no /proc.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// MiB of a server of its own before other plugins come, after mail with them, after as much again, and when they have gone and as
/// much mail has come without them.
struct Memory {
    before: u64,
    with: u64,
    with_more: u64,
    after: u64,
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            before,
            with,
            with_more,
            after,
        } = self;
        write!(
            f,
            "{before} before, {with} and {with_more} with, {after} after"
        )
    }
}

/// Free memory goes back to the system within this time.
const GIVEN_BACK: Duration = Duration::from_secs(30);

async fn memory(write_others: fn(&Path)) -> Memory {
    let home = tempfile::tempdir().unwrap();
    let plugins = home.path().join("plugins");
    write_healthy(&plugins, "a-healthy", 1);
    write_healthy(&plugins, "z-healthy", 99);
    let config = support::config(home.path(), &config());
    support::accounts(&config).await;
    let file = home.path().join("wasmilter.toml");
    let server = Process::serve(&file, 3);
    let folders = || {
        let entries = fs::read_dir(&plugins).unwrap().map(|entry| entry.unwrap());
        let folders = entries.filter(|entry| entry.path().is_dir());
        let names = folders.map(|entry| entry.file_name().into_string().unwrap());
        names.collect::<Vec<_>>()
    };
    let reload = async || {
        let file = file.to_str().unwrap().to_owned();
        let reload = move || run(&["plugin", "reload", "--config", &file], "");
        let output = tokio::task::spawn_blocking(reload).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        for name in folders() {
            assert!(said.contains(&name), "{name}: {said}");
        }
        said
    };
    let mail = async || {
        for (n, (code, reply)) in send(server.address("smtp"), messages()).await {
            assert_eq!(code, 250, "message {n}: {reply}");
        }
        resident(server.id())
    };
    let before = mail().await;
    write_others(&plugins);
    reload().await;
    let (with, with_more) = (mail().await, mail().await);
    for name in folders() {
        if !name.ends_with("healthy") {
            fs::remove_dir_all(plugins.join(name)).unwrap();
        }
    }
    assert!(!reload().await.contains("sleeps"));
    let mut after = mail().await;
    let started = std::time::Instant::now();
    while after > before && started.elapsed() < GIVEN_BACK {
        tokio::time::sleep(Duration::from_millis(200)).await;
        after = after.min(resident(server.id()));
    }
    Memory {
        before,
        with,
        with_more,
        after,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_plugins_take_no_memory_along() {
    // Mail fills caches, whatever plugins do.
    let (nobody, quiet, bad) = tokio::join!(memory(|_| {}), memory(write_quiet), memory(write_bad));
    eprintln!(
        "MiB, {} messages each; no others: {nobody}; quiet ones: {quiet}; bad ones: {bad}",
        messages()
    );
    // What they take is taken once, not with each message, and goes with them.
    assert!(bad.with_more <= bad.with + 48, "{bad}");
    assert!(bad.after <= nobody.after + 24, "{nobody}; {bad}");
    assert!(bad.after <= quiet.after + 16, "{quiet}; {bad}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_plugin_has_its_own_policy() {
    let messages = from_environment("WASMILTER_BAD_MESSAGES", 24);
    for (on_error, expected) in [("tempfail", 451), ("reject", 554), ("quarantine", 250)] {
        // A client that is refused so often would be sent away.
        let limits = "errors = 1000000\ncommands = 1000000\nidle-commands = 1000000\ntarpit-ms = 0";
        let config = format!("[limits]\n{limits}\n[plugins]\ndirectory = \"plugins\"\n");
        let server = Server::with(&config, |home| {
            let plugins = home.join("plugins");
            let healthy = "order = 1\n[config]\nmessage = [\"score FINE 1 a\", \"add X-Fine 1\"]";
            write(&plugins, "a-healthy", healthy, GUEST);
            let bad = format!("on-error = {on_error:?}\n[config]\nmessage = [\"panic no\"]");
            write(&plugins, "bad", &bad, GUEST);
        })
        .await;
        for (n, (code, reply)) in send(server.smtp(), messages).await {
            assert_eq!(code, expected, "{on_error}, message {n}: {reply}");
        }
        server.app.stop().await;
    }
}

fn chain(generation: &Generation) -> Chain {
    Chain {
        generation: generation.number,
        filters: Arc::clone(&generation.filters),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_mix_nothing_and_leave_nothing() {
    let reloads = from_environment("WASMILTER_RELOADS", 20);
    let rig = Rig::new();
    let state = tempfile::tempdir().unwrap();
    let write = |n: usize| {
        for name in ["a", "b"] {
            let script = "rcpt = [\"log here\"]\nmessage = [\"score X 1 a\"]";
            let manifest = format!("version = \"{n}\"\n[config]\n{script}");
            rig.plugin(name, &manifest, GUEST);
        }
    };
    write(0);
    let config = Config {
        state: Some(state.path().to_owned()),
        instances: 100,
        ..rig.config()
    };
    let host = Arc::new(Host::start(config).await.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (host, stop, done) = (Arc::clone(&host), Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                let mut view = view(Hook::Message);
                let mut slowest = Duration::ZERO;
                while !stop.load(SeqCst) {
                    let started = std::time::Instant::now();
                    let chain = chain(&host.generation());
                    let mut run = Run::new(chain, Arc::clone(&view.session), None);
                    let mut draft = Draft::new(message(), &view.envelope.recipients);
                    let at_rcpt = run.rcpt(alice(), &mut view.envelope).await;
                    tokio::task::yield_now().await;
                    let at_message = run.message(&mut view.envelope, &mut draft).await;
                    assert_eq!(
                        (at_rcpt, at_message),
                        (Verdict::Continue, Verdict::Continue)
                    );
                    let turns = run.end().turns;
                    assert_eq!(turns.len(), 4);
                    for name in ["a", "b"] {
                        let mut own = turns.iter().filter(|turn| turn.filter == name);
                        let version = &own.next().unwrap().version;
                        assert!(own.all(|turn| turn.version == *version), "{turns:?}");
                        assert!(turns.iter().all(|turn| turn.result.is_ok()), "{turns:?}");
                    }
                    done.fetch_add(1, SeqCst);
                    slowest = slowest.max(started.elapsed());
                }
                slowest
            })
        })
        .collect();
    let mut former: Vec<Weak<Generation>> = Vec::new();
    for n in 1..=reloads {
        former.push(Arc::downgrade(&host.generation()));
        write(n);
        let number = host.reload().await.number;
        assert_eq!(number, n as u64 + 1);
        // Some mail for each.
        let before = done.load(SeqCst);
        while done.load(SeqCst) < before + 4 {
            assert!(
                !load.iter().any(|task| task.is_finished()),
                "a message was lost"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    stop.store(true, SeqCst);
    let mut slowest = Duration::ZERO;
    for task in load {
        slowest = slowest.max(task.await.unwrap());
    }
    eprintln!(
        "{reloads} reloads, {} messages, the slowest took {slowest:?}",
        done.load(SeqCst)
    );
    assert!(
        former
            .iter()
            .all(|generation| generation.upgrade().is_none()),
        "old generations are still there"
    );
    for health in host.health(None).await {
        let figures = &health.versions[0].work.as_ref().unwrap().figures;
        assert_eq!((figures.failures, figures.in_flight), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_compared_and_a_version_rolled_back_by_command() {
    let server = Server::with("[plugins]\ndirectory = \"plugins\"\n", |home| {
        let plugins = home.join("plugins");
        write(&plugins, "guest", "version = \"1\"\n[config]\nmessage = [\"score OLD 1 a\"]", GUEST);
        let next = "version = \"2\"\nmode = \"shadow\"\n[config]\nmessage = [\"score NEW 2 a\", \"when Poison reject 550 5 no\"]";
        write(&plugins, "guest@next", next, GUEST);
    })
    .await;
    let replies = send(server.smtp(), 9).await;
    let file = server.home.path().join("wasmilter.toml");
    let file = file.to_str().unwrap().to_owned();
    let command = async |arguments: &[&str]| {
        let mut all: Vec<String> = vec!["plugin".to_owned()];
        all.extend(arguments.iter().map(|text| (*text).to_owned()));
        all.extend(["--config".to_owned(), file.clone()]);
        let output = tokio::task::spawn_blocking(move || {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            run(&all, "")
        });
        let output = output.await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let (fine, said) = command(&["diff", "guest", "--since", "1h"]).await;
    assert!(fine, "{said}");
    for expected in [
        "9 transactions",
        "active 1: 63 calls, 0 failed",
        "shadow 2: 63 calls, 0 failed",
        "63 calls compared, 54 the same",
        "verdict at message: continue -> reject",
        "symbol NEW: - -> 2.0",
        "symbol OLD: 1.0 -> -",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let poisoned = journal(&server, &replies[&7].1).await;
    assert!(said.contains(poisoned.id.as_str()), "{said}");

    let plugins = server.home.path().join("plugins");
    fs::remove_dir_all(plugins.join("guest@next")).unwrap();
    write(
        &plugins,
        "guest",
        "version = \"3\"\n[config]\nmessage = []",
        GUEST,
    );
    let (fine, said) = command(&["reload"]).await;
    assert!(fine && said.contains("guest 3  active"), "{said}");
    let (fine, said) = command(&["rollback", "guest"]).await;
    assert!(fine && said.contains("guest 1"), "{said}");
    let (fine, said) = command(&["status", "guest"]).await;
    assert!(
        fine && said.contains("pinned: rolled back from 3 by command"),
        "{said}"
    );
    assert!(
        said.contains("breaker closed") && said.contains("was 3"),
        "{said}"
    );
    let (fine, said) = command(&["unpin", "guest"]).await;
    assert!(fine, "{said}");
    let (fine, said) = command(&["status", "nobody"]).await;
    assert!(!fine && said.contains("no plugin nobody"), "{said}");
    assert_eq!(server.app.filters(), ["guest 3"]);
}
