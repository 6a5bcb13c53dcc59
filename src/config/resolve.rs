//! From raw values to a `Config`: defaults, paths, and the rules that a type cannot say.

use super::{
    Authentication, ByteSize, Config, ConfigError, Listener, Plugins, Protocol, Source, TlsMode,
    Trusted, acme, bulkheads, limits, milters, next_hop, raw, secret, tls, trusted,
};
use crate::accept::Expiry;
use crate::chain::Policy;
use crate::mail::Address;
use crate::net::{Access, Asked, Endpoint};
use crate::{dns, verify};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use toml::Spanned;

/// Default thresholds: those that administrators know from SpamAssassin and Rspamd.
const JUNK: f32 = 5.0;
const REJECT: f32 = 15.0;

pub fn resolve(raw: raw::Config, source: Source) -> Result<Config, ConfigError> {
    let base = source.path.parent().unwrap_or(Path::new("")).to_owned();
    let hostname = domain(&source, &raw.hostname)?;
    let domains = raw
        .domains
        .iter()
        .map(|name| domain(&source, name))
        .collect::<Result<_, _>>()?;
    let postmaster = raw
        .postmaster
        .as_ref()
        .map(|text| {
            Address::parse(text.get_ref()).map_err(|error| {
                source.error(
                    text.span(),
                    format!("postmaster is not a mail address: {error}"),
                    "write it as \"alice@example.test\"",
                )
            })
        })
        .transpose()?;
    let trusted = trusted::resolve(&source, &raw.trusted)?;
    let next_hops = next_hop::resolve(&source, &base, raw.next_hop)?;
    let listeners = raw
        .listener
        .into_iter()
        .map(|raw_listener| listener(&source, &base, raw_listener, &trusted, &raw.tls, &next_hops))
        .collect::<Result<Vec<_>, _>>()?;
    all_apart(&source, &listeners)?;
    next_hop::no_circle(&source, &listeners, &next_hops)?;
    if listeners.is_empty() {
        return Err(source.error(
            0..0,
            "there is no [[listener]], so nothing would be served",
            "add one, such as:\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:2525\"",
        ));
    }
    let tls = tls::resolve(&source, &base, raw.tls, raw.certificate)?;
    let acme = raw
        .acme
        .map(|raw| acme::resolve(&source, &base, raw, &hostname, &listeners));
    let limits = limits::resolve(&source, &raw.limits, trusted.networks.clone())?;
    let plugins = plugins(&source, &base, raw.plugins)?;
    let breaker = plugins.breaker;
    Ok(Config {
        hostname,
        data_dir: base.join(raw.data_dir),
        domains,
        postmaster,
        listeners,
        next_hops,
        tls,
        acme: acme.transpose()?,
        milters: milters::resolve(&source, raw.milter, breaker, limits.message_size)?,
        plugins,
        policy: policy(&source, &raw.policy)?,
        dns: dns(&source, raw.dns)?,
        authentication: authentication(&source, raw.authentication)?,
        quarantine: quarantine(&source, &raw.quarantine, limits.message_size)?,
        journals: days(&source, raw.journal.keep_days.as_ref())?,
        limits,
        trusted,
        source,
    })
}

pub(super) fn domain(source: &Source, name: &Spanned<String>) -> Result<String, ConfigError> {
    match Address::parse(&format!("postmaster@{}", name.get_ref())) {
        Ok(address) if !address.domain().starts_with('[') => Ok(address.domain().to_owned()),
        _ => Err(source.error(
            name.span(),
            format!("{:?} is not a domain name", name.get_ref()),
            "write it as \"example.test\", without @ or a final dot",
        )),
    }
}

