-- migrate:up transaction:false
-- What ListOrders and StreamOrders read in the order of timers. order_header_provision_timer_idx has no entries for orders without a timer;
-- they come last here.
create index concurrently if not exists order_header_provision_timer_order_idx
    on orders.order_header (coalesce(provision_timer_ts, 'infinity'), uid);

-- migrate:down transaction:false
drop index concurrently if exists orders.order_header_provision_timer_order_idx;
