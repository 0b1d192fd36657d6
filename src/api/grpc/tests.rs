//! `messages` and the checked-in descriptors against the .proto files, and what counts as gRPC.

use super::messages::{self as m, Key};
use super::reflection::DESCRIPTORS;
use super::*;
use axum::http::HeaderValue;
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};
use std::path::Path;

const FILES: [&str; 6] = [
    "fulcio.proto",
    "fulcio_legacy.proto",
    "google/api/httpbody.proto",
    "google/rpc/status.proto",
    "google/rpc/error_details.proto",
    "grpc/health/v1/health.proto",
];

fn compiled() -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/proto");
    let mut compiler = protox::Compiler::new([directory]).expect("a directory");
    compiler.include_imports(true).include_source_info(false);
    compiler.open_files(FILES).expect("valid .proto files");
    compiler.encode_file_descriptor_set()
}

fn pool() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTORS).expect("descriptors")
}

/// `UPDATE_DESCRIPTORS=1 cargo test descriptors` writes them anew.
#[test]
fn the_descriptors_are_those_of_the_proto_files() {
    let compiled = compiled();
    if std::env::var_os("UPDATE_DESCRIPTORS").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/proto/descriptors.bin");
        std::fs::write(file, &compiled).expect("the file is written");
        return;
    }
    assert!(DESCRIPTORS == compiled, "descriptors.bin is stale: UPDATE_DESCRIPTORS=1 cargo test descriptors");
}

/// Some value that is not the default, different for every field of a message.
fn sample(field: &FieldDescriptor, depth: usize) -> Value {
    let number = field.number();
    let one = match field.kind() {
        Kind::String => Value::String(format!("text {number}")),
        Kind::Bytes => Value::Bytes(format!("bytes {number}").into_bytes().into()),
        Kind::Bool => Value::Bool(true),
        Kind::Int32 => Value::I32(number as i32),
        Kind::Enum(of) => Value::EnumNumber(of.values().map(|value| value.number()).max().expect("values")),
        Kind::Message(message) => Value::Message(filled(&message, depth + 1, None)),
        kind => panic!("no field has had this type: {kind:?}"),
    };
    if field.is_map() {
        Value::Map([(MapKey::String("name".into()), Value::String("value".into()))].into())
    } else if field.is_list() {
        Value::List(vec![one.clone(), one])
    } else {
        one
    }
}

/// A message with every field set; of a oneof the member `only`, or the first.
fn filled(message: &MessageDescriptor, depth: usize, only: Option<&str>) -> DynamicMessage {
    assert!(depth < 8, "no message contains itself");
    let mut filled = DynamicMessage::new(message.clone());
    for field in message.fields() {
        if let Some(of) = field.containing_oneof() {
            let first = of.fields().next().map(|field| field.name().to_owned());
            let chosen = only.map(str::to_owned).or(first);
            if chosen.as_deref() != Some(field.name()) {
                continue;
            }
        }
        filled.set_field(&field, sample(&field, depth));
    }
    filled
}

type Again = fn(&[u8]) -> Vec<u8>;

/// What a type makes of a message: read and written again.
fn again<M: prost::Message + Default>(bytes: &[u8]) -> Vec<u8> {
    M::decode(bytes).expect("it decodes").encode_to_vec()
}

