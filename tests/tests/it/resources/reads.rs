//! Reads: by key, in pages, as a stream.

use orrery_proto::r#type::v1::WriteStart;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::subject::{Complete, Subject, numbers, rows};
use crate::harness::refusal;

pub(super) async fn rows_are_read_by_key<S: Complete>() {
    let service = S::new().await;
    for number in [-3, 0, 1, 5] {
        let created = service.create(S::row(number), "").await.unwrap();
        assert_eq!((S::number(&created), S::etag(&created).is_empty()), (number, false));
        assert_eq!(service.get(number).await.unwrap(), created);
    }
    let missing = service.get(4).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let named = missing.get_details_resource_info().unwrap();
    assert_eq!((named.resource_type.as_str(), named.resource_name), (S::MESSAGE, S::name(4)));
    let (found, missing) = service.batch_get(&[5, 9, -3, 5, -12, 0]).await.unwrap();
    assert_eq!((numbers::<S>(&found), missing), (vec![5, -3, 5, 0], vec![9, -12]));
    assert_eq!(found[0], service.get(5).await.unwrap());
    let none = refusal(&service.batch_get(&[]).await.unwrap_err());
    assert_eq!((none.code, none.fields), (Code::InvalidArgument, vec![S::KEYS[0].to_owned()]));
}

pub(super) async fn keys_without_rows_are_told<S: Complete>() {
    let service = S::new().await;
    service.written(WriteStart::default(), &rows::<S>([-1, 2, 3])).await;
    assert_eq!(service.check(&[3, 99, 3, -1, -2, 99]).await.unwrap(), (4, vec![99, -2]));
    assert_eq!(service.check(&[2]).await.unwrap(), (1, vec![]));
}

pub(super) async fn lists_in_pages_hold_every_row_once<S: Complete>() {
    let service = S::new().await;
    let all: Vec<i32> = (-9..12).collect();
    service.written(WriteStart::default(), &rows::<S>(all.clone())).await;
    let mut reversed = all.clone();
    reversed.reverse();
    // All were created in one transaction, at the same time; then the key decides the order.
    for (order_by, expected) in [("", &all), ("create_ts", &all), ("create_ts desc", &reversed)] {
        for page_size in [1, 2, 5, 20, 21, 22] {
            let (mut listed, mut token) = (Vec::new(), String::new());
            loop {
                let (page, next) = service.list(page_size, order_by, &token).await.unwrap();
                assert!(page.len() <= page_size as usize);
                listed.extend(numbers::<S>(&page));
                if next.is_empty() {
                    break;
                }
                token = next;
            }
            assert_eq!(listed, *expected, "pages of {page_size} by {order_by:?}");
        }
    }
    let (_, token) = service.list(5, "", "").await.unwrap();
    let other = service.list(5, "create_ts", &token).await.unwrap_err();
    assert_eq!(refusal(&other).reason, "TOKEN_MISMATCH");
}

pub(super) async fn streams_in_pages_hold_every_row_once<S: Subject>() {
    let service = S::new().await;
    let all: Vec<i32> = (-9..12).collect();
    service.written(WriteStart::default(), &rows::<S>(all.clone())).await;
    for page_size in [0, 1, 2, 5, 20, 21, 22] {
        let pages = service.stream(page_size, "").await;
        let streamed: Vec<i32> = pages.iter().flat_map(|(rows, _)| numbers::<S>(rows)).collect();
        assert_eq!(streamed, all, "pages of {page_size}");
        let mut before = 0;
        for (rows, token) in pages.iter().filter(|(_, token)| !token.is_empty()) {
            before += rows.len();
            let rest: Vec<i32> =
                service.stream(page_size, token).await.iter().flat_map(|(rows, _)| numbers::<S>(rows)).collect();
            assert_eq!(rest, all[before..], "pages of {page_size}, from row {before} on");
        }
    }
}
