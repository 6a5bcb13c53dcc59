use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("wasmilter.toml"), text.to_owned())
}

const LEAST: &str = "hostname = \"mx.example.test\"\ndata-dir = \"data\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:2525\"\n";

#[test]
fn the_least_configuration_has_defaults() {
    let config = parse(LEAST).unwrap();
    assert_eq!(config.limits.message_size, 50 << 20);
    assert_eq!(config.listeners[0].tls, TlsMode::Starttls);
    assert_eq!(
        (config.policy.junk, config.policy.reject),
        (Some(5.0), Some(15.0))
    );
}

#[test]
fn senders_are_checked_only_where_that_is_asked_for() {
    assert!(parse(LEAST).unwrap().authentication.is_none());
    let later = format!("{LEAST}[authentication]\nenabled = false\nspf = \"reject\"\n");
    assert!(parse(&later).unwrap().authentication.is_none());
    let text = format!(
        "{LEAST}[dns]\nservers = [\"192.0.2.53\", \"[::1]:5353\"]\n[authentication]\nenabled = true\ndmarc = \"reject\"\n"
    );
    let config = parse(&text).unwrap();
    let authentication = config.authentication.unwrap();
    let servers = config.dns.servers.unwrap();
    let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["192.0.2.53:53", "[::1]:5353"]);
    assert_eq!(authentication.policy.dmarc, crate::verify::Action::Reject);
}

