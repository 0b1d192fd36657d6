//! Every answer is checked, after the load: parsed, its chain, its signature, its SCT; and the log holds exactly these entries.

use crate::subject::{Subject, Trust};
use countersign::certificate::CaChain;
use countersign::certificate::inspect::Inspected;
use countersign::transparency::Hash;
use countersign::transparency::merkle::RightEdge;
use countersign::transparency::precertificate::DataTileEntry;
use countersign::transparency::sct::ReceivedSct;
use countersign::transparency::tile::{TileKind, tile_at};
use serde_json::Value;

/// Where an answer says that its entry stands, and the entry's hash.
pub type Promised = (u64, Hash);

/// Checks answers and says what they promise; nothing where there is no log's key to verify it with.
pub fn check(trust: &mut Trust, replies: &[Box<[u8]>]) -> Result<Vec<Promised>, String> {
    let Some(first) = replies.first() else { return Ok(Vec::new()) };
    if trust.chain.is_none() {
        trust.chain = Some(chain_of(first, &trust.roots)?);
    }
    let chain = trust.chain.as_ref().expect("it is there");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let parts = std::thread::scope(|scope| {
        let log_key = trust.log_key.as_deref();
        let part = |part| scope.spawn(move || checked(part, chain, log_key));
        let parts: Vec<_> = replies.chunks(replies.len().div_ceil(cores)).map(part).collect();
        parts.into_iter().map(|part| part.join().expect("it does not panic")).collect::<Result<Vec<_>, _>>()
    })?;
    Ok(parts.concat())
}

fn checked(replies: &[Box<[u8]>], chain: &CaChain, log_key: Option<&[u8]>) -> Result<Vec<Promised>, String> {
    let mut promised = Vec::new();
    for reply in replies {
        promised.extend(check_one(reply, chain, log_key)?);
    }
    Ok(promised)
}

fn check_one(reply: &[u8], chain: &CaChain, log_key: Option<&[u8]>) -> Result<Option<Promised>, String> {
    let certificates = certificates(reply)?;
    let (leaf, rest) = certificates.split_first().ok_or("no certificate")?;
    let same = rest.iter().map(|pem| pem.trim()).eq(chain.pem().iter().map(|pem| pem.trim()));
    if !same {
        return Err("another chain than in other answers".into());
    }
    let leaf = Inspected::parse(leaf.as_bytes()).map_err(|error| error.to_string())?;
    let Some(log_key) = log_key else {
        leaf.verify_signed_by(chain.issuing_spki()).map_err(|error| error.to_string())?;
        return Ok(None);
    };
    leaf.verify_issued_by(chain, leaf.not_before()).map_err(|error| error.to_string())?;
    let scts =
        ReceivedSct::parse_list(leaf.sct_list().ok_or("no SCT")?).map_err(|error| error.to_string())?;
    let [sct] = &scts[..] else { return Err(format!("{} SCTs", scts.len())) };
    let tbs = leaf.logged_tbs().map_err(|error| error.to_string())?;
    sct.verify_precertificate(log_key, chain.issuer_key_hash(), &tbs).map_err(|error| error.to_string())?;
    // Logs without static-ct-api promise no place.
    let Ok(place) = sct.place() else { return Ok(None) };
    Ok(Some((place.index, sct.leaf_hash(chain.issuer_key_hash(), &tbs).ok_or("too large")?)))
}

/// `signedCertificateEmbeddedSct` or `signedCertificateDetachedSct`, whichever there is.
pub fn certificates(reply: &[u8]) -> Result<Vec<String>, String> {
    let reply: Value = serde_json::from_slice(reply).map_err(|error| error.to_string())?;
    let signed = reply.as_object().and_then(|members| members.values().next()).ok_or("an empty answer")?;
    let certificates = signed["chain"]["certificates"].as_array().ok_or("no chain")?;
    Ok(certificates.iter().filter_map(|pem| pem.as_str().map(str::to_owned)).collect())
}

/// The chain of a peer's first answer.
fn chain_of(reply: &[u8], roots: &[Vec<u8>]) -> Result<CaChain, String> {
    let pems = certificates(reply)?.split_off(1).join("\n");
    let chain = CaChain::from_pem(pems.as_bytes()).map_err(|error| error.to_string())?;
    let root = chain.certificates().last().ok_or("no root")?;
    if !roots.is_empty() && !roots.contains(root) {
        return Err("its chain ends in another root than --trust names".into());
    }
    Ok(chain)
}

/// Compares our log, from the entry `first` on, with what the answers promised; the tree's root too where that is all of it.
pub async fn compare_log(subject: &Subject, first: u64, mut promised: Vec<Promised>) -> Result<(), String> {
    let checkpoint = subject.checkpoint().await;
    let size = checkpoint.head().size;
    promised.sort_unstable();
    if promised.len() as u64 != size - first {
        return Err(format!("the log took {} entries for {} answers", size - first, promised.len()));
    }
    let mut edge = RightEdge::new();
    for number in first / 256..size.div_ceil(256) {
        let path = tile_at(TileKind::Data, number, size).ok_or("no such tile")?;
        let tile = subject.get(&format!("/ct/{path}")).await;
        let mut rest = &tile[..];
        for index in number * 256..size.min((number + 1) * 256) {
            let entry;
            (entry, rest) = DataTileEntry::parse(rest).map_err(|error| error.to_string())?;
            let hash = entry.leaf_hash();
            edge.push(hash);
            if index >= first && promised[(index - first) as usize] != (index, hash) {
                return Err(format!("the entry {index} is not what was promised"));
            }
        }
    }
    if first == 0 && edge.root() != checkpoint.head().root {
        return Err("the checkpoint has another root than the entries".into());
    }
    Ok(())
}

/// Octets of the log's newest entries, on average.
pub async fn entry_octets(subject: &Subject) -> Result<f64, String> {
    let size = subject.checkpoint().await.head().size;
    let last = size.checked_sub(1).ok_or("the log is empty")?;
    let path = tile_at(TileKind::Data, last / 256, size).ok_or("no such tile")?;
    let tile = subject.get(&format!("/ct/{path}")).await;
    Ok(tile.len() as f64 / (last % 256 + 1) as f64)
}
