//! GitLab's REST API (v4), as far as the broker needs it: look-ups, tokens of ten kinds, and the main credential itself.
//!
//! - A call is sent once (`transport`); `verdict` is the only place that says what an answer means.
//! - A project, group or user is named by its number once it was looked up (`holder`): a path may belong to somebody else tomorrow.
//! - A token is dead when GitLab says so of the token (`ending`). A 404 of the project may mean that the main credential does not see it any more.
//! - Tokens of service accounts are listed and revoked where their accounts are; before GitLab 17.11 only an administrator's credential can do
//!   that, by number. There roles of these kinds are refused to other credentials when they ask, before anything is made: no token without a way to revoke it.
//! - The main credential goes to the instance's own origin and nowhere else: redirects and links are not followed. It is in no error, log line or
//!   `Debug`, and what GitLab says goes through `words`.

mod credential;
mod ending;
mod holder;
mod listing;
mod records;
mod routes;
mod transport;
mod verdict;
mod words;

use self::records::{MetadataRecord, TokenRecord, UserRecord};
use self::routes::{Route, SERVICE_ACCOUNT_TOKENS, Tokens};
use self::transport::{Answered, Call, Transport};
use self::verdict::Failure;
use crate::broker::{Expiry, GitlabVersion, Kind, Minted};
use crate::environment::{Clock, Stopwatch, UnixMillis};
use crate::issuance::Answer;
use crate::leasing::ports::{
    CallError, Credential, Gitlab, Holder, Made, Observer, Order, Place, Secret, User,
};
use crate::outbound::Clients;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use url::{Host, Url};

/// Which instance, and how it is asked.
pub struct Settings {
    /// The target's name, for metrics.
    pub target: String,
    /// Base URL, with the relative root where there is one.
    pub url: String,
    /// Whether it may be plain HTTP elsewhere than on this machine.
    pub allow_http: bool,
    /// The main credential.
    pub credential: Secret,
    /// Who is acted as where impersonation tokens are made.
    pub sudo_user: Option<String>,
    /// PEM certificates that are trusted beside the system's roots.
    pub ca_certificate: Option<Vec<u8>>,
    /// For one call, with its answer: of a list, for each page.
    pub timeout: Duration,
}

/// What every client measures with.
#[derive(Clone)]
pub struct Surroundings {
    /// For times that GitLab says.
    pub clock: Arc<dyn Clock>,
    /// How long calls take.
    pub stopwatch: Arc<dyn Stopwatch>,
    /// Who hears of calls.
    pub observer: Arc<dyn Observer>,
}

/// A client of one instance.
pub struct RestClient {
    transport: Transport,
    sudo: Option<String>,
    /// As GitLab last said; `None`: it was not asked yet.
    version: Mutex<Option<Option<GitlabVersion>>>,
}

impl fmt::Debug for RestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestClient").field("target", &self.transport.target).finish_non_exhaustive()
    }
}

impl RestClient {
    /// Prepares everything; nothing is asked yet. Reads the system's roots.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn new(settings: Settings, surroundings: Surroundings) -> Result<Self, String> {
        let api = api_of(&settings.url, settings.allow_http)?;
        let credential = RwLock::new(transport::header(&settings.credential)?);
        let clients = Clients::build_for_submissions(settings.ca_certificate.as_deref())?;
        let Surroundings { clock, stopwatch, observer } = surroundings;
        let (target, timeout) = (settings.target, settings.timeout);
        let heard = Mutex::default();
        let transport =
            Transport { target, api, clients, timeout, clock, stopwatch, observer, credential, heard };
        let sudo = settings.sudo_user;
        Ok(Self { transport, sudo, version: Mutex::default() })
    }

    /// The answer to a call whose 401 may be about rights: then the credential is asked about itself, so that one project in which it
    /// may do nothing does not count as a credential that is lost.
    async fn ask(&self, call: Call<'_>) -> Result<Answered, Failure> {
        match self.transport.send(call).await {
            Err(Failure::Doubtful(error)) => Err(Failure::Certain(self.doubted(error).await)),
            other => other,
        }
    }

    /// The same, where no answer needs to be told from others.
    async fn call(&self, call: Call<'_>) -> Result<Answered, CallError> {
        self.ask(call).await.map_err(ending::said)
    }

    async fn doubted(&self, error: CallError) -> CallError {
        match self.transport.send(Call::look(credential::itself())).await {
            Ok(_) => error,
            Err(Failure::Doubtful(CallError::Refused { status, detail })) => {
                CallError::Credential { status, detail }
            }
            Err(Failure::Certain(error @ CallError::Credential { .. })) => error,
            // Nothing was done, whatever the reason.
            Err(_) => CallError::NotDone { detail: error.to_string(), retry_after: None },
        }
    }

    async fn look<T: serde::de::DeserializeOwned>(&self, route: Route) -> Result<T, CallError> {
        self.call(Call::look(route)).await?.read()
    }

    async fn ask_version(&self) -> Result<(Option<GitlabVersion>, bool), CallError> {
        let record: MetadataRecord = self.look(Route::new("GET metadata", "metadata".into())).await?;
        let (version, enterprise) = record.version();
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
        Ok((version, enterprise))
    }

    /// Whether tokens of service accounts can only be reached by their number here.
    async fn is_old(&self) -> Result<bool, CallError> {
        let known = *self.version.lock().unwrap_or_else(PoisonError::into_inner);
        let version = match known {
            Some(version) => version,
            None => self.ask_version().await?.0,
        };
        Ok(version.is_some_and(|version| version < SERVICE_ACCOUNT_TOKENS))
    }

    async fn tokens(&self, holder: &Holder) -> Result<Tokens, CallError> {
        let is_account = matches!(holder.kind, Kind::GroupServiceAccount | Kind::ProjectServiceAccount);
        let by_number = is_account && self.is_old().await?;
        Tokens::of(holder, by_number).ok_or_else(|| CallError::Refused {
            status: 0,
            detail: format!("{} {} was never looked up", holder.kind, words::fit(&holder.path)),
        })
    }

    async fn make(&self, order: &Order<'_>) -> Result<Made, CallError> {
        let route = self.tokens(order.holder).await?.make(self.sudo.as_deref());
        let answer = self.call(Call::make(route, routes::parameters(order))).await?;
        let record: TokenRecord = answer.read()?;
        if !record.is_live() {
            // Its job would be refused everywhere, and not know why.
            let detail = "the token was dead when it was made: GitLab's clock may be ahead of this machine's";
            return Err(CallError::Unknown { detail: detail.into(), retry_after: None });
        }
        record.into_made().ok_or_else(transport::unreadable)
    }
}

