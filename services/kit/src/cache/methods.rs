//! The methods that may be answered from the cache: unary ones without side effects, as the contract says.

use orrery_proto::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::method_options::IdempotencyLevel;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use rustc_hash::FxHashSet;

/// The paths (`/package.Service/Method`) of all such methods of the contract.
pub(super) fn cacheable() -> anyhow::Result<FxHashSet<String>> {
    let contract = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET)?;
    let mut paths = FxHashSet::default();
    for file in &contract.file {
        for service in &file.service {
            let safe = service.method.iter().filter(|method| is_cacheable(method));
            paths.extend(safe.map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())));
        }
    }
    Ok(paths)
}

fn is_cacheable(method: &MethodDescriptorProto) -> bool {
    let level = method.options.as_ref().map(prost_types::MethodOptions::idempotency_level);
    level == Some(IdempotencyLevel::NoSideEffects) && !method.client_streaming() && !method.server_streaming()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn reads_are_and_writes_and_streams_are_not() {
        let paths = cacheable().unwrap();
        for method in ["GetProduct", "BatchGetProducts", "ListProducts", "ResolveProducts", "GetProductMetrics"] {
            assert!(paths.contains(&format!("/orrery.catalog.v1.CatalogService/{method}")), "{method}");
        }
        for method in ["CreateProduct", "UpdateProduct", "DeleteProduct", "StreamProducts", "CheckProducts"] {
            assert!(!paths.contains(&format!("/orrery.catalog.v1.CatalogService/{method}")), "{method}");
        }
    }
}
