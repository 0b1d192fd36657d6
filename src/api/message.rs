//! Fulcio's request messages in protobuf's JSON: what is accepted, and what is said about the rest.
//!
//! Both spellings of a name count, `null` is as good as absent, unknown members are skipped, and a member of a oneof may
//! be given once (<https://protobuf.dev/programming-guides/json/>). Errors name the field and never a value: the body
//! holds the token.

use crate::protojson;
use crate::refusal::{Reason, Refusal};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// `CreateSigningCertificateRequest`.
#[derive(Debug, Default)]
pub struct SigningRequest {
    /// `credentials.oidcIdentityToken`; empty when absent.
    pub token: String,
    /// The key: of a public key request, of a CSR, or none.
    pub key: KeyMessage,
}

/// The oneof `key`.
#[derive(Default, PartialEq, Eq)]
pub enum KeyMessage {
    /// Neither member was given, or it was empty.
    #[default]
    Missing,
    /// `publicKeyRequest`
    PublicKey {
        /// `publicKey.content`: PEM text in v2, PEM or DER in v1.
        content: Vec<u8>,
        /// `proofOfPossession`, decoded.
        proof: Vec<u8>,
    },
    /// `certificateSigningRequest`, decoded.
    Csr(Vec<u8>),
}

impl fmt::Debug for KeyMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "Missing",
            Self::PublicKey { .. } => "PublicKey",
            Self::Csr(_) => "Csr",
        })
    }
}

impl SigningRequest {
    /// Parses a body. An empty one is an empty message: the token may come in a header.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`], naming the place or the field.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let message: RawRequest = parse_object(body)?;
        let credentials = message.credentials.or_default("credentials")?;
        let token = credentials.token.or_default("credentials.oidcIdentityToken")?;
        Ok(Self { token, key: key(message.public_key, message.csr)? })
    }
}

fn key(public_key: Field<RawPublicKeyRequest>, csr: Field<String>) -> Result<KeyMessage, Refusal> {
    if public_key.is_given() && csr.is_given() {
        return Err(malformed(
            "`publicKeyRequest` and `certificateSigningRequest` are both given, but only one of them may be.",
        ));
    }
    let csr = csr.or_default("certificateSigningRequest")?;
    if !csr.is_empty() {
        return Ok(KeyMessage::Csr(bytes("certificateSigningRequest", &csr)?));
    }
    let request = public_key.or_default("publicKeyRequest")?;
    let key = request.key.or_default("publicKeyRequest.publicKey")?;
    let content = key.content.or_default("publicKeyRequest.publicKey.content")?;
    let proof = request.proof.or_default("publicKeyRequest.proofOfPossession")?;
    let proof = bytes("publicKeyRequest.proofOfPossession", &proof)?;
    Ok(if content.is_empty() {
        KeyMessage::Missing
    } else {
        KeyMessage::PublicKey { content: content.into(), proof }
    })
}

/// `CreateSigningCertificateRequest` of v1. It has no token: that comes in a header.
#[derive(Debug, Default)]
pub struct LegacySigningRequest {
    /// The key: of the CSR where there is one, else the public key.
    pub key: KeyMessage,
    /// Whether a public key was given, be it an empty one.
    pub key_given: bool,
}

impl LegacySigningRequest {
    /// Parses a body. An empty one is an empty message.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`], naming the place or the field.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let message: RawLegacyRequest = parse_object(body)?;
        let key_given = message.key.is_given();
        let csr = bytes("certificateSigningRequest", &message.csr.or_default("certificateSigningRequest")?)?;
        let key = message.key.or_default("publicKey")?;
        let content = bytes("publicKey.content", &key.content.or_default("publicKey.content")?)?;
        let proof = bytes("signedEmailAddress", &message.proof.or_default("signedEmailAddress")?)?;
        let key = match (csr.is_empty(), content.is_empty()) {
            (false, _) => KeyMessage::Csr(csr),
            (true, false) => KeyMessage::PublicKey { content, proof },
            (true, true) => KeyMessage::Missing,
        };
        Ok(Self { key, key_given })
    }
}