fn listener(
    source: &Source,
    base: &Path,
    raw: raw::Listener,
    trusted: &Trusted,
    files: &tls::Raw,
    next_hops: &[next_hop::NextHop],
) -> Result<Listener, ConfigError> {
    let protocol = *raw.protocol.get_ref();
    if protocol == Protocol::Submission {
        return Err(source.error(
            raw.protocol.span(),
            format!(
                "protocol {:?} is not there yet in this version",
                protocol.name()
            ),
            "smtp, lmtp, milter, hooks, rspamd, imap, http and acme are",
        ));
    }
    let address = raw.address.get_ref();
    let unix = address.strip_prefix("unix:");
    let well_formed = match unix {
        Some(path) => !path.is_empty(),
        None => address.parse::<std::net::SocketAddr>().is_ok(),
    };
    if !well_formed {
        return Err(source.error(
            raw.address.span(),
            format!("{address:?} is not an address to listen on"),
            "write IP:PORT, such as \"127.0.0.1:2525\" or \"[::]:25\", or \"unix:/run/wasmilter/smtp.sock\"",
        ));
    }
    // RFC 2033 §5
    let port = address
        .parse()
        .map(|address: std::net::SocketAddr| address.port());
    if protocol == Protocol::Lmtp && port == Ok(25) {
        return Err(source.error(
            raw.address.span(),
            "port 25 is for smtp; LMTP must not be spoken there",
            "24 is the port for lmtp, or use a local socket: \"unix:/run/wasmilter/lmtp.sock\"",
        ));
    }
    let tls = match (&raw.tls, protocol) {
        (
            None,
            Protocol::Http | Protocol::Milter | Protocol::Hooks | Protocol::Rspamd | Protocol::Acme,
        ) => TlsMode::None,
        (None, _) => TlsMode::default(),
        (Some(mode), Protocol::Milter) if *mode.get_ref() != TlsMode::None => {
            return Err(source.error(
                mode.span(),
                "the milter protocol has no TLS",
                "remove the line; listen on a local socket or a loopback address, or go through a tunnel",
            ));
        }
        (Some(mode), Protocol::Http) if *mode.get_ref() != TlsMode::None => {
            return Err(source.error(
                mode.span(),
                "http has no TLS in this version",
                "use tls = \"none\" on a loopback address, with a reverse proxy before it if it must be reached from outside",
            ));
        }
        (Some(mode), Protocol::Acme) if *mode.get_ref() == TlsMode::Starttls => {
            return Err(source.error(
                mode.span(),
                "acme has no STARTTLS",
                "\"none\" answers http-01 challenges, \"implicit\" those of tls-alpn-01",
            ));
        }
        (Some(mode), Protocol::Hooks | Protocol::Rspamd)
            if *mode.get_ref() == TlsMode::Starttls =>
        {
            return Err(source.error(
                mode.span(),
                format!("{} has no STARTTLS", protocol.name()),
                "use tls = \"implicit\" for https, or \"none\" (the default)",
            ));
        }
        (Some(mode), _) => *mode.get_ref(),
    };
    let client_certificates = match &raw.client_certificates {
        Some(asked) if *asked.get_ref() != Asked::None => {
            let is_for_mail = matches!(protocol, Protocol::Smtp | Protocol::Lmtp | Protocol::Imap);
            if tls == TlsMode::None || !is_for_mail {
                return Err(source.error(
                    asked.span(),
                    "a client shows its certificate in a TLS handshake, and this listener has none for mail",
                    "remove the line, or set tls = \"starttls\" or \"implicit\" on smtp, lmtp or imap",
                ));
            }
            if !files.has_client_ca() {
                return Err(source.error(
                    asked.span(),
                    "nobody could sign a client's certificate",
                    "name the authorities: [tls] client-ca = \"/etc/wasmilter/clients.pem\"",
                ));
            }
            *asked.get_ref()
        }
        _ => Asked::None,
    };
    if let (Some(flag), false) = (&raw.allow_plaintext_auth, protocol == Protocol::Imap) {
        return Err(source.error(
            flag.span(),
            format!("allow-plaintext-auth means nothing for {}", protocol.name()),
            "remove the line; it is for imap",
        ));
    }
    let takes_passwords = tls != TlsMode::None
        || raw
            .allow_plaintext_auth
            .as_ref()
            .is_some_and(|flag| *flag.get_ref());
    if protocol == Protocol::Imap && !takes_passwords {
        return Err(source.error(
            raw.tls.as_ref().map_or(raw.address.span(), Spanned::span),
            "nobody could log in: passwords are not taken without TLS",
            "set tls = \"starttls\" or \"implicit\"; on a loopback address, or behind a proxy that does TLS, allow-plaintext-auth = true",
        ));
    }
    if let Some(flag) = raw.proxy_protocol.as_ref().filter(|flag| *flag.get_ref()) {
        if !matches!(protocol, Protocol::Smtp | Protocol::Lmtp | Protocol::Imap) {
            return Err(source.error(
                flag.span(),
                format!("{} does not take the PROXY protocol", protocol.name()),
                "smtp, lmtp and imap do",
            ));
        }
        if trusted.proxies.is_empty() {
            return Err(source.error(
                flag.span(),
                "no proxy is trusted, so nobody could connect",
                "name them: [trusted] proxies = [\"192.0.2.1\"]",
            ));
        }
    }
    let secret = secret::resolve(source, base, &raw)?;
    next_hop::of_listener(source, raw.next_hop.as_ref(), protocol, next_hops)?;
    let access = access(source, &raw, unix.is_some())?;
    Ok(Listener {
        protocol,
        tls,
        client_certificates,
        access,
        allow_plaintext_auth: raw.allow_plaintext_auth.is_some_and(Spanned::into_inner),
        proxy_protocol: raw.proxy_protocol.is_some_and(Spanned::into_inner),
        secret,
        next_hop: raw.next_hop.map(Spanned::into_inner),
        span: raw.address.span(),
        address: raw.address.into_inner(),
    })
}