#[test]
fn milters_wait_as_long_as_postfix_unless_told_otherwise() {
    let one = "[[milter]]\nname = \"opendkim\"\naddress = \"unix:/run/opendkim.sock\"\n";
    let two = "[[milter]]\nname = \"clamav\"\naddress = \"[::1]:7357\"\norder = 5\non-error = \"skip\"\ncontent-timeout-s = 60\nconnections = 10\n";
    let config = parse(&format!(
        "{LEAST}{one}{two}[plugins.breaker]\nfailures = 3\n"
    ))
    .unwrap();
    let [opendkim, clamav] = &config.milters[..] else {
        panic!("{:?}", config.milters);
    };
    assert_eq!(opendkim.address.to_string(), "unix:/run/opendkim.sock");
    let waits = |milter: &crate::milter::Config| {
        [milter.connect, milter.command, milter.content].map(|wait| wait.as_secs())
    };
    assert_eq!((waits(opendkim), opendkim.order), ([30, 30, 300], 50));
    assert_eq!(opendkim.on_error, crate::mail::OnError::Tempfail);
    assert_eq!((waits(clamav), clamav.order), ([30, 30, 60], 5));
    assert_eq!(clamav.on_error, crate::mail::OnError::Skip);
    assert_eq!((clamav.connections, clamav.breaker.failures), (10, 3));
    for (wrong, what) in [
        (
            one.replace("unix:", "inet:"),
            "is not where a milter listens",
        ),
        (
            one.replace("unix:/run/", "unix:run/"),
            "is not where a milter listens",
        ),
        (
            one.replace("opendkim\"", "Open DKIM\""),
            "is not a name for a filter",
        ),
        (format!("{one}{one}"), "there are two milters \"opendkim\""),
        (format!("{one}command-timeout-s = 0\n"), "0 is out of range"),
        (format!("{one}connections = 0\n"), "0 is out of range"),
        (
            format!("{one}on-error = \"accept\"\n"),
            "unknown variant `accept`",
        ),
        (format!("{one}after = \"x\"\n"), "unknown field `after`"),
    ] {
        let error = parse(&format!("{LEAST}{wrong}")).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

/// Commands that ask a running server, or read what it left, need none.
#[test]
fn a_plugin_directory_that_is_not_there_is_an_error_for_who_needs_it() {
    let with = |plugins: &str| {
        parse(&format!("{LEAST}[plugins]\n{plugins}\n"))
            .unwrap()
            .plugins
    };
    let absent = with("directory = \"/nonexistent/plugins\"").absent.unwrap();
    let absent = absent.to_string();
    assert!(
        absent.contains("mkdir -p /nonexistent/plugins") && absent.contains("directory = "),
        "{absent}"
    );
    assert!(with("directory = \"/\"").absent.is_none());
}

/// Each with what the message must name.
#[test]
fn errors_point_at_the_line() {
    let table = [
        (
            "hostnam = 1\n",
            "unknown field `hostnam`",
            "wasmilter.toml:1:1",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = 7\n",
            "invalid type: integer `7`",
            "wasmilter.toml:2:12",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"gopher\"\naddress = \"127.0.0.1:1\"\n",
            "unknown variant `gopher`",
            "wasmilter.toml:4:12",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"localhost\"\n",
            "not an address to listen on",
            "wasmilter.toml:5:11",
        ),
        // RFC 2033 §5
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"lmtp\"\naddress = \"[::]:25\"\n",
            "port 25 is for smtp",
            "wasmilter.toml:5:11",
        ),
        (
            "hostname = \"mx..test\"\ndata-dir = \"d\"\n",
            "not a domain name",
            "wasmilter.toml:1:12",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[policy]\njunk = 5.0\nreject = 4.0\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\n",
            "reject (4) is below junk (5)",
            "wasmilter.toml:5:10",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[dns]\nservers = [\"dns.example\"]\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\n",
            "not the address of a DNS server",
            "wasmilter.toml:4:12",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[authentication]\ndns-servers = [\"192.0.2.53\"]\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\n",
            "`servers` in the table [dns] now",
            "wasmilter.toml:4:15",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[dns]\ntimeout-ms = 5\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\n",
            "5 is out of range",
            "wasmilter.toml:4:14",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[authentication]\nspf = \"ban\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\n",
            "unknown variant `ban`",
            "wasmilter.toml:4:7",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[authentication]\ndkim = \"none\"\nspf = \"reject\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\n",
            "add enabled = true to [authentication]",
            "wasmilter.toml:5:7",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"imap\"\naddress = \"127.0.0.1:1\"\ntls = \"none\"\nallow-plaintext-auth = false\n",
            "nobody could log in",
            "wasmilter.toml:6:7",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[limits]\nmessage-size = \"1 KiB\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\n",
            "at least 64 KiB",
            "wasmilter.toml:4:16",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"milter\"\naddress = \"127.0.0.1:1\"\ntls = \"starttls\"\n",
            "the milter protocol has no TLS",
            "wasmilter.toml:6:7",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"milter\"\naddress = \"127.0.0.1:1\"\nmode = \"0660\"\n",
            "this listener has none",
            "wasmilter.toml:6:8",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"milter\"\naddress = \"unix:/run/m\"\nmode = \"rw\"\n",
            "\"rw\" is not a file mode",
            "wasmilter.toml:6:8",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"milter\"\naddress = \"unix:/run/m\"\nowner = \"no-such-user\"\n",
            "no user \"no-such-user\" in /etc/passwd",
            "wasmilter.toml:6:9",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[trusted]\nproxies = [\"192.0.2.1/24\"]\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\n",
            "\"192.0.2.1/24\" is not a network",
            "wasmilter.toml:4:12",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\nproxy-protocol = true\n",
            "no proxy is trusted",
            "wasmilter.toml:6:18",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[limits]\ngreeting-delay-ms = 600000\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\n",
            "at most 60000",
            "wasmilter.toml:4:21",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[limits.address]\nmessages-a-minute = 5\n",
            "unknown field `messages-a-minute`",
            "wasmilter.toml:4:1",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[tls]\nkey = \"k.pem\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\n",
            "a key without its certificate",
            "wasmilter.toml:4:7",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[certificate]]\nfile = \"c.pem\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\n",
            "missing field `key`",
            "wasmilter.toml:3:1",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\nclient-certificates = \"optional\"\n",
            "nobody could sign a client's certificate",
            "wasmilter.toml:6:23",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\ntls = \"none\"\nclient-certificates = \"required\"\n[tls]\nclient-ca = \"ca.pem\"\n",
            "this listener has none",
            "wasmilter.toml:7:23",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[acme]\nchallenge = \"http-01\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\n",
            "no listener answers HTTP",
            "wasmilter.toml:4:13",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[acme]\nchallenge = \"tls-alpn-01\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\n",
            "no listener has tls = \"implicit\"",
            "wasmilter.toml:4:13",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[acme]\ndirectory-url = \"http://acme.test/\"\n[[listener]]\nprotocol = \"acme\"\naddress = \"127.0.0.1:1\"\n",
            "is an https address",
            "wasmilter.toml:4:17",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"acme\"\naddress = \"127.0.0.1:1\"\ntls = \"starttls\"\n",
            "acme has no STARTTLS",
            "wasmilter.toml:6:7",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\nnext-hop = \"x\"\n",
            "no [[next-hop]] of the name \"x\"",
            "wasmilter.toml:6:12",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"imap\"\naddress = \"127.0.0.1:1\"\nnext-hop = \"x\"\n",
            "next-hop means nothing for imap",
            "wasmilter.toml:6:12",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\nnext-hop = \"x\"\n[[next-hop]]\nname = \"x\"\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\n",
            "is the listener itself",
            "wasmilter.toml:5:11",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[next-hop]]\nname = \"x\"\nprotocol = \"smtp\"\naddress = \"127.0.0.1\"\n",
            "no address to connect to",
            "wasmilter.toml:6:11",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[next-hop]]\nname = \"x\"\nprotocol = \"imap\"\naddress = \"127.0.0.1:1\"\n",
            "not spoken to by imap",
            "wasmilter.toml:5:12",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[next-hop]]\nname = \"x\"\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\ntimeout-s = 0\n",
            "0 is out of range",
            "wasmilter.toml:7:13",
        ),
        (
            "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[next-hop]]\nname = \"x\"\nprotocol = \"smtp\"\naddress = \"127.0.0.1:1\"\ntransactions = 0\n",
            "0 is out of range",
            "wasmilter.toml:7:16",
        ),
        (
            "hostname = \"mx.example.test\"\n[[listener]\n",
            "",
            "wasmilter.toml:2:",
        ),
    ];
    for (text, what, place) in table {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
        assert!(error.contains(place), "{error}");
    }
}

