//! The behaviour that all resources share, with the same tests for each: resources with a key of one column, of two,
//! and of three columns of two types.

#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a test stops at the first surprise")]

mod artifacts;
mod chunks;
mod deletes;
mod metrics;
mod orders;
mod product_links;
mod products;
mod reads;
mod shelves;
mod singles;
mod subject;
mod tags;
mod words;

pub(crate) use subject::{in_mode, skipping};

/// The same tests for one resource.
macro_rules! tests {
    ($module:ident, $subject:ty: $($file:ident::$test:ident),* $(,)?) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$file::$test::<$subject>().await;
                }
            )*
        }
    };
}

/// The tests of chunked writes.
macro_rules! chunked {
    ($module:ident, $subject:ty) => {
        tests!($module, $subject:
            chunks::modes_create_update_and_tell_what_they_did,
            chunks::a_named_write_goes_on_and_repeats_nothing,
            chunks::of_rows_of_one_key_the_last_one_stays,
            chunks::what_is_only_validated_is_not_written,
            deletes::a_chunk_deletes_what_is_stored_and_all_that_belongs_to_it,
            deletes::a_delete_whose_acknowledgement_was_lost_is_not_done_twice,
            deletes::a_delete_takes_no_mask,
            reads::streams_in_pages_hold_every_row_once,
        );
    };
}

/// The tests of chunked writes of rows that are nothing but their key.
macro_rules! linked {
    ($module:ident, $subject:ty) => {
        tests!($module, $subject:
            deletes::a_chunk_deletes_what_is_stored_and_all_that_belongs_to_it,
            deletes::a_delete_whose_acknowledgement_was_lost_is_not_done_twice,
            deletes::a_delete_takes_no_mask,
            reads::streams_in_pages_hold_every_row_once,
        );
    };
}

/// The tests of all methods.
macro_rules! complete {
    ($module:ident, $subject:ty) => {
        tests!($module, $subject:
            chunks::preconditions_hold_for_each_row,
            deletes::a_chunked_delete_respects_etags,
            reads::rows_are_read_by_key,
            reads::keys_without_rows_are_told,
            reads::lists_in_pages_hold_every_row_once,
            singles::a_create_is_done_once_by_its_request_id,
            singles::an_update_changes_what_its_mask_names,
            singles::a_delete_takes_all_that_belongs_to_the_row,
        );
    };
}

chunked!(chunked_products, super::products::Products);
complete!(all_of_products, super::products::Products);
chunked!(chunked_orders, super::orders::Orders);
complete!(all_of_orders, super::orders::Orders);
chunked!(chunked_metrics, super::metrics::Metrics);
chunked!(chunked_shelves, super::shelves::ShelfSubject);
complete!(all_of_shelves, super::shelves::ShelfSubject);
chunked!(chunked_tags, super::tags::Tags);
complete!(all_of_tags, super::tags::Tags);
chunked!(chunked_artifacts, super::artifacts::Artifacts);
complete!(all_of_artifacts, super::artifacts::Artifacts);
linked!(linked_products, super::product_links::ProductLinks);
