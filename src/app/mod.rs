//! The composition root: builds every service from the configuration, starts, drains and stops them. Does no work of its own.

mod certificates;
mod chains;
mod descriptors;
mod listen;
mod onward;

use crate::accept::{self, Acceptor, Background, NextHops};
use crate::admin::control::{self, Control};
use crate::auth::{self, Directory};
use crate::chain::Chains;
use crate::config::{Config, ConfigError, Protocol};
use crate::dns::Resolver;
use crate::ingress;
use crate::kv::Database;
use crate::mail::{Clock, SystemClock};
use crate::mailbox::{self, Mailboxes, Recent};
use crate::metrics::Registry;
use crate::milter::{Milter, MilterStatus};
use crate::net::guard::{self, Guard, System};
use crate::net::{Endpoint, Listener, Workers};
use crate::plugin::{self, Compiler, Host, Web};
use crate::proto::smtp::Dialect;
use crate::store::{self, SqliteStore, Store};
use crate::verify::{self, Verifier};
use certificates::Secured;
use chains::Links;
use listen::Bound;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Octets of a message that are kept in memory before it is staged in a file.
const IN_MEMORY: usize = 128 * 1024;
/// Time that what is in flight gets to end.
const DRAIN: Duration = Duration::from_secs(30);
/// Time before anything goes for its age: a machine that starts may not know the time yet, and what goes is gone for good.
const SETTLED: Duration = Duration::from_secs(10 * 60);
/// Transactions whose outcome filters are still to be told of, and those told of at a time.
const OUTCOMES: (usize, usize) = (1000, 4);
/// Commands of mail clients that filters are still to be told of, one after the other.
const MOVES: (usize, usize) = (1000, 1);
/// What a running server says of its plugins, in the data directory.
pub const PLUGIN_STATUS: &str = "plugins.json";
/// Former versions, pins and start images of plugins, in the data directory. Not `plugins`: that is often the plugin directory.
const PLUGIN_STATE: &str = "plugin-state";
/// What plugins keep, in the data directory.
const PLUGIN_DATA: &str = "plugins.db";

pub struct App {
    listening: Vec<Listening>,
    store: Arc<SqliteStore>,
    host: Option<Arc<Host>>,
    milters: Arc<[Milter]>,
    chains: Arc<dyn Chains>,
    stop: CancellationToken,
    tasks: TaskTracker,
    background: [Background; 2],
    /// What is told or handed on last may still need what was opened there.
    _workers: Workers,
}

/// A listener that is ready.
#[derive(Debug, Clone)]
pub struct Listening {
    pub protocol: Protocol,
    pub endpoint: Endpoint,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ready on {}", self.protocol.name(), self.endpoint)
    }
}

/// What a configuration names, looked at without starting anything: certificate, key, addresses.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    plugin_directory(config)?;
    certificates::check(config)?;
    for listener in &config.listeners {
        listen::endpoint(config, listener)?;
    }
    onward::hops(config)?;
    control::socket(&config.data_dir).map_err(|error| ConfigError::general(error.to_string()))?;
    Ok(())
}

fn plugin_directory(config: &Config) -> Result<(), ConfigError> {
    config.plugins.absent.clone().map_or(Ok(()), Err)
}

/// Where former versions of plugins are kept, among other things.
pub fn plugin_state(config: &Config) -> std::path::PathBuf {
    config.data_dir.join(PLUGIN_STATE)
}

/// The store beside a running server, for commands. Made if it is not there.
pub fn open_store(config: &Config) -> Result<SqliteStore, store::StoreError> {
    SqliteStore::open(store::Config::new(&config.data_dir))
}

/// The same for commands that have nothing to say of a new one.
pub fn existing_store(config: &Config) -> Result<SqliteStore, store::StoreError> {
    SqliteStore::open_existing(store::Config::new(&config.data_dir))
}

/// The same, and no server may use it.
pub fn idle_store(config: &Config) -> Result<SqliteStore, store::StoreError> {
    SqliteStore::open_idle(store::Config::new(&config.data_dir))
}

