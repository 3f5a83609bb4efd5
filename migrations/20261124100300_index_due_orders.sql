-- migrate:up transaction:false
-- What ClaimDueOrders reads: orders that wait for a worker, or for a worker's lease to pass. Drafts and what is done may have timers too, and
-- would be waded through at every claim.
create index concurrently if not exists order_header_due_idx on orders.order_header (provision_timer_ts, uid)
    where provision_timer_ts is not null and status ->> 'phase' in ('confirmed', 'provisioning');

-- migrate:down transaction:false
drop index concurrently if exists orders.order_header_due_idx;
