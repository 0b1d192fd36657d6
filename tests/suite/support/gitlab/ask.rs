//! A request as the make-believe GitLab reads it: parameters from path, query and body in one place, as GitLab's own API has them.

use axum::http::{HeaderMap, Method};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};
use url::form_urlencoded;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    /// Path and query as they came.
    pub uri: String,
    /// Decoded parameters of the path.
    pub path: Vec<(String, String)>,
    /// Parameters of query and body, the body's last.
    pub fields: Map<String, Value>,
    /// `PRIVATE-TOKEN`, or what stands behind `Bearer`.
    pub credential: Option<String>,
    /// User name and password of `Basic`.
    pub basic: Option<(String, String)>,
    /// `?sudo=` or the header.
    pub sudo: Option<String>,
}

impl Ask {
    /// Reads one; `None`: the body is not what its content type says.
    pub fn read(
        method: Method,
        uri: &axum::http::Uri,
        path: Vec<(String, String)>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<Self> {
        let header = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        let mut fields = Map::new();
        insert_form(&mut fields, uri.query().unwrap_or_default().as_bytes());
        if header("content-type").is_some_and(|kind| kind.contains("json")) {
            let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return None };
            fields.extend(members);
        } else {
            insert_form(&mut fields, body);
        }
        let bearer = header("authorization").and_then(|text| text.strip_prefix("Bearer ").map(str::to_owned));
        let basic = header("authorization").and_then(|text| login(text.strip_prefix("Basic ")?));
        let sudo = fields.get("sudo").and_then(Value::as_str).map(str::to_owned).or(header("sudo"));
        let uri = uri.to_string();
        let credential = header("private-token").or(bearer);
        Some(Self { method, uri, path, fields, credential, basic, sudo })
    }

    /// A parameter of the path.
    pub fn parameter(&self, name: &str) -> &str {
        self.path.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// A parameter of the path that is a number.
    pub fn number(&self, name: &str) -> u64 {
        self.parameter(name).parse().unwrap_or(0)
    }

    /// A field that is a text or a number.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.fields.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A list of texts, `name[]=a&name[]=b` or a JSON array.
    pub fn list(&self, name: &str) -> Vec<String> {
        let values = self.fields.get(name).and_then(Value::as_array).into_iter().flatten();
        values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
    }
}

/// Of RFC 7617.
fn login(encoded: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

fn insert_form(fields: &mut Map<String, Value>, form: &[u8]) {
    for (name, value) in form_urlencoded::parse(form) {
        let value = Value::from(value.into_owned());
        match name.strip_suffix("[]") {
            None => drop(fields.insert(name.into_owned(), value)),
            Some(name) => {
                let list = fields.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                list.as_array_mut().expect("a list").push(value);
            }
        }
    }
}
