//! While no replica is up, a proxy returns the same error as a service.

use std::net::Ipv4Addr;
use std::time::Duration;

use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use orrery_proto::catalog::v1::{GetProductRequest, StreamProductsRequest};
use orrery_tests_needs as needs;
use tokio::net::TcpSocket;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::proxy::{Proxy, ProxyKind};
use crate::writes::stream::connect;

async fn callers_are_told_when_to_come_again(kind: ProxyKind) {
    if !needs::met(&[kind.need()]) {
        return;
    }
    // Two ports that are reserved and on which nothing listens.
    let bound = [0, 1].map(|_| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        socket
    });
    let replicas = bound.each_ref().map(|socket| socket.local_addr().unwrap());
    let proxy = Proxy::start(kind, replicas).await;
    let mut client = CatalogServiceClient::new(connect(proxy.address()));
    let request = GetProductRequest { uid: "prd_a".to_owned(), read_mask: None };
    let unary = client.get_product(request).await.unwrap_err();
    let streamed = client.stream_products(StreamProductsRequest::default()).await.unwrap_err();
    for status in [unary, streamed] {
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "no replica answers"), "{status:?}");
        let retry = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
        assert_eq!(retry, Some(Duration::from_secs(1)), "{status:?}");
    }
}

#[tokio::test]
async fn nginx_says_when_to_come_again() {
    callers_are_told_when_to_come_again(ProxyKind::Nginx).await;
}

#[tokio::test]
async fn haproxy_says_when_to_come_again() {
    callers_are_told_when_to_come_again(ProxyKind::Haproxy).await;
}
