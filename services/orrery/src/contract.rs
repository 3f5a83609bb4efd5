//! The contract's descriptors, with what files say beside it.
//!
//! A file has names where the contract has uids, and it has the tags of a product on the line of the product. Such
//! fields and messages are added to the descriptors here, so that mappings, JSON and CSV treat them like all others.
//! Services never see them.

use std::sync::OnceLock;

use anyhow::Context as _;
use prost::Message as _;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// The number of [`TransferResource::beside`](crate::resource::TransferResource::beside) in its message.
pub(crate) const BESIDE_NUMBER: u32 = 1000;
/// The number of the line of the file, in the rows of an owner. It is not described: a file must not name it.
pub(crate) const LINE_NUMBER: u32 = 1001;
/// The list in the message of an owner.
pub(crate) const LIST_OF_OWNER: &str = "rows";

/// The descriptors, decoded once.
pub(crate) fn contract() -> anyhow::Result<&'static DescriptorPool> {
    static POOL: OnceLock<Result<DescriptorPool, String>> = OnceLock::new();
    POOL.get_or_init(|| extended().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow::anyhow!("the contract's descriptors cannot be read: {error}"))
}

/// The method with a path such as `/orrery.catalog.v1.CatalogService/StreamProducts`.
pub(crate) fn method(path: &str) -> anyhow::Result<MethodDescriptor> {
    let (service, name) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    contract()?
        .get_service_by_name(service)
        .and_then(|service| service.methods().find(|method| method.name() == name))
        .with_context(|| format!("the contract has no method {path}"))
}

fn extended() -> anyhow::Result<DescriptorPool> {
    let mut files = FileDescriptorSet::decode(orrery_proto::FILE_DESCRIPTOR_SET)?;
    for file in files.file.iter_mut().filter(|file| file.package() == "orrery.records.v1") {
        let mut of_owner = None;
        for message in &mut file.message_type {
            match message.name() {
                "Tag" => message.field.push(text("category_name", BESIDE_NUMBER)),
                "ProductTag" => {
                    message.field.push(text("tag_name", BESIDE_NUMBER));
                    of_owner = Some(owner("ProductWithTags", "product_uid", ".orrery.records.v1.ProductTag"));
                }
                _ => {}
            }
        }
        file.message_type.extend(of_owner);
    }
    Ok(DescriptorPool::from_file_descriptor_set(files)?)
}

/// The message of an owner: its uid and its rows.
fn owner(name: &str, uid: &str, row: &str) -> DescriptorProto {
    let mut rows = text(LIST_OF_OWNER, 2);
    rows.set_label(Label::Repeated);
    rows.set_type(Type::Message);
    rows.type_name = Some(row.to_owned());
    DescriptorProto { name: Some(name.to_owned()), field: vec![text(uid, 1), rows], ..DescriptorProto::default() }
}

fn text(name: &str, number: u32) -> FieldDescriptorProto {
    let mut field = FieldDescriptorProto {
        name: Some(name.to_owned()),
        json_name: Some(name.to_owned()),
        number: Some(number as i32),
        ..FieldDescriptorProto::default()
    };
    field.set_label(Label::Optional);
    field.set_type(Type::String);
    field
}