const TOP: &str = "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n";

fn listener(address: &str, next_hop: &str) -> String {
    let listener = format!("[[listener]]\nprotocol = \"smtp\"\naddress = \"{address}\"\n");
    match next_hop {
        "" => listener,
        name => format!("{listener}next-hop = \"{name}\"\n"),
    }
}

fn hop(name: &str, address: &str) -> String {
    format!("[[next-hop]]\nname = \"{name}\"\nprotocol = \"smtp\"\naddress = \"{address}\"\n")
}

#[test]
fn messages_do_not_come_back_to_the_listener_that_took_them() {
    for (at, to) in [
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("0.0.0.0:1", "127.0.0.1:1"),
        ("[::]:1", "127.0.0.1:1"),
        ("[::1]:1", "localhost:1"),
        ("unix:/run/m", "unix:/run/m"),
    ] {
        let text = format!("{TOP}{}{}", listener(at, "x"), hop("x", to));
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains("is the listener itself"), "{error}");
        assert!(error.contains("wasmilter.toml:5:11"), "{error}");
    }
    let three = |last| {
        let first = listener("127.0.0.1:1", "to-2") + &listener("0.0.0.0:2", "to-3");
        let hops = hop("to-1", "localhost:1") + &hop("to-2", "127.0.0.1:2");
        let third = listener("127.0.0.1:3", last) + &listener("127.0.0.1:4", "to-1");
        format!("{TOP}{first}{third}{hops}{}", hop("to-3", "127.0.0.1:3"))
    };
    // The last one leads into the circle and is not on it.
    for last in ["to-1", "to-2"] {
        let error = parse(&three(last)).unwrap_err().to_string();
        assert!(error.contains("come back to it: to-"), "{error}");
    }
    parse(&three("")).unwrap();
    // Another machine's.
    let away = listener("0.0.0.0:25", "x") + &hop("x", "203.0.113.1:25");
    parse(&format!("{TOP}{away}")).unwrap();
}

