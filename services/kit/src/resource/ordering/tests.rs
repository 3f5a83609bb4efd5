use super::*;
use crate::resource::Description;
use crate::resource::kind::{self, ColumnKind};
use crate::uid::UidKind;

const UID: UidKind = UidKind { prefix: "prd_" };
const CREATED: SortColumn = SortColumn::plain("create_ts");
const NAME: SortColumn = SortColumn::plain("name");

const FIELDS: &[(&str, &dyn ColumnKind)] = &[
    ("uid", &kind::uid(UID)),
    ("name", &kind::text(2_048)),
    ("status", &kind::status("active")),
    ("labels", &kind::labels()),
    ("annotations", &kind::annotations()),
    ("create_ts", &kind::created_at()),
    ("update_ts", &kind::updated_at()),
    ("etag", &kind::etag()),
];

/// A product whose description declares one order.
fn compiled(columns: &'static [SortColumn]) -> Result<Resource, String> {
    let orders: &'static [DeclaredOrder] = Vec::leak(vec![DeclaredOrder { index: "product_some_idx", columns }]);
    let description: &'static Description = Box::leak(Box::new(Description {
        fields: FIELDS,
        orders,
        ..Description::new("orrery.catalog.v1.Product", "catalog.product")
    }));
    Resource::try_compile(description, "products")
}

#[test]
fn an_order_that_would_lose_rows_does_not_compile() {
    const CASES: &[(&[SortColumn], &str)] = &[
        (&[], "an order has no columns"),
        (&[SortColumn::plain("colour")], "no field colour to order by"),
        (&[SortColumn::plain("status")], "rows cannot be ordered by status"),
        (&[SortColumn::plain("labels")], "rows cannot be ordered by labels"),
        (&[SortColumn::plain("etag")], "rows cannot be ordered by etag"),
        (&[NAME], "name may be null: an order by it needs an expression that is not"),
        (&[CREATED, NAME], "name may be null: an order by it needs an expression that is not"),
        (&[CREATED, CREATED], "an order has create_ts twice"),
    ];
    const FITTING: &[&[SortColumn]] = &[
        &[CREATED, SortColumn::plain("uid")],
        &[SortColumn::indexed_as("name", "coalesce(name, '')"), CREATED],
        &[SortColumn::plain("update_ts")],
    ];
    for (columns, why) in CASES {
        assert_eq!(compiled(columns).map(drop), Err((*why).to_owned()), "{columns:?}");
    }
    for columns in FITTING {
        assert_eq!(compiled(columns).map(drop), Ok(()), "{columns:?}");
    }
}
