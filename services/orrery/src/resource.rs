//! Describes the resources for import and export: name, message and the two streams. Fields, kinds and paths are read
//! from the contract's descriptors.

use anyhow::Context as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value};

use crate::contract::{LIST_OF_OWNER, contract, method};

/// A resource that can be imported and exported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransferResource {
    /// The plural noun, as in `orrery import products`.
    pub(crate) plural: &'static str,
    /// The singular noun.
    pub(crate) singular: &'static str,
    /// The full name of the message.
    pub(crate) message: &'static str,
    /// The path of the chunked write.
    pub(crate) write_method: &'static str,
    /// The path of the paged read.
    pub(crate) stream_method: &'static str,
    /// The field that identifies a row.
    pub(crate) key: &'static str,
    /// Paths of fields that a writer must not set. A mapping must not name them, and they are ignored in JSON, such as
    /// an export. Preconditions are included: those of an old export would fail.
    pub(crate) output_only: &'static [&'static str],
    /// Paths of fields that can only be set in new rows. An update_mask must not name them.
    pub(crate) fixed: &'static [&'static str],
    /// The field that identifies a row without `key`: a name, of which the service knows the uid.
    pub(crate) name_key: Option<&'static str>,
    /// A field that files have and the contract's message does not, see [`contract`].
    pub(crate) beside: Option<&'static str>,
    /// Set if `key` is not the row itself but its owner, to which any number of rows belong.
    pub(crate) owner: Option<Owner>,
    /// The columns of a CSV export. Empty: it needs a read mask.
    pub(crate) csv_columns: &'static [&'static str],
}

/// What the rows of one owner are in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// The full name of the message of an owner with its rows, see [`contract`].
    pub(crate) message: &'static str,
    /// The fields of which a row needs one.
    pub(crate) members: &'static [&'static str],
}

/// `orrery.catalog.v1.Product`.
pub(crate) static PRODUCTS: TransferResource = TransferResource {
    plural: "products",
    singular: "product",
    message: "orrery.catalog.v1.Product",
    write_method: "/orrery.catalog.v1.CatalogService/WriteProducts",
    stream_method: "/orrery.catalog.v1.CatalogService/StreamProducts",
    key: "uid",
    output_only: &["update_ts", "etag"],
    fixed: &["create_ts"],
    name_key: None,
    beside: None,
    owner: None,
    csv_columns: &[],
};

/// `orrery.orders.v1.Order`.
pub(crate) static ORDERS: TransferResource = TransferResource {
    plural: "orders",
    singular: "order",
    message: "orrery.orders.v1.Order",
    write_method: "/orrery.orders.v1.OrdersService/WriteOrders",
    stream_method: "/orrery.orders.v1.OrdersService/StreamOrders",
    key: "uid",
    output_only: &[
        "revision",
        "update_ts",
        "etag",
        "line_items.update_ts",
        "summary.line_count",
        "summary.quantity",
        "summary.subtotal",
        "summary.discount",
        "summary.tax",
        "summary.total",
    ],
    fixed: &["create_ts"],
    name_key: None,
    beside: None,
    owner: None,
    csv_columns: &[],
};

/// `orrery.records.v1.Tag`, with its category.
pub(crate) static TAGS: TransferResource = TransferResource {
    plural: "tags",
    singular: "tag",
    message: "orrery.records.v1.Tag",
    write_method: "/orrery.records.v1.TagsService/WriteTags",
    stream_method: "/orrery.records.v1.TagsService/StreamTags",
    key: "uid",
    output_only: &["update_ts", "etag"],
    fixed: &["create_ts"],
    name_key: Some("name"),
    beside: Some("category_name"),
    owner: None,
    csv_columns: &["uid", "name", "category_name", "status.phase", "create_ts", "update_ts"],
};

/// `orrery.records.v1.ProductTag`, with the name of the tag.
pub(crate) static PRODUCT_TAGS: TransferResource = TransferResource {
    plural: "product tags",
    singular: "product tag",
    message: "orrery.records.v1.ProductTag",
    write_method: "/orrery.records.v1.TagsService/WriteProductTags",
    stream_method: "/orrery.records.v1.TagsService/StreamProductTags",
    key: "product_uid",
    output_only: &[],
    fixed: &["create_ts"],
    name_key: None,
    beside: Some("tag_name"),
    owner: Some(Owner { message: "orrery.records.v1.ProductWithTags", members: &["tag_uid", "tag_name"] }),
    csv_columns: &["product_uid", "tag_uid", "tag_name", "create_ts"],
};

