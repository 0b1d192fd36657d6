//! gRPC on the port of JSON: every method, the refusals, health, reflection.

use crate::support::grpc::{Detail, GrpcClient, detail, pool};
use crate::support::key::{TestKey, csr};
use crate::support::{Answer, TestCa};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use countersign::demo::gitlab::Gitlab;
use countersign::refusal::Reason;
use prost::Message as _;
use serde_json::{Value, json};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_reflection::pb::{v1, v1alpha};

const CREATE: &str = "dev.sigstore.fulcio.v2.CA/CreateSigningCertificate";
const TRUST_BUNDLE: &str = "dev.sigstore.fulcio.v2.CA/GetTrustBundle";
const CONFIGURATION: &str = "dev.sigstore.fulcio.v2.CA/GetConfiguration";
const LEGACY_CREATE: &str = "dev.sigstore.fulcio.v1beta.CA/CreateSigningCertificate";
const LEGACY_ROOT: &str = "dev.sigstore.fulcio.v1beta.CA/GetRootCertificate";
const CHECK: &str = "grpc.health.v1.Health/Check";
const WATCH: &str = "grpc.health.v1.Health/Watch";

const IDENTITY_TOKEN: &str = "There was an error processing the identity token";

async fn started() -> (TestCa, GrpcClient) {
    let ca = TestCa::start().await;
    let grpc = GrpcClient::connect(ca.url("")).await;
    (ca, grpc)
}

fn certificates(answer: &Value) -> Vec<String> {
    let chain = &answer["signedCertificateEmbeddedSct"]["chain"]["certificates"];
    chain.as_array().expect("a chain").iter().map(|pem| pem.as_str().expect("PEM").to_owned()).collect()
}

