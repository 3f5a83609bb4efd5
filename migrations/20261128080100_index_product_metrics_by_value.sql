-- migrate:up transaction:false
-- What StreamProductMetrics reads in the order of values: the products with most of something.
create index concurrently if not exists product_metric_value_idx
    on catalog.product_metric (name, value, product_uid);

-- migrate:down transaction:false
drop index concurrently if exists catalog.product_metric_value_idx;
