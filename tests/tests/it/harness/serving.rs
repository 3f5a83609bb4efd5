//! Connections to services under test.

use std::net::SocketAddr;
use std::time::Duration;

use orrery_kit::answer::MAX_ANSWER_BYTES;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const HEALTH_TIMEOUT: Duration = Duration::from_secs(30);
/// The message limit of test clients: larger than any page.
pub(crate) const LARGEST_MESSAGE: usize = 64 << 20;

/// A connection that is opened on first use.
pub(crate) fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

/// A request of a client that accepts responses of this size.
pub(crate) fn accepting<T>(message: T, bytes: usize) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(MAX_ANSWER_BYTES, bytes.into());
    request
}

/// Waits until the service with this name is healthy.
pub(crate) async fn until_healthy(channel: &Channel, service: &str) {
    let wait = async {
        loop {
            let request = HealthCheckRequest { service: service.to_owned() };
            let answer = HealthClient::new(channel.clone()).check(request).await;
            if answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(HEALTH_TIMEOUT, wait).await.expect("the service becomes healthy");
}