/// An address has room for one listener.
fn all_apart(source: &Source, listeners: &[Listener]) -> Result<(), ConfigError> {
    let endpoint = |listener: &Listener| listener.address.parse::<Endpoint>().ok();
    for (index, listener) in listeners.iter().enumerate() {
        let Some(own) = endpoint(listener) else {
            continue;
        };
        let mut before = listeners.iter().take(index);
        let taken = before.find(|other| endpoint(other).is_some_and(|other| own.overlaps(&other)));
        if let Some(other) = taken {
            return Err(source.error(
                listener.span.clone(),
                format!(
                    "the listener of protocol {:?} has this address: {}",
                    other.protocol.name(),
                    other.address
                ),
                "choose another port or address",
            ));
        }
    }
    Ok(())
}

/// Who may connect to a Unix socket.
fn access(source: &Source, raw: &raw::Listener, is_unix: bool) -> Result<Access, ConfigError> {
    if let (Some(value), false) = (raw.mode.as_ref().or(raw.owner.as_ref()), is_unix) {
        return Err(source.error(
            value.span(),
            "mode and owner are those of a socket file, and this listener has none",
            "remove the line, or listen on \"unix:/run/wasmilter/milter.sock\"",
        ));
    }
    let mut access = Access::default();
    if let Some(mode) = &raw.mode {
        let number = u32::from_str_radix(mode.get_ref(), 8).ok();
        access.mode = number.filter(|mode| *mode <= 0o777).ok_or_else(|| {
            source.error(
                mode.span(),
                format!("{:?} is not a file mode", mode.get_ref()),
                "write it in octal, such as \"0660\" for this user and group",
            )
        })?;
    }
    if let Some(owner) = &raw.owner {
        access.owner = Some(
            owner
                .get_ref()
                .parse()
                .map_err(|error: crate::net::OwnerError| {
                    source.error(
                        owner.span(),
                        error.to_string(),
                        "write USER, USER:GROUP or :GROUP, by name or number",
                    )
                })?,
        );
    }
    Ok(access)
}

fn plugins(source: &Source, base: &Path, raw: raw::Plugins) -> Result<Plugins, ConfigError> {
    let directory = raw
        .directory
        .as_ref()
        .map(|directory| base.join(directory.get_ref()));
    let absent = directory.as_ref().filter(|path| !path.is_dir());
    let mut absent = absent.zip(raw.directory.as_ref()).map(|(path, directory)| {
        source.error(
            directory.span(),
            format!("the plugin directory {} is not there", path.display()),
            format!("make it: mkdir -p {}", path.display()),
        )
    });
    let in_range = |value: &Option<Spanned<u64>>, default: u64, range: Range<u64>| match value {
        None => Ok(default),
        Some(value) if range.contains(value.get_ref()) => Ok(*value.get_ref()),
        Some(value) => Err(source.error(
            value.span(),
            format!("{} is out of range", value.get_ref()),
            format!("from {} to {} milliseconds", range.start, range.end - 1),
        )),
    };
    let memory = raw.memory.map_or(ByteSize::mib(64), Spanned::into_inner).0;
    // The file itself may not be there: then all have what all have.
    let grants = match raw.grants {
        None => None,
        Some(grants) => {
            let path = base.join(grants.get_ref());
            let wrong = || {
                source.error(
                    grants.span(),
                    format!("{} is no place for a file of grants", path.display()),
                    "write the path of a file in a directory that is there, or leave it out: grants.toml in the plugin directory",
                )
            };
            if path.is_dir() {
                return Err(wrong());
            }
            let here = |parent: &Path| parent.as_os_str().is_empty();
            if !path
                .parent()
                .is_some_and(|parent| here(parent) || parent.is_dir())
            {
                absent.get_or_insert_with(wrong);
            }
            Some(path)
        }
    };
    Ok(Plugins {
        directory,
        absent,
        breaker: bulkheads::breaker(source, &raw.breaker)?,
        probation: bulkheads::probation(source, &raw.probation)?,
        grants,
        limits: crate::plugin::Limits {
            cpu: Duration::from_millis(in_range(&raw.cpu_ms, 250, 1..60_001)?),
            wall: Duration::from_millis(in_range(&raw.wall_ms, 5_000, 1..300_001)?),
            memory,
            concurrency: bulkheads::concurrency(source, raw.concurrency.as_ref())?,
        },
    })
}

