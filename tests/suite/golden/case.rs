//! A case of the fixture with its placeholders filled in: configuration, issuer, token, request.

use super::keys::{self, key};
use super::web::{Reply, Root, Web};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

pub static FIXTURE: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../fixtures/fulcio-golden.json")).expect("the fixture is JSON")
});

/// One case, and where its issuer is.
pub struct Case<'w> {
    pub raw: &'static Value,
    pub issuer: String,
    web: &'w Web,
    base: String,
    slug: String,
    now: u64,
}

/// An HTTP request, ready to be sent.
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A gRPC call.
pub struct Call {
    pub method: String,
    pub message: Value,
    pub metadata: Vec<(&'static str, String)>,
}

/// The caller's part of a request.
struct Material {
    token: String,
    public: Vec<u8>,
    proof: Vec<u8>,
    csr: Option<Vec<u8>>,
}

impl<'w> Case<'w> {
    pub fn new(raw: &'static Value, web: &'w Web, now: u64) -> Self {
        let name = raw["name"].as_str().expect("a name").to_lowercase();
        let slug: Vec<_> =
            name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let slug = slug.join("-");
        let base = format!("http://127.0.0.1:{}/{slug}", web.http_port);
        let mut case = Self { raw, issuer: base.clone(), web, base, slug, now };
        case.issuer = case.text(raw["issuer"].as_str().unwrap_or("${BASE}"));
        case
    }

    pub fn name(&self) -> &'static str {
        self.raw["name"].as_str().expect("a name")
    }

