//! The gRPC services of a process, found by the name that stands in a call's path.

use std::convert::Infallible;
use std::fmt::{self, Debug, Formatter};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::Either;
use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::{Layer, Service};

/// What the server that is generated for a service returns.
type AnswerFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// The services of a slice. Cheap to clone.
///
/// tonic's [`Routes`] find a service by a table of patterns, and wrap each request and response several times on the
/// way. Here the name is compared, and the service is called.
#[derive(Clone, Debug, Default)]
pub struct Services(Arc<Vec<Named>>);

#[derive(Clone)]
struct Named {
    name: &'static str,
    service: Arc<dyn SharedService>,
}

impl Debug for Named {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// A service that many calls use at once.
trait SharedService: Send + Sync {
    fn call(&self, request: Request<Body>) -> AnswerFuture;
}

impl<S> SharedService for S
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = AnswerFuture>
        + Clone
        + Send
        + Sync,
{
    fn call(&self, request: Request<Body>) -> AnswerFuture {
        // Generated servers are always ready.
        Service::call(&mut self.clone(), request)
    }
}

impl Services {
    /// One service.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = AnswerFuture>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        Self::default().with(service)
    }

    /// These and another one.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = AnswerFuture>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        Arc::make_mut(&mut self.0).push(Named { name: S::NAME, service: Arc::new(service) });
        self
    }

    /// The service of a path, `/package.Service/Method`.
    fn of(&self, path: &str) -> Option<&dyn SharedService> {
        let (name, _method) = path.strip_prefix('/')?.split_once('/')?;
        let named = self.0.iter().find(|named| named.name == name)?;
        Some(&*named.service)
    }
}

impl<S> Layer<S> for Services {
    type Service = Dispatcher<S>;

    fn layer(&self, others: S) -> Dispatcher<S> {
        Dispatcher { services: self.clone(), others }
    }
}

/// Calls a service of the slice, or else what stands behind: health, reflection, and what answers for unknown services.
#[derive(Clone, Debug)]
pub struct Dispatcher<S = Routes> {
    services: Services,
    others: S,
}

impl<S> Service<Request<Body>> for Dispatcher<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<AnswerFuture, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.others.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.services.of(request.uri().path()) {
            Some(service) => Either::Left(service.call(request)),
            None => Either::Right(self.others.call(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::odd_service::OddService;

    #[test]
    fn a_service_is_found_by_its_whole_name() {
        let services = Services::new(OddService::new().0);
        assert!(services.of("/test.Odd/Anything").is_some());
        for path in ["/test.Oddity/Anything", "/test/Odd", "/test.Odd", "test.Odd/Anything", "//test.Odd/Anything", "/"]
        {
            assert!(services.of(path).is_none(), "{path}");
        }
    }
}
