//! The limits, with a clock and a machine of the test's own.

use super::*;
use crate::net::logged::Logged;
use std::sync::atomic::{AtomicU64, Ordering};

/// Milliseconds.
#[derive(Clone, Default)]
struct Time(Arc<AtomicU64>);

impl Time {
    fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

fn guard(change: impl FnOnce(&mut Config)) -> (Arc<Guard>, Time) {
    let mut config = Config {
        exempt: Networks::parse(["127.0.0.1"]).unwrap(),
        address: Rates::default(),
        network: Rates::default(),
        ..Config::default()
    };
    change(&mut config);
    let time = Time::default();
    let ticks = time.clone();
    let ticks = Arc::new(move || Duration::from_millis(ticks.0.load(Ordering::Relaxed)));
    (Arc::new(Guard::with_ticks(config, None, ticks)), time)
}

fn peer(address: &str) -> Peer {
    Peer::Tcp((address.parse::<IpAddr>().unwrap(), 1025).into())
}

fn code(reply: &Reply) -> String {
    reply
        .to_string()
        .split(' ')
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn connections_at_once_of_an_address_a_network_and_all() {
    let (guard, _) = guard(|config| {
        config.address.connections = 1;
        config.network.connections = 2;
        config.all.connections = 3;
    });
    let connect = |address| guard.connect(peer(address)).map_err(|reply| code(&reply));
    let first = connect("192.0.2.1").unwrap();
    assert_eq!(connect("192.0.2.1").unwrap_err(), "421 4.7.0");
    let _second = connect("192.0.2.2").unwrap();
    assert_eq!(connect("192.0.2.3").unwrap_err(), "421 4.7.0");
    let _third = connect("2001:db8::1").unwrap();
    assert_eq!(connect("198.51.100.1").unwrap_err(), "421 4.3.2");
    // Trusted ones, and local sockets, are not counted.
    let trusted = connect("127.0.0.1").unwrap();
    assert!(trusted.is_exempt() && guard.connect(Peer::Unix).is_ok());
    drop(first);
    assert!(connect("192.0.2.1").is_ok());
    assert_eq!(guard.counters().get(Limit::Connections), 3);
}

#[test]
fn an_ipv6_network_is_64_bits_and_both_can_be_set() {
    let (one, _) = guard(|config| config.network.connections = 1);
    let _first = one.connect(peer("2001:db8:0:1::1")).unwrap();
    assert!(one.connect(peer("2001:db8:0:1::2")).is_err());
    assert!(one.connect(peer("2001:db8:0:2::2")).is_ok());
    let (wide, _) = guard(|config| {
        config.network.connections = 1;
        config.prefixes = (16, 48);
    });
    let _first = wide.connect(peer("2001:db8:0:1::1")).unwrap();
    assert!(wide.connect(peer("2001:db8:0:2::2")).is_err());
    let _second = wide.connect(peer("192.0.2.1")).unwrap();
    assert!(wide.connect(peer("192.0.99.1")).is_err());
}

/// Each: so many go, the next doesn't; when the time for one has passed, one more does.
#[test]
fn amounts_in_time() {
    type Set = fn(&mut Rates);
    type Take = fn(&Arc<Guard>, &Ticket) -> Result<(), Reply>;
    let table: [(&str, Set, Take, Limit); 6] = [
        (
            "connections",
            |rates| rates.minute.connections = 6,
            |guard, _| guard.connect(peer("192.0.2.2")).map(drop),
            Limit::ConnectionRate,
        ),
        (
            "messages",
            |rates| rates.minute.messages = 6,
            |_, ticket| ticket.mail(),
            Limit::Messages,
        ),
        (
            "recipients",
            |rates| rates.minute.recipients = 6,
            |_, ticket| ticket.recipient(),
            Limit::Recipients,
        ),
        (
            "bytes",
            |rates| rates.minute.bytes = 60,
            |_, ticket| ticket.mail().inspect(|()| ticket.bytes(10)),
            Limit::Bytes,
        ),
        (
            "messages an hour",
            |rates| rates.hour.messages = 6,
            |_, ticket| ticket.mail(),
            Limit::Messages,
        ),
        (
            "recipients an hour",
            |rates| rates.hour.recipients = 6,
            |_, ticket| ticket.recipient(),
            Limit::Recipients,
        ),
    ];
    for (name, set, take, limit) in table {
        let scopes: [fn(&mut Config) -> &mut Rates; 3] = [
            |config| &mut config.address,
            |config| &mut config.network,
            |config| &mut config.all,
        ];
        for scope in scopes {
            let (guard, time) = guard(|config| set(scope(config)));
            let ticket = guard.connect(peer("192.0.2.2")).unwrap();
            time.pass(60 * SECOND);
            for turn in 0..6 {
                assert!(take(&guard, &ticket).is_ok(), "{name} {turn}");
            }
            let refused = take(&guard, &ticket).unwrap_err();
            assert!(refused.is_temporary(), "{name}");
            assert_eq!(guard.counters().get(limit), 1, "{name}");
            let one = if name.ends_with("hour") { 600 } else { 10 };
            time.pass(one * SECOND);
            assert!(take(&guard, &ticket).is_ok(), "{name}");
            assert!(take(&guard, &ticket).is_err(), "{name}");
        }
    }
}

#[test]
fn offences_ban_an_address_for_a_time() {
    let (guard, time) = guard(|config| {
        config.ban = Ban {
            offences: 3,
            within: 60 * SECOND,
            lasts: 100 * SECOND,
        }
    });
    let offend = |limit| guard.connect(peer("192.0.2.1")).unwrap().offence(limit);
    // Spread out, they are forgotten.
    for _ in 0..9 {
        offend(Limit::Errors);
        time.pass(30 * SECOND);
    }
    time.pass(60 * SECOND);
    // Slowness is no offence.
    for _ in 0..9 {
        offend(Limit::Slow);
    }
    offend(Limit::Errors);
    offend(Limit::Commands);
    offend(Limit::EarlyTalk);
    let reply = guard.connect(peer("192.0.2.1")).unwrap_err();
    assert_eq!(code(&reply), "421 4.7.0");
    assert_eq!(guard.counters().get(Limit::Banned), 1);
    // The neighbour is not.
    assert!(guard.connect(peer("192.0.2.2")).is_ok());
    time.pass(101 * SECOND);
    assert!(guard.connect(peer("192.0.2.1")).is_ok());
}

#[test]
fn an_ipv6_network_is_banned_as_one() {
    let (guard, _) = guard(|config| {
        config.prefixes = (24, 56);
        config.ban.offences = 3;
    });
    for address in ["2001:db8::1", "2001:db8::2", "2001:db8:0:ff::3"] {
        let ticket = guard.connect(peer(address)).unwrap();
        ticket.offence(Limit::Errors);
    }
    for address in ["2001:db8::1", "2001:db8:0:80::4"] {
        let reply = guard.connect(peer(address)).unwrap_err();
        assert_eq!(code(&reply), "421 4.7.0");
    }
    assert!(guard.connect(peer("2001:db8:0:100::1")).is_ok());
}

#[test]
fn a_connection_that_is_open_learns_of_the_ban() {
    let (guard, time) = guard(|config| config.ban.offences = 2);
    let [one, other] = ["192.0.2.1"; 2].map(|address| guard.connect(peer(address)).unwrap());
    let [neighbour, trusted] =
        ["192.0.2.2", "127.0.0.1"].map(|address| guard.connect(peer(address)).unwrap());
    assert!(!one.failed_login() && !other.is_banned());
    assert!(one.failed_login() && other.is_banned());
    assert!(!neighbour.is_banned() && !trusted.is_banned());
    assert_eq!(guard.counters().get(Limit::Banned), 1);
    time.pass(601 * SECOND);
    assert!(!other.is_banned());
}

#[test]
fn the_log_has_each_limit_of_each_client_once_a_minute() {
    let (guard, time) = guard(|config| {
        config.address.connections = 2;
        config.address.hour.messages = 1;
        config.ban.offences = 0;
    });
    let [one, other] =
        ["192.0.2.1", "192.0.2.2"].map(|address| guard.connect(peer(address)).unwrap());
    let [trusted, local] = [peer("127.0.0.1"), Peer::Unix].map(|peer| guard.connect(peer).unwrap());
    for ticket in [&one, &other] {
        assert!(ticket.mail().is_ok());
    }
    let all = || {
        let _second = guard.connect(peer("192.0.2.1")).unwrap();
        for _ in 0..9 {
            // Two of one address by turns.
            assert!(guard.connect(peer("192.0.2.1")).is_err());
            assert!(one.mail().is_err() && other.mail().is_err());
            for ticket in [&one, &other, &trusted, &local] {
                ticket.tell("message-size");
                ticket.tell("hops");
                ticket.offence(Limit::Errors);
            }
        }
    };
    let log = Logged::start();
    for _ in 0..2 {
        all();
        assert_eq!(log.count("limit reached"), 3 + 4 * 3);
    }
    time.pass(60 * SECOND);
    all();
    assert_eq!(log.count("limit=\"hops\""), 2 * 4);
}

struct Fixed {
    resident: u64,
    free: u64,
}

impl Resources for Fixed {
    fn resident(&self) -> Option<u64> {
        Some(self.resident)
    }
    fn free(&self) -> Option<u64> {
        Some(self.free)
    }
}

#[test]
fn without_room_new_mail_is_put_off() {
    let room = Room {
        memory: 1000,
        disk_free: 1000,
    };
    let guard = |resident, free| {
        let config = Config {
            room,
            ..Config::default()
        };
        Arc::new(Guard::new(config, Some(Box::new(Fixed { resident, free }))))
    };
    let full = guard(1000, 999);
    let ticket = full.connect(peer("127.0.0.1")).unwrap();
    assert_eq!(code(&ticket.mail().unwrap_err()), "452 4.3.1");
    assert_eq!(full.counters().get(Limit::Disk), 1);
    assert!(!ticket.has_disk());
    assert_eq!(full.counters().get(Limit::Disk), 2);
    let large = guard(1001, 1000);
    assert_eq!(code(&large.connect(Peer::Unix).unwrap_err()), "421 4.3.2");
    assert_eq!(large.counters().get(Limit::Memory), 1);
    let fine = guard(1000, 1000);
    let ticket = fine.connect(Peer::Unix).unwrap();
    assert!(ticket.mail().is_ok() && ticket.has_disk());
}

#[test]
fn the_log_says_once_a_minute_that_there_is_no_room() {
    let time = Time::default();
    let ticks = time.clone();
    let ticks = Arc::new(move || Duration::from_millis(ticks.0.load(Ordering::Relaxed)));
    let full = Box::new(Fixed {
        resident: 0,
        free: 0,
    });
    let guard = Arc::new(Guard::with_ticks(Config::default(), Some(full), ticks));
    let ticket = guard.connect(Peer::Unix).unwrap();
    let log = Logged::start();
    for minute in 1..4 {
        for _ in 0..300 {
            assert!(ticket.mail().is_err());
        }
        assert_eq!(log.count("no room for new mail"), minute);
        time.pass(60 * SECOND);
    }
}

#[test]
fn the_real_machine_can_be_read() {
    let system = resources::System {
        data_dir: std::env::temp_dir(),
        reclaim: Box::new(|| 0),
    };
    assert!(system.resident().unwrap() > 1 << 20);
    assert!(system.free().is_some());
    assert!(default_memory() > 0);
}

#[test]
fn a_message_may_be_slow_for_a_while_and_a_command_takes_no_longer_than_it_may() {
    let slowest = Slowest {
        rate: 10,
        grace: 60 * SECOND,
        command: 100 * SECOND,
    };
    let mut pace = Pace::default();
    assert_eq!(pace.of_message(slowest), 60 * SECOND);
    pace.add(1, 50 * SECOND);
    assert_eq!(pace.of_message(slowest), 10 * SECOND);
    pace.add(100, 20 * SECOND);
    assert_eq!(pace.of_message(slowest), Duration::ZERO);
    assert_eq!(pace.of_command(slowest), 30 * SECOND);
    let any = Slowest { rate: 0, ..slowest };
    assert_eq!(pace.of_message(any), Duration::MAX);
}

#[test]
fn a_flood_of_addresses_takes_no_more_than_its_memory() {
    let (guard, time) = guard(|config| config.address.minute.messages = 5);
    for network in 0..70_000_u32 {
        let address = IpAddr::from((0x2a00_u128 << 112 | u128::from(network) << 64).to_be_bytes());
        assert!(guard.connect(Peer::Tcp((address, 1).into())).is_ok());
        if network % 1000 == 0 {
            time.pass(SECOND);
        }
    }
}