impl App {
    /// All of it, or nothing: sockets are bound first and served last. Without a compiler plugins are compiled in this process.
    pub async fn start(config: &Config, compiler: Option<Compiler>) -> Result<Self, ConfigError> {
        plugin_directory(config)?;
        descriptors::raise(config);
        let metrics = Registry::default();
        let workers = Workers::start().map_err(|error| {
            ConfigError::general(format!(
                "the threads for connections cannot be started: {error}"
            ))
        })?;
        let bound = listen::bind(config, &metrics, &workers).await?;
        let failed = |what: &str, error: &dyn fmt::Display| {
            ConfigError::general(format!("{what} {}: {error}", config.data_dir.display()))
        };
        let store = SqliteStore::open_exclusive(store::Config {
            meter: metrics.commits(),
            ..store::Config::new(&config.data_dir)
        })
        .map_err(|error| failed("the store cannot be opened in", &error))?;
        let store = Arc::new(store);
        let commands = listen::bind_control(config).await?;
        let (tls, certificates) = certificates::load(config, &metrics)?;
        let hops = onward::hops(config)?;
        let resolver = resolver(config)?;
        let host = match &config.plugins.directory {
            None => None,
            Some(directory) => {
                let services = reach(config, resolver.as_ref(), &metrics)?;
                let host = Host::start(plugin::Config {
                    compiler,
                    ..plugins(config, directory.clone(), services)
                })
                .await;
                let host =
                    host.map_err(|error| ConfigError::general(format!("plugins: {error}")))?;
                Some(Arc::new(host))
            }
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let directory = Arc::new(Directory::new(
            auth::Config {
                domains: config.domains.clone(),
                postmaster: config.postmaster.clone(),
            },
            Arc::clone(&store) as Arc<dyn Store>,
        ));
        let milters = config.milters.iter().cloned();
        let milters: Arc<[Milter]> = milters
            .map(|config| Milter::new(config, &metrics))
            .collect();
        let chains: Arc<dyn Chains> = Arc::new(Links::new(host.clone(), Arc::clone(&milters)));
        let acceptor = Acceptor::new(
            accept::Config {
                policy: config.policy,
                staging: store.staging().to_owned(),
                memory: IN_MEMORY,
                recipients: config.limits.recipients,
                hygiene: config.limits.hygiene,
            },
            Arc::clone(&chains),
            Arc::clone(&directory),
            Arc::clone(&store) as Arc<dyn Store>,
            Arc::clone(&clock),
        );
        let acceptor = match (&config.authentication, resolver) {
            (Some(authentication), Some(resolver)) => {
                let policy = authentication.policy;
                acceptor.verifying(Verifier::new(verify::Config { policy }, resolver))
            }
            _ => acceptor,
        };
        let outcomes = Background::start("outcome", OUTCOMES.0, OUTCOMES.1);
        let moves = Background::start("moved", MOVES.0, MOVES.1);
        let acceptor = acceptor
            .telling(outcomes.clone(), moves.clone())
            .counted(&metrics);
        let acceptor = match &hops {
            Some(hops) => acceptor.knowing_next_hops(Arc::clone(hops)),
            None => acceptor,
        };
        let app = Self {
            listening: bound.iter().map(Bound::listening).collect(),
            store,
            host,
            milters,
            chains,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            background: [outcomes, moves],
            _workers: workers,
        };
        let services = Services {
            acceptor,
            directory,
            clock,
            tls,
            hops,
            guard: guard(config, &config.limits.guard, &app.store, &metrics, "smtp"),
            imap_guard: guard(config, &config.limits.imap, &app.store, &metrics, "imap"),
            recent: Arc::default(),
            metrics,
        };
        app.serve_commands(config, commands, &services);
        app.tasks.spawn(accept::expire(
            config.quarantine,
            config.journals,
            SETTLED,
            Arc::clone(&app.store) as Arc<dyn Store>,
            Arc::clone(&services.clock),
            app.stop.clone(),
        ));
        if let Some(certificates) = certificates {
            certificates.start(&app.tasks, &app.stop);
        }
        for bound in bound {
            app.serve(config, bound, &services);
        }
        Ok(app)
    }

    fn serve_commands(&self, config: &Config, listener: Listener, services: &Services) {
        let routes = control::routes(Control {
            hostname: config.hostname.clone(),
            listening: self.listening.iter().map(ToString::to_string).collect(),
            started: services.clock.now(),
            plugins: self.host.clone(),
            milters: Arc::clone(&self.milters),
            acceptor: services.acceptor.clone(),
        });
        let stop = self.stop.clone();
        self.tasks.spawn(listen::serve_http(
            listener,
            routes,
            control::CONNECTIONS,
            stop,
        ));
    }

    fn serve(&self, config: &Config, bound: Bound, services: &Services) {
        let stop = self.stop.clone();
        let connections = config.limits.connections;
        match bound.config.protocol {
            Protocol::Smtp | Protocol::Lmtp => {
                let smtp = ingress::smtp::Config {
                    core: crate::proto::smtp::Config {
                        dialect: match bound.config.protocol {
                            Protocol::Lmtp => Dialect::Lmtp,
                            _ => Dialect::Smtp,
                        },
                        hostname: config.hostname.clone(),
                        postmaster_domain: postmaster_domain(config),
                        size: config.limits.message_size,
                        recipients: config.limits.recipients,
                        smuggling: config.limits.smuggling,
                        line: config.limits.line_length,
                        errors: config.limits.errors,
                        blame: onward::blame(&bound.config),
                        commands: config.limits.commands,
                        idle_commands: config.limits.idle_commands,
                        dsn: onward::dsn(config, &bound.config),
                    },
                    tls: listen::smtp_tls(bound.config.tls, services.tls.of(&bound.config)),
                    proxies: listen::proxies(config, &bound.config),
                    xclient: config.trusted.xclient.clone(),
                    xforward: config.trusted.xforward.clone(),
                    guard: Arc::clone(&services.guard),
                    meter: services.metrics.smtp(bound.config.protocol.name()),
                    connections,
                    drain: DRAIN,
                    ..Default::default()
                };
                let acceptor = onward::acceptor(&bound.config, services);
                self.tasks
                    .spawn(ingress::smtp::serve(bound.listener, smtp, acceptor, stop));
            }
            Protocol::Imap => {
                let imap = mailbox::Config {
                    allow_plaintext_auth: bound.config.allow_plaintext_auth,
                    max_message: config.limits.message_size,
                    ..mailbox::Config::new(&config.hostname, self.store.staging().to_owned())
                };
                let mailboxes = Mailboxes::new(
                    imap,
                    Arc::clone(&self.store) as Arc<dyn Store>,
                    Arc::clone(&services.directory),
                    Arc::clone(&services.clock),
                )
                .telling(services.acceptor.moves())
                .sharing(Arc::clone(&services.recent))
                .guarded(Arc::clone(&services.imap_guard), services.metrics.imap());
                let tls = services.tls.of(&bound.config);
                let proxies = listen::proxies(config, &bound.config);
                self.tasks.spawn(listen::imap(
                    bound,
                    mailboxes,
                    tls,
                    proxies,
                    connections,
                    stop,
                ));
            }
            Protocol::Http => {
                let metrics = services.metrics.clone();
                self.tasks.spawn(listen::http(
                    bound,
                    metrics,
                    services.tls.answers.clone(),
                    connections,
                    stop,
                ));
            }
            Protocol::Acme => {
                let tls = services.tls.of(&bound.config);
                let answers = services.tls.answers.clone();
                self.tasks
                    .spawn(listen::acme(bound, tls, answers, connections, stop));
            }
            Protocol::Milter => {
                let milter = ingress::milter::Config {
                    hostname: config.hostname.clone(),
                    size: config.limits.message_size,
                    connections,
                    drain: DRAIN,
                    ..Default::default()
                };
                let acceptor = services.acceptor.clone();
                let serving = ingress::milter::serve(bound.listener, milter, acceptor, stop);
                self.tasks.spawn(serving);
            }
            Protocol::Hooks | Protocol::Rspamd => {
                let web = ingress::web::Config {
                    hostname: config.hostname.clone(),
                    size: config.limits.message_size,
                    secret: bound.config.secret.clone(),
                    tls: services.tls.of(&bound.config),
                    connections,
                    drain: DRAIN,
                    ..Default::default()
                };
                let acceptor = services.acceptor.clone();
                if bound.config.protocol == Protocol::Hooks {
                    let serving = ingress::hooks::serve(bound.listener, web, acceptor, stop);
                    self.tasks.spawn(serving);
                } else {
                    let serving = ingress::rspamd::serve(bound.listener, web, acceptor, stop);
                    self.tasks.spawn(serving);
                }
            }
            // The configuration refuses it.
            Protocol::Submission => {}
        }
    }

    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    pub fn store(&self) -> &SqliteStore {
        &self.store
    }

    /// What is to be said of each milter that is a link of the chain.
    pub fn milters(&self) -> Vec<MilterStatus> {
        self.milters.iter().map(Milter::status).collect()
    }

    /// Names and versions of the filters in force, in order.
    pub fn filters(&self) -> Vec<String> {
        let chain = self.chains.current();
        let infos = chain.filters.iter().map(|filter| filter.info());
        infos
            .map(|info| format!("{} {}", info.name, info.version))
            .collect()
    }

    /// The number of the generation of plugins in force, as it changes.
    pub fn generations(&self) -> watch::Receiver<u64> {
        match &self.host {
            Some(host) => host.subscribe(),
            None => watch::channel(0).1,
        }
    }

    /// Stops accepting, lets what is in flight end, what filters do afterwards too, and closes the store.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Some(host) = &self.host {
            host.stop_compiling();
        }
        self.tasks.close();
        self.tasks.wait().await;
        for background in &self.background {
            background.drain(DRAIN).await;
        }
        if let Some(host) = self.host {
            host.flush().await;
        }
    }
}

