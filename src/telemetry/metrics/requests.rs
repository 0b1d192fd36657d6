//! Requests on the public listener: the reference's HTTP and gRPC families, and refusals by reason.

use super::families::Families;
use super::{Metrics, UNKNOWN};
use crate::refusal::Reason;
use prometheus::{HistogramVec, IntCounter, IntCounterVec, Result};
use std::time::Duration;

/// The methods of our gRPC services, each with its type: those of callers are not labels.
const GRPC_METHODS: [(&str, &str, &str); 9] = [
    ("dev.sigstore.fulcio.v2.CA", "CreateSigningCertificate", UNARY),
    ("dev.sigstore.fulcio.v2.CA", "GetTrustBundle", UNARY),
    ("dev.sigstore.fulcio.v2.CA", "GetConfiguration", UNARY),
    ("dev.sigstore.fulcio.v1beta.CA", "CreateSigningCertificate", UNARY),
    ("dev.sigstore.fulcio.v1beta.CA", "GetRootCertificate", UNARY),
    ("grpc.health.v1.Health", "Check", UNARY),
    ("grpc.health.v1.Health", "Watch", "server_stream"),
    ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", BOTH_STREAM),
    ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", BOTH_STREAM),
];
const UNARY: &str = "unary";
const BOTH_STREAM: &str = "bidi_stream";

/// `google.rpc.Code` by number, as gRPC's Go library spells it.
const GRPC_CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// The statuses that we answer with, which are labels; any other is `other`.
const STATUSES: [(u16, &str); 16] = [
    (200, "200"),
    (201, "201"),
    (204, "204"),
    (304, "304"),
    (400, "400"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (413, "413"),
    (415, "415"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (501, "501"),
    (503, "503"),
];

/// A call that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call<'c> {
    /// Over HTTP.
    Http {
        /// The method; any other than HTTP's own is counted as `unknown`.
        method: &'c str,
        /// The status.
        status: u16,
    },
    /// Over gRPC.
    Grpc {
        /// `/package.Service/Method`, as the caller wrote it; any other than ours is counted as `unknown`.
        path: &'c str,
        /// The number of a `google.rpc.Code`.
        code: u8,
    },
}

pub struct Requests {
    latency: HistogramVec,
    http: IntCounterVec,
    refusals: Vec<IntCounter>,
    grpc_started: IntCounterVec,
    grpc_handled: IntCounterVec,
    grpc_received: IntCounterVec,
    grpc_sent: IntCounterVec,
}

impl Requests {
    /// With every reason and every gRPC method at zero.
    pub fn new(families: &Families<'_>) -> Result<Self> {
        let grpc = ["grpc_type", "grpc_service", "grpc_method"];
        let by_code = ["grpc_type", "grpc_service", "grpc_method", "grpc_code"];
        let refusals = families.counters(
            "countersign_refusals_total",
            "Requests on the public listener that were refused, by reason.",
            &["reason"],
        )?;
        let requests = Self {
            latency: families.histograms(
                "fulcio_api_latency",
                "API Latency on calls",
                &["code", "method"],
            )?,
            http: families.counters("http_requests_total", "Count all HTTP requests", &["code", "method"])?,
            refusals: Reason::ALL
                .iter()
                .map(|reason| refusals.get_metric_with_label_values(&[reason.code()]))
                .collect::<Result<_>>()?,
            grpc_started: families.counters(
                "grpc_server_started_total",
                "Total number of RPCs started on the server.",
                &grpc,
            )?,
            grpc_handled: families.counters(
                "grpc_server_handled_total",
                "Total number of RPCs completed on the server, regardless of success or failure.",
                &by_code,
            )?,
            grpc_received: families.counters(
                "grpc_server_msg_received_total",
                "Total number of RPC stream messages received on the server.",
                &grpc,
            )?,
            grpc_sent: families.counters(
                "grpc_server_msg_sent_total",
                "Total number of gRPC stream messages sent by the server.",
                &grpc,
            )?,
        };
        for (service, method, kind) in GRPC_METHODS {
            for family in [&requests.grpc_started, &requests.grpc_received, &requests.grpc_sent] {
                family.get_metric_with_label_values(&[kind, service, method])?;
            }
            requests.grpc_handled.get_metric_with_label_values(&[kind, service, method, "OK"])?;
        }
        Ok(requests)
    }

    /// Errors of the library: a number of labels is wrong, which every test would show.
    fn count(&self, call: Call<'_>, took: Duration) -> Result<()> {
        match call {
            Call::Http { method, status } => {
                let labels = [code_label(status), method_label(method)];
                self.http.get_metric_with_label_values(&labels)?.inc();
                self.latency.get_metric_with_label_values(&labels)?.observe(took.as_secs_f64());
            }
            Call::Grpc { path, code } => {
                let (service, method, kind) = grpc_method(path);
                let labels = [kind, service, method];
                let code = GRPC_CODES.get(usize::from(code)).copied().unwrap_or("Unknown");
                self.grpc_started.get_metric_with_label_values(&labels)?.inc();
                self.grpc_received.get_metric_with_label_values(&labels)?.inc();
                self.grpc_handled.get_metric_with_label_values(&[kind, service, method, code])?.inc();
                if code == "OK" {
                    self.grpc_sent.get_metric_with_label_values(&labels)?.inc();
                }
            }
        }
        Ok(())
    }
}

impl Metrics {
    /// Counts a call on the public listener that was answered, and why it was refused if it was.
    pub fn answered(&self, call: Call<'_>, refused: Option<Reason>, took: Duration) {
        self.requests.count(call, took).ok();
        // Reasons are numbered in the order of `Reason::ALL`.
        if let Some(counter) = refused.and_then(|reason| self.requests.refusals.get(reason as usize)) {
            counter.inc();
        }
    }
}

fn code_label(status: u16) -> &'static str {
    STATUSES.iter().find(|(known, _)| *known == status).map_or("other", |(_, label)| label)
}

/// In lower case, as the reference has it.
fn method_label(method: &str) -> &'static str {
    match method {
        "GET" => "get",
        "POST" => "post",
        "HEAD" => "head",
        "OPTIONS" => "options",
        "PUT" => "put",
        "DELETE" => "delete",
        "PATCH" => "patch",
        _ => UNKNOWN,
    }
}

fn grpc_method(path: &str) -> (&'static str, &'static str, &'static str) {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let known = GRPC_METHODS.into_iter().find(|known| (known.0, known.1) == (service, method));
    known.unwrap_or((UNKNOWN, UNKNOWN, UNARY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_caller_becomes_a_label() {
        assert_eq!(method_label("SECRET"), UNKNOWN);
        assert_eq!(code_label(799), "other");
        assert_eq!(grpc_method("/evil.Service/Method"), (UNKNOWN, UNKNOWN, UNARY));
        assert_eq!(grpc_method(""), (UNKNOWN, UNKNOWN, UNARY));
        assert_eq!(grpc_method("/grpc.health.v1.Health/Watch").2, "server_stream");
    }

    #[test]
    fn every_status_of_a_reason_is_a_label() {
        let shown = Reason::ALL.iter().map(|&reason| crate::api::error::presentation(reason).status);
        assert!(shown.into_iter().all(|status| code_label(status) != "other"));
    }

    #[test]
    fn reasons_are_numbered_in_their_order() {
        assert!(Reason::ALL.iter().enumerate().all(|(index, reason)| *reason as usize == index));
    }
}
