//! Calls with raw bytes, for messages that no generated client would send.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use orrery_proto::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A method of a service.
#[derive(Debug, Clone)]
pub(crate) struct Method {
    /// `/orrery.catalog.v1.CatalogService/GetProduct`
    pub(crate) path: String,
    /// `GetProduct`
    pub(crate) name: String,
    /// The full name of the request message, with a leading dot.
    pub(crate) input: String,
    /// Whether the request is a stream.
    pub(crate) streams_in: bool,
}

/// The descriptors of the contract.
pub(crate) fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap()
}

/// All methods of a service, given by its full name.
pub(crate) fn methods(service: &str) -> Vec<Method> {
    let (package, name) = service.rsplit_once('.').unwrap();
    let set = descriptors();
    let services = set.file.iter().filter(|file| file.package() == package).flat_map(|file| &file.service);
    let methods = services.filter(|found| found.name() == name).flat_map(|found| &found.method);
    methods
        .map(|method| Method {
            path: format!("/{service}/{}", method.name()),
            name: method.name().to_owned(),
            input: method.input_type().to_owned(),
            streams_in: method.client_streaming(),
        })
        .collect()
}

/// Sends these bytes as messages, and returns all response messages or the error.
pub(crate) async fn call(channel: &Channel, path: &str, messages: Vec<Bytes>) -> Result<Vec<Bytes>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone()).max_encoding_message_size(usize::MAX);
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let path: PathAndQuery = path.parse().unwrap();
    let request = Request::new(tokio_stream::iter(messages));
    let mut answers = client.streaming(request, path, BytesCodec).await?.into_inner();
    let mut all = Vec::new();
    while let Some(answer) = answers.message().await? {
        all.push(answer);
    }
    Ok(all)
}

/// The response to a call: its messages or its error, and the metadata of headers and trailers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) messages: Result<Vec<Bytes>, Status>,
    pub(crate) metadata: MetadataMap,
}

/// As [`call`], with metadata and an optional deadline.
pub(crate) async fn call_with(
    channel: &Channel,
    path: &str,
    metadata: &[(&'static str, &str)],
    deadline: Option<Duration>,
    messages: Vec<Bytes>,
) -> Answer {
    let mut client = tonic::client::Grpc::new(channel.clone()).max_decoding_message_size(usize::MAX);
    client.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::iter(messages));
    for (key, value) in metadata {
        request.metadata_mut().append(*key, value.parse().unwrap());
    }
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    let path: PathAndQuery = path.parse().unwrap();
    let response = match client.streaming(request, path, BytesCodec).await {
        Ok(response) => response,
        Err(status) => return Answer { metadata: status.metadata().clone(), messages: Err(status) },
    };
    let mut metadata = response.metadata().clone().into_headers();
    let mut answers = response.into_inner();
    let mut all = Vec::new();
    let end = loop {
        match answers.message().await {
            Ok(Some(answer)) => all.push(answer),
            Ok(None) => break Ok(answers.trailers().await.unwrap_or_default().unwrap_or_default()),
            Err(status) => break Err(status),
        }
    };
    let trailers = end.as_ref().map_or_else(|status| status.metadata().clone(), Clone::clone);
    metadata.extend(trailers.into_headers());
    Answer { messages: end.map(|_| all), metadata: MetadataMap::from_headers(metadata) }
}

#[derive(Debug, Clone, Copy)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