fn assert_refused(status: &Status, code: Code, message: &str, reason: Reason) {
    assert_eq!((status.code(), status.message()), (code, message));
    let Detail { reason: told, domain, request_id } = detail(status);
    assert_eq!((&*told, &*domain), (reason.code(), "countersign"));
    let id = status.metadata().get("x-request-id").expect("a request id");
    assert_eq!(id, &*request_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_that_of_json() {
    let (ca, grpc) = started().await;
    let issued = grpc.call(CREATE, ca.signing_request()).await.expect("issued").into_inner();
    let chain = certificates(&issued);
    assert_eq!(chain.len(), 3);
    assert!(chain.iter().all(|pem| pem.ends_with("-----END CERTIFICATE-----")));
    assert_eq!(chain[1..], ca.issue().await[1..]);

    for (method, path) in [(TRUST_BUNDLE, "/api/v2/trustBundle"), (CONFIGURATION, "/api/v2/configuration")] {
        let ours = grpc.call(method, json!({})).await.expect("an answer").into_inner();
        let mut theirs = ca.get(path).await.json();
        if let Some(issuers) = theirs.get_mut("issuers").and_then(Value::as_array_mut) {
            // The client leaves out what has its default value.
            issuers.iter_mut().filter_map(Value::as_object_mut).for_each(|issuer| {
                issuer.retain(|_, value| *value != json!("") && *value != json!(false));
            });
        }
        assert_eq!(ours, theirs, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_signing_request_is_taken() {
    let (ca, grpc) = started().await;
    let request = json!({
        "credentials": { "oidcIdentityToken": ca.token() },
        "certificateSigningRequest": csr(),
    });
    assert_eq!(
        certificates(&grpc.call(CREATE, request.clone()).await.expect("issued").into_inner()).len(),
        3
    );
    let request = json!({ "certificateSigningRequest": request["certificateSigningRequest"] });
    let token = ca.token();
    let metadata = [("oidcidentitytoken", &*token)];
    grpc.call_with(LEGACY_CREATE, request, &metadata).await.expect("issued");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_comes_in_the_message_or_in_the_metadata_and_the_message_wins() {
    let (ca, grpc) = started().await;
    let (token, bearer) = (ca.token(), format!("Bearer {}", ca.token()));
    let bare = || TestKey::new().request(&ca.challenge());
    for metadata in [
        &[("oidcidentitytoken", &*token)][..],
        &[("authorization", &*bearer)],
        &[("oidcidentitytoken", &*token), ("authorization", "Bearer abc")],
    ] {
        grpc.call_with(CREATE, bare(), metadata).await.expect("issued");
    }
    grpc.call_with(CREATE, ca.signing_request(), &[("oidcidentitytoken", "abc")]).await.expect("issued");
    let mut of_a_file = bare();
    of_a_file["credentials"] = json!({ "oidcIdentityToken": format!("{token}\n") });
    grpc.call_with(CREATE, of_a_file, &[]).await.expect("issued");
    for (metadata, reason) in [
        (&[][..], Reason::TokenMissing),
        (&[("oidcidentitytoken", "")], Reason::TokenMissing),
        (&[("oidcidentitytoken", &*token), ("oidcidentitytoken", &*token)], Reason::TokenMissing),
        (&[("oidcidentitytoken", &*bearer)], Reason::TokenMalformed),
    ] {
        let status = grpc.call_with(CREATE, bare(), metadata).await.expect_err("refused");
        assert_refused(&status, Code::InvalidArgument, IDENTITY_TOKEN, reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_codes_messages_and_details_of_json() {
    let (ca, grpc) = started().await;
    let claims = |edit: &dyn Fn(&mut Value)| {
        let mut claims = ca.gitlab.claims();
        edit(&mut claims);
        let mut request = TestKey::new().request(&ca.challenge());
        request["credentials"] = json!({ "oidcIdentityToken": ca.gitlab.token(&claims) });
        request
    };
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut request = ca.signing_request();
        edit(&mut request);
        request
    };
    let other = TestKey::new().proof("x");
    for (request, reason) in [
        (claims(&|c| c["aud"] = json!("vault")), Reason::TokenAudienceMismatch),
        (claims(&|c| c["ref_type"] = json!("odd")), Reason::RefTypeUnknown),
        (with(&|r| r["publicKeyRequest"]["proofOfPossession"] = json!(other)), Reason::ProofInvalid),
        (with(&|r| r["publicKeyRequest"] = json!(null)), Reason::KeyMissing),
        (with(&|r| r["publicKeyRequest"]["publicKey"]["content"] = json!("abc")), Reason::KeyUnparsable),
    ] {
        let shown = countersign::api::error::presentation(reason);
        let status = grpc.call(CREATE, request.clone()).await.expect_err("refused");
        assert_refused(&status, Code::from(i32::from(shown.grpc_code)), shown.message, reason);
        assert_eq!(ca.sign(&request).await.reason(), reason.code());
    }
    for method in ["dev.sigstore.fulcio.v2.CA/Nothing", "dev.example.Nothing/Nothing"] {
        let status = grpc.call(method, json!({})).await.expect_err("refused");
        assert_refused(&status, Code::Unimplemented, "unknown service or method", Reason::RpcUnknown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_out_is_unavailable_and_says_when_to_come_again() {
    let (mut ca, grpc) = started().await;
    let request = ca.signing_request();
    // The GitLab that signed it is gone.
    ca.gitlab = Gitlab::start(ca.clock.clone()).await.expect("another GitLab");
    let status = grpc.call(CREATE, request).await.expect_err("refused");
    let shown = countersign::api::error::presentation(Reason::IssuerUnavailable);
    assert_refused(&status, Code::Unavailable, shown.message, Reason::IssuerUnavailable);
    assert!(status.metadata().contains_key("retry-after"));
}

/// A call as bytes: what a client of our own cannot be brought to send.
async fn raw(ca: &TestCa, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    let mut request = http2.post(ca.url(path)).header("content-type", "application/grpc").body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request).await
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("short");
    [&[0][..], &length.to_be_bytes(), message].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_refused_and_nothing_of_it_repeated() {
    let ca = TestCa::start().await;
    let path = format!("/{CREATE}");
    let key_in_der = framed(&[0x12, 0x06, 0x0a, 0x04, 0x12, 0x02, 0x30, 0xff]);
    for body in [
        vec![],
        vec![0],
        vec![0, 0, 0, 0, 9],
        vec![1, 0, 0, 0, 0],
        vec![7, 0, 0, 0, 0],
        framed(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        framed(b"\x0a\x7fsecret"),
        framed(&[0x0b; 2000]),
        key_in_der.clone(),
    ] {
        let answer = raw(&ca, &path, &[], body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, "13"), "{body:?}");
        assert!(answer.header("grpc-message").starts_with("grpc: error unmarshalling request: "));
        assert!(!answer.header("grpc-message").contains("secret"));
    }
    let answer = raw(&ca, &path, &[], key_in_der).await;
    let message = "grpc: error unmarshalling request: string field contains invalid UTF-8";
    assert_eq!(answer.header("grpc-message"), message);

    let answer = raw(&ca, &path, &[("grpc-encoding", "gzip")], framed(b"")).await;
    assert_eq!((answer.header("grpc-status"), answer.header("grpc-accept-encoding")), ("12", "identity"));
    let answer = raw(&ca, &path, &[], vec![0; 5 * 1024 * 1024]).await;
    assert_eq!(answer.header("grpc-status"), "8");
    let answer = raw(&ca, &path, &[], vec![0, 0xff, 0xff, 0xff, 0xff, 1]).await;
    assert_eq!(answer.header("grpc-status"), "8");
    // JSON's paths are none of gRPC's, and the other way round.
    let answer = raw(&ca, "/api/v2/signingCert", &[], ca.signing_request().to_string().into()).await;
    assert_eq!(answer.header("grpc-status"), "12");
    assert_eq!(ca.get(&path).await.status, 404);
    ca.issue().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_tokens_pass_in_the_message_and_in_the_metadata() {
    let (ca, grpc) = started().await;
    for length in [20_000, 46_000] {
        let mut claims = ca.gitlab.claims();
        claims["padding"] = json!("x".repeat(length));
        let token = ca.gitlab.token(&claims);
        assert!(token.len() > length && token.len() <= 64 * 1024, "{}", token.len());
        let mut request = TestKey::new().request(&ca.challenge());
        grpc.call_with(CREATE, request.clone(), &[("oidcidentitytoken", &token)]).await.expect("issued");
        request["credentials"] = json!({ "oidcIdentityToken": token });
        grpc.call(CREATE, request).await.expect("issued");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_api_answers_with_http_bodies() {
    let (ca, grpc) = started().await;
    let (key, token) = (TestKey::new(), ca.token());
    let metadata = [("oidcidentitytoken", &*token)];
    let text = |body: &Value| {
        assert_eq!(body["contentType"], "application/pem-certificate-chain");
        let data = BASE64_STANDARD.decode(body["data"].as_str().expect("base64")).expect("base64");
        String::from_utf8(data).expect("PEM")
    };
    let request = json!({
        "publicKey": { "algorithm": "ecdsa", "content": BASE64_STANDARD.encode(key.pem()) },
        "signedEmailAddress": key.proof(&ca.challenge()),
    });
    let issued = grpc.call_with(LEGACY_CREATE, request.clone(), &metadata).await.expect("issued");
    assert_eq!(issued.metadata().get("x-http-code").expect("it is there"), "201");
    assert!(!issued.metadata().contains_key("x-sct"));
    assert_eq!(text(&issued.into_inner()).matches("-----BEGIN CERTIFICATE-----").count(), 3);

    let root = grpc.call(LEGACY_ROOT, json!({})).await.expect("an answer").into_inner();
    assert_eq!(text(&root), ca.get("/api/v1/rootCert").await.text());

    let status = grpc.call(LEGACY_CREATE, request).await.expect_err("refused");
    assert_refused(&status, Code::InvalidArgument, IDENTITY_TOKEN, Reason::TokenMissing);
    let unparsable = "The public key supplied in the request could not be parsed";
    let status = grpc.call(LEGACY_CREATE, json!({})).await.expect_err("refused");
    assert_refused(&status, Code::InvalidArgument, unparsable, Reason::KeyMissing);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_the_truth_and_watchers_learn_of_it() {
    let (ca, grpc) = started().await;
    let ask = |service: &'static str| grpc.call(CHECK, json!({ "service": service }));
    for service in ["", "dev.sigstore.fulcio.v2.CA", "dev.sigstore.fulcio.v1beta.CA"] {
        assert_eq!(ask(service).await.expect("an answer").into_inner()["status"], "SERVING");
    }
    let status = ask("dev.example.Nothing").await.expect_err("refused");
    assert_refused(&status, Code::NotFound, "Not Found", Reason::NotFound);

    let mut watched = grpc.stream(WATCH, json!({})).await;
    let mut unknown = grpc.stream(WATCH, json!({ "service": "dev.example.Nothing" })).await;
    let told = |message: prost_reflect::DynamicMessage| {
        serde_json::to_value(&message).expect("JSON")["status"].clone()
    };
    assert_eq!(told(watched.message().await.expect("a message").expect("one")), "SERVING");
    assert_eq!(told(unknown.message().await.expect("a message").expect("one")), "SERVICE_UNKNOWN");

    // Beyond the end of every CA certificate.
    ca.clock.advance(Duration::from_secs(100 * 365 * 24 * 3600));
    assert_eq!(told(watched.message().await.expect("a message").expect("one")), "NOT_SERVING");
    assert_eq!(ask("").await.expect("an answer").into_inner()["status"], "NOT_SERVING");
    assert_eq!(ca.get("/healthz").await.status, 503);

    // The end of the server is the end of its streams.
    let stopped = tokio::spawn(ca.stop());
    assert_eq!(watched.message().await.expect_err("the end").code(), Code::Unavailable);
    stopped.await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_and_describes_everything_in_both_versions() {
    let (ca, grpc) = started().await;
    for (listed, file) in [reflected_v1(grpc.channel()).await, reflected_v1alpha(grpc.channel()).await] {
        for service in [
            "dev.sigstore.fulcio.v1beta.CA",
            "dev.sigstore.fulcio.v2.CA",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        ] {
            assert!(listed.iter().any(|name| name == service), "{service} in {listed:?}");
        }
        let file = prost_types::FileDescriptorProto::decode(&*file).expect("a descriptor");
        let known =
            pool().get_file_by_name("fulcio.proto").expect("it is there").file_descriptor_proto().clone();
        assert_eq!(file, prost_types::FileDescriptorProto { source_code_info: None, ..known });
    }
    ca.stop().await;
}

/// The services, and the file of the v2 API.
async fn reflected_v1(channel: Channel) -> (Vec<String>, Vec<u8>) {
    use v1::server_reflection_request::MessageRequest as Ask;
    use v1::server_reflection_response::MessageResponse as Told;
    let ask = |ask| v1::ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
    let questions = vec![
        ask(Ask::ListServices(String::new())),
        ask(Ask::FileContainingSymbol("dev.sigstore.fulcio.v2.CA".into())),
    ];
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(tokio_stream::iter(questions)).await.expect("a stream");
    let mut answers = answers.into_inner();
    let mut next = async || answers.message().await.expect("an answer").expect("one").message_response;
    let Some(Told::ListServicesResponse(listed)) = next().await else { panic!("a list") };
    let Some(Told::FileDescriptorResponse(files)) = next().await else { panic!("files") };
    let listed = listed.service.into_iter().map(|service| service.name).collect();
    (listed, files.file_descriptor_proto[0].clone())
}

/// The same of the older version.
async fn reflected_v1alpha(channel: Channel) -> (Vec<String>, Vec<u8>) {
    use v1alpha::server_reflection_request::MessageRequest as Ask;
    use v1alpha::server_reflection_response::MessageResponse as Told;
    let ask = |ask| v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
    let questions = vec![
        ask(Ask::ListServices(String::new())),
        ask(Ask::FileContainingSymbol("dev.sigstore.fulcio.v2.CA".into())),
    ];
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(tokio_stream::iter(questions)).await.expect("a stream");
    let mut answers = answers.into_inner();
    let mut next = async || answers.message().await.expect("an answer").expect("one").message_response;
    let Some(Told::ListServicesResponse(listed)) = next().await else { panic!("a list") };
    let Some(Told::FileDescriptorResponse(files)) = next().await else { panic!("files") };
    let listed = listed.service.into_iter().map(|service| service.name).collect();
    (listed, files.file_descriptor_proto[0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_reflection_does_not_hold_up_the_end() {
    let (ca, grpc) = started().await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(grpc.channel());
    let answers = client.server_reflection_info(tokio_stream::pending()).await.expect("a stream");
    let mut answers = answers.into_inner();
    let stopped = tokio::spawn(ca.stop());
    assert!(matches!(answers.message().await, Ok(None) | Err(_)));
    stopped.await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_served_over_http2_on_the_same_port() {
    let ca = TestCa::start().await;
    let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    let request = http2.post(ca.url("/api/v2/signingCert")).body(ca.signing_request().to_string());
    Answer::of(request).await.certificates();
}