#[test]
fn an_address_has_one_listener() {
    for (one, other) in [
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("127.0.0.1:1", "0.0.0.0:1"),
        ("[::]:1", "[::1]:1"),
        ("unix:/run/m", "unix:/run/m"),
    ] {
        let text = format!("{TOP}{}{}", listener(one, ""), listener(other, ""));
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains("has this address"), "{error}");
        assert!(error.contains("wasmilter.toml:8:11"), "{error}");
    }
    for (one, other) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("127.0.0.1:1", "127.0.0.2:1"),
        ("0.0.0.0:1", "[::]:1"),
        ("unix:/run/m", "unix:/run/n"),
    ] {
        parse(&format!(
            "{TOP}{}{}",
            listener(one, ""),
            listener(other, "")
        ))
        .unwrap();
    }
}

#[test]
fn a_threshold_of_inf_is_never_reached() {
    let config = parse(&format!("{LEAST}[policy]\nreject = inf\n")).unwrap();
    assert_eq!(config.policy.reject, None);
}

#[test]
fn paths_are_relative_to_the_file() {
    let text = LEAST.to_owned();
    let config = Config::parse(Path::new("/etc/wasmilter/wasmilter.toml"), text).unwrap();
    assert_eq!(config.data_dir, Path::new("/etc/wasmilter/data"));
}

#[test]
fn limits_are_read_and_the_others_keep_their_defaults() {
    let text = format!(
        "{LEAST}[limits]\nleast-rate = \"1 KiB\"\nipv6-network = 48\nban-offences = 0\n\
         [limits.network]\nbytes-per-hour = \"1 GiB\"\n[trusted]\nnetworks = []\n"
    );
    let guard = parse(&text).unwrap().limits.guard;
    assert_eq!(guard.slowest.rate, 1024);
    assert_eq!(guard.prefixes, (24, 48));
    assert_eq!(guard.ban.offences, 0);
    assert_eq!(guard.network.hour.bytes, 1 << 30);
    assert_eq!(guard.network.connections, 200);
    assert!(guard.exempt.is_empty());
    let local = "127.0.0.1".parse().unwrap();
    assert!(parse(LEAST).unwrap().limits.guard.exempt.contains(local));
}

#[test]
fn acme_is_for_the_hostname_unless_told_otherwise() {
    let text = format!(
        "{LEAST}[[listener]]\nprotocol = \"acme\"\naddress = \"127.0.0.1:80\"\n[acme]\ncontact = [\"postmaster@example.test\"]\n\
         [limits.imap]\nfailed-logins = 3\n[limits.imap.address]\nconnections = 7\n"
    );
    let config = parse(&text).unwrap();
    let acme = config.acme.unwrap();
    assert_eq!(acme.domains, ["mx.example.test"]);
    assert!(acme.directory_url.contains("letsencrypt"));
    assert_eq!(config.listeners[1].tls, TlsMode::None);
    assert_eq!(config.limits.imap.ban.offences, 3);
    assert_eq!(config.limits.imap.address.connections, 7);
    assert_eq!(config.limits.guard.ban.offences, 5);
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nonexistent/w.toml")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/w.toml"), "{error}");
}

#[test]
fn a_milter_socket_says_who_may_connect() {
    let text = "hostname = \"mx.example.test\"\ndata-dir = \"d\"\n[[listener]]\nprotocol = \"milter\"\naddress = \"unix:/run/m\"\nmode = \"0666\"\nowner = \":0\"\n";
    let config = parse(text).unwrap();
    let access = config.listeners[0].access;
    assert_eq!(access.mode, 0o666);
    assert_eq!(access.owner, Some(":0".parse().unwrap()));
    assert_eq!(config.listeners[0].tls, TlsMode::None);
}
