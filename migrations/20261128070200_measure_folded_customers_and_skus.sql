-- migrate:up
-- How many rows have the same folded customer or sku. Postgres does not ask the partial indexes for that, and would
-- take it for one row in two hundred. The next analyze fills them, which autovacuum does by itself. None here: tables
-- that were analyzed while they were empty are planned for as empty, and prepared statements keep such a plan while
-- the tables fill.
create statistics orders.order_header_customer_id_folded
    on (lower(normalize(customer_id, nfc))) from orders.order_header;
create statistics orders.order_line_item_sku_folded
    on (lower(normalize(sku, nfc))) from orders.order_line_item;

-- migrate:down
drop statistics orders.order_line_item_sku_folded;
drop statistics orders.order_header_customer_id_folded;
