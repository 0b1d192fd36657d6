//! The messages of `src/api/proto`, as types.
//!
//! `Debug` of a message that carries a token, a key or a proof shows its name alone.

use prost::{Enumeration, Message, Oneof};
use std::collections::HashMap;
use std::fmt;

// --- dev.sigstore.fulcio.v2

/// `dev.sigstore.fulcio.v2.CreateSigningCertificateRequest`
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct CreateSigningCertificateRequest {
    #[prost(message, optional, tag = "1")]
    pub credentials: Option<Credentials>,
    #[prost(oneof = "Key", tags = "2, 3")]
    pub key: Option<Key>,
}

/// The oneof `key`.
#[derive(Clone, PartialEq, Oneof)]
#[prost(skip_debug)]
pub enum Key {
    #[prost(message, tag = "2")]
    PublicKeyRequest(PublicKeyRequest),
    /// PEM.
    #[prost(bytes = "vec", tag = "3")]
    CertificateSigningRequest(Vec<u8>),
}

/// `dev.sigstore.fulcio.v2.Credentials`; an empty token is none.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Credentials {
    #[prost(string, tag = "1")]
    pub oidc_identity_token: String,
}

/// `dev.sigstore.fulcio.v2.PublicKeyRequest`
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct PublicKeyRequest {
    #[prost(message, optional, tag = "1")]
    pub public_key: Option<PublicKey>,
    #[prost(bytes = "vec", tag = "2")]
    pub proof_of_possession: Vec<u8>,
}

/// `dev.sigstore.fulcio.v2.PublicKey`
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct PublicKey {
    /// `PublicKeyAlgorithm`; any number is taken, since it is not looked at.
    #[prost(int32, tag = "1")]
    pub algorithm: i32,
    #[prost(string, tag = "2")]
    pub content: String,
}

/// `dev.sigstore.fulcio.v2.SigningCertificate`
#[derive(Clone, PartialEq, Message)]
pub struct SigningCertificate {
    #[prost(oneof = "Certificate", tags = "1, 2")]
    pub certificate: Option<Certificate>,
}

/// The oneof `certificate`.
#[derive(Clone, PartialEq, Oneof)]
pub enum Certificate {
    #[prost(message, tag = "1")]
    DetachedSct(SigningCertificateDetachedSct),
    #[prost(message, tag = "2")]
    EmbeddedSct(SigningCertificateEmbeddedSct),
}

/// `dev.sigstore.fulcio.v2.SigningCertificateDetachedSCT`
#[derive(Clone, PartialEq, Message)]
pub struct SigningCertificateDetachedSct {
    #[prost(message, optional, tag = "1")]
    pub chain: Option<CertificateChain>,
    #[prost(bytes = "vec", tag = "2")]
    pub signed_certificate_timestamp: Vec<u8>,
}

/// `dev.sigstore.fulcio.v2.SigningCertificateEmbeddedSCT`
#[derive(Clone, PartialEq, Message)]
pub struct SigningCertificateEmbeddedSct {
    #[prost(message, optional, tag = "1")]
    pub chain: Option<CertificateChain>,
}

/// `dev.sigstore.fulcio.v2.TrustBundle`
#[derive(Clone, PartialEq, Message)]
pub struct TrustBundle {
    #[prost(message, repeated, tag = "1")]
    pub chains: Vec<CertificateChain>,
}

/// `dev.sigstore.fulcio.v2.CertificateChain`
#[derive(Clone, PartialEq, Message)]
pub struct CertificateChain {
    /// PEM.
    #[prost(string, repeated, tag = "1")]
    pub certificates: Vec<String>,
}

/// `dev.sigstore.fulcio.v2.Configuration`
#[derive(Clone, PartialEq, Message)]
pub struct Configuration {
    #[prost(message, repeated, tag = "1")]
    pub issuers: Vec<OidcIssuer>,
}

/// `dev.sigstore.fulcio.v2.OIDCIssuer`
#[derive(Clone, PartialEq, Message)]
pub struct OidcIssuer {
    #[prost(oneof = "IssuerUrl", tags = "1, 2")]
    pub issuer: Option<IssuerUrl>,
    #[prost(string, tag = "3")]
    pub audience: String,
    #[prost(string, tag = "4")]
    pub challenge_claim: String,
    #[prost(string, tag = "5")]
    pub spiffe_trust_domain: String,
    #[prost(string, tag = "6")]
    pub issuer_type: String,
    #[prost(string, tag = "7")]
    pub subject_domain: String,
    #[prost(bool, tag = "8")]
    pub skip_email_verification: bool,
}

/// The oneof `issuer`.
#[derive(Clone, PartialEq, Oneof)]
pub enum IssuerUrl {
    #[prost(string, tag = "1")]
    Exact(String),
    #[prost(string, tag = "2")]
    Wildcard(String),
}

// --- dev.sigstore.fulcio.v1beta

/// `dev.sigstore.fulcio.v1beta.CreateSigningCertificateRequest`
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct LegacyRequest {
    #[prost(message, optional, tag = "1")]
    pub public_key: Option<LegacyPublicKey>,
    #[prost(bytes = "vec", tag = "2")]
    pub signed_email_address: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub certificate_signing_request: Vec<u8>,
}

/// `dev.sigstore.fulcio.v1beta.PublicKey`
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct LegacyPublicKey {
    #[prost(string, tag = "1")]
    pub algorithm: String,
    #[prost(bytes = "vec", tag = "2")]
    pub content: Vec<u8>,
}

macro_rules! name_alone {
    ($($secret:ty = $name:literal),+ $(,)?) => {$(
        impl fmt::Debug for $secret {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($name)
            }
        }
    )+};
}

name_alone! {
    CreateSigningCertificateRequest = "CreateSigningCertificateRequest",
    Key = "Key",
    Credentials = "Credentials",
    PublicKeyRequest = "PublicKeyRequest",
    PublicKey = "PublicKey",
    LegacyRequest = "LegacyRequest",
    LegacyPublicKey = "LegacyPublicKey",
}

// --- google

/// `google.api.HttpBody`, without its extensions.
#[derive(Clone, PartialEq, Message)]
pub struct HttpBody {
    #[prost(string, tag = "1")]
    pub content_type: String,
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.ErrorInfo`
#[derive(Clone, PartialEq, Message)]
pub struct ErrorInfo {
    #[prost(string, tag = "1")]
    pub reason: String,
    #[prost(string, tag = "2")]
    pub domain: String,
    #[prost(map = "string, string", tag = "3")]
    pub metadata: HashMap<String, String>,
}

/// A message without fields: `google.protobuf.Empty`, `GetTrustBundleRequest`, `GetConfigurationRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

// --- grpc.health.v1

/// `grpc.health.v1.HealthCheckRequest`
#[derive(Clone, PartialEq, Message)]
pub struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub service: String,
}

/// `grpc.health.v1.HealthCheckResponse`
#[derive(Clone, PartialEq, Message)]
pub struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub status: i32,
}

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum ServingStatus {
    /// Never answered.
    Unknown = 0,
    /// A certificate could be issued now.
    Serving = 1,
    /// It could not.
    NotServing = 2,
    /// There is no such service; answered by Watch alone.
    ServiceUnknown = 3,
}
