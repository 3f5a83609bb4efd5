//! What typed requests become, and which of them a build refuses.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};

use super::*;
use crate::catalog::v1::{
    GetProductRequest, ListProductsRequest, ProductFilter, StreamProductMetricsRequest, StreamProductsRequest,
};
use crate::orders::v1::{
    DeleteOrderRequest, GetOrderRequest, ListOrdersRequest, LookupOrdersRequest, StreamLineItemsRequest,
    StreamOrdersRequest, StreamProductSalesRequest,
};

#[path = "../build/requests.rs"]
mod build;
#[path = "../build/paths.rs"]
mod paths;

use paths::Paths;

#[test]
fn a_request_by_key_gives_the_key_with_its_columns() {
    let mask = Some(FieldMask { paths: vec!["name".to_owned()] });
    let get = Get::from(GetOrderRequest { uid: "ord_a".to_owned(), view: 1, read_mask: mask.clone() });
    let key = Key { columns: &["uid"], values: vec!["ord_a".to_owned().into()] };
    assert_eq!(get, Get { key: key.clone(), read_mask: mask, view: 1 });
    let get = Get::from(GetProductRequest { uid: "ord_a".to_owned(), read_mask: None });
    assert_eq!(get, Get { key: key.clone(), read_mask: None, view: 0 });
    let (etag, revision) = ("e".to_owned(), 7);
    let delete = DeleteOrderRequest { uid: "ord_a".to_owned(), etag: etag.clone(), revision, allow_missing: true };
    assert_eq!(Delete::from(delete), Delete { key, etag, revision, allow_missing: true });
}

#[test]
fn a_key_as_a_message_has_a_field_for_each_column_that_is_not_zero() {
    let message = |key: &[KeyValue]| key_message(key);
    assert_eq!(message(&["ab".to_owned().into(), 300_i64.into()]), [0x0a, 2, b'a', b'b', 0x10, 0xac, 0x02]);
    assert_eq!(message(&[String::new().into(), 0_i32.into(), 1_i32.into()]), [0x18, 1]);
    // As protobuf writes a negative int32.
    assert_eq!(message(&[(-1_i32).into()]).len(), 11);
}

#[test]
fn a_filter_is_the_field_of_that_name_and_tokens_are_bound_to_it_alone() {
    let filter = ProductFilter { label_selector: "a=b".to_owned(), ..ProductFilter::default() };
    let request = ListProductsRequest {
        filter: Some(filter.clone()),
        order_by: "create_ts".to_owned(),
        page_size: 5,
        page_token: "t".to_owned(),
        read_mask: Some(FieldMask::default()),
    };
    let list = List::from(request);
    assert_eq!((list.method, list.page_size, list.page_token.as_str()), ("ListProducts", 5, "t"));
    assert_eq!((list.order_by.as_str(), list.read_mask), ("create_ts", Some(FieldMask::default())));
    assert_eq!(list.filter, Filter { encoded: filter.encode_to_vec(), message: Some(filter) });
    let (resume_token, order_by) = ("r".to_owned(), "name".to_owned());
    let stream = Stream::from(StreamProductsRequest { resume_token, order_by, ..StreamProductsRequest::default() });
    assert_eq!((stream.method, stream.resume_token.as_str(), &*stream.order_by), ("StreamProducts", "r", "name"));
    assert_eq!(stream.filter, Filter { message: None, encoded: Vec::new() });
}

#[test]
fn without_a_filter_the_request_is_one_less_what_says_which_page() {
    let conditions = StreamProductSalesRequest { day_from: "2026-01-01".to_owned(), ..Default::default() };
    let request = StreamProductSalesRequest { page_size: 3, resume_token: "r".to_owned(), ..conditions.clone() };
    let stream = Stream::from(request);
    assert_eq!((stream.page_size, stream.resume_token.as_str()), (3, "r"));
    assert_eq!(stream.filter, Filter { encoded: conditions.encode_to_vec(), message: Some(conditions) });
    let page = LookupOrdersRequest { page_size: 3, page_token: "p".to_owned(), view: 2, ..Default::default() };
    let list = List::from(page);
    assert_eq!((list.method, list.view, list.order_by.as_str()), ("LookupOrders", 2, ""));
    assert_eq!(list.filter, Filter { message: Some(LookupOrdersRequest::default()), encoded: Vec::new() });
}

