//! The client of the orders service.

use orrery_kit::deadline::Deadline;
use orrery_proto::orders::v1::orders_service_client::OrdersServiceClient;
use orrery_proto::orders::v1::{StreamProductSalesRequest, StreamProductSalesResponse};
use tonic::transport::Channel;

use crate::config::OrdersPeerConfig;
use crate::pages::Pages;
use crate::peer::Peer;

/// A client of the orders service. Clones share a connection.
#[derive(Clone, Debug)]
pub struct OrdersClient {
    peer: Peer,
    client: OrdersServiceClient<Channel>,
}

impl OrdersClient {
    /// Creates the client; nothing is sent yet.
    pub fn new(config: &OrdersPeerConfig) -> Self {
        let peer = Peer::new("orders", &config.address, config.timeout);
        Self { client: OrdersServiceClient::new(peer.channel()), peer }
    }

    /// Streams how much of each product was sold on each day.
    pub fn stream_product_sales(
        &self,
        message: StreamProductSalesRequest,
        deadline: Deadline,
    ) -> Pages<StreamProductSalesResponse> {
        let client = self.client.clone();
        Pages::new(self.peer.clone(), "StreamProductSales", deadline, message, move |request| {
            let mut client = client.clone();
            async move { client.stream_product_sales(request).await }
        })
    }
}