/// `orrery.records.v1.Artifact`, of any kind.
pub(crate) static ARTIFACTS: TransferResource = TransferResource {
    plural: "artifacts",
    singular: "artifact",
    message: "orrery.records.v1.Artifact",
    write_method: "/orrery.records.v1.RecordsService/WriteArtifacts",
    stream_method: "/orrery.records.v1.RecordsService/StreamArtifacts",
    key: "uid",
    output_only: &[
        "content_hash",
        "revision",
        "update_ts",
        "etag",
        "combo_suggestion.report_uid",
        "combo_report.suggestion_uid",
        "combo_report.final_ts",
        "document.size_bytes",
        "document.content_hash",
        "document.bearer_key",
    ],
    fixed: &["create_ts", "kind"],
    name_key: None,
    beside: None,
    owner: None,
    csv_columns: &[
        "uid",
        "catalog_uid",
        "identifier",
        "status.phase",
        "create_ts",
        "design_asset",
        "combo_template",
        "combo_suggestion",
        "combo_report",
        "classification_spec",
        "document",
    ],
};

impl TransferResource {
    /// The noun on the command line, such as `product-tags`.
    pub(crate) fn noun(&self) -> String {
        self.plural.replace(' ', "-")
    }

    /// The list of an owner's rows in the message of owners, if rows have one.
    pub(crate) fn list_of_owner(&self) -> anyhow::Result<Option<FieldDescriptor>> {
        let Some(owner) = self.owner else { return Ok(None) };
        let message = contract()?.get_message_by_name(owner.message);
        let list = message.and_then(|message| message.get_field_by_name(LIST_OF_OWNER));
        list.map(Some).with_context(|| format!("{} has no list of rows", owner.message))
    }

    /// The descriptor of the message.
    pub(crate) fn descriptor(&self) -> anyhow::Result<MessageDescriptor> {
        contract()?
            .get_message_by_name(self.message)
            .with_context(|| format!("the contract has no message {}", self.message))
    }

    /// A request for all fields of all rows; with the full view, if the resource has views.
    pub(crate) fn stream_request(&self) -> anyhow::Result<DynamicMessage> {
        let mut request = DynamicMessage::new(method(self.stream_method)?.input());
        if let Some(view) = request.descriptor().get_field_by_name("view")
            && let Kind::Enum(views) = view.kind()
            && let Some(full) = views.values().find(|value| value.name().ends_with("_VIEW_FULL"))
        {
            request.set_field(&view, Value::EnumNumber(full.number()));
        }
        Ok(request)
    }

