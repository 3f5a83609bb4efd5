-- migrate:up transaction:false
-- What LookupOrders reads beside order_header_customer_id_idx, which finds customers whose id is written as this index
-- writes it. Collation "C" lowers A to Z and nothing else.
create index concurrently if not exists order_header_customer_id_folded_idx
    on orders.order_header (lower(normalize(customer_id, nfc)), uid)
    where customer_id <> lower(normalize(customer_id, nfc));

-- migrate:down transaction:false
drop index concurrently if exists orders.order_header_customer_id_folded_idx;