/// `{url}/api/v4/`.
fn api_of(url: &str, allow_http: bool) -> Result<String, String> {
    let parsed = Url::parse(url).map_err(|error| format!("{url:?} is not a URL: {error}"))?;
    let loopback = match parsed.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let scheme = match parsed.scheme() {
        "https" => true,
        "http" => allow_http || loopback,
        _ => false,
    };
    if !scheme {
        return Err("the URL must be https: the main credential would cross the network in the clear".into());
    }
    let plain = parsed.username().is_empty() && parsed.password().is_none();
    if !plain || parsed.query().is_some() || parsed.fragment().is_some() {
        return Err("the URL may have a path, but no user, query or fragment".into());
    }
    Ok(format!("{}/api/v4/", parsed.as_str().trim_end_matches('/')))
}

impl Gitlab for RestClient {
    fn holder<'a>(&'a self, kind: Kind, path: &'a str) -> Answer<'a, Result<Holder, CallError>> {
        Box::pin(self.look_up(kind, path))
    }

    fn group_above<'a>(
        &'a self,
        holder: &'a Holder,
        steps: usize,
    ) -> Answer<'a, Result<Option<u64>, CallError>> {
        Box::pin(self.look_above(holder, steps))
    }

    fn user(&self, id: u64) -> Answer<'_, Result<User, CallError>> {
        Box::pin(async move {
            let route = Route::new("GET users/:id", format!("users/{id}"));
            let record: UserRecord = self.look(route).await?;
            if record.id == id { Ok(record.user()) } else { Err(transport::unreadable()) }
        })
    }

    fn mint<'a>(&'a self, order: &'a Order<'a>) -> Answer<'a, Result<Made, CallError>> {
        Box::pin(self.make(order))
    }

    fn find<'a>(
        &'a self,
        holder: &'a Holder,
        name: &'a str,
        place: &'a dyn Place,
    ) -> Answer<'a, Result<Vec<Minted>, CallError>> {
        Box::pin(self.find_live(holder, name, place))
    }

    fn revoke<'a>(
        &'a self,
        holder: &'a Holder,
        id: u64,
        place: &'a dyn Place,
    ) -> Answer<'a, Result<(), CallError>> {
        Box::pin(self.end(holder, id, place))
    }

    fn itself<'a>(&'a self, credential: Option<&'a Secret>) -> Answer<'a, Result<Credential, CallError>> {
        Box::pin(self.ask_itself(credential))
    }

    fn version(&self) -> Answer<'_, Result<(Option<GitlabVersion>, bool), CallError>> {
        Box::pin(self.ask_version())
    }

    fn make_credential<'a>(
        &'a self,
        like: &'a Credential,
        name: &'a str,
        expiry: Expiry,
    ) -> Answer<'a, Result<(Credential, Secret), CallError>> {
        Box::pin(self.make_second(like, name, expiry))
    }

    fn rotate_credential(&self, expiry: Expiry) -> Answer<'_, Result<(Credential, Secret), CallError>> {
        Box::pin(self.rotate_itself(expiry))
    }

    fn find_credentials<'a>(
        &'a self,
        user_id: u64,
        name: &'a str,
        place: &'a dyn Place,
    ) -> Answer<'a, Result<Vec<u64>, CallError>> {
        Box::pin(self.find_seconds(user_id, name, place))
    }

    fn revoke_credential(&self, id: u64) -> Answer<'_, Result<(), CallError>> {
        Box::pin(self.end_credential(id))
    }

    fn heard_time(&self) -> Option<UnixMillis> {
        *self.transport.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn switch(&self, credential: Secret) {
        // One that cannot be sent was made by nobody that answered a call with it; the old one stays.
        if let Ok(header) = transport::header(&credential) {
            *self.transport.credential.write().unwrap_or_else(PoisonError::into_inner) = header;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_below_the_instances_url() {
        for (url, api) in [
            ("https://gitlab.example.com", "https://gitlab.example.com/api/v4/"),
            ("https://example.com/gitlab/", "https://example.com/gitlab/api/v4/"),
            ("http://127.0.0.1:80", "http://127.0.0.1/api/v4/"),
            ("http://localhost:3000", "http://localhost:3000/api/v4/"),
        ] {
            assert_eq!(api_of(url, false).as_deref(), Ok(api), "{url}");
        }
        assert!(api_of("http://gitlab.example.com", true).is_ok());
        for url in [
            "http://gitlab.example.com",
            "http://localhost.example.com",
            "ftp://127.0.0.1",
            "https://user@gitlab.example.com",
            "https://:pw@gitlab.example.com",
            "https://gitlab.example.com/?a=b",
            "https://gitlab.example.com/#a",
            "gitlab.example.com",
            "",
        ] {
            assert!(api_of(url, false).is_err(), "{url}");
        }
    }
}
