//! The configuration file: YAML as people write it, to values that cannot be wrong.
//!
//! Strict: a key that is not known is an error, never ignored. All errors are found at once, each with its line and
//! key. What needs a private key, the network or the time of day is not checked here but when the server starts, or by what [`check_with`] is given.

mod admin;
mod admission;
pub mod broker;
mod ca;
mod conditional;
pub(crate) mod documents;
mod fulcio;
mod issuers;
mod log;
pub mod policy;
mod providers;
mod reader;
mod reading;
mod report;
mod signature_log;
mod timestamps;
mod tls;
mod tree;
mod trust;
mod values;

pub use admission::read_policies;
pub use broker::BrokerConfig;
pub use ca::{CaConfig, CaMaterial, LONGEST_VALIDITY};
pub use log::{EmbeddedLogConfig, ExternalLogConfig, LogConfig};
pub use reading::{Fingerprint, Origin, Reading};
pub use report::{ConfigErrors, Finding, Warning};
pub use signature_log::SignatureLogConfig;
pub use timestamps::{NtpConfig, TimestampsConfig, TimestampsMaterial};
pub use tls::TlsConfig;

use crate::identity::Issuers;
use crate::identity::extensions::ClaimsArc;
use crate::policy::Policy;
use reader::{Field, Section, Source, Strictness};
use report::{Place, Report};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest configuration file that is read, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;
/// What a missing configuration is answered with.
const INIT_MAKES_ONE: &str = "; `countersign init DIR` makes a configuration";
/// The default of `listen`.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:5555";

/// A configuration that passed every check that needs no network and no private key.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where JSON and gRPC are served. Port 0: the system chooses.
    pub listen: SocketAddr,
    /// TLS on `listen`; `None`: in the clear.
    pub tls: Option<TlsConfig>,
    /// What trust material names, without a trailing slash. Default: `https://{listen}` with `tls`, else `http://{listen}`.
    pub public_url: Option<String>,
    /// The operators' listener; `None`: there is none.
    pub admin: Option<SocketAddr>,
    /// What the operators' listener may be called, beside addresses and names of one part.
    pub admin_names: Vec<String>,
    /// The embedded store's directory.
    pub data: PathBuf,
    /// The certificate authority's material.
    pub ca: CaConfig,
    /// The transparency log.
    pub log: LogConfig,
    /// The timestamp authority; `None`: there is none.
    pub timestamps: Option<TimestampsConfig>,
    /// The signature log; `None`: there is none.
    pub signature_log: Option<SignatureLogConfig>,
    /// Trusted roots that trust material has besides, `trust.also`.
    pub also_trusted: Vec<PathBuf>,
    /// The allow-list, from `issuers` and `identity_config` together.
    pub issuers: Issuers,
    /// The arc of the extensions with raw GitLab claims; `None`: certificates have none of them.
    pub claims_arc: Option<ClaimsArc>,
    /// Who gets certificates, of those whose issuers are listed. Without rules: everybody.
    pub policy: Arc<Policy>,
    /// The token broker; `None`: there is none.
    pub broker: Option<BrokerConfig>,
    /// Where it was read from; `None`: it was made in memory, so there is nothing to read again.
    pub origin: Option<Origin>,
}

impl Config {
    /// Reads a configuration and everything it names but private keys, of which presence and mode are checked.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the lines.
    pub fn load(path: &Path) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        Reading::of(path).outcome
    }

    /// What clients call the CA, without a slash at its end: `public_url`, or `listen` with its scheme.
    pub fn base_url(&self) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("{}://{}", self.scheme(), self.listen))
    }

    /// What the public listener speaks: `https` with `tls`, else `http`.
    pub const fn scheme(&self) -> &'static str {
        scheme(self.tls.is_some())
    }

    /// Our own log's base URL, under which its checkpoint and tiles are.
    pub fn log_url(&self) -> String {
        format!("{}/ct", self.base_url())
    }
}

/// Checks a configuration, or a Fulcio identity configuration, which its top-level keys give away.
///
/// With `ignore_missing_files` a file that is named and not there is a warning: for a check on another machine than the
/// one that will serve.
///
/// # Errors
/// Everything that is wrong with it, in the order of the lines.
pub fn check(path: &Path, ignore_missing_files: bool) -> Result<Vec<Warning>, ConfigErrors> {
    check_with(path, ignore_missing_files, |_| Vec::new())
}