struct Services {
    acceptor: Acceptor,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    tls: Secured,
    hops: Option<Arc<dyn NextHops>>,
    guard: Arc<Guard>,
    imap_guard: Arc<Guard>,
    recent: Arc<Recent>,
    metrics: Registry,
}

/// In A-labels (RFC 5890 §2.3.2.1): `RCPT TO:<Postmaster>` needs no SMTPUTF8.
fn postmaster_domain(config: &Config) -> String {
    let domain = config.domains.first().unwrap_or(&config.hostname);
    idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.clone())
}

/// Who may take how much of this protocol's listeners.
fn guard(
    config: &Config,
    limits: &guard::Config,
    store: &Arc<SqliteStore>,
    metrics: &Registry,
    protocol: &'static str,
) -> Arc<Guard> {
    let store = Arc::clone(store);
    let system = System {
        data_dir: config.data_dir.clone(),
        reclaim: Box::new(move || store.reclaim()),
    };
    let guard = Guard::new(limits.clone(), Some(Box::new(system)));
    Arc::new(guard.counted(metrics, protocol))
}

/// None where there is no DNS to be had, and nothing that cannot do without.
fn resolver(config: &Config) -> Result<Option<Resolver>, ConfigError> {
    match Resolver::new(config.dns.clone()) {
        Ok(resolver) => Ok(Some(resolver)),
        Err(error) if config.authentication.is_some() => {
            Err(ConfigError::general(format!("[authentication]: {error}")))
        }
        Err(error) => {
            tracing::warn!("plugins have no DNS: {error}");
            Ok(None)
        }
    }
}

