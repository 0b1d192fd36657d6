//! `admin:`, the operators' listener.

use super::reader::{Field, Section};
use super::values;
use std::net::SocketAddr;
use url::Url;

/// More names than anybody has for one listener.
const MOST_NAMES: usize = 16;

/// Where it listens, and what it may be called.
pub(super) fn read(top: &Section<'_>, listen: Option<SocketAddr>) -> (Option<SocketAddr>, Vec<String>) {
    let Some(section) = top.get("admin").and_then(|field| field.section()) else { return (None, Vec::new()) };
    let field = section.require("listen", "write an address, 127.0.0.1:2112 for instance");
    let names = section.get("names").and_then(|field| read_names(&field)).unwrap_or_default();
    section.report_unknown();
    (field.and_then(|field| read_address(&field, listen)), names)
}

fn read_address(field: &Field<'_>, listen: Option<SocketAddr>) -> Option<SocketAddr> {
    let admin = field.parse(values::socket_address)?;
    if Some(admin) == listen && admin.port() != 0 {
        field.error("is the address of listen; give it a port of its own");
        return None;
    }
    if !admin.ip().is_loopback() {
        field.warning("is reachable from other machines, and asks for no password");
    }
    Some(admin)
}

fn read_names(field: &Field<'_>) -> Option<Vec<String>> {
    let items = field.items()?;
    if items.len() > MOST_NAMES {
        field.error(format!("has {} names; {MOST_NAMES} are possible", items.len()));
        return None;
    }
    items.iter().map(|item| item.parse(name)).collect()
}

/// A host's name as clients write it into `Host`: what a URL has for it, and nothing else.
fn name(text: &str) -> Result<String, String> {
    let url = Url::parse(&format!("http://{text}/")).ok();
    let is_matched = |host: &&str| *host == text && (host.starts_with('[') || host.split('.').all(is_label));
    match url.as_ref().and_then(Url::host_str).filter(is_matched) {
        Some(host) => Ok(host.to_owned()),
        None => Err(format!(
            "{} is no host's name; write it in lower case, without scheme, port, path, wildcard and a full stop at its end",
            values::quoted(text)
        )),
    }
}

/// A part of a name: what is anything else, `*` for instance, is compared with `Host` as it stands and never equal to it.
fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
}