/// The same, with what `look` finds where nothing else is wrong: it can open the keys.
///
/// # Errors
/// As [`check`].
pub fn check_with(
    path: &Path,
    ignore_missing_files: bool,
    look: impl FnOnce(&Config) -> Vec<Mismatch>,
) -> Result<Vec<Warning>, ConfigErrors> {
    let report = Report::default();
    if let Some((text, document)) = open(path, INIT_MAKES_ONE, &report) {
        if fulcio::is_identity_configuration(&document) {
            fulcio::read(path, &text, None, &report);
        } else if let Some(config) = read_document(path, &document, &report)
            && !report.has_errors()
        {
            for Mismatch { key, message, is_warning } in look(&config) {
                let place = Place { file: path, line: document.line_of(&key), key: &key };
                if is_warning { report.warning(place, message) } else { report.error(place, message) }
            }
        }
    }
    report.conclude(ignore_missing_files)
}

/// Of files that a configuration names: they do not belong together, or cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The key's path, `ca.signer.file.key`.
    pub key: String,
    /// What is wrong, and what to do.
    pub message: String,
    /// Whether it may be right all the same.
    pub is_warning: bool,
}

/// Checks a Fulcio identity configuration.
///
/// # Errors
/// Everything that is wrong with it, in the order of the lines.
pub fn check_identity_config(path: &Path) -> Result<Vec<Warning>, ConfigErrors> {
    let report = Report::default();
    if let Some((text, _)) = open(path, "", &report) {
        fulcio::read(path, &text, None, &report);
    }
    report.conclude(false)
}

/// The host of a URL without its port: the name of a signature log there.
pub fn bare_host(url: &str) -> Option<String> {
    signature_log::bare_host(url)
}

/// A URL without its scheme and the slash at its end: what a log's origin begins with.
pub fn without_scheme(url: &str) -> &str {
    values::without_scheme(url)
}

fn read(path: &Path, report: &Report) -> Option<Config> {
    let (_, document) = open(path, INIT_MAKES_ONE, report)?;
    read_document(path, &document, report)
}

/// The file's text and its tree. `advice` is for whoever names a file that is not there.
fn open(path: &Path, advice: &str, report: &Report) -> Option<(String, tree::Node)> {
    let whole = Place { file: path, line: 1, key: "" };
    let bytes = match report.read_file(path, MOST_BYTES) {
        Ok(bytes) => bytes,
        Err(values::FileError::Missing(_)) => {
            report.error(whole, format!("there is no such file{advice}"));
            return None;
        }
        Err(values::FileError::Unusable(message)) => {
            report.error(whole, message);
            return None;
        }
    };
    let Ok(text) = String::from_utf8(bytes) else {
        report.error(whole, "is not UTF-8 text; save it as UTF-8");
        return None;
    };
    let document = parse(path, &text, report)?;
    Some((text, document))
}

/// The tree of a file's text.
fn parse(path: &Path, text: &str, report: &Report) -> Option<tree::Node> {
    let report = |tree::SyntaxError { line, message }| {
        report.error(Place { file: path, line, key: "" }, message);
    };
    tree::parse_json_too(text).map_err(report).ok()
}

fn read_document(path: &Path, document: &tree::Node, report: &Report) -> Option<Config> {
    let directory = path.parent().unwrap_or(Path::new(""));
    let source = Source { file: path, report, strictness: Strictness::Strict };
    let top = Section::new(source, document, "")?;

    let listen = read_listen(&top);
    let tls = top.get("tls").map(|field| tls::read(&field.section()?, directory));
    let public_url = top.get("public_url").and_then(|field| read_public_url(&field, tls.is_some()));
    let (admin, admin_names) = admin::read(&top, listen);
    let data = read_data(&top, directory);
    let ca = top
        .require("ca", "`countersign init` writes it")
        .and_then(|field| ca::read(&field.section()?, directory));
    // Where the public URL is refused, nothing follows from it, nor from what it would go before.
    let named_by = listen.filter(|_| !top.has("public_url"));
    let default_origin = default_origin(public_url.as_deref(), named_by);
    let log = top
        .require("log", "`countersign init` writes it")
        .and_then(|field| log::read(&field.section()?, directory, default_origin));
    refuse_shared_key(&top, ca.as_ref(), log.as_ref());
    let timestamps = top.get("timestamps").map(|field| timestamps::read(&field.section()?, directory));
    if let Some(Some(timestamps)) = &timestamps {
        check_timestamps(&top, timestamps, ca.as_ref(), log.as_ref());
    }
    let signature_log = top.get("signature_log").map(|field| {
        let origin = signature_log::default_origin(public_url.as_deref(), named_by);
        signature_log::read(&field.section()?, directory, origin)
    });
    let ca_key = ca.as_ref().and_then(CaConfig::key);
    signature_log::refuse_mixed(&top, ca_key, log.as_ref(), signature_log.as_ref().and_then(Option::as_ref));
    let also_trusted = top.get("trust").map(|field| trust::read(&field.section()?, directory));
    let claims_arc = match top.get("extensions") {
        Some(field) => read_extensions(&field.section()?),
        None => Some(ClaimsArc::default()),
    };
    let issuers = read_issuers(&top, directory, claims_arc.as_ref(), report);
    let policy = read_policy(&top, directory, &issuers, ca.as_ref(), report);
    let broker = top
        .get("broker")
        .map(|field| broker::read(&field.section()?, directory, &issuers, public_url.as_deref()));
    top.report_unknown();
    if public_url.is_none() && !top.has("public_url") {
        warn_of_base_url(&top, listen?, scheme(tls.is_some()));
    }
    let tls = match tls {
        Some(tls) => Some(tls?),
        None => None,
    };
    let timestamps = match timestamps {
        Some(timestamps) => Some(timestamps?),
        None => None,
    };
    let signature_log = match signature_log {
        Some(log) => Some(log?),
        None => None,
    };
    let broker = match broker {
        Some(broker) => Some(broker?),
        None => None,
    };
    let also_trusted = match also_trusted {
        Some(paths) => paths?,
        None => Vec::new(),
    };
    Some(Config {
        listen: listen?,
        tls,
        public_url,
        admin,
        admin_names,
        data: data?,
        ca: ca?,
        log: log?,
        timestamps,
        signature_log,
        also_trusted,
        issuers,
        claims_arc,
        policy: Arc::new(policy?),
        broker,
        origin: None,
    })
}

