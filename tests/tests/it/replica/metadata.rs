//! Valid and invalid request metadata.

use orrery_proto::catalog::v1::{CheckProductsRequest, CreateProductRequest, GetProductRequest, StreamProductsRequest};
use tonic::Code;

use super::{CATALOG, EVENTUAL, Method, method};
use crate::harness::{CatalogServer, TestDatabase, assert_invalid, product, uid};

#[tokio::test]
async fn what_is_no_consistency_or_position_is_refused_by_name() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    let methods: [Method; 4] = [
        method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(1), read_mask: None }),
        method(CATALOG, "StreamProducts", &StreamProductsRequest::default()),
        method(CATALOG, "CheckProducts", &CheckProductsRequest { uids: vec![uid(1)] }),
        method(
            CATALOG,
            "CreateProduct",
            &CreateProductRequest { product: Some(product("prd_a")), ..CreateProductRequest::default() },
        ),
    ];
    for method in methods {
        for consistency in ["", "EVENTUAL", "eventual ", "replica", "strong,eventual"] {
            let answer = method.call(&server.channel(), &[("x-consistency", consistency)]).await;
            assert_invalid(answer.messages, "FIELD_INVALID", "x-consistency");
        }
        for lsn in ["", "16", "16/", "/16", "16/123456789", "-1/0", "0x1/1", "latest"] {
            let answer = method.call(&server.channel(), &[EVENTUAL, ("x-min-lsn", lsn)]).await;
            assert_invalid(answer.messages, "FIELD_INVALID", "x-min-lsn");
        }
        let answer = method.call(&server.channel(), &[("x-min-lsn", "0/1"), ("x-min-lsn", "0/1")]).await;
        assert_invalid(answer.messages, "FIELD_INVALID", "x-min-lsn");
    }
}

#[tokio::test]
async fn without_a_replica_the_primary_serves_every_read() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    let get = method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(1), read_mask: None });
    for (metadata, served_by) in [
        (&[][..], None),
        (&[("x-consistency", "strong"), ("x-min-lsn", "FFFFFFFF/0")], None),
        (&[EVENTUAL], Some("primary")),
        (&[EVENTUAL, ("x-min-lsn", "FFFFFFFF/0")], Some("primary")),
    ] {
        let answer = get.call(&server.channel(), metadata).await;
        assert_eq!((answer.code(), answer.served_by.as_deref()), (Code::NotFound, served_by), "{metadata:?}");
    }
}
