//! What is measured: our server, or a peer, and what its answers must hold against.

use crate::driver::connection::Connection;
use crate::driver::process::Processes;
use crate::driver::server::Server;
use countersign::certificate::CaChain;
use countersign::signer::LogKey;
use countersign::transparency::checkpoint::Checkpoint;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A server under load.
pub struct Subject {
    pub name: String,
    pub address: SocketAddr,
    pub processes: Processes,
    pub trust: Trust,
    /// What only our own server has.
    pub own: Option<Own>,
}

/// What is known of our own server beyond a peer.
pub struct Own {
    pub server: Server,
    pub origin: String,
}

/// What answers are checked with.
#[derive(Clone)]
pub struct Trust {
    /// The chain that issues: for a peer the one of its first answer.
    pub chain: Option<CaChain>,
    /// DER of the roots that a peer's chain may end in.
    pub roots: Vec<Vec<u8>>,
    /// DER SubjectPublicKeyInfo of the log's key.
    pub log_key: Option<Vec<u8>>,
}

impl Subject {
    pub fn own(server: Server) -> Self {
        let home = server.home.path();
        let read = |name: &str| std::fs::read(home.join(name)).expect("what init made");
        let chain = CaChain::from_pem(&read("ca/chain.pem")).expect("a chain");
        let log_key = LogKey::from_pem(&read("log/key.pem")).expect("a key").spki_der().to_vec();
        let (address, processes) = (server.address, server.process());
        let trust = Trust { chain: Some(chain), roots: Vec::new(), log_key: Some(log_key) };
        let own = Own { origin: format!("{address}/ct"), server };
        Self { name: "countersign".into(), address, processes, trust, own: Some(own) }
    }

    pub fn peer(name: &str, address: SocketAddr, processes: Processes, trust: Option<&Path>) -> Self {
        let text = trust.map(|file| std::fs::read(file).expect("--trust: a PEM file")).unwrap_or_default();
        let blocks = pem::parse_many(text).expect("--trust: a PEM file");
        let tagged = |tag: &'static str| blocks.iter().filter(move |block| block.tag() == tag);
        let trust = Trust {
            chain: None,
            roots: tagged("CERTIFICATE").map(|block| block.contents().to_vec()).collect(),
            log_key: tagged("PUBLIC KEY").next().map(|block| block.contents().to_vec()),
        };
        Self { name: name.into(), address, processes, trust, own: None }
    }

    /// What it says to a GET.
    pub async fn get(&self, path: &str) -> Vec<u8> {
        get(self.address, path).await
    }

    /// The present checkpoint of our log.
    pub async fn checkpoint(&self) -> Checkpoint {
        let own = self.own.as_ref().expect("our own server");
        let note = self.get("/ct/checkpoint").await;
        Checkpoint::verify(&note, &own.origin, self.trust.log_key.as_ref().expect("its key"))
            .expect("it verifies")
    }

    /// Entries and groups that the log took so far.
    pub async fn groups(&self) -> Option<(f64, f64)> {
        let text = get(self.own.as_ref()?.server.admin, "/metrics").await;
        let text = String::from_utf8(text).expect("UTF-8");
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|number| number.parse::<f64>().ok()).expect("a number")
        };
        Some((of("countersign_log_group_entries_sum"), of("countersign_log_group_entries_count")))
    }

    /// Octets of what our server wrote to stderr.
    pub fn said(&self) -> Option<u64> {
        Some(self.said_file()?.metadata().expect("a file").len())
    }

    fn said_file(&self) -> Option<PathBuf> {
        Some(self.own.as_ref()?.server.said())
    }
}

async fn get(address: SocketAddr, path: &str) -> Vec<u8> {
    let mut connection = Connection::open(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: countersign\r\n\r\n");
    let reply = connection.ask(request.as_bytes()).await.expect("an answer");
    assert_eq!(reply.status, 200, "GET {path}");
    connection.content().to_vec()
}
