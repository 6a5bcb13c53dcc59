//! A real DNS server on loopback, with the names that a test gives it.

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, TXT};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use wasmilter::dns::{Config, Resolver};

const TTL: u32 = 300;

#[derive(Debug, Clone, Default)]
struct Node {
    records: Vec<RData>,
    /// What is answered where there is no record of the type that is asked for.
    otherwise: Otherwise,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Otherwise {
    #[default]
    NoData,
    Error(ResponseCode),
    /// Nothing at all.
    Silence,
}

/// Names and their records; a name that is not there does not exist.
#[derive(Debug, Clone, Default)]
pub struct Zone(HashMap<String, Node>);

impl Zone {
    fn node(&mut self, name: &str) -> &mut Node {
        let name = name.trim_end_matches('.').to_lowercase();
        self.0.entry(name).or_default()
    }

    pub fn record(mut self, name: &str, data: RData) -> Self {
        self.node(name).records.push(data);
        self
    }

    /// One record of these strings.
    pub fn txt(self, name: &str, strings: &[&[u8]]) -> Self {
        let strings = strings.iter().flat_map(|string| {
            let pieces: Vec<&[u8]> = match string.is_empty() {
                true => vec![string],
                false => string.chunks(255).collect(),
            };
            pieces
        });
        self.record(name, RData::TXT(TXT::from_bytes(strings.collect())))
    }

    pub fn text(self, name: &str, text: &str) -> Self {
        self.txt(name, &[text.as_bytes()])
    }

    pub fn address(self, name: &str, address: IpAddr) -> Self {
        let data = match address {
            IpAddr::V4(address) => RData::A(A(address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(address)),
        };
        self.record(name, data)
    }

    pub fn mx(self, name: &str, preference: u16, exchange: &str) -> Self {
        self.record(name, RData::MX(MX::new(preference, absolute(exchange))))
    }

    pub fn cname(self, name: &str, target: &str) -> Self {
        self.record(name, RData::CNAME(CNAME(absolute(target))))
    }

    /// Both ways.
    pub fn host(self, name: &str, address: IpAddr) -> Self {
        let reverse = Name::from(address).to_string();
        self.address(name, address).pointer(&reverse, name)
    }

    pub fn pointer(self, name: &str, target: &str) -> Self {
        self.record(name, RData::PTR(PTR(absolute(target))))
    }

    /// For types that the name has no record of.
    pub fn otherwise(mut self, name: &str, otherwise: Otherwise) -> Self {
        self.node(name).otherwise = otherwise;
        self
    }
}

fn absolute(name: &str) -> Name {
    let name = name.trim_end_matches('.');
    let labels = name.split('.').filter(|label| !label.is_empty());
    Name::from_labels(labels.map(str::as_bytes)).unwrap()
}

/// A running server; it ends with its last handle.
pub struct Dns {
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    queries: Arc<AtomicUsize>,
    _server: Server<Handler>,
}

impl Dns {
    pub async fn start(zone: Zone) -> Self {
        let zone = Arc::new(Mutex::new(zone));
        let queries = Arc::<AtomicUsize>::default();
        let mut server = Server::new(Handler {
            zone: Arc::clone(&zone),
            queries: Arc::clone(&queries),
        });
        // Both on one port: the next that is free for both.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 16);
        Self {
            address,
            zone,
            queries,
            _server: server,
        }
    }

    /// From now on; caches may not know.
    pub fn set(&self, zone: Zone) {
        *self.zone.lock().unwrap() = zone;
    }

    pub fn queries(&self) -> usize {
        self.queries.load(Ordering::SeqCst)
    }

    pub fn resolver(&self) -> Resolver {
        Resolver::new(Config {
            servers: Some(vec![self.address]),
            timeout: Duration::from_millis(150),
        })
        .unwrap()
    }

    /// For a configuration file.
    pub fn config(&self, more: &str) -> String {
        format!(
            "[dns]\nservers = [\"{}\"]\ntimeout-ms = 300\n[authentication]\nenabled = true\n{more}\n",
            self.address
        )
    }
}

struct Handler {
    zone: Arc<Mutex<Zone>>,
    queries: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut out: R,
    ) -> ResponseInfo {
        self.queries.fetch_add(1, Ordering::SeqCst);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let info = request.request_info().unwrap();
        let name = Name::from(info.query.name().clone());
        let asked = info.query.query_type();
        let labels: Vec<_> = name.iter().map(String::from_utf8_lossy).collect();
        let key = labels.join(".").to_lowercase();
        let node = self.zone.lock().unwrap().0.get(&key).cloned();
        let exists = node.is_some();
        let node = node.unwrap_or_default();
        let fits =
            |data: &&RData| data.record_type() == asked || data.record_type() == RecordType::CNAME;
        let record = |data: &RData| Record::from_rdata(name.clone(), TTL, data.clone());
        let answers: Vec<_> = node.records.iter().filter(fits).map(record).collect();
        let origin = absolute("test");
        let soa = SOA::new(origin.clone(), origin.clone(), 1, 60, 60, 60, TTL);
        let soa = [Record::from_rdata(origin, TTL, RData::SOA(soa))];
        let mut negative: &[Record] = &soa;
        metadata.response_code = match node.otherwise {
            _ if !answers.is_empty() => {
                negative = &[];
                ResponseCode::NoError
            }
            Otherwise::Silence => {
                let counts = HeaderCounts::default();
                return ResponseInfo::from(Header { metadata, counts });
            }
            Otherwise::Error(code) => {
                negative = &[];
                code
            }
            Otherwise::NoData if exists => ResponseCode::NoError,
            Otherwise::NoData => ResponseCode::NXDomain,
        };
        let none: [Record; 0] = [];
        let response = MessageResponseBuilder::from_message_request(request)
            .build(metadata, &answers, &none, negative, &none);
        out.send_response(response).await.unwrap()
    }
}