    /// Whether a path is a field that a writer must not set, or below one.
    pub(crate) fn is_output_only(&self, path: &str) -> bool {
        self.output_only
            .iter()
            .any(|field| path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }

    /// Whether a path is a field that can only be set in new rows.
    pub(crate) fn is_fixed(&self, path: &str) -> bool {
        self.fixed.contains(&path)
    }

    /// Removes the fields that a writer must not set.
    pub(crate) fn clear_output_only(&self, row: &mut DynamicMessage) {
        for path in self.output_only {
            clear(row, path);
        }
    }
}

/// Clears the field of a path, in each element of lists on the way.
fn clear(message: &mut DynamicMessage, path: &str) {
    let Some((name, rest)) = path.split_once('.') else { return message.clear_field_by_name(path) };
    if !message.has_field_by_name(name) {
        return;
    }
    match message.get_field_by_name_mut(name) {
        Some(Value::Message(inner)) => clear(inner, rest),
        Some(Value::List(elements)) => {
            for element in elements {
                if let Value::Message(inner) = element {
                    clear(inner, rest);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use orrery_proto::orders::v1::{LineItem, Order, OrderView, StreamOrdersRequest, Summary};
    use prost_types::Timestamp;

    use super::*;

    fn shape(message: &MessageDescriptor) -> Vec<(u32, String)> {
        message.fields().map(|field: FieldDescriptor| (field.number(), field.name().to_owned())).collect()
    }

    fn message_of(field: &str, message: &MessageDescriptor) -> String {
        message.get_field_by_name(field).unwrap().kind().as_message().unwrap().full_name().to_owned()
    }

    // The clients of both streams use messages with the field numbers that all resources share (see
    // `crate::client::wire`). With other numbers, rows would be written incorrectly without an error.
    #[test]
    fn streams_have_the_shapes_that_the_clients_speak() {
        for resource in [PRODUCTS, ORDERS, TAGS, PRODUCT_TAGS, ARTIFACTS] {
            let plural = resource.plural.replace(' ', "_");
            let write = method(resource.write_method).unwrap();
            assert!(write.is_client_streaming() && write.is_server_streaming());
            assert_eq!(shape(&write.input()), [(1, "start".into()), (2, "chunk".into())]);
            let chunk = write.input().child_messages().find(|message| message.name() == "Chunk").unwrap();
            assert_eq!(shape(&chunk), [(1, "offset".into()), (2, plural.clone())]);
            assert_eq!(write.output().get_field(7).unwrap().name(), "superseded");

            let stream = method(resource.stream_method).unwrap();
            assert!(!stream.is_client_streaming() && stream.is_server_streaming());
            assert_eq!(
                message_of("filter", &stream.input()).rsplit_once('.').unwrap().1.to_lowercase(),
                format!("{}filter", resource.singular.replace(' ', ""))
            );
            assert_eq!(message_of("read_mask", &stream.input()), "google.protobuf.FieldMask");
            assert_eq!(stream.input().get_field_by_name("resume_token").unwrap().kind(), Kind::String);
            assert_eq!(shape(&stream.output()), [(1, plural), (2, "resume_token".into())]);
            let row = stream.output().get_field(1).unwrap().kind().as_message().unwrap().clone();
            assert_eq!(row, resource.descriptor().unwrap());
            assert!(row.get_field_by_name(resource.key).is_some());
            for name in
                resource.name_key.iter().chain(&resource.beside).chain(resource.owner.iter().flat_map(|o| o.members))
            {
                assert_eq!(row.get_field_by_name(name).unwrap().kind(), Kind::String, "{name}");
            }
            if let Some(list) = resource.list_of_owner().unwrap() {
                assert_eq!(*list.kind().as_message().unwrap(), row);
            }
            for path in resource.output_only.iter().chain(resource.fixed) {
                let (field, inner) = path.split_once('.').map_or((*path, None), |(field, inner)| (field, Some(inner)));
                let field = row.get_field_by_name(field).unwrap_or_else(|| panic!("{path}"));
                if let Some(inner) = inner {
                    assert!(field.kind().as_message().unwrap().get_field_by_name(inner).is_some(), "{path}");
                }
            }
        }
    }

    #[test]
    fn orders_are_asked_for_as_a_whole() {
        let request = ORDERS.stream_request().unwrap();
        let request: StreamOrdersRequest = request.transcode_to().unwrap();
        assert_eq!(request, StreamOrdersRequest { view: OrderView::Full.into(), ..StreamOrdersRequest::default() });
        assert_eq!(PRODUCTS.stream_request().unwrap().fields().count(), 0);
    }

    #[test]
    fn what_a_writer_must_not_set_is_taken_out_wherever_it_stands() {
        let line = |update_ts| LineItem { uid: "oli_1".into(), quantity: 2, update_ts, ..LineItem::default() };
        let order = Order {
            uid: "ord_1".into(),
            revision: 3,
            etag: "x".into(),
            update_ts: Some(Timestamp::default()),
            line_items: vec![line(Some(Timestamp::default())), line(None)],
            summary: Some(Summary {
                line_count: 2,
                quantity: 4,
                subtotal: "1".into(),
                discount: "2".into(),
                tax: "3".into(),
                shipping: "4.00".into(),
                total: "5".into(),
                ..Summary::default()
            }),
            ..Order::default()
        };
        let mut row = DynamicMessage::new(ORDERS.descriptor().unwrap());
        row.transcode_from(&order).unwrap();
        ORDERS.clear_output_only(&mut row);
        let left = Order {
            uid: "ord_1".into(),
            line_items: vec![line(None), line(None)],
            summary: Some(Summary { shipping: "4.00".into(), ..Summary::default() }),
            ..Order::default()
        };
        assert_eq!(row.transcode_to::<Order>().unwrap(), left);

        let mut bare = DynamicMessage::new(ORDERS.descriptor().unwrap());
        ORDERS.clear_output_only(&mut bare);
        assert_eq!(bare.fields().count(), 0, "what was not there is not there");
        assert!(ORDERS.is_output_only("summary.total") && !ORDERS.is_output_only("summary.shipping"));
        assert!(ORDERS.is_output_only("etag") && !ORDERS.is_output_only("etags") && !ORDERS.is_output_only("summary"));
    }
}
