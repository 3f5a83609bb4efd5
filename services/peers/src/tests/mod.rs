//! The clients against a peer that follows a script: each way to fail, at will. What services really answer is tested
//! against them, in the end-to-end tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scripted;

use std::time::Duration;

use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::references::ForeignReferences as _;
use orrery_proto::catalog::v1::{BatchGetProductsRequest, StreamProductsRequest, StreamProductsResponse};
use orrery_proto::codec::reason_name;
use orrery_proto::r#type::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use self::scripted::{ScriptedPeer, Step};
use crate::config::CatalogPeerConfig;
use crate::{CatalogClient, Pages};

const PATIENT: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

fn client(peer: &ScriptedPeer, timeout: Duration) -> CatalogClient {
    let address = peer.address.to_string().parse().unwrap();
    CatalogClient::new(&CatalogPeerConfig { address, timeout })
}

fn pages(peer: &ScriptedPeer, timeout: Duration, deadline: Deadline) -> Pages<StreamProductsResponse> {
    client(peer, timeout).stream_products(StreamProductsRequest::default(), deadline)
}

fn page(uid: &'static str, token: &'static str) -> Step {
    Step::Page { uid, token }
}

fn draining() -> Step {
    let details = ErrorDetails::with_error_info(reason_name(ErrorReason::Draining), "orrery", []);
    Step::Fail(Status::with_error_details(Code::Unavailable, "the service is shutting down", details))
}

fn lost() -> Step {
    Step::Fail(Status::unavailable("connection reset"))
}

/// The uid of the next page's only product; none at the end.
async fn next(pages: &mut Pages<StreamProductsResponse>) -> Result<Option<String>, Error> {
    Ok(pages.next().await?.map(|mut page| page.products.remove(0).uid))
}

/// Checks that a failure is the loss of the catalog, and tells the caller when to come back.
#[track_caller]
fn assert_unavailable(error: Error) {
    assert!(matches!(error, Error::DependencyUnavailable { service: "catalog", .. }), "{error:?}");
    let status = Status::from(error);
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
}

#[tokio::test]
async fn a_stream_continues_after_the_last_page_whatever_broke_it() {
    let peer = ScriptedPeer::start([
        vec![lost()],
        vec![page("a", "1"), page("b", "2"), lost()],
        vec![Step::Fail(Status::unknown("missing trailers"))],
        vec![page("c", "3"), draining()],
        vec![page("d", "4")],
    ])
    .await;
    let mut pages = pages(&peer, PATIENT, Deadline::none());
    for (uid, token) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")] {
        assert_eq!(next(&mut pages).await.unwrap().as_deref(), Some(uid));
        assert_eq!(pages.token(), token);
    }
    assert_eq!(next(&mut pages).await.unwrap(), None);
    assert_eq!(next(&mut pages).await.unwrap(), None, "the end stays the end");
    assert_eq!(peer.tokens(), ["", "", "2", "2", "3"]);

    // A stream can also begin after a token that another process kept.
    let peer = ScriptedPeer::start([vec![page("d", "4")]]).await;
    let kept = StreamProductsRequest { resume_token: "3".to_owned(), ..StreamProductsRequest::default() };
    let mut pages = client(&peer, PATIENT).stream_products(kept, Deadline::none());
    assert_eq!(next(&mut pages).await.unwrap().as_deref(), Some("d"));
    assert_eq!(peer.tokens(), ["3"]);
}

#[tokio::test]
async fn a_peer_that_stays_lost_is_unavailable_and_a_later_call_continues() {
    let peer = ScriptedPeer::start([vec![page("a", "1"), lost()]]).await;
    let mut pages = pages(&peer, SHORT, Deadline::none());
    assert_eq!(next(&mut pages).await.unwrap().as_deref(), Some("a"));
    // Without a script, every call is UNAVAILABLE.
    assert_unavailable(next(&mut pages).await.unwrap_err());
    assert!(peer.tokens().len() > 1, "it was not tried again");
    let request = BatchGetProductsRequest { uids: vec!["a".to_owned()], ..BatchGetProductsRequest::default() };
    assert_unavailable(client(&peer, SHORT).batch_get_products(request, Deadline::none()).await.unwrap_err());

    peer.go_on([vec![page("b", "2")]]);
    assert_eq!(next(&mut pages).await.unwrap().as_deref(), Some("b"));
    assert_eq!(peer.tokens().last().unwrap(), "1");
}