/// One key for certificates and checkpoints: whoever has one signature could pass it off as the other's, and neither could
/// be replaced alone.
fn refuse_shared_key(top: &Section<'_>, ca: Option<&CaConfig>, log: Option<&LogConfig>) {
    if let (Some(ca), Some(log)) = (ca, log)
        && let (Some(ca), Some(log)) = (ca.key(), log.embedded())
        && ca == log.key
        && let Some(section) = top.get("log").and_then(|field| field.section())
        && let Some(field) = section.get("key")
    {
        field.error("is the CA's key; the log needs one of its own");
    }
}

/// Material that stands and falls with the CA's, and a key of its own.
fn check_timestamps(
    top: &Section<'_>,
    timestamps: &TimestampsConfig,
    ca: Option<&CaConfig>,
    log: Option<&LogConfig>,
) {
    let Some(section) = top.get("timestamps").and_then(|field| field.section()) else { return };
    if timestamps.material == TimestampsMaterial::Ephemeral
        && ca.is_some_and(|ca| ca.material != CaMaterial::Ephemeral)
        && let Some(field) = section.get("ephemeral")
    {
        field.error("has a use only beside ca.ephemeral; name certificates and key");
    }
    let others = [ca.and_then(CaConfig::key), log.and_then(LogConfig::embedded).map(|log| log.key.as_path())];
    if let Some(key) = timestamps.key()
        && others.contains(&Some(key))
        && let Some(field) = section.get("key")
    {
        field.error("is the CA's key or the log's; the timestamp authority needs one of its own");
    }
}

/// The rules. Without any, whoever has a token of a listed issuer is admitted, which is worth a word where that is everybody.
fn read_policy(
    top: &Section<'_>,
    directory: &Path,
    issuers: &Issuers,
    ca: Option<&CaConfig>,
    report: &Report,
) -> Option<Policy> {
    if !top.has("policy") {
        let place = ["issuers", "identity_config"].into_iter().find_map(|key| top.get(key));
        if let Some(place) = place {
            policy::warn_of_none(&place, issuers);
        }
    }
    // Where nothing is wrong with `ca`, it has one.
    let validity = ca.map_or(ca::LONGEST_VALIDITY, |ca| ca.validity);
    match top.get("policy") {
        Some(field) => policy::read(&field.section()?, directory, issuers, validity, report),
        None => (!top.has("policy")).then(Policy::default),
    }
}

fn read_listen(top: &Section<'_>) -> Option<SocketAddr> {
    match top.get("listen") {
        Some(field) => field.parse(values::socket_address),
        None => values::socket_address(DEFAULT_LISTEN).ok(),
    }
}

fn read_public_url(field: &Field<'_>, tls: bool) -> Option<String> {
    let url = field.parse(values::base_url)?;
    if let Some(usual) = values::usual_spelling(&url).filter(|_| !values::is_host_usual(&url)) {
        field.error(format!(
            "{} is usually spelled {usual}, and verifiers compare the host letter for letter; write it so",
            values::quoted(&url)
        ));
        return None;
    }
    if let Some((_, path)) = values::without_scheme(&url).split_once('/') {
        field.warning(format!(
            "has a path (/{path}): gRPC clients, sigstore-java among them, look at the root of the host"
        ));
    }
    if tls && url.starts_with("http://") {
        field.warning("is plain http, but tls is set, so this listener does not speak it; write https");
    } else if values::is_exposed(&url) {
        field.warning("is plain http: clients send their ID tokens in the clear");
    }
    Some(url)
}

