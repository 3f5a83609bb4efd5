-- migrate:up transaction:false
-- What ListProducts and StreamProducts read in the order of names: an order by one of many millions must not sort them. Other programs
-- store names of any length, and an entry of an index takes some 2,700 bytes.
create index concurrently if not exists product_name_idx
    on catalog.product (left(coalesce(name, ''), 128) collate "C", uid);

-- migrate:down transaction:false
drop index concurrently if exists catalog.product_name_idx;
