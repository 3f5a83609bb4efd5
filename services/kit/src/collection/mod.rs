//! The methods that every resource has: get, batch get, list, stream, check, create, update, delete and chunked write.
//! A slice makes one [`Collection`] for each resource when its service starts. Its handlers pass their requests on to
//! it, with the meaning of the resource's filter. Each method works in the same order: validate, work, answer.
//!
//! - `reads`, `writes`: the methods
//! - [`view`]: how much of a row is asked for
//!
//! Methods that only one resource has are in the slice. They use the same [`Reads`](crate::context::Reads) and
//! [`Writes`](crate::context::Writes).

mod reads;
pub mod view;
mod writes;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use orrery_proto::requests;
use tonic::{Response, Status};

use crate::context::Context;
use crate::error::Error;
use crate::read::loader::Loader;
use crate::resource::Resource;
use crate::resource::key::Key;

/// The future answer of a unary method.
pub type Unary<'a, T> = BoxFuture<'a, Result<Response<T>, Status>>;
/// The messages of a streaming method's answer.
pub type Messages<T> = BoxStream<'static, Result<T, Status>>;

/// All rows of a resource, and the methods on them.
#[derive(Debug)]
pub struct Collection {
    context: Context,
    resource: &'static Resource,
    /// The name of the row's field in requests that write one.
    singular: &'static str,
    /// Whether rows or their children have references. Only then do requests have a `reference_check`.
    points_at_others: bool,
    /// Reads whole rows.
    loader: Loader,
}

impl Collection {
    /// The rows of `resource`. Made once, when the service starts.
    pub fn new(context: &Context, resource: &'static Resource) -> Self {
        let mut resources = resource.child_tables.iter().map(|table| table.resource).chain([resource]);
        Self {
            context: context.clone(),
            resource,
            singular: snake_case(resource.noun()).leak(),
            points_at_others: resources.any(|resource| !resource.description.references.is_empty()),
            loader: Loader::new(context, resource),
        }
    }

    /// The key that a request names.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a field that no stored key can have; [`Error::Internal`] if the request names other
    /// columns than the resource's key: a mistake in the contract.
    fn key(&self, key: &requests::Key) -> Result<Key, Error> {
        if key.columns != self.resource.description.key {
            return Err(Error::internal(format!("{} is not read by {:?}", self.resource.noun(), key.columns)));
        }
        self.resource.key(&key.values)
    }
}

/// `LineItem` as a field: `line_item`.
fn snake_case(noun: &str) -> String {
    let mut name = String::with_capacity(noun.len() + 2);
    for (at, letter) in noun.char_indices() {
        if letter.is_ascii_uppercase() && at > 0 {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_field_is_named_in_lower_case_with_underscores() {
        for (noun, name) in [("Order", "order"), ("LineItem", "line_item"), ("ProductMetric", "product_metric")] {
            assert_eq!(super::snake_case(noun), name);
        }
    }
}
