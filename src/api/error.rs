//! THE mapping of a [`Reason`] to what callers see: HTTP status, gRPC code, message.
//!
//! Statuses and messages are those of the reference for the reference's cases, so that its clients retry and report as
//! they always did; the reason's code, the request id and what was wrong go into `details` (AIP-193, ErrorInfo).
//! `docs/ERRORS.md` shows the whole table, and a test holds the two together.

use crate::refusal::{Fault, Reason, Refusal};
use crate::timestamping::request::failure;
use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// `ErrorInfo.domain`: the reasons are ours, not the reference's.
pub const DOMAIN: &str = "countersign";

/// The type of the one detail.
pub const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// How a reason is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presentation {
    /// The HTTP status.
    pub status: u16,
    /// The number of a `google.rpc.Code`.
    pub grpc_code: u8,
    /// The message, the reference's where it has the case.
    pub message: &'static str,
}

/// `Retry-After` of a temporary refusal that names no time of its own.
const DEFAULT_WAIT_SECONDS: u64 = 5;

const IDENTITY_TOKEN: &str = "There was an error processing the identity token";
const PUBLIC_KEY: &str = "The public key supplied in the request could not be parsed";
const INSECURE_KEY: &str = "The public key supplied in the request is insecure";
const SIGNATURE: &str = "The signature supplied in the request could not be verified";
const TIMESTAMP: &str = "Error generating timestamp response";
/// The reference's words for every check that fails; what was wrong is in the details.
const ENTRY: &str = "invalid hashedrekord request";
const CSR: &str = "The certificate signing request could not be parsed";

/// How `reason` is presented. Every reason is named, so that a new one cannot be forgotten.
pub const fn presentation(reason: Reason) -> Presentation {
    use Reason as R;
    let (status, grpc_code, message) = match reason {
        R::RequestMalformed => (400, 3, "The request could not be parsed"),
        R::RequestTooLarge => (413, 3, "The request is too large"),
        R::NotFound => (404, 5, "Not Found"),
        R::MethodNotAllowed => (501, 12, "Method Not Allowed"),
        R::RequestTimeout => (408, 4, "The request did not arrive in time"),
        R::EncodingUnsupported => (415, 12, "The request's encoding is not supported"),
        R::RequestEmpty => (422, 3, "The request has no body"),
        R::ContentTypeUnsupported => (415, 3, "The request's content type is not supported"),
        R::RpcUnknown => (404, 12, "unknown service or method"),

        R::TokenMissing
        | R::TokenTooLarge
        | R::TokenMalformed
        | R::TokenAlgorithmNotAllowed
        | R::TokenIssuerUnknown
        | R::TokenKeyUnknown
        | R::TokenSignatureInvalid
        | R::TokenAudienceMismatch
        | R::TokenAudienceAmbiguous
        | R::TokenExpired
        | R::TokenNotYetValid
        | R::ClaimMissing
        | R::ClaimWrongType
        | R::ClaimEmpty
        | R::ClaimInvalid
        | R::ClaimControlCharacter
        | R::RefTypeUnknown
        | R::RefPathContradiction
        | R::ForkPipeline
        | R::ForkUndecidable
        | R::ConfigUriContradiction
        | R::ConfigUriAmbiguous
        | R::ClaimReplacesUrl
        | R::TemplateFailed => (400, 3, IDENTITY_TOKEN),

        R::KeyMissing | R::KeyUnparsable => (400, 3, PUBLIC_KEY),
        R::KeyInsecure => (400, 3, INSECURE_KEY),
        R::CsrUnparsable => (400, 3, CSR),
        R::CsrAlgorithmNotPermitted => (400, 3, "signing algorithm not permitted"),
        R::ProofInvalid => (400, 3, SIGNATURE),

        R::TimestampHashUnsupported => (400, 3, "Weak hash algorithm in timestamp request"),
        R::TimestampHashLength => (400, 3, "Message digest has incorrect length for specified algorithm"),
        R::TimestampPolicyUnknown | R::TimestampExtensionUnknown => (400, 3, TIMESTAMP),
        R::EntryKindMissing => (400, 3, "invalid type, must be hashedrekord or dsse"),
        R::VerifierMissing
        | R::VerifierUnparsable
        | R::VerifierAlgorithmNotAllowed
        | R::VerifierKeyMismatch
        | R::DigestLengthWrong
        | R::EnvelopeInvalid
        | R::EntrySignatureInvalid => (400, 3, ENTRY),
        R::EntryTooLarge => (413, 3, ENTRY),
        R::WriterNotAdmitted => (403, 7, "This log does not take entries of this writer"),

        R::PolicyDenied => (403, 7, "The CA's rules do not allow this certificate"),

        R::ChainNotAccepted => (400, 3, "The chain is not accepted"),

        R::IssuerUnavailable => (503, 14, "The identity token's issuer cannot be reached"),
        R::KeyFetchLimited => (429, 8, "The identity token's issuer was asked for its keys too often"),
        R::LogUnavailable => (503, 14, "Error entering certificate in CTL"),
        R::SignatureLogUnavailable => (503, 14, "The signature log cannot take the entry"),
        R::CaUnavailable => (503, 14, "error communicating with CA backend"),
        R::TimestampUnavailable | R::TimeUnavailable => (503, 14, TIMESTAMP),
        R::Overloaded => (429, 8, "The server has more work than it can take"),
        R::ShuttingDown => (503, 14, "The server is shutting down"),
        R::Internal => (500, 13, "Internal Server Error"),
    };
    Presentation { status, grpc_code, message }
}