#[test]
fn tokens_are_bound_to_the_names_that_methods_have_had() {
    // Tokens outlive a deployment: who changes one of these breaks the streams that are to go on.
    fn list<F>(request: impl Into<List<F>>) -> &'static str {
        request.into().method
    }
    fn stream<F>(request: impl Into<Stream<F>>) -> &'static str {
        request.into().method
    }
    assert_eq!(list(ListProductsRequest::default()), "ListProducts");
    assert_eq!(stream(StreamProductsRequest::default()), "StreamProducts");
    assert_eq!(stream(StreamProductMetricsRequest::default()), "StreamProductMetrics");
    assert_eq!(list(ListOrdersRequest::default()), "ListOrders");
    assert_eq!(list(LookupOrdersRequest::default()), "LookupOrders");
    assert_eq!(stream(StreamOrdersRequest::default()), "StreamOrders");
    assert_eq!(stream(StreamLineItemsRequest::default()), "StreamLineItems");
    assert_eq!(stream(StreamProductSalesRequest::default()), "StreamProductSales");
}

/// The fields of a message, numbered; each with its type, which an `*` before its name repeats.
fn message(name: &str, fields: &[(&str, Type)]) -> DescriptorProto {
    let field = |(number, (name, kind)): (i32, &(&str, Type))| FieldDescriptorProto {
        name: Some(name.trim_start_matches('*').to_owned()),
        number: Some(number),
        label: Some(if name.starts_with('*') { Label::Repeated } else { Label::Optional }.into()),
        r#type: Some((*kind).into()),
        type_name: match (*kind, *name) {
            (Type::Enum, _) => Some(".orrery.test.v1.ThingView".to_owned()),
            (Type::Message, "read_mask") => Some(".google.protobuf.FieldMask".to_owned()),
            (Type::Message, "*keys" | "*missing_keys" | "keys") => Some(".orrery.test.v1.ThingKey".to_owned()),
            (Type::Message, _) => Some(".orrery.test.v1.ThingFilter".to_owned()),
            _ => None,
        },
        ..FieldDescriptorProto::default()
    };
    let field = (1..).zip(fields).map(field).collect();
    DescriptorProto { name: Some(name.to_owned()), field, ..DescriptorProto::default() }
}

/// What a build says to a contract with one method, whose request has these fields.
fn built(
    method: &str,
    request: &[(&str, Type)],
    response: (&str, &[(&str, Type)]),
    views: &[&str],
) -> Result<String, String> {
    let value = |(number, name): (i32, &&str)| EnumValueDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(number),
        ..EnumValueDescriptorProto::default()
    };
    let view = EnumDescriptorProto {
        name: Some("ThingView".to_owned()),
        value: (0..).zip(views).map(value).collect(),
        ..EnumDescriptorProto::default()
    };
    let method = MethodDescriptorProto {
        name: Some(method.to_owned()),
        input_type: Some(".orrery.test.v1.ThingRequest".to_owned()),
        output_type: Some(format!(".orrery.test.v1.{}", response.0)),
        ..MethodDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        package: Some("orrery.test.v1".to_owned()),
        message_type: vec![
            message("ThingRequest", request),
            message("ThingKey", &[("owner", TEXT), ("size", Type::Int32)]),
            message(response.0, response.1),
        ],
        enum_type: vec![view],
        service: vec![ServiceDescriptorProto { method: vec![method], ..ServiceDescriptorProto::default() }],
        ..FileDescriptorProto::default()
    };
    build::generate(&FileDescriptorSet { file: vec![file] }, &Paths { root: "crate", own: None })
}

const TEXT: Type = Type::String;
const VIEWS: &[&str] = &["THING_VIEW_UNSPECIFIED", "THING_VIEW_BASIC", "THING_VIEW_FULL"];

#[test]
fn a_key_of_several_columns_is_taken_in_their_order() {
    let thing = ("Thing", &[("owner", TEXT), ("name", TEXT), ("size", Type::Int32)][..]);
    let request = [("owner", TEXT), ("name", TEXT), ("read_mask", Type::Message), ("view", Type::Enum)];
    let code = built("GetThing", &request, thing, VIEWS).expect("a request that fits");
    assert!(code.contains("columns: &[\"owner\", \"name\"]"), "{code}");
}