/// The body's object; an empty body is an empty one.
fn parse_object<T: Default + JsonKind>(body: &[u8]) -> Result<T, Refusal> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    match serde_json::from_slice(body).map_err(|error| syntax(&error))? {
        Field::Given(message) => Ok(message),
        Field::Absent | Field::WrongType => Err(malformed("The body must be a JSON object.")),
    }
}

/// The octets of a `bytes` field.
fn bytes(field: &str, text: &str) -> Result<Vec<u8>, Refusal> {
    protojson::bytes(text).ok_or_else(|| malformed(format!("The field `{field}` must be base64.")))
}

fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Reason::RequestMalformed).because(detail)
}

/// serde_json's own words may quote the body, so only the place is told.
fn syntax(error: &serde_json::Error) -> Refusal {
    if error.is_eof() {
        return malformed("The JSON ends too early.");
    }
    let what = if error.is_data() { "A member is given twice" } else { "The JSON is not valid" };
    malformed(format!("{what} (line {}, column {}).", error.line(), error.column()))
}

/// A member that may be absent or null, and whose type may be wrong without ending the parse: so that the field can be named.
#[derive(Default)]
enum Field<T> {
    #[default]
    Absent,
    WrongType,
    Given(T),
}

impl<T: Default + JsonKind> Field<T> {
    fn is_given(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    fn or_default(self, name: &str) -> Result<T, Refusal> {
        match self {
            Self::Absent => Ok(T::default()),
            Self::Given(value) => Ok(value),
            Self::WrongType => Err(malformed(format!("The field `{name}` must be {}.", T::KIND))),
        }
    }
}

/// What a type is in JSON, and how it is read from it.
trait JsonKind: Sized {
    const KIND: &'static str;
    fn from_text(_text: &str) -> Option<Self> {
        None
    }
    /// `None`, with the map skipped, when the type is no object.
    fn from_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl JsonKind for String {
    const KIND: &'static str = "a string";
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

/// An object of the message: its members by their two names, everything else skipped.
macro_rules! object {
    ($name:ident { $($field:ident: $type:ty = $camel:literal | $snake:literal),+ $(,)? }) => {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct $name { $(#[serde(rename = $camel, alias = $snake)] $field: Field<$type>,)+ }

        impl JsonKind for $name {
            const KIND: &'static str = "an object";
            fn from_map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
                Self::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Some)
            }
        }
    };
}

object!(RawRequest {
    credentials: RawCredentials = "credentials" | "credentials",
    public_key: RawPublicKeyRequest = "publicKeyRequest" | "public_key_request",
    csr: String = "certificateSigningRequest" | "certificate_signing_request",
});
object!(RawCredentials { token: String = "oidcIdentityToken" | "oidc_identity_token" });
object!(RawPublicKeyRequest {
    key: RawPublicKey = "publicKey" | "public_key",
    proof: String = "proofOfPossession" | "proof_of_possession",
});
// `algorithm` is skipped: the key says what it is.
object!(RawPublicKey { content: String = "content" | "content" });
// v1 has one spelling: its fields are called so.
object!(RawLegacyRequest {
    key: RawPublicKey = "publicKey" | "publicKey",
    proof: String = "signedEmailAddress" | "signedEmailAddress",
    csr: String = "certificateSigningRequest" | "certificateSigningRequest",
});

impl<'de, T: JsonKind> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: JsonKind> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::KIND)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::from_text(text).map_or(Field::WrongType, Field::Given))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(T::from_map(map)?.map_or(Field::WrongType, Field::Given))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::WrongType)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::WrongType)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Field::WrongType)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Field::WrongType)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Field::WrongType)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(body: &str) -> String {
        let refusal = SigningRequest::parse(body.as_bytes()).expect_err(body);
        assert_eq!(refusal.reason(), Reason::RequestMalformed, "{body}");
        refusal.detail().unwrap_or_default().to_owned()
    }

    fn key_of(body: &str) -> KeyMessage {
        SigningRequest::parse(body.as_bytes()).expect(body).key
    }

