//! What import and export know of a resource: its name, its message and its two streams. The rest (fields, their kinds, what a path may
//! be) they read off the contract's descriptors, so that one more resource is one more description here.

use std::sync::OnceLock;

use anyhow::Context as _;
use prost_reflect::{DescriptorPool, MessageDescriptor};

/// A resource that can be imported and exported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource {
    /// What many of them are called, as in `orrery import products`.
    pub(crate) plural: &'static str,
    /// What one of them is called.
    pub(crate) singular: &'static str,
    /// The full name of its message.
    pub(crate) message: &'static str,
    /// The path of its chunked write.
    pub(crate) write_method: &'static str,
    /// The path of its paged read.
    pub(crate) stream_method: &'static str,
    /// The field that identifies one.
    pub(crate) key: &'static str,
    /// Top-level fields that a writer must not set: a mapping may not name them, and JSON that comes with them, as an
    /// export does, is taken without them.
    pub(crate) output_only: &'static [&'static str],
}

/// `orrery.catalog.v1.Product`.
pub(crate) static PRODUCTS: Resource = Resource {
    plural: "products",
    singular: "product",
    message: "orrery.catalog.v1.Product",
    write_method: "/orrery.catalog.v1.CatalogService/WriteProducts",
    stream_method: "/orrery.catalog.v1.CatalogService/StreamProducts",
    key: "uid",
    output_only: &["update_ts", "etag"],
};

impl Resource {
    /// The descriptor of the resource's message.
    pub(crate) fn descriptor(&self) -> anyhow::Result<MessageDescriptor> {
        contract()?
            .get_message_by_name(self.message)
            .with_context(|| format!("the contract has no message {}", self.message))
    }
}

/// The descriptors of the contract, decoded once.
pub(crate) fn contract() -> anyhow::Result<&'static DescriptorPool> {
    static POOL: OnceLock<Result<DescriptorPool, String>> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(orrery_proto::FILE_DESCRIPTOR_SET).map_err(|error| error.to_string()))
        .as_ref()
        .map_err(|error| anyhow::anyhow!("the contract's descriptors cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use prost_reflect::{FieldDescriptor, MethodDescriptor};

    use super::*;

    fn method(path: &str) -> MethodDescriptor {
        let (service, name) = path.trim_start_matches('/').split_once('/').unwrap();
        contract().unwrap().get_service_by_name(service).unwrap().methods().find(|m| m.name() == name).unwrap()
    }

    fn shape(message: &MessageDescriptor) -> Vec<(u32, String)> {
        message.fields().map(|field: FieldDescriptor| (field.number(), field.name().to_owned())).collect()
    }

    // The clients of both streams speak in the shapes that every resource shares (see `crate::client::wire`): a resource
    // whose messages have other numbers would be written wrong without an error.
    #[test]
    fn streams_have_the_shapes_that_the_clients_speak() {
        for resource in [PRODUCTS] {
            let plural = resource.plural.to_owned();
            let write = method(resource.write_method);
            assert!(write.is_client_streaming() && write.is_server_streaming());
            assert_eq!(shape(&write.input()), [(1, "start".into()), (2, "chunk".into())]);
            let chunk = write.input().child_messages().find(|message| message.name() == "Chunk").unwrap();
            assert_eq!(shape(&chunk), [(1, "offset".into()), (2, plural.clone())]);
            assert_eq!(write.output().get_field(7).unwrap().name(), "superseded");

            let stream = method(resource.stream_method);
            assert!(!stream.is_client_streaming() && stream.is_server_streaming());
            assert_eq!(
                shape(&stream.input()),
                [(1, "filter".into()), (2, "read_mask".into()), (3, "resume_token".into()), (4, "page_size".into())]
            );
            assert_eq!(shape(&stream.output()), [(1, plural), (2, "resume_token".into())]);
            let row = stream.output().get_field(1).unwrap().kind().as_message().unwrap().clone();
            assert_eq!(row, resource.descriptor().unwrap());
            for field in resource.output_only.iter().chain([&resource.key]) {
                assert!(row.get_field_by_name(field).is_some(), "{field}");
            }
        }
    }
}