#[test]
fn a_request_that_does_not_fit_its_verb_fails_the_build() {
    let thing = ("Thing", &[("owner", TEXT), ("name", TEXT)][..]);
    let page = ("ThingsResponse", &[][..]);
    let checked = ("CheckResponse", &[("checked", Type::Int64), ("*missing_uids", TEXT)][..]);
    let (mask, token, size) = (("read_mask", Type::Message), ("page_token", TEXT), ("page_size", Type::Int32));
    for (method, request, response, views, why) in [
        ("GetThing", &[mask][..], thing, VIEWS, "begin with the columns of a key"),
        ("GetThing", &[("owner", Type::Bool)], thing, VIEWS, "begin with the columns of a key"),
        ("GetThing", &[("owner", Type::Int32)], thing, VIEWS, "its key is not what .orrery.test.v1.Thing begins with"),
        ("GetThing", &[("*owner", TEXT)], thing, VIEWS, "begin with the columns of a key"),
        ("GetThing", &[("name", TEXT)], thing, VIEWS, "its key is not what .orrery.test.v1.Thing begins with"),
        ("GetThing", &[("owner", TEXT), mask, ("name", TEXT)], thing, VIEWS, "knows no field name"),
        ("GetThing", &[("owner", TEXT), ("etag", TEXT)], thing, VIEWS, "knows no field etag"),
        ("GetThing", &[("owner", TEXT), ("read_mask", TEXT)], thing, VIEWS, "read_mask has another type"),
        ("GetThing", &[("owner", TEXT), ("view", Type::Enum)], thing, &VIEWS[..2], "view is no enum"),
        ("BatchGetThings", &[mask], page, VIEWS, "it has not one of uids and keys"),
        ("BatchGetThings", &[("*uids", TEXT), ("*keys", Type::Message)], page, VIEWS, "not one of uids and keys"),
        ("BatchGetThings", &[("keys", Type::Message)], page, VIEWS, "keys has another type"),
        ("BatchGetThings", &[("*keys", Type::Message)], checked, VIEWS, "and missing_keys as field 2"),
        ("BatchGetThings", &[("uids", TEXT)], page, VIEWS, "uids has another type"),
        ("DeleteThing", &[("owner", TEXT), ("etag", Type::Int32)], page, VIEWS, "etag has another type"),
        ("DeleteThing", &[("owner", TEXT), mask], page, VIEWS, "knows no field read_mask"),
        ("ListThings", &[("filter", Type::Message), size], page, VIEWS, "it has no page_token"),
        ("ListThings", &[("filter", Type::Message), size, token, ("name", TEXT)], page, VIEWS, "knows no field name"),
        ("LookupThings", &[("text", TEXT), token], page, VIEWS, "no page_size"),
        ("StreamThings", &[("filter", Type::Message), size, token], page, VIEWS, "knows no field page_token"),
        ("StreamThings", &[("resume_token", Type::Bytes), size], page, VIEWS, "resume_token has another type"),
        ("CheckThings", &[("*names", TEXT)], checked, VIEWS, "knows no field names"),
        ("CheckThings", &[("*uids", TEXT)], page, VIEWS, "does not hold checked and missing_uids"),
    ] {
        let refused = built(method, request, response, views).expect_err(why);
        assert!(refused.contains(why) && refused.contains(method), "{refused}");
    }
}

#[test]
fn requests_that_fit_and_verbs_that_promise_nothing_are_built() {
    let page = ("ThingsResponse", &[][..]);
    let checked = ("CheckResponse", &[("checked", Type::Int64), ("*missing_uids", TEXT)][..]);
    let (token, size) = (("page_token", TEXT), ("page_size", Type::Int32));
    let list = built("LookupThings", &[("text", TEXT), token, size], page, VIEWS).expect("a request that fits");
    assert!(list.contains("List<crate::test::v1::ThingRequest>"), "{list}");
    let list = built("ListThings", &[("filter", Type::Message), token, size], page, VIEWS).expect("one that fits");
    assert!(list.contains("List<crate::test::v1::ThingFilter>"), "{list}");
    assert!(built("CheckThings", &[("*uids", TEXT)], checked, VIEWS).is_ok());
    let found = ("ThingsResponse", &[("*things", Type::Message), ("*missing_keys", Type::Message)][..]);
    let batch = built("BatchGetThings", &[("*keys", Type::Message)], found, VIEWS).expect("one that fits");
    assert!(batch.contains("columns: &[\"owner\", \"size\"]"), "{batch}");
    let checked = ("CheckResponse", &[("checked", Type::Int64), ("*missing_keys", Type::Message)][..]);
    let check = built("CheckThings", &[("*keys", Type::Message)], checked, VIEWS).expect("one that fits");
    assert!(check.contains("missing_keys: missing.into_iter()"), "{check}");
    assert_eq!(built("MoveThing", &[("any", Type::Bytes)], page, VIEWS), Ok(String::new()));
    assert_eq!(built("GetThings", &[("any", Type::Bytes)], page, VIEWS), Ok(String::new()));
}