    #[test]
    fn both_spellings_are_read_and_unknown_members_skipped() {
        for body in [
            r#"{"credentials":{"oidcIdentityToken":"t"},"publicKeyRequest":{"publicKey":{"algorithm":"ECDSA","content":"k"},"proofOfPossession":"cHA="}}"#,
            r#"{"credentials":{"oidc_identity_token":"t","x":1},"public_key_request":{"public_key":{"algorithm":[7],"content":"k"},"proof_of_possession":"cHA"},"extra":{"a":[1]}}"#,
        ] {
            let request = SigningRequest::parse(body.as_bytes()).expect("it parses");
            assert_eq!(request.token, "t");
            assert!(request.key == KeyMessage::PublicKey { content: b"k".to_vec(), proof: b"pp".to_vec() });
        }
    }

    #[test]
    fn null_and_empty_are_absent() {
        for body in [
            "",
            " \n",
            "{}",
            r#"{"credentials":null,"publicKeyRequest":null,"certificateSigningRequest":null}"#,
        ] {
            let request = SigningRequest::parse(body.as_bytes()).expect("it parses");
            assert!(request.token.is_empty() && request.key == KeyMessage::Missing, "{body}");
        }
        assert!(key_of(r#"{"certificateSigningRequest":""}"#) == KeyMessage::Missing);
        assert!(matches!(
            key_of(r#"{"publicKeyRequest":{"publicKey":{"content":"k"}},"certificateSigningRequest":null}"#),
            KeyMessage::PublicKey { proof, .. } if proof.is_empty()
        ));
    }

    #[test]
    fn octets_come_in_any_base64_and_in_nothing_else() {
        for text in ["+/+/+w==", "-_-_-w", r"+/+/\n+w==\r\n"] {
            let key = key_of(&format!(r#"{{"certificateSigningRequest":"{text}"}}"#));
            assert!(key == KeyMessage::Csr(vec![0xfb, 0xff, 0xbf, 0xfb]), "{text}");
        }
        let refused = detail(r#"{"certificateSigningRequest":"!!!!"}"#);
        assert_eq!(refused, "The field `certificateSigningRequest` must be base64.");
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named() {
        for (body, field) in [
            (r#"{"credentials":7}"#, "`credentials` must be an object"),
            (
                r#"{"credentials":{"oidcIdentityToken":7}}"#,
                "`credentials.oidcIdentityToken` must be a string",
            ),
            (r#"{"publicKeyRequest":"x"}"#, "`publicKeyRequest` must be an object"),
            (r#"{"publicKeyRequest":{"publicKey":[1]}}"#, "`publicKeyRequest.publicKey` must be an object"),
            (
                r#"{"publicKeyRequest":{"publicKey":{"content":7.5}}}"#,
                "`publicKeyRequest.publicKey.content` must be a string",
            ),
            (
                r#"{"publicKeyRequest":{"proofOfPossession":[1]}}"#,
                "`publicKeyRequest.proofOfPossession` must be a string",
            ),
            (r#"{"certificateSigningRequest":{"a":1}}"#, "`certificateSigningRequest` must be a string"),
            (r#"{"certificateSigningRequest":true}"#, "`certificateSigningRequest` must be a string"),
        ] {
            assert!(detail(body).contains(field), "{body}: {}", detail(body));
        }
    }

    #[test]
    fn only_one_member_of_the_oneof_may_be_given() {
        for body in [
            r#"{"publicKeyRequest":{},"certificateSigningRequest":"eA=="}"#,
            r#"{"certificateSigningRequest":"","publicKeyRequest":{"publicKey":{"content":"k"}}}"#,
        ] {
            assert!(detail(body).contains("both given"), "{body}");
        }
    }

    #[test]
    fn what_is_not_one_json_object_is_refused_without_quoting_it() {
        for body in [
            "null",
            "7",
            "\"secret\"",
            "[]",
            "{",
            "{}x",
            "{} {}",
            "{\"secret",
            "{'secret':1}",
            r#"{"credentials":{},"credentials":{}}"#,
            r#"{"credentials":{"oidcIdentityToken":"secret","oidc_identity_token":"secret"}}"#,
            r#"{"credentials":{"oidcIdentityToken":"\ud800"}}"#,
        ] {
            assert!(!detail(body).contains("secret"), "{body}");
        }
        let deep = format!("{}{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert!(!detail(&deep).is_empty());
        assert!(SigningRequest::parse(b"{\"credentials\":{\"oidcIdentityToken\":\"\xff\"}}").is_err());
    }
}