#[tokio::test]
async fn the_shorter_of_deadline_and_timeout_decides_about_a_silent_peer() {
    let silent = || vec![page("a", "1"), Step::Hang];
    let peer = ScriptedPeer::start([silent(), silent(), vec![Step::Hang]]).await;
    let mut bounded = pages(&peer, SHORT, Deadline::after(PATIENT));
    assert_eq!(next(&mut bounded).await.unwrap().as_deref(), Some("a"));
    assert_unavailable(next(&mut bounded).await.unwrap_err());
    let mut hurried = pages(&peer, PATIENT, Deadline::after(Duration::from_secs(2)));
    assert_eq!(next(&mut hurried).await.unwrap().as_deref(), Some("a"));
    assert!(matches!(next(&mut hurried).await, Err(Error::DeadlineExceeded)));
    // The same before the first page, and with a peer that is lost.
    assert_unavailable(next(&mut pages(&peer, SHORT, Deadline::none())).await.unwrap_err());
    assert!(matches!(next(&mut pages(&peer, PATIENT, Deadline::after(SHORT))).await, Err(Error::DeadlineExceeded)));
}

/// While a caller works on a page, nobody waits for the peer.
#[tokio::test]
async fn only_the_wait_for_a_page_counts() {
    let timeout = Duration::from_secs(2);
    let peer = ScriptedPeer::start([vec![page("a", "1"), lost()], vec![page("b", "2")]]).await;
    let mut pages = pages(&peer, timeout, Deadline::none());
    assert_eq!(next(&mut pages).await.unwrap().as_deref(), Some("a"));
    tokio::time::sleep(timeout * 2).await;
    assert_eq!(next(&mut pages).await.unwrap().as_deref(), Some("b"));
}

#[tokio::test]
async fn the_callers_deadline_travels_and_the_timeout_does_not_end_a_stream() {
    let peer = ScriptedPeer::start([vec![page("a", "1")], vec![page("a", "1"), lost()], vec![page("b", "2")]]).await;
    next(&mut pages(&peer, PATIENT, Deadline::none())).await.unwrap();
    let mut bounded = pages(&peer, PATIENT, Deadline::after(PATIENT * 2));
    next(&mut bounded).await.unwrap();
    next(&mut bounded).await.unwrap();
    let deadlines = peer.deadlines();
    let [None, Some(first), Some(second)] = deadlines.as_slice() else { unreachable!("{deadlines:?}") };
    assert!(*first <= PATIENT * 2 && *first > PATIENT && second < first, "{deadlines:?}");
}

#[tokio::test]
async fn what_cannot_be_right_is_internal() {
    for step in [
        page("a", ""),
        Step::Fail(Status::unimplemented("another service")),
        Step::Fail(Status::invalid_argument("the request")),
    ] {
        let peer = ScriptedPeer::start([vec![step.clone()], vec![page("a", "1")]]).await;
        let error = next(&mut pages(&peer, PATIENT, Deadline::none())).await.unwrap_err();
        assert!(matches!(error, Error::Internal(_)), "{step:?}: {error:?}");
        assert_eq!(peer.tokens().len(), 1, "{step:?}: it was tried again");
    }
    for answers in [0, 2] {
        let peer = ScriptedPeer::start([]).await;
        peer.answer_checks(answers);
        let error = client(&peer, PATIENT).missing(vec!["a".to_owned()], Deadline::none()).await.unwrap_err();
        assert!(matches!(error, Error::Internal(_)), "{answers} answers: {error:?}");
    }
    let peer = ScriptedPeer::start([]).await;
    peer.answer_checks(1);
    assert!(client(&peer, PATIENT).missing(vec!["a".to_owned()], Deadline::none()).await.unwrap().contains("a"));
}