#[test]
fn every_type_has_the_numbers_and_types_of_its_descriptor() {
    let pool = pool();
    let types: &[(&str, Again)] = &[
        (
            "dev.sigstore.fulcio.v2.CreateSigningCertificateRequest",
            again::<m::CreateSigningCertificateRequest>,
        ),
        ("dev.sigstore.fulcio.v2.Credentials", again::<m::Credentials>),
        ("dev.sigstore.fulcio.v2.PublicKeyRequest", again::<m::PublicKeyRequest>),
        ("dev.sigstore.fulcio.v2.PublicKey", again::<m::PublicKey>),
        ("dev.sigstore.fulcio.v2.SigningCertificate", again::<m::SigningCertificate>),
        ("dev.sigstore.fulcio.v2.SigningCertificateDetachedSCT", again::<m::SigningCertificateDetachedSct>),
        ("dev.sigstore.fulcio.v2.SigningCertificateEmbeddedSCT", again::<m::SigningCertificateEmbeddedSct>),
        ("dev.sigstore.fulcio.v2.GetTrustBundleRequest", again::<m::Empty>),
        ("dev.sigstore.fulcio.v2.TrustBundle", again::<m::TrustBundle>),
        ("dev.sigstore.fulcio.v2.CertificateChain", again::<m::CertificateChain>),
        ("dev.sigstore.fulcio.v2.GetConfigurationRequest", again::<m::Empty>),
        ("dev.sigstore.fulcio.v2.Configuration", again::<m::Configuration>),
        ("dev.sigstore.fulcio.v2.OIDCIssuer", again::<m::OidcIssuer>),
        ("dev.sigstore.fulcio.v1beta.CreateSigningCertificateRequest", again::<m::LegacyRequest>),
        ("dev.sigstore.fulcio.v1beta.PublicKey", again::<m::LegacyPublicKey>),
        ("google.protobuf.Any", again::<m::Any>),
        ("google.protobuf.Empty", again::<m::Empty>),
        ("google.rpc.Status", again::<m::RpcStatus>),
        ("google.rpc.ErrorInfo", again::<m::ErrorInfo>),
        ("grpc.health.v1.HealthCheckRequest", again::<m::HealthCheckRequest>),
        ("grpc.health.v1.HealthCheckResponse", again::<m::HealthCheckResponse>),
    ];
    for (name, again) in types {
        let descriptor = pool.get_message_by_name(name).expect(name);
        let members = descriptor.oneofs().flat_map(|of| of.fields().collect::<Vec<_>>());
        let choices: Vec<_> = members.map(|field| Some(field.name().to_owned())).chain([None]).collect();
        for choice in choices {
            let bytes = filled(&descriptor, 0, choice.as_deref()).encode_to_vec();
            assert_eq!(again(&bytes), bytes, "{name} with {choice:?}");
        }
    }
    // `extensions` is never set, so it has no field.
    let name = "google.api.HttpBody";
    let mut body = filled(&pool.get_message_by_name(name).expect(name), 0, None);
    body.clear_field_by_name("extensions");
    assert_eq!(again::<m::HttpBody>(&body.encode_to_vec()), body.encode_to_vec());
    let missing: Vec<_> = pool
        .all_messages()
        .filter(|message| !message.is_map_entry() && message.full_name() != name)
        .filter(|message| types.iter().all(|(known, _)| *known != message.full_name()))
        .map(|message| message.full_name().to_owned())
        .collect();
    assert!(missing.is_empty(), "no type is held to {missing:?}");
}

#[test]
fn the_serving_states_are_those_of_the_protocol() {
    let states = pool().get_enum_by_name("grpc.health.v1.HealthCheckResponse.ServingStatus").expect("states");
    for state in states.values() {
        let ours = m::ServingStatus::try_from(state.number()).expect("a state");
        let name = state.name().replace('_', "");
        assert!(format!("{ours:?}").eq_ignore_ascii_case(&name), "{name}");
    }
}

#[test]
fn messages_with_secrets_do_not_show_them() {
    let credentials = m::Credentials { oidc_identity_token: "secret".into() };
    let message = m::CreateSigningCertificateRequest {
        credentials: Some(credentials),
        key: Some(Key::CertificateSigningRequest(b"secret".to_vec())),
    };
    assert_eq!(format!("{message:?} {:?}", message.key), "CreateSigningCertificateRequest Some(Key)");
    let legacy = m::LegacyRequest { signed_email_address: b"secret".to_vec(), ..Default::default() };
    assert_eq!(format!("{legacy:?}"), "LegacyRequest");
}

#[test]
fn grpc_is_known_by_its_content_type_alone() {
    let is = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(value).expect("a header"));
        is_grpc(&headers)
    };
    for value in
        ["application/grpc", "application/grpc+proto", "Application/gRPC;charset=x", "application/grpc ;a"]
    {
        assert!(is(value), "{value}");
    }
    for value in
        ["application/grpc-web", "application/grpc-web+proto", "application/json", "application/grp", ""]
    {
        assert!(!is(value), "{value}");
    }
    assert!(!is_grpc(&HeaderMap::new()));
}
