//! What the steps need: a CA, an issuer, and a request that goes all the way.

use crate::key::TestKey;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use countersign::certificate::CaChain;
use countersign::condition::Condition;
use countersign::demo::gitlab::Gitlab;
use countersign::environment::UnixMillis;
use countersign::identity::gitlab::GitlabRules;
use countersign::identity::{Entry, IdentityType as _, Issuer, Issuers, KeySource};
use countersign::policy::{self, Authorization, Effect, Mode, Policy, Rule, Tightening};
use countersign::possession::{Possession, ProvenKey};
use countersign::server::environment::Environment;
use countersign::signer::ceremony::{NewCa, Options};
use countersign::signer::{FileSigner, LogKey};
use countersign::token::{Algorithm, Expectations, KeySet, Times, UnverifiedToken, VerifiedToken};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Of a certificate.
pub const LIFETIME: Duration = Duration::from_secs(600);

/// Everything once, outside of what is measured.
pub struct Setting {
    pub machine: Environment,
    pub chain: Arc<CaChain>,
    pub signer: FileSigner,
    pub log_key: LogKey,
    pub issuers: Issuers,
    pub key_set: String,
    pub keys: KeySet,
    pub claims: Value,
    pub token: String,
    pub caller: TestKey,
    /// The caller's key in PEM, and its signature over the challenge.
    pub key: String,
    pub proof: Vec<u8>,
    pub body: String,
    pub authorization: Authorization,
    pub proven: ProvenKey,
}

impl Setting {
    pub fn make() -> Self {
        let machine = Environment::system();
        let ca = NewCa::make(&Options::default(), now()).unwrap();
        let chain = Arc::new(CaChain::from_pem(ca.chain().as_bytes()).unwrap());
        let signer = FileSigner::from_pem(ca.issuing_key.as_bytes(), None, &chain).unwrap();
        let log_key = LogKey::from_pem(ca.log_key.as_bytes()).unwrap();

        let runtime = runtime();
        let gitlab = runtime.block_on(Gitlab::start(machine.clock.clone())).unwrap();
        let claims = gitlab.claims();
        let (token, key_set) = (gitlab.token(&claims), gitlab.key_set().to_string());
        let entry = Entry {
            audience: "sigstore".into(),
            allow_multiple_audiences: false,
            kind: GitlabRules::default().into(),
        };
        let key_source = KeySource::Static(key_set.clone().into_bytes());
        let url = gitlab.url().to_owned();
        let issuer = Issuer { url: url.clone(), entries: [entry].into(), key_source: key_source.into() };
        let issuers = Issuers::new(vec![issuer.clone()], Vec::new());
        let keys = KeySet::parse(key_set.as_bytes()).unwrap();

        let caller = TestKey::new();
        let challenge = claims["sub"].as_str().unwrap().to_owned();
        let mut body = caller.request(&challenge);
        body["credentials"] = json!({ "oidcIdentityToken": token });
        let key = caller.pem();
        let proof = BASE64_STANDARD.decode(caller.proof(&challenge)).unwrap();
        let possession = Possession::PublicKey { key: key.as_bytes(), proof: &proof };
        let proven = possession.prove(&challenge).unwrap();
        let verified = verify(&token, &keys, &url);
        let entry = issuer.entry_for(&verified).unwrap();
        let principal = entry.kind.principal(&url, &verified).unwrap();
        let (_, authorization) = Policy::default().authorize(&url, entry, principal, &verified, &proven);
        let authorization = authorization.unwrap();
        Self {
            machine,
            chain,
            signer,
            log_key,
            issuers,
            key_set,
            keys,
            claims,
            token,
            caller,
            key,
            proof,
            body: body.to_string(),
            authorization,
            proven,
        }
    }

    /// The issuer's URL.
    pub fn issuer(&self) -> &str {
        self.claims["iss"].as_str().unwrap()
    }

    pub fn expected(&self) -> Expectations<'_> {
        expectations(self.issuer())
    }

    pub fn verified(&self) -> VerifiedToken {
        verify(&self.token, &self.keys, self.issuer())
    }

    /// What a future says that is ready at once.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => panic!("it is not ready"),
        }
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

pub fn now() -> UnixMillis {
    Environment::system().clock.now()
}

fn expectations(issuer: &str) -> Expectations<'_> {
    Expectations { issuer, algorithms: &[Algorithm::RS256], times: Times::CERTIFICATE }
}

fn verify(token: &str, keys: &KeySet, issuer: &str) -> VerifiedToken {
    UnverifiedToken::parse(token).unwrap().verify(keys, &expectations(issuer), now()).unwrap()
}

/// So many rules of two comparisons each, of which only the last holds.
pub fn policy(rules: usize) -> Policy {
    let scope = policy::scope(GitlabRules::default().claims());
    let rule = |number: usize| {
        let group = if number == rules { "" } else { "no-group/" };
        let when =
            format!("claims.ref_protected != \"false\" && claims.project_path.startsWith(\"{group}\")");
        Rule {
            name: format!("rule {number}").into(),
            issuers: None,
            when: Some(Condition::compile(&when, &scope).unwrap()),
            effect: Effect::Allow(Tightening::default()),
            mode: Mode::Enforce,
            message: None,
        }
    };
    Policy::new((1..=rules).map(rule).collect())
}