/// Where what plugins may do is written. None where there are no plugins.
pub fn granting(config: &Config) -> Option<plugin::Granting> {
    let directory = config.plugins.directory.clone()?;
    let named = config.plugins.grants.clone().map(plugin::Granting::File);
    Some(named.unwrap_or_else(|| plugin::Config::new(directory).grants))
}

/// What plugins reach.
fn reach(
    config: &Config,
    resolver: Option<&Resolver>,
    metrics: &Registry,
) -> Result<plugin::Services, ConfigError> {
    let path = config.data_dir.join(PLUGIN_DATA);
    let kv = Database::open(&path)
        .map_err(|error| ConfigError::general(format!("what plugins keep: {error}")))?;
    let dns = resolver.map(|resolver| Arc::new(resolver.clone()) as Arc<dyn plugin::Dns>);
    let web = Web::new(dns.clone())
        .map_err(|error| ConfigError::general(format!("TLS for plugins: {error}")))?;
    Ok(plugin::Services {
        kv: Arc::new(kv),
        dns,
        http: Some(Arc::new(web)),
        metrics: metrics.clone(),
        ..plugin::Services::default()
    })
}

fn plugins(
    config: &Config,
    directory: std::path::PathBuf,
    services: plugin::Services,
) -> plugin::Config {
    let standard = plugin::Config::new(directory);
    plugin::Config {
        grants: granting(config).unwrap_or_else(|| standard.grants.clone()),
        services,
        limits: config.plugins.limits,
        breaker: config.plugins.breaker,
        probation: config.plugins.probation,
        state: Some(plugin_state(config)),
        cache: Some(config.data_dir.join("cache")),
        status_file: Some(config.data_dir.join(PLUGIN_STATUS)),
        ..standard
    }
}
