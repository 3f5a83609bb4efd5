//! The methods that read.

use orrery_proto::requests::{self, BatchGet, Check, Get, List, Stream};
use orrery_proto::wire::Encoded;
use prost_types::FieldMask;
use tonic::{Request, Response, Status, Streaming};

use super::view::{asked_for, of_number};
use super::{Collection, Messages, Unary};
use crate::context::Call;
use crate::error::Error;
use crate::read::filter::Filter;
use crate::read::list::{self, ListRequest};
use crate::read::order::Order;
use crate::read::stream::{self, StreamRequest};
use crate::read::view::{View, mask};
use crate::read::{check, count, point};
use crate::resource::Resource;
use crate::resource::select::Selection;

/// The rows that a request for pages asks for, independent of the page.
struct PagesRequest {
    method: &'static str,
    filter: Result<Filter, Error>,
    encoded_filter: Vec<u8>,
    order_by: String,
    read_mask: Option<FieldMask>,
    view: i32,
    page_size: i32,
    token: String,
}

/// Translates a filter message into conditions. A slice has such a function for each resource.
type Meaning<F> = fn(Option<&F>) -> Result<Filter, Error>;

/// The conditions of a filter, and its encoded message.
fn conditions<F>(filter: requests::Filter<F>, meaning: Meaning<F>) -> (Result<Filter, Error>, Vec<u8>) {
    (meaning(filter.message.as_ref()), filter.encoded)
}

/// The order that a request's `order_by` names.
fn order(resource: &Resource, order_by: &str) -> Result<Order, Error> {
    Order::parse(resource, order_by).map_err(|violation| Error::Invalid(vec![violation]))
}

impl Collection {
    /// `GetX`: one row by its key; the whole row unless the request says otherwise.
    pub fn get(&self, request: Request<impl Into<Get>>) -> Unary<'_, Encoded> {
        let call = Call::of(&request);
        self.get_row(call, request.into_inner().into())
    }

    fn get_row(&self, call: Result<Call, Error>, request: Get) -> Unary<'_, Encoded> {
        Box::pin(async move {
            let call = call?;
            let reads = self.context.reads(&call);
            let Get { key, read_mask, view } = request;
            let view = of_number(self.resource, view, View::Full)?;
            let is_whole = view == View::Full && read_mask.as_ref().is_none_or(|mask| mask.paths.is_empty());
            let key = self.key(&key)?;
            let uid = self.resource.name_of(key.tuple());
            let row = if is_whole {
                self.loader.get(&reads, &key, call.deadline).await?
            } else {
                let selection = Selection::new(self.resource, &mask(self.resource, read_mask.as_ref(), view)?);
                point::get(&reads, self.resource, &selection, &key, call.deadline).await?
            };
            Ok(call.answer_row(self.resource, &uid, row)?)
        })
    }

    /// `BatchGetX`: rows by their keys, in the order of the keys, and the keys without a row. Whole rows unless the
    /// request says otherwise.
    pub fn batch_get(&self, request: Request<impl Into<BatchGet>>) -> Unary<'_, Encoded> {
        let call = Call::of(&request);
        self.get_rows(call, request.into_inner().into())
    }

    fn get_rows(&self, call: Result<Call, Error>, request: BatchGet) -> Unary<'_, Encoded> {
        Box::pin(async move {
            let call = call?;
            let reads = self.context.reads(&call);
            let BatchGet { keys, read_mask, view } = request;
            let mask = asked_for(self.resource, read_mask.as_ref(), view, View::Full)?;
            let (answers, deadline) = (call.answers, call.deadline);
            let rows = point::batch_get(&reads, self.resource, &mask, &keys, answers, deadline).await?;
            Ok(call.answer(rows)?)
        })
    }

    /// `ListX`: a page of the rows that pass a filter; `meaning` translates the filter. Lists of children are left out
    /// unless the request asks for them.
    pub fn list<F>(&self, request: Request<impl Into<List<F>>>, meaning: Meaning<F>) -> Unary<'_, Encoded> {
        let call = Call::of(&request);
        let request: List<F> = request.into_inner().into();
        let (filter, encoded_filter) = conditions(request.filter, meaning);
        let List { method, read_mask, view, page_size, page_token: token, order_by, .. } = request;
        self.list_rows(
            call,
            PagesRequest { method, filter, encoded_filter, order_by, read_mask, view, page_size, token },
        )
    }

    fn list_rows(&self, call: Result<Call, Error>, rows: PagesRequest) -> Unary<'_, Encoded> {
        Box::pin(async move {
            let call = call?;
            let reads = self.context.reads(&call);
            let list = ListRequest {
                method: rows.method,
                mask: asked_for(self.resource, rows.read_mask.as_ref(), rows.view, View::Basic)?,
                filter: rows.filter?,
                encoded_filter: rows.encoded_filter,
                order: order(self.resource, &rows.order_by)?,
                page_token: rows.token,
                page_size: rows.page_size,
                deadline: call.deadline,
                answers: call.answers,
            };
            Ok(call.answer(list::list(&reads, self.resource, list).await?)?)
        })
    }

    /// `StreamX`: all rows that pass a filter; `meaning` translates the filter. Lists of children are left out unless
    /// the request asks for them.
    pub fn stream<F>(
        &self,
        request: Request<impl Into<Stream<F>>>,
        meaning: Meaning<F>,
    ) -> Unary<'_, Messages<Encoded>> {
        let call = Call::of(&request);
        let request: Stream<F> = request.into_inner().into();
        let (filter, encoded_filter) = conditions(request.filter, meaning);
        let Stream { method, read_mask, view, page_size, resume_token: token, order_by, .. } = request;
        self.stream_rows(
            call,
            PagesRequest { method, filter, encoded_filter, order_by, read_mask, view, page_size, token },
        )
    }

    fn stream_rows(&self, call: Result<Call, Error>, rows: PagesRequest) -> Unary<'_, Messages<Encoded>> {
        Box::pin(async move {
            let call = call?;
            let reads = self.context.reads(&call);
            let stream = StreamRequest {
                method: rows.method,
                mask: asked_for(self.resource, rows.read_mask.as_ref(), rows.view, View::Basic)?,
                filter: rows.filter?,
                encoded_filter: rows.encoded_filter,
                order: order(self.resource, &rows.order_by)?,
                resume_token: rows.token,
                page_size: rows.page_size,
                call,
            };
            Ok(Response::new(stream::stream(&reads, self.resource, stream).await?))
        })
    }

    /// `CountX`: how many rows pass a filter; `filter` is its meaning.
    pub fn count<Q>(&self, request: &Request<Q>, filter: Result<Filter, Error>) -> Unary<'_, i64> {
        let call = Call::of(request);
        Box::pin(async move {
            let call = call?;
            let reads = self.context.reads(&call);
            let count = count::count(&reads, self.resource, &filter?, call.deadline).await?;
            Ok(Response::new(count))
        })
    }

    /// `CheckX`: for each request, the keys that have no row.
    ///
    /// # Errors
    /// For metadata that breaks a rule. What comes later ends the stream.
    pub fn check<Q: Check>(&self, request: Request<Streaming<Q>>) -> Result<Response<Messages<Q::Response>>, Status> {
        let call = Call::of(&request)?;
        let reads = self.context.reads(&call);
        let answers = check::check(&reads, self.resource, call, request.into_inner(), Q::keys, Q::response);
        Ok(Response::new(Box::pin(answers)))
    }
}