/// The message that goes with a refusal: constant, but for the algorithm of a CSR, as the reference names it.
pub fn message(refusal: &Refusal) -> String {
    let message = presentation(refusal.reason()).message;
    match (refusal.reason(), refusal.detail()) {
        (Reason::CsrAlgorithmNotPermitted, Some(detail)) => {
            format!("{message}: {}", detail.trim_end_matches('.'))
        }
        (Reason::CsrAlgorithmNotPermitted, None) => format!("{message}: not one for this key"),
        _ => message.to_owned(),
    }
}

/// A refusal on its way out of a handler. It has no body until [`render`] gives it one: only the edge knows the request's
/// id, and only the edge knows the protocol.
#[derive(Clone, Debug)]
pub struct Rejection(pub Refusal);

impl<T: Into<Refusal>> From<T> for Rejection {
    fn from(refusal: T) -> Self {
        Self(refusal.into())
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(self.0.reason());
        response.extensions_mut().insert(self);
        response
    }
}

/// On a response: its error has the HTTP status as its `code`, and what RFC 3161 calls the failure, as the reference's timestamp
/// authority and the RFC have it.
#[derive(Clone, Copy, Debug)]
pub struct StatusAsCode;

/// Gives a rejected response its JSON body and its headers; whatever a layer put on it before stays.
pub fn render(response: &mut Response, refusal: &Refusal, request_id: &str) {
    let mut body = body(refusal, request_id);
    *response.status_mut() = status(refusal.reason());
    if response.extensions().get::<StatusAsCode>().is_some() {
        if refusal.reason() == Reason::MethodNotAllowed {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        }
        body["code"] = response.status().as_u16().into();
        body["details"][0]["metadata"]["failure_info"] = failure(refusal.reason()).1.into();
    }
    *response.body_mut() = Body::from(body.to_string());
    let headers = response.headers_mut();
    // axum has counted the empty body; hyper counts the new one.
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if refusal.reason() == Reason::EncodingUnsupported {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    insert_wait(headers, refusal);
}

/// `Retry-After`, where another try has a chance.
pub fn insert_wait(headers: &mut HeaderMap, refusal: &Refusal) {
    let temporary = matches!(presentation(refusal.reason()).status, 429 | 503);
    if let Some(seconds) = refusal.retry_after_seconds().or(temporary.then_some(DEFAULT_WAIT_SECONDS)) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// `google.rpc.Status` with one `google.rpc.ErrorInfo`, in protobuf's JSON.
pub fn body(refusal: &Refusal, request_id: &str) -> Value {
    json!({
        "code": presentation(refusal.reason()).grpc_code,
        "message": message(refusal),
        "details": [{
            "@type": ERROR_INFO,
            "reason": refusal.reason().code(),
            "domain": DOMAIN,
            "metadata": metadata(refusal, request_id),
        }],
    })
}

/// `ErrorInfo.metadata`. The server's own faults say no more than the reason does.
pub fn metadata(refusal: &Refusal, request_id: &str) -> Map<String, Value> {
    let mut metadata = Map::new();
    metadata.insert("request_id".into(), request_id.into());
    let mut help = refusal.reason().explanation().to_owned();
    if refusal.reason().fault() == Fault::Caller {
        if let Some(claim) = refusal.claim() {
            metadata.insert("claim".into(), claim.into());
        }
        if let Some(rule) = refusal.rule() {
            metadata.insert("rule".into(), rule.into());
        }
        if let Some(detail) = refusal.detail() {
            help.push(' ');
            help.push_str(detail);
            // The operator's own words, for whoever wants to show them alone.
            if refusal.reason() == Reason::PolicyDenied {
                metadata.insert("message".into(), detail.into());
            }
        }
    }
    metadata.insert("help".into(), help.into());
    metadata
}

fn status(reason: Reason) -> StatusCode {
    StatusCode::from_u16(presentation(reason).status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_presentation_is_a_valid_status_and_code_that_fit_the_fault() {
        for &reason in Reason::ALL {
            let shown = presentation(reason);
            assert!((400..600).contains(&shown.status), "{reason:?}");
            assert!((1..=16).contains(&shown.grpc_code), "{reason:?}");
            assert!(!shown.message.is_empty());
            match reason.fault() {
                // 501 is the reference's answer to a wrong method.
                Fault::Caller => assert!(shown.status < 500 || shown.status == 501, "{reason:?}"),
                Fault::Issuer | Fault::Server => {
                    assert!(matches!(shown.status, 429 | 500 | 503), "{reason:?}")
                }
            }
        }
    }

    #[test]
    fn details_name_the_reason_the_claim_and_the_rule() {
        let refusal = Refusal::new(Reason::ClaimMissing).of_claim("project_path").by_rule("gitlab-3");
        let body = body(&refusal, "0123");
        assert_eq!(body["code"], 3);
        assert_eq!(body["message"], IDENTITY_TOKEN);
        let info = &body["details"][0];
        assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
        assert_eq!((&info["reason"], &info["domain"]), (&json!("CLAIM_MISSING"), &json!("countersign")));
        let metadata = &info["metadata"];
        assert_eq!(metadata["request_id"], "0123");
        assert_eq!((&metadata["claim"], &metadata["rule"]), (&json!("project_path"), &json!("gitlab-3")));
        assert_eq!(metadata["help"], Reason::ClaimMissing.explanation());
    }

    #[test]
    fn a_denial_has_the_rules_message_by_itself_and_in_the_help() {
        let refusal = Refusal::new(Reason::PolicyDenied).by_rule("releases").because("Protect the tag.");
        let body = body(&refusal, "0123");
        assert_eq!((body["code"].clone(), presentation(Reason::PolicyDenied).status), (json!(7), 403));
        let metadata = &body["details"][0]["metadata"];
        assert_eq!(metadata["rule"], "releases");
        assert_eq!(metadata["message"], "Protect the tag.");
        assert_eq!(metadata["help"], format!("{} Protect the tag.", Reason::PolicyDenied.explanation()));
        let other = metadata_of(Refusal::new(Reason::ClaimMissing).because("x"));
        assert!(!other.contains_key("message"));
    }

    fn metadata_of(refusal: Refusal) -> Map<String, Value> {
        metadata(&refusal, "0123")
    }

    #[test]
    fn the_servers_own_faults_keep_their_details_to_themselves() {
        for &reason in Reason::ALL.iter().filter(|reason| reason.fault() != Fault::Caller) {
            let refusal = Refusal::new(reason).because("disk /dev/sda1 is on fire").of_claim("secret");
            let text = body(&refusal, "0123").to_string();
            assert!(!text.contains("fire") && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn the_csr_algorithm_is_named_as_the_reference_does() {
        let refusal = Refusal::new(Reason::CsrAlgorithmNotPermitted).because("ECDSA, SHA-1.");
        assert_eq!(message(&refusal), "signing algorithm not permitted: ECDSA, SHA-1");
        assert!(
            message(&Reason::CsrAlgorithmNotPermitted.into())
                .starts_with("signing algorithm not permitted: ")
        );
    }

    #[test]
    fn a_wait_becomes_retry_after_in_whole_seconds() {
        let refusal = Refusal::new(Reason::IssuerUnavailable).retry_after(Duration::from_millis(1200));
        let mut response = Rejection(refusal.clone()).into_response();
        render(&mut response, &refusal, "0123");
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    }

    #[test]
    fn every_temporary_refusal_has_a_time_to_wait_and_no_other_has() {
        for &reason in Reason::ALL {
            let mut response = Rejection(reason.into()).into_response();
            render(&mut response, &reason.into(), "0123");
            let temporary = matches!(response.status().as_u16(), 429 | 503);
            assert_eq!(response.headers().contains_key(RETRY_AFTER), temporary, "{reason:?}");
        }
    }
}