    pub fn quirk(&self) -> Option<&'static str> {
        self.raw["quirk"].as_str()
    }

    pub fn slug(&self) -> &str {
        &self.slug
    }

    /// Fills in what is known without a token.
    pub fn text(&self, text: &str) -> String {
        if !text.contains("${") {
            return text.to_owned();
        }
        let host = self.issuer.split_once("://").map_or(self.issuer.as_str(), |(_, host)| host);
        let mut text = text
            .replace("${BASE}", &self.base)
            .replace("${ISSUER}", &self.issuer)
            .replace("${ISSUER_HOST}", host)
            .replace("${PORT}", &self.web.http_port.to_string())
            .replace("${TLS_PORT}", &self.web.tls_port.to_string())
            .replace("${SLUG}", &self.slug);
        if text.contains("_CA}") || text.contains("${CA}") {
            static OTHER: LazyLock<Root> = LazyLock::new(Root::new);
            text = text.replace("${CA}", &self.web.root.pem()).replace("${OTHER_CA}", &OTHER.pem());
        }
        while let Some((before, rest)) = text.split_once("${NOW") {
            let (offset, after) = rest.split_once('}').expect("a closing brace");
            let offset: i64 = if offset.is_empty() { 0 } else { offset.parse().expect("a number") };
            text = format!("{before}{}{after}", self.now.saturating_add_signed(offset));
        }
        text
    }

    /// The same in every text of a tree, keys included, with `$now` and `$repeat`.
    pub fn tree(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.tree(item)).collect(),
            Value::Object(members) => {
                if let Some(offset) = members.get("$now") {
                    return json!(self.now.saturating_add_signed(offset.as_i64().expect("a number")));
                }
                if let Some(repeated) = repeated(members) {
                    return Value::String(repeated);
                }
                let members = members.iter().map(|(name, value)| (self.text(name), self.tree(value)));
                Value::Object(members.collect())
            }
            other => other.clone(),
        }
    }

    /// The identity configuration as a tree; `None` where the case has a text.
    pub fn config_tree(&self) -> Option<Value> {
        let mut tree = self.raw.get("config").map(|config| self.tree(config))?;
        for provider in self.raw["template_from"].as_array().into_iter().flatten() {
            let name = provider.as_str().expect("a name");
            tree["ci-issuer-metadata"][name] = FIXTURE["ci_issuer_metadata"][name].clone();
        }
        Some(tree)
    }

    /// The identity configuration's text.
    pub fn config(&self) -> String {
        match self.config_tree() {
            // JSON with these names would be another file to Fulcio; with a comment it is YAML.
            Some(tree) => format!("# YAML\n{tree}"),
            None => self.text(self.raw["config_text"].as_str().expect("a configuration")),
        }
    }

    /// Puts the issuer and its siblings on the web.
    pub fn publish(&self) {
        let oidc = &self.raw["oidc"];
        let also: Vec<_> = oidc["also"].as_array().into_iter().flatten().collect();
        let also: Vec<_> = also.iter().map(|url| self.text(url.as_str().expect("a URL"))).collect();
        for issuer in also.iter().chain([&self.issuer]) {
            let base = issuer.strip_suffix('/').unwrap_or(issuer);
            let mut discovery = json!({
                "issuer": issuer,
                "jwks_uri": format!("{base}/jwks"),
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
            });
            if *issuer == self.issuer {
                change(&mut discovery, &self.tree(&oidc["discovery"]));
            }
            let document = format!("{base}/.well-known/openid-configuration");
            self.web.reply(document, Reply::Json(discovery.to_string()));
            self.web.reply(format!("{base}/jwks"), Reply::Json(self.jwks(&oidc["jwks"]).to_string()));
        }
        let base = self.issuer.strip_suffix('/').unwrap_or(&self.issuer);
        let document = format!("{base}/.well-known/openid-configuration");
        match oidc["behaviour"].as_str() {
            None => {}
            Some("discovery-500") => self.web.reply(document, Reply::Status(500)),
            Some("discovery-404") => self.web.reply(document, Reply::Status(404)),
            Some("jwks-500") => self.web.reply(format!("{base}/jwks"), Reply::Status(500)),
            Some(_) => {
                let target = also.first().expect("another issuer");
                let target = format!("{target}/.well-known/openid-configuration");
                self.web.reply(document, Reply::Redirect(target));
            }
        }
    }

    fn jwks(&self, listed: &Value) -> Value {
        let default = json!([{ "key": "rsa", "kid": "k1" }]);
        let listed = if listed.is_null() { &default } else { listed };
        let keys = listed.as_array().expect("keys").iter().map(|entry| {
            let (mut jwk, algorithm) = key(entry["key"].as_str().expect("a key")).jwk();
            jwk["alg"] = json!(algorithm);
            jwk["use"] = json!("sig");
            let mut changes = entry.clone();
            changes.as_object_mut().expect("an object").remove("key");
            change(&mut jwk, &changes);
            jwk
        });
        json!({ "keys": keys.collect::<Vec<_>>() })
    }

    fn token(&self) -> String {
        let how = &self.raw["token"];
        if let Some(text) = how["text"].as_str() {
            return text.to_owned();
        }
        let algorithm = how["alg"].as_str().unwrap_or("RS256");
        let mut header = json!({ "alg": algorithm, "typ": "JWT", "kid": "k1" });
        change(&mut header, &how["header"]);
        if let Some(kid) = how.get("kid") {
            change(&mut header, &json!({ "kid": kid }));
        }
        let payload = match self.raw["payload_text"].as_str() {
            Some(text) => self.text(text),
            None => self.tree(&self.raw["claims"]).to_string(),
        };
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", encode(&header.to_string()), encode(&payload));
        let signer = key(how["key"].as_str().unwrap_or("rsa"));
        let signature = match how["signature"].as_str() {
            Some("empty") => Vec::new(),
            _ => signer.token_signature(how["sign_as"].as_str().unwrap_or(algorithm), signed.as_bytes()),
        };
        let mut token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
        if how["padded"] == true {
            token = token
                .split('.')
                .map(|segment| format!("{segment}{}", "=".repeat((4 - segment.len() % 4) % 4)))
                .collect::<Vec<_>>()
                .join(".");
        }
        format!("{token}{}", how["suffix"].as_str().unwrap_or_default())
    }

    /// What the proof signs: `sub`, or the claim that the case names.
    fn challenge(&self) -> String {
        let claims = match self.raw["payload_text"].as_str() {
            Some(text) => serde_json::from_str(&self.text(text)).unwrap_or_default(),
            None => self.tree(&self.raw["claims"]),
        };
        let claim = self.raw["challenge"].as_str().unwrap_or("sub");
        claims[claim].as_str().unwrap_or_default().to_owned()
    }

    /// The gRPC call; `None`: the case is HTTP's.
    pub fn call(&self) -> Option<Call> {
        let how = &self.raw["request"];
        if how["api"] != "grpc" {
            return None;
        }
        let Material { token, public, proof, .. } = self.material();
        let own = "dev.sigstore.fulcio.v2.CA/CreateSigningCertificate";
        let method = how["rpc"].as_str().unwrap_or(own).to_owned();
        let mut message = json!({ "publicKeyRequest": {
            "publicKey": { "algorithm": "ECDSA", "content": String::from_utf8_lossy(&public) },
            "proofOfPossession": BASE64_STANDARD.encode(&proof),
        }});
        let mut metadata = Vec::new();
        match how["token_in"].as_str().unwrap_or("body") {
            "body" => message["credentials"] = json!({ "oidcIdentityToken": token }),
            "metadata" => metadata.push(("oidcidentitytoken", token.clone())),
            _ => {}
        }
        for pair in how["metadata"].as_array().into_iter().flatten() {
            let name = pair[0].as_str().expect("a name");
            metadata.push((name, pair[1].as_str().expect("a value").replace("${TOKEN}", &token)));
        }
        let message = if method == own { message } else { json!({}) };
        Some(Call { method, message, metadata })
    }

    fn material(&self) -> Material {
        let how = &self.raw["request"];
        let name = how["key"].as_str().unwrap_or("p256");
        let over = how["proof"]["over"].as_str().map_or_else(|| self.challenge(), str::to_owned);
        let prover = key(how["proof"]["by"].as_str().unwrap_or(name));
        Material {
            token: self.token(),
            public: key(name).public(how["key_form"].as_str().unwrap_or("pem")),
            proof: prover.proof(&over, &how["proof"]),
            csr: how.get("csr").map(|csr| keys::csr(name, csr)),
        }
    }

    /// The HTTP request.
    pub fn request(&self) -> Request {
        let how = &self.raw["request"];
        let v1 = how["api"] == "v1";
        let Material { token, public, proof, csr } = self.material();
        let fill = |text: &str| {
            self.text(text)
                .replace("${TOKEN}", &token)
                .replace("${KEY_B64}", &BASE64_STANDARD.encode(&public))
                .replace("${KEY}", &String::from_utf8_lossy(&public))
                .replace("${PROOF}", &BASE64_STANDARD.encode(&proof))
                .replace("${PROOF_URL}", &base64::prelude::BASE64_URL_SAFE.encode(&proof))
                .replace("${PROOF_BARE}", &BASE64_STANDARD_NO_PAD.encode(&proof))
                .replace("${CSR}", &BASE64_STANDARD.encode(csr.as_deref().unwrap_or_default()))
        };
        let token_in = how["token_in"].as_str().unwrap_or(if v1 { "header" } else { "body" });
        let body = if let Some(text) = how["body_text"].as_str() {
            fill(text)
        } else if let Some(tree) = how.get("body") {
            filled(tree, &fill).to_string()
        } else {
            let algorithm = how["algorithm"].as_str().unwrap_or("ECDSA");
            let tree = match (v1, &csr) {
                (true, Some(_)) => json!({ "certificateSigningRequest": "${CSR}" }),
                (true, None) => json!({
                    "publicKey": { "algorithm": algorithm, "content": "${KEY_B64}" },
                    "signedEmailAddress": "${PROOF}",
                }),
                (false, Some(_)) => json!({ "certificateSigningRequest": "${CSR}" }),
                (false, None) => json!({ "publicKeyRequest": {
                    "publicKey": { "algorithm": algorithm, "content": "${KEY}" },
                    "proofOfPossession": "${PROOF}",
                }}),
            };
            let mut tree = tree;
            if matches!(token_in, "body" | "both") {
                tree["credentials"] = json!({ "oidcIdentityToken": "${TOKEN}" });
            }
            filled(&tree, &fill).to_string()
        };
        let mut headers = Map::from_iter([("Content-Type".to_owned(), json!("application/json"))]);
        if matches!(token_in, "header" | "both") {
            headers.insert("Authorization".to_owned(), json!("Bearer ${TOKEN}"));
        }
        headers.extend(how["headers"].as_object().cloned().unwrap_or_default());
        let headers =
            headers.iter().filter_map(|(name, value)| Some((name.clone(), fill(value.as_str()?)))).collect();
        let method = how["method"].as_str().unwrap_or("POST").to_owned();
        let own = if v1 { "/api/v1/signingCert" } else { "/api/v2/signingCert" };
        let path = how["path"].as_str().unwrap_or(own).to_owned();
        Request { method, path, headers, body: body.into_bytes() }
    }
}

/// Sets members; null takes one away.
fn change(target: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().into_iter().flatten() {
        if value.is_null() {
            target.as_object_mut().expect("an object").remove(name);
        } else {
            target[name] = value.clone();
        }
    }
}

fn filled(tree: &Value, fill: &impl Fn(&str) -> String) -> Value {
    match tree {
        Value::String(text) => Value::String(fill(text)),
        Value::Array(items) => items.iter().map(|item| filled(item, fill)).collect(),
        Value::Object(members) => {
            if let Some(repeated) = repeated(members) {
                return Value::String(repeated);
            }
            Value::Object(members.iter().map(|(name, value)| (name.clone(), filled(value, fill))).collect())
        }
        other => other.clone(),
    }
}

/// The text of `{"$repeat": [text, n]}`.
fn repeated(members: &Map<String, Value>) -> Option<String> {
    let repeat = members.get("$repeat")?;
    Some(repeat[0].as_str()?.repeat(usize::try_from(repeat[1].as_u64()?).ok()?))
}