/// The directory of the log's store; one that is not used where the log is not ours.
fn read_data(top: &Section<'_>, directory: &Path) -> Option<PathBuf> {
    let is_used = log::is_embedded(top) || top.has("signature_log") || top.has("broker");
    if !top.has("data") && !is_used {
        return Some(directory.join("data"));
    }
    let field = top.require("data", "name the directory of the log's store, data for instance")?;
    let path = read_path(&field, directory)?;
    if path.exists() && !path.is_dir() {
        field.error(format!("{} is not a directory", path.display()));
        return None;
    }
    Some(path)
}

fn read_extensions(section: &Section<'_>) -> Option<ClaimsArc> {
    let wanted = section.get("gitlab_claims").is_none_or(|field| field.boolean().unwrap_or(true));
    let arc = section.get("arc");
    section.report_unknown();
    let arc_or_default = match &arc {
        Some(field) => field.parse(|text| ClaimsArc::parse(text).map_err(|error| error.to_string())),
        None => Some(ClaimsArc::default()),
    };
    if let Some(field) = arc.filter(|_| !wanted) {
        field.warning("has no effect, because gitlab_claims is false");
    }
    arc_or_default.filter(|_| wanted)
}

fn read_issuers(
    top: &Section<'_>,
    directory: &Path,
    claims_arc: Option<&ClaimsArc>,
    report: &Report,
) -> Issuers {
    let list = top.get("issuers");
    let identity_config = top.get("identity_config");
    if list.is_none() && identity_config.is_none() && !top.has("issuers") && !top.has("identity_config") {
        top.error("names no issuer; write issuers: [{ url: https://gitlab.com, type: gitlab-pipeline }]");
    }
    let mut declared = Vec::new();
    if let Some(list) = list {
        declared = issuers::read(&list, claims_arc, directory);
        if list.is_empty_list() {
            list.error("is empty; name at least one issuer");
        }
    }
    let mut patterns = Vec::new();
    if let Some(field) = identity_config
        && let Some(path) = read_path(&field, directory)
        && let Some(bytes) = issuers::read_named_file(&field, directory)
    {
        match String::from_utf8(bytes) {
            Ok(text) => {
                let identities = fulcio::read(&path, &text, claims_arc, report);
                declared.extend(identities.issuers);
                patterns = identities.patterns;
            }
            Err(_) => field.error(format!("{} is not UTF-8 text", path.display())),
        }
    }
    Issuers::new(issuers::unite(declared, report), patterns)
}

/// A path, relative ones from the configuration's directory.
fn read_path(field: &Field<'_>, directory: &Path) -> Option<PathBuf> {
    let text = field.text()?;
    if text.is_empty() || text.contains('\0') {
        field.error("is not a path");
        return None;
    }
    if text.starts_with("~/") || text.contains("${") {
        field.error("is taken as it stands: neither ~ nor ${…} is expanded; write the path out");
        return None;
    }
    Some(directory.join(text))
}

/// The path of a private key.
fn read_key(field: &Field<'_>, directory: &Path) -> Option<PathBuf> {
    read_secret(field, directory, "; `countersign init` makes keys")
}

/// The path of a secret: the file has to be there, for its owner alone, and is not opened.
fn read_secret(field: &Field<'_>, directory: &Path, advice: &str) -> Option<PathBuf> {
    let path = read_path(field, directory)?;
    match values::check_file(&path) {
        Ok(()) => {
            if let Err(message) = values::check_private(&path) {
                field.error(message);
                return None;
            }
        }
        Err(values::FileError::Missing(message)) => {
            field.missing_file(format!("{message}{advice}"));
        }
        Err(values::FileError::Unusable(message)) => {
            field.error(message);
            return None;
        }
    }
    Some(path)
}

/// The log's base URL without its scheme.
fn default_origin(public_url: Option<&str>, listen: Option<SocketAddr>) -> Option<String> {
    match (public_url, listen) {
        (Some(url), _) => Some(format!("{}/ct", values::without_scheme(url))),
        (None, Some(listen)) => Some(format!("{listen}/ct")),
        (None, None) => None,
    }
}

const fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

/// An address that nobody can connect to is no name for trust material.
fn warn_of_base_url(top: &Section<'_>, listen: SocketAddr, scheme: &str) {
    if (listen.ip().is_unspecified() || listen.port() == 0)
        && let Some(field) = top.get("listen")
    {
        field.warning(format!(
            "is no address to connect to, and public_url is not set, so trust material names {scheme}://{listen}; set public_url"
        ));
    }
}