fn policy(source: &Source, raw: &raw::Policy) -> Result<Policy, ConfigError> {
    let threshold = |raw: &Option<Spanned<f32>>, default: f32| match raw {
        None => Ok(Some(default)),
        Some(value) if value.get_ref().is_nan() => Err(source.error(
            value.span(),
            "a threshold must be a number, or inf for never",
            "",
        )),
        Some(value) => Ok(Some(*value.get_ref()).filter(|value| value.is_finite())),
    };
    let (junk, reject) = (threshold(&raw.junk, JUNK)?, threshold(&raw.reject, REJECT)?);
    match (junk, reject, &raw.reject, &raw.junk) {
        (Some(junk), Some(reject), written, other) if reject < junk => Err(source.error(
            written
                .as_ref()
                .or(other.as_ref())
                .map_or(0..0, Spanned::span),
            format!(
                "reject ({reject}) is below junk ({junk}), so nothing would ever be filed as junk"
            ),
            "set reject above junk; inf means never",
        )),
        _ => Ok(Policy { junk, reject }),
    }
}

fn dns(source: &Source, raw: raw::Dns) -> Result<dns::Config, ConfigError> {
    let servers = match raw.servers {
        None => None,
        Some(servers) if servers.get_ref().is_empty() => {
            return Err(source.error(
                servers.span(),
                "servers names none",
                "leave it out to use those of /etc/resolv.conf",
            ));
        }
        Some(servers) => Some(
            servers
                .get_ref()
                .iter()
                .map(|server| dns_server(source, server))
                .collect::<Result<Vec<_>, _>>()?,
        ),
    };
    let timeout = match raw.timeout_ms {
        None => dns::Config::default().timeout,
        Some(ms) if (10..=10_000).contains(ms.get_ref()) => Duration::from_millis(*ms.get_ref()),
        Some(ms) => {
            return Err(source.error(
                ms.span(),
                format!("{} is out of range", ms.get_ref()),
                "from 10 to 10000 milliseconds",
            ));
        }
    };
    Ok(dns::Config { servers, timeout })
}

fn authentication(
    source: &Source,
    raw: raw::Authentication,
) -> Result<Option<Authentication>, ConfigError> {
    for (old, new, written) in [
        ("dns-servers", "servers", &raw.dns_servers),
        ("dns-timeout-ms", "timeout-ms", &raw.dns_timeout_ms),
    ] {
        if let Some(written) = written {
            return Err(source.error(
                written.span(),
                format!("{old} is no key of [authentication] any more"),
                format!("it is `{new}` in the table [dns] now, for plugins too: move it there"),
            ));
        }
    }
    let vain = [&raw.spf, &raw.dkim, &raw.dmarc]
        .into_iter()
        .flatten()
        .find(|action| *action.get_ref() != verify::Action::None)
        .map(Spanned::span);
    // Where it says `enabled = false` they are for later.
    if let (Some(span), None) = (vain, raw.enabled) {
        return Err(source.error(
            span,
            "senders are not checked, so this would never happen",
            "add enabled = true to [authentication]",
        ));
    }
    let action = |written: Option<Spanned<_>>| written.map(Spanned::into_inner).unwrap_or_default();
    let policy = verify::Policy {
        spf: action(raw.spf),
        dkim: action(raw.dkim),
        dmarc: action(raw.dmarc),
    };
    let enabled = raw.enabled.unwrap_or_default();
    Ok(enabled.then_some(Authentication { policy }))
}

/// IP or IP:PORT.
fn dns_server(source: &Source, text: &Spanned<String>) -> Result<SocketAddr, ConfigError> {
    let written = text.get_ref();
    let address = written
        .parse::<SocketAddr>()
        .or_else(|_| written.parse::<IpAddr>().map(|ip| (ip, 53).into()));
    address.map_err(|_| {
        source.error(
            text.span(),
            format!("{written:?} is not the address of a DNS server"),
            "write IP or IP:PORT, such as \"127.0.0.1\" or \"[::1]:5353\"",
        )
    })
}

fn quarantine(
    source: &Source,
    raw: &raw::Quarantine,
    message_size: u64,
) -> Result<Expiry, ConfigError> {
    let size = match &raw.max_size {
        None => ByteSize::mib(1024).0.max(message_size),
        Some(size) if size.get_ref().0 >= message_size => size.get_ref().0,
        Some(size) => {
            return Err(source.error(
                size.span(),
                "it is less than one message may have (message-size under [limits]), so that such a one would not stay",
                format!("at least {message_size} octets, or a smaller message-size"),
            ));
        }
    };
    Ok(Expiry {
        age: days(source, raw.keep_days.as_ref())?,
        size,
    })
}

/// 30 unless it says otherwise.
fn days(source: &Source, keep: Option<&Spanned<u64>>) -> Result<Duration, ConfigError> {
    let days = match keep {
        None => 30,
        Some(days) if (1..=36_500).contains(days.get_ref()) => *days.get_ref(),
        Some(days) => {
            return Err(source.error(
                days.span(),
                format!("{} is out of range", days.get_ref()),
                "from 1 to 36500 days",
            ));
        }
    };
    Ok(Duration::from_secs(days * 86_400))
}
