//! The contract of Orrery as Rust: messages and clients generated from the `.proto` files beside this one, servers in
//! which rows are handled as bytes ([`wire`]), typed requests by their verbs ([`requests`]), and the descriptors that
//! reflection serves.

pub mod codec;
pub mod nesting;
mod received;
pub mod requests;
pub mod wire;

/// All descriptors of the contract, encoded as a `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Requests that are decoded as a whole, and how large each may be.
mod incoming {
    include!(concat!(env!("OUT_DIR"), "/server/requests.rs"));
}

/// `orrery.type`: what every slice's contract uses.
pub mod r#type {
    /// `orrery.type.v1`.
    #[allow(missing_docs, clippy::pedantic, reason = "generated; the manual is the .proto file")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/client/orrery.r#type.v1.rs"));
    }
}

/// `orrery.catalog`: products and their metrics.
pub mod catalog {
    /// `orrery.catalog.v1`: messages and [`catalog_service_client`](v1::catalog_service_client).
    #[allow(missing_docs, clippy::pedantic, reason = "generated; the manual is the .proto file")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/client/orrery.catalog.v1.rs"));

        /// The service to implement, with rows in wire form.
        pub mod server {
            include!(concat!(env!("OUT_DIR"), "/server/orrery.catalog.v1.rs"));
            pub use catalog_service_server::*;
        }
    }
}

/// `orrery.orders`: orders with their lines, addresses and summaries.
pub mod orders {
    /// `orrery.orders.v1`: messages and [`orders_service_client`](v1::orders_service_client).
    #[allow(missing_docs, clippy::pedantic, reason = "generated; the manual is the .proto file")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/client/orrery.orders.v1.rs"));

        /// The service to implement, with rows in wire form.
        pub mod server {
            include!(concat!(env!("OUT_DIR"), "/server/orrery.orders.v1.rs"));
            pub use orders_service_server::*;
        }
    }
}

/// `orrery.records`: what people and programs say about products.
pub mod records {
    /// `orrery.records.v1`: messages, [`records_service_client`](v1::records_service_client) and
    /// [`tags_service_client`](v1::tags_service_client).
    #[allow(
        missing_docs,
        clippy::pedantic,
        clippy::large_enum_variant,
        reason = "generated; the manual is the .proto file"
    )]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/client/orrery.records.v1.rs"));

        /// The services to implement, with rows in wire form.
        pub mod server {
            include!(concat!(env!("OUT_DIR"), "/server/orrery.records.v1.rs"));
            pub use records_service_server::{RecordsService, RecordsServiceServer};
            pub use tags_service_server::{TagsService, TagsServiceServer};
        }
    }
}

/// `orrery.procedures`: background work of every slice.
pub mod procedures {
    /// `orrery.procedures.v1`: messages and [`procedures_service_client`](v1::procedures_service_client).
    #[allow(missing_docs, clippy::pedantic, reason = "generated; the manual is the .proto file")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/client/orrery.procedures.v1.rs"));

        /// The service to implement, with rows in wire form.
        pub mod server {
            include!(concat!(env!("OUT_DIR"), "/server/orrery.procedures.v1.rs"));
            pub use procedures_service_server::*;
        }
    }
}

#[cfg(test)]
mod tests;
