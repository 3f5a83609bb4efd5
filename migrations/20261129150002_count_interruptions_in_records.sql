-- migrate:up
alter table records.procedure_execution add column interruptions integer not null default 0;

comment on column records.procedure_execution.interruptions is 'How many workers in a row have ended in the middle of the present step.';

-- migrate:down
alter table records.procedure_execution drop column interruptions;
