//! A gRPC client that knows the services from the .proto files alone, with messages as JSON.

use super::secrets;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;
use std::path::Path;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status, Streaming};

/// A connection to a server.
pub struct GrpcClient {
    pool: DescriptorPool,
    channel: Channel,
}

/// A detail of a refusal.
#[derive(Debug, PartialEq, Eq)]
pub struct Detail {
    pub reason: String,
    pub domain: String,
    pub request_id: String,
}

impl GrpcClient {
    /// In the clear, HTTP/2 from the first byte on.
    pub async fn connect(url: String) -> Self {
        Self::to(Endpoint::from_shared(url).expect("a URL")).await
    }

    /// Over TLS, trusting the PEM certificate alone.
    pub async fn connect_over_tls(url: String, certificate: &str) -> Self {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificate));
        Self::to(Endpoint::from_shared(url).expect("a URL").tls_config(tls).expect("TLS")).await
    }

    async fn to(endpoint: Endpoint) -> Self {
        Self { pool: pool(), channel: endpoint.connect().await.expect("a connection") }
    }

    /// The connection.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Calls `{package}.{service}/{method}`.
    pub async fn call(&self, method: &str, message: Value) -> Result<Response<Value>, Status> {
        self.call_with(method, message, &[]).await
    }

    /// The same with metadata.
    pub async fn call_with(
        &self,
        method: &str,
        message: Value,
        metadata: &[(&'static str, &str)],
    ) -> Result<Response<Value>, Status> {
        secrets::note_sent(message.to_string().as_bytes());
        metadata.iter().for_each(|(_, value)| secrets::note_sent(value.as_bytes()));
        let (mut grpc, path, codec) = self.ready(method).await;
        let answer = grpc.unary(self.request(method, message, metadata), path, codec).await;
        secrets::check("a gRPC answer", format!("{answer:?}").as_bytes());
        let response = answer?;
        Ok(response.map(|message| serde_json::to_value(&message).expect("JSON")))
    }

    /// Calls a method that answers with a stream.
    pub async fn stream(&self, method: &str, message: Value) -> Streaming<DynamicMessage> {
        let (mut grpc, path, codec) = self.ready(method).await;
        let request = self.request(method, message, &[]);
        grpc.server_streaming(request, path, codec).await.expect("a stream").into_inner()
    }

    async fn ready(&self, method: &str) -> (Grpc<Channel>, axum::http::uri::PathAndQuery, DynamicCodec) {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.expect("it is ready");
        let path = format!("/{method}").parse().expect("a path");
        (grpc, path, DynamicCodec(self.types(method).1))
    }

    fn request(
        &self,
        method: &str,
        message: Value,
        metadata: &[(&'static str, &str)],
    ) -> Request<DynamicMessage> {
        let message = DynamicMessage::deserialize(self.types(method).0, message).expect("a message");
        let mut request = Request::new(message);
        for (name, value) in metadata {
            let value: AsciiMetadataValue = value.parse().expect("ASCII");
            request.metadata_mut().append(AsciiMetadataKey::from_static(name), value);
        }
        request
    }

    /// Input and output of a method; of one that nobody knows, nothing.
    fn types(&self, method: &str) -> (MessageDescriptor, MessageDescriptor) {
        let (service, name) = method.split_once('/').expect("service/method");
        let known = self.pool.get_service_by_name(service);
        let known = known.and_then(|service| service.methods().find(|method| method.name() == name));
        let empty = || self.pool.get_message_by_name("google.protobuf.Empty").expect("it is there");
        known.map_or_else(|| (empty(), empty()), |method| (method.input(), method.output()))
    }
}

/// Everything in `src/api/proto`.
pub fn pool() -> DescriptorPool {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/proto");
    let files = ["fulcio.proto", "fulcio_legacy.proto", "grpc/health/v1/health.proto"];
    let details = ["google/rpc/status.proto", "google/rpc/error_details.proto"];
    let mut compiler = protox::Compiler::new([directory]).expect("a directory");
    compiler.include_imports(true).open_files(files.iter().chain(&details)).expect("valid .proto files");
    DescriptorPool::from_file_descriptor_set(compiler.file_descriptor_set()).expect("descriptors")
}

/// The one detail of a refusal, whose code and message must be those of the status.
pub fn detail(status: &Status) -> Detail {
    let info = info(status);
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    Detail {
        reason: text(&info["reason"]),
        domain: text(&info["domain"]),
        request_id: text(&info["metadata"]["request_id"]),
    }
}

/// The ErrorInfo of a refusal.
pub fn info(status: &Status) -> Value {
    let pool = pool();
    let read = |name: &str, bytes: &[u8]| {
        let message = pool.get_message_by_name(name).expect("it is there");
        let message = DynamicMessage::decode(message, bytes).expect("it decodes");
        serde_json::to_value(&message).expect("JSON")
    };
    let outer = read("google.rpc.Status", status.details());
    assert_eq!(outer["code"], status.code() as i32);
    assert_eq!(outer["message"], status.message());
    let info = &outer["details"][0];
    assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
    assert_eq!(outer["details"].as_array().map(Vec::len), Some(1));
    info.clone()
}

#[derive(Clone)]
struct DynamicCodec(MessageDescriptor);

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        self.clone()
    }
    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = Status;
    fn encode(&mut self, message: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = Status;
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), buffer);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
