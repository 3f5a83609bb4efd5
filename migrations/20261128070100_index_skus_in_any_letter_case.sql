-- migrate:up transaction:false
-- What LookupOrders reads beside order_line_item_sku_idx, which finds skus that are written as this index writes them.
-- Collation "C" lowers A to Z and nothing else.
create index concurrently if not exists order_line_item_sku_folded_idx
    on orders.order_line_item (lower(normalize(sku, nfc)), order_uid)
    where sku <> lower(normalize(sku, nfc));

-- migrate:down transaction:false
drop index concurrently if exists orders.order_line_item_sku_folded_idx;
