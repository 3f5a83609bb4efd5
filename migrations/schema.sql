\restrict ac46a2fBPbB7EKKDdFiVVa5VS3rqTXE1izz95ESfIegLjTBQy8yMYcQsCzolwQ2

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: catalog; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA catalog;


--
-- Name: SCHEMA catalog; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA catalog IS 'Products and their metrics. Owned by the catalog service.';


--
-- Name: orders; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA orders;


--
-- Name: SCHEMA orders; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA orders IS 'Orders, their lines, addresses and summaries. Owned by the orders service.';


--
-- Name: records; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA records;


--
-- Name: SCHEMA records; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA records IS 'Tags, assets, suggestions, templates, reports and documents. Owned by the records service.';


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: orphan; Type: TABLE; Schema: catalog; Owner: -
--

CREATE TABLE catalog.orphan (
    relation text NOT NULL COLLATE pg_catalog."C",
    missing_uid text NOT NULL COLLATE pg_catalog."C",
    child_uid text COLLATE pg_catalog."C",
    execution_uid text NOT NULL COLLATE pg_catalog."C",
    first_seen_ts timestamp with time zone DEFAULT now() NOT NULL,
    last_seen_ts timestamp with time zone,
    confirm_ts timestamp with time zone
);


--
-- Name: TABLE orphan; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON TABLE catalog.orphan IS 'Uids that rows refer to although nothing has them; written by the procedure detect_orphans. orrery.procedures.v1.Orphan.';


--
-- Name: COLUMN orphan.relation; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.orphan.relation IS 'The column that refers to it: SCHEMA.TABLE.COLUMN, and the key in it if it holds documents.';


--
-- Name: COLUMN orphan.missing_uid; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.orphan.missing_uid IS 'no reference: nothing has this uid';


--
-- Name: COLUMN orphan.child_uid; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.orphan.child_uid IS 'no reference: one of the rows that refer to it, in the table of the relation';


--
-- Name: COLUMN orphan.execution_uid; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.orphan.execution_uid IS 'no reference: the execution that saw it last, which may be deleted before it';


--
-- Name: COLUMN orphan.confirm_ts; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.orphan.confirm_ts IS 'When it was seen again after the grace period; null for a candidate.';


--
-- Name: procedure_execution; Type: TABLE; Schema: catalog; Owner: -
--

CREATE TABLE catalog.procedure_execution (
    uid text NOT NULL COLLATE pg_catalog."C",
    procedure text NOT NULL COLLATE pg_catalog."C",
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    request_id text COLLATE pg_catalog."C",
    phase text DEFAULT 'pending'::text NOT NULL COLLATE pg_catalog."C",
    step text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    cursor text DEFAULT ''::text NOT NULL,
    processed bigint DEFAULT 0 NOT NULL,
    total bigint DEFAULT 0 NOT NULL,
    result jsonb DEFAULT '{}'::jsonb NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    error text DEFAULT ''::text NOT NULL,
    cancel_requested boolean DEFAULT false NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    lease_ts timestamp with time zone,
    next_ts timestamp with time zone DEFAULT now(),
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    start_ts timestamp with time zone,
    update_ts timestamp with time zone DEFAULT now() NOT NULL,
    finish_ts timestamp with time zone,
    interruptions integer DEFAULT 0 NOT NULL
);


--
-- Name: TABLE procedure_execution; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON TABLE catalog.procedure_execution IS 'One run of a procedure. Its cursor moves in the transaction that writes what the step did. orrery.procedures.v1.ProcedureExecution.';


--
-- Name: COLUMN procedure_execution.request_id; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.procedure_execution.request_id IS 'The caller''s name of the request that asked for it. The same name finds it again.';


--
-- Name: COLUMN procedure_execution.phase; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.procedure_execution.phase IS 'pending, running, succeeded, failed or cancelled';


--
-- Name: COLUMN procedure_execution.cursor; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.procedure_execution.cursor IS 'Where the step continues, in the words of the procedure.';


--
-- Name: COLUMN procedure_execution.attempts; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.procedure_execution.attempts IS 'How many attempts in a row have failed at the present step.';


--
-- Name: COLUMN procedure_execution.fence; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.procedure_execution.fence IS 'Grows by one with each worker that takes the execution; only the newest may commit.';


--
-- Name: COLUMN procedure_execution.lease_ts; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.procedure_execution.lease_ts IS 'Until when its worker holds it; null if no worker does.';


--
-- Name: COLUMN procedure_execution.next_ts; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.procedure_execution.next_ts IS 'When a worker may next take it.';


--
-- Name: COLUMN procedure_execution.interruptions; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.procedure_execution.interruptions IS 'How many workers in a row have ended in the middle of the present step.';


--
-- Name: procedure_schedule; Type: TABLE; Schema: catalog; Owner: -
--

CREATE TABLE catalog.procedure_schedule (
    procedure text NOT NULL COLLATE pg_catalog."C",
    interval_micros bigint,
    jitter_micros bigint DEFAULT 0 NOT NULL,
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    next_ts timestamp with time zone,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE procedure_schedule; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON TABLE catalog.procedure_schedule IS 'When procedures run by themselves. orrery.procedures.v1.ProcedureSchedule.';


--
-- Name: COLUMN procedure_schedule.interval_micros; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.procedure_schedule.interval_micros IS 'Microseconds from one start to the next; null if the procedure does not run by itself.';


--
-- Name: COLUMN procedure_schedule.jitter_micros; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.procedure_schedule.jitter_micros IS 'Each start is later by a random part of so many microseconds.';


--
-- Name: COLUMN procedure_schedule.next_ts; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.procedure_schedule.next_ts IS 'When the next run starts.';


--
-- Name: product; Type: TABLE; Schema: catalog; Owner: -
--

CREATE TABLE catalog.product (
    uid text NOT NULL COLLATE pg_catalog."C",
    name text,
    status jsonb DEFAULT '{"phase": "active"}'::jsonb NOT NULL,
    labels jsonb DEFAULT '{}'::jsonb NOT NULL,
    annotations jsonb DEFAULT '{}'::jsonb NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE product; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON TABLE catalog.product IS 'Something that is or was for sale. orrery.catalog.v1.Product.';


--
-- Name: product_metric; Type: TABLE; Schema: catalog; Owner: -
--

CREATE TABLE catalog.product_metric (
    product_uid text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    value numeric NOT NULL,
    unit text DEFAULT ''::text NOT NULL,
    as_of_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE product_metric; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON TABLE catalog.product_metric IS 'The latest value of one measure of one product. orrery.catalog.v1.ProductMetric.';


--
-- Name: COLUMN product_metric.product_uid; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.product_metric.product_uid IS 'references catalog.product.uid on orphan delete';


--
-- Name: token_key; Type: TABLE; Schema: catalog; Owner: -
--

CREATE TABLE catalog.token_key (
    name text NOT NULL COLLATE pg_catalog."C",
    key bytea NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE token_key; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON TABLE catalog.token_key IS 'The key that seals page and resume tokens; made by the first process that needs it, shared by all replicas.';


--
-- Name: write_commit; Type: TABLE; Schema: catalog; Owner: -
--

CREATE TABLE catalog.write_commit (
    resource text NOT NULL COLLATE pg_catalog."C",
    write_id text NOT NULL COLLATE pg_catalog."C",
    first_offset bigint NOT NULL,
    row_count bigint NOT NULL,
    row_hashes bytea NOT NULL
);


--
-- Name: TABLE write_commit; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON TABLE catalog.write_commit IS 'The content of the last commits of each write: 8 bytes of hash for every row, in order.';


--
-- Name: COLUMN write_commit.write_id; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.write_commit.write_id IS 'references catalog.write_session.write_id on orphan delete';


--
-- Name: write_session; Type: TABLE; Schema: catalog; Owner: -
--

CREATE TABLE catalog.write_session (
    resource text NOT NULL COLLATE pg_catalog."C",
    write_id text NOT NULL COLLATE pg_catalog."C",
    parameters jsonb NOT NULL,
    committed_offset bigint DEFAULT 0 NOT NULL,
    fence bigint DEFAULT 1 NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE write_session; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON TABLE catalog.write_session IS 'How far each named chunked write has come. Moves in the transaction that writes the rows.';


--
-- Name: COLUMN write_session.parameters; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.write_session.parameters IS 'What the write was begun with: mode, policy, mask, reference check; the uid on single creates.';


--
-- Name: COLUMN write_session.fence; Type: COMMENT; Schema: catalog; Owner: -
--

COMMENT ON COLUMN catalog.write_session.fence IS 'Grows by one with each stream that takes the write over; only the newest may commit.';


--
-- Name: order_address; Type: TABLE; Schema: orders; Owner: -
--

CREATE TABLE orders.order_address (
    order_uid text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    name text,
    company text,
    lines jsonb DEFAULT '[]'::jsonb NOT NULL,
    city text,
    region text,
    postal_code text,
    country_code text,
    phone text,
    email text
);


--
-- Name: TABLE order_address; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON TABLE orders.order_address IS 'An address of an order. orrery.orders.v1.Address.';


--
-- Name: COLUMN order_address.order_uid; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.order_address.order_uid IS 'references orders.order_header.uid on orphan delete';


--
-- Name: COLUMN order_address.kind; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.order_address.kind IS 'billing or shipping';


--
-- Name: order_header; Type: TABLE; Schema: orders; Owner: -
--

CREATE TABLE orders.order_header (
    uid text NOT NULL COLLATE pg_catalog."C",
    customer_id text COLLATE pg_catalog."C",
    currency_code text NOT NULL COLLATE pg_catalog."C",
    revision integer DEFAULT 1 NOT NULL,
    status jsonb DEFAULT '{"phase": "draft"}'::jsonb NOT NULL,
    labels jsonb DEFAULT '{}'::jsonb NOT NULL,
    annotations jsonb DEFAULT '{}'::jsonb NOT NULL,
    provision_timer_ts timestamp with time zone,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE order_header; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON TABLE orders.order_header IS 'An order. orrery.orders.v1.Order.';


--
-- Name: COLUMN order_header.customer_id; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.order_header.customer_id IS 'Who ordered, in whatever system keeps customers.';


--
-- Name: COLUMN order_header.revision; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.order_header.revision IS 'Grows by one with every change of the order, its lines, addresses and summary.';


--
-- Name: COLUMN order_header.provision_timer_ts; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.order_header.provision_timer_ts IS 'When the order is due for provisioning; the end of the lease while a worker holds it.';


--
-- Name: order_line_item; Type: TABLE; Schema: orders; Owner: -
--

CREATE TABLE orders.order_line_item (
    order_uid text NOT NULL COLLATE pg_catalog."C",
    uid text NOT NULL COLLATE pg_catalog."C",
    line_number integer NOT NULL,
    product_uid text COLLATE pg_catalog."C",
    sku text COLLATE pg_catalog."C",
    name text,
    quantity integer DEFAULT 0 NOT NULL,
    unit_price numeric DEFAULT 0 NOT NULL,
    discount numeric DEFAULT 0 NOT NULL,
    tax numeric DEFAULT 0 NOT NULL,
    status jsonb DEFAULT '{"phase": "active"}'::jsonb NOT NULL,
    labels jsonb DEFAULT '{}'::jsonb NOT NULL,
    annotations jsonb DEFAULT '{}'::jsonb NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE order_line_item; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON TABLE orders.order_line_item IS 'A line of an order. orrery.orders.v1.LineItem.';


--
-- Name: COLUMN order_line_item.order_uid; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.order_line_item.order_uid IS 'references orders.order_header.uid on orphan delete';


--
-- Name: COLUMN order_line_item.product_uid; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.order_line_item.product_uid IS 'references catalog.product.uid on orphan report';


--
-- Name: COLUMN order_line_item.unit_price; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.order_line_item.unit_price IS 'Of one piece, in the currency of the order. As many digits after the point as were sent.';


--
-- Name: COLUMN order_line_item.discount; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.order_line_item.discount IS 'Of the whole line.';


--
-- Name: COLUMN order_line_item.tax; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.order_line_item.tax IS 'Of the whole line.';


--
-- Name: order_summary; Type: TABLE; Schema: orders; Owner: -
--

CREATE TABLE orders.order_summary (
    order_uid text NOT NULL COLLATE pg_catalog."C",
    line_count integer DEFAULT 0 NOT NULL,
    quantity bigint DEFAULT 0 NOT NULL,
    subtotal numeric DEFAULT 0 NOT NULL,
    discount numeric DEFAULT 0 NOT NULL,
    tax numeric DEFAULT 0 NOT NULL,
    shipping numeric DEFAULT 0 NOT NULL,
    total numeric DEFAULT 0 NOT NULL
);


--
-- Name: TABLE order_summary; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON TABLE orders.order_summary IS 'The sums of an order, computed by the orders service in the transaction that changes its lines. orrery.orders.v1.Summary.';


--
-- Name: COLUMN order_summary.order_uid; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.order_summary.order_uid IS 'references orders.order_header.uid on orphan delete';


--
-- Name: orphan; Type: TABLE; Schema: orders; Owner: -
--

CREATE TABLE orders.orphan (
    relation text NOT NULL COLLATE pg_catalog."C",
    missing_uid text NOT NULL COLLATE pg_catalog."C",
    child_uid text COLLATE pg_catalog."C",
    execution_uid text NOT NULL COLLATE pg_catalog."C",
    first_seen_ts timestamp with time zone DEFAULT now() NOT NULL,
    last_seen_ts timestamp with time zone,
    confirm_ts timestamp with time zone
);


--
-- Name: TABLE orphan; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON TABLE orders.orphan IS 'Uids that rows refer to although nothing has them; written by the procedure detect_orphans. orrery.procedures.v1.Orphan.';


--
-- Name: COLUMN orphan.relation; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.orphan.relation IS 'The column that refers to it: SCHEMA.TABLE.COLUMN, and the key in it if it holds documents.';


--
-- Name: COLUMN orphan.missing_uid; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.orphan.missing_uid IS 'no reference: nothing has this uid';


--
-- Name: COLUMN orphan.child_uid; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.orphan.child_uid IS 'no reference: one of the rows that refer to it, in the table of the relation';


--
-- Name: COLUMN orphan.execution_uid; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.orphan.execution_uid IS 'no reference: the execution that saw it last, which may be deleted before it';


--
-- Name: COLUMN orphan.confirm_ts; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.orphan.confirm_ts IS 'When it was seen again after the grace period; null for a candidate.';


--
-- Name: procedure_execution; Type: TABLE; Schema: orders; Owner: -
--

CREATE TABLE orders.procedure_execution (
    uid text NOT NULL COLLATE pg_catalog."C",
    procedure text NOT NULL COLLATE pg_catalog."C",
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    request_id text COLLATE pg_catalog."C",
    phase text DEFAULT 'pending'::text NOT NULL COLLATE pg_catalog."C",
    step text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    cursor text DEFAULT ''::text NOT NULL,
    processed bigint DEFAULT 0 NOT NULL,
    total bigint DEFAULT 0 NOT NULL,
    result jsonb DEFAULT '{}'::jsonb NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    error text DEFAULT ''::text NOT NULL,
    cancel_requested boolean DEFAULT false NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    lease_ts timestamp with time zone,
    next_ts timestamp with time zone DEFAULT now(),
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    start_ts timestamp with time zone,
    update_ts timestamp with time zone DEFAULT now() NOT NULL,
    finish_ts timestamp with time zone,
    interruptions integer DEFAULT 0 NOT NULL
);


--
-- Name: TABLE procedure_execution; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON TABLE orders.procedure_execution IS 'One run of a procedure. Its cursor moves in the transaction that writes what the step did. orrery.procedures.v1.ProcedureExecution.';


--
-- Name: COLUMN procedure_execution.request_id; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.procedure_execution.request_id IS 'The caller''s name of the request that asked for it. The same name finds it again.';


--
-- Name: COLUMN procedure_execution.phase; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.procedure_execution.phase IS 'pending, running, succeeded, failed or cancelled';


--
-- Name: COLUMN procedure_execution.cursor; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.procedure_execution.cursor IS 'Where the step continues, in the words of the procedure.';


--
-- Name: COLUMN procedure_execution.attempts; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.procedure_execution.attempts IS 'How many attempts in a row have failed at the present step.';


--
-- Name: COLUMN procedure_execution.fence; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.procedure_execution.fence IS 'Grows by one with each worker that takes the execution; only the newest may commit.';


--
-- Name: COLUMN procedure_execution.lease_ts; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.procedure_execution.lease_ts IS 'Until when its worker holds it; null if no worker does.';


--
-- Name: COLUMN procedure_execution.next_ts; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.procedure_execution.next_ts IS 'When a worker may next take it.';


--
-- Name: COLUMN procedure_execution.interruptions; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.procedure_execution.interruptions IS 'How many workers in a row have ended in the middle of the present step.';


--
-- Name: procedure_schedule; Type: TABLE; Schema: orders; Owner: -
--

CREATE TABLE orders.procedure_schedule (
    procedure text NOT NULL COLLATE pg_catalog."C",
    interval_micros bigint,
    jitter_micros bigint DEFAULT 0 NOT NULL,
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    next_ts timestamp with time zone,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE procedure_schedule; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON TABLE orders.procedure_schedule IS 'When procedures run by themselves. orrery.procedures.v1.ProcedureSchedule.';


--
-- Name: COLUMN procedure_schedule.interval_micros; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.procedure_schedule.interval_micros IS 'Microseconds from one start to the next; null if the procedure does not run by itself.';


--
-- Name: COLUMN procedure_schedule.jitter_micros; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.procedure_schedule.jitter_micros IS 'Each start is later by a random part of so many microseconds.';


--
-- Name: COLUMN procedure_schedule.next_ts; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.procedure_schedule.next_ts IS 'When the next run starts.';


--
-- Name: token_key; Type: TABLE; Schema: orders; Owner: -
--

CREATE TABLE orders.token_key (
    name text NOT NULL COLLATE pg_catalog."C",
    key bytea NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE token_key; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON TABLE orders.token_key IS 'The key that seals page and resume tokens; made by the first process that needs it, shared by all replicas.';


--
-- Name: write_commit; Type: TABLE; Schema: orders; Owner: -
--

CREATE TABLE orders.write_commit (
    resource text NOT NULL COLLATE pg_catalog."C",
    write_id text NOT NULL COLLATE pg_catalog."C",
    first_offset bigint NOT NULL,
    row_count bigint NOT NULL,
    row_hashes bytea NOT NULL
);


--
-- Name: TABLE write_commit; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON TABLE orders.write_commit IS 'The content of the last commits of each write: 8 bytes of hash for every row, in order.';


--
-- Name: COLUMN write_commit.write_id; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.write_commit.write_id IS 'references orders.write_session.write_id on orphan delete';


--
-- Name: write_session; Type: TABLE; Schema: orders; Owner: -
--

CREATE TABLE orders.write_session (
    resource text NOT NULL COLLATE pg_catalog."C",
    write_id text NOT NULL COLLATE pg_catalog."C",
    parameters jsonb NOT NULL,
    committed_offset bigint DEFAULT 0 NOT NULL,
    fence bigint DEFAULT 1 NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE write_session; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON TABLE orders.write_session IS 'How far each named chunked write has come. Moves in the transaction that writes the rows.';


--
-- Name: COLUMN write_session.parameters; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.write_session.parameters IS 'What the write was begun with: mode, policy, mask, reference check; the uid on single creates.';


--
-- Name: COLUMN write_session.fence; Type: COMMENT; Schema: orders; Owner: -
--

COMMENT ON COLUMN orders.write_session.fence IS 'Grows by one with each stream that takes the write over; only the newest may commit.';


--
-- Name: schema_migrations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.schema_migrations (
    version character varying NOT NULL
);


--
-- Name: identifier_series; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.identifier_series (
    name text NOT NULL COLLATE pg_catalog."C",
    last integer NOT NULL
);


--
-- Name: TABLE identifier_series; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.identifier_series IS 'The last number given to an identifier, for each beginning of identifiers. Its row is the lock under which numbers are given, in the transaction that stores the artifact, so that they have no gaps.';


--
-- Name: COLUMN identifier_series.name; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.identifier_series.name IS 'CATALOG_UID/KIND/PREFIX, for example /combo_template/SP-IPH-2-WOMEN; without a catalog it begins with the slash.';


--
-- Name: link_product_macrodata_artifact; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.link_product_macrodata_artifact (
    product_uid text NOT NULL COLLATE pg_catalog."C",
    artifact_uid text NOT NULL COLLATE pg_catalog."C",
    create_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE link_product_macrodata_artifact; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.link_product_macrodata_artifact IS 'A product that an artifact denotes. orrery.records.v1.ProductLink.';


--
-- Name: COLUMN link_product_macrodata_artifact.product_uid; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.link_product_macrodata_artifact.product_uid IS 'references catalog.product.uid on orphan delete';


--
-- Name: COLUMN link_product_macrodata_artifact.artifact_uid; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.link_product_macrodata_artifact.artifact_uid IS 'references records.macrodata_artifact.uid on orphan delete';


--
-- Name: link_product_tag; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.link_product_tag (
    product_uid text NOT NULL COLLATE pg_catalog."C",
    tag_uid text NOT NULL COLLATE pg_catalog."C",
    create_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE link_product_tag; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.link_product_tag IS 'A tag of a product. orrery.records.v1.ProductTag.';


--
-- Name: COLUMN link_product_tag.product_uid; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.link_product_tag.product_uid IS 'references catalog.product.uid on orphan delete';


--
-- Name: COLUMN link_product_tag.tag_uid; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.link_product_tag.tag_uid IS 'references records.tag.uid on orphan delete';


--
-- Name: macrodata_artifact; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.macrodata_artifact (
    uid text NOT NULL COLLATE pg_catalog."C",
    catalog_uid text COLLATE pg_catalog."C",
    kind text COLLATE pg_catalog."C",
    identifier text COLLATE pg_catalog."C",
    content_hash text COLLATE pg_catalog."C",
    revision integer DEFAULT 1 NOT NULL,
    status jsonb DEFAULT '{"phase": "active"}'::jsonb NOT NULL,
    labels jsonb DEFAULT '{}'::jsonb NOT NULL,
    annotations jsonb DEFAULT '{}'::jsonb NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL,
    body jsonb DEFAULT '{}'::jsonb NOT NULL
);


--
-- Name: TABLE macrodata_artifact; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.macrodata_artifact IS 'What people and pipelines record about products. orrery.records.v1.Artifact.';


--
-- Name: COLUMN macrodata_artifact.catalog_uid; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.macrodata_artifact.catalog_uid IS 'references records.macrodata_catalog.uid on orphan report';


--
-- Name: COLUMN macrodata_artifact.kind; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.macrodata_artifact.kind IS 'design_asset, combo_template, combo_suggestion, combo_report, classification_spec or document';


--
-- Name: COLUMN macrodata_artifact.identifier; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.macrodata_artifact.identifier IS 'What people call it. TYPE-PRODUCTS-COUNT-AUDIENCE-SEQ for combo templates and combo reports.';


--
-- Name: COLUMN macrodata_artifact.content_hash; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.macrodata_artifact.content_hash IS 'The content_hash in the body of a design asset or document: SHA-256, hexadecimal, in lower case.';


--
-- Name: COLUMN macrodata_artifact.body; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.macrodata_artifact.body IS 'The fields of the message of the kind.
body.template_uid references records.macrodata_artifact.uid on orphan report
body.report_uid references records.macrodata_artifact.uid on orphan report
body.suggestion_uid references records.macrodata_artifact.uid on orphan report
body.product_uids[] references catalog.product.uid on orphan report';


--
-- Name: macrodata_catalog; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.macrodata_catalog (
    uid text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    labels jsonb DEFAULT '{}'::jsonb NOT NULL,
    annotations jsonb DEFAULT '{}'::jsonb NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE macrodata_catalog; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.macrodata_catalog IS 'A namespace for artifacts. orrery.records.v1.MacrodataCatalog.';


--
-- Name: object_removal; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.object_removal (
    object_key text NOT NULL COLLATE pg_catalog."C",
    multipart_id text,
    remove_ts timestamp with time zone DEFAULT now() NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE object_removal; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.object_removal IS 'Objects in the document storage that belong to no document and no upload, and are to be removed.';


--
-- Name: COLUMN object_removal.multipart_id; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.object_removal.multipart_id IS 'The storage''s id of the unfinished object, if there is one.';


--
-- Name: COLUMN object_removal.remove_ts; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.object_removal.remove_ts IS 'When to remove it, or to try again.';


--
-- Name: orphan; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.orphan (
    relation text NOT NULL COLLATE pg_catalog."C",
    missing_uid text NOT NULL COLLATE pg_catalog."C",
    child_uid text COLLATE pg_catalog."C",
    execution_uid text NOT NULL COLLATE pg_catalog."C",
    first_seen_ts timestamp with time zone DEFAULT now() NOT NULL,
    last_seen_ts timestamp with time zone,
    confirm_ts timestamp with time zone
);


--
-- Name: TABLE orphan; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.orphan IS 'Uids that rows refer to although nothing has them; written by the procedure detect_orphans. orrery.procedures.v1.Orphan.';


--
-- Name: COLUMN orphan.relation; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.orphan.relation IS 'The column that refers to it: SCHEMA.TABLE.COLUMN, and the key in it if it holds documents.';


--
-- Name: COLUMN orphan.missing_uid; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.orphan.missing_uid IS 'no reference: nothing has this uid';


--
-- Name: COLUMN orphan.child_uid; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.orphan.child_uid IS 'no reference: one of the rows that refer to it, in the table of the relation';


--
-- Name: COLUMN orphan.execution_uid; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.orphan.execution_uid IS 'no reference: the execution that saw it last, which may be deleted before it';


--
-- Name: COLUMN orphan.confirm_ts; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.orphan.confirm_ts IS 'When it was seen again after the grace period; null for a candidate.';


--
-- Name: owner_lock; Type: TABLE; Schema: records; Owner: -
--

CREATE UNLOGGED TABLE records.owner_lock (
    owner text NOT NULL COLLATE pg_catalog."C",
    resource text NOT NULL COLLATE pg_catalog."C"
);


--
-- Name: TABLE owner_lock; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.owner_lock IS 'Locks owners whose rows are being replaced, for example products whose tags are. Its rows are never committed.';


--
-- Name: procedure_execution; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.procedure_execution (
    uid text NOT NULL COLLATE pg_catalog."C",
    procedure text NOT NULL COLLATE pg_catalog."C",
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    request_id text COLLATE pg_catalog."C",
    phase text DEFAULT 'pending'::text NOT NULL COLLATE pg_catalog."C",
    step text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    cursor text DEFAULT ''::text NOT NULL,
    processed bigint DEFAULT 0 NOT NULL,
    total bigint DEFAULT 0 NOT NULL,
    result jsonb DEFAULT '{}'::jsonb NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    error text DEFAULT ''::text NOT NULL,
    cancel_requested boolean DEFAULT false NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    lease_ts timestamp with time zone,
    next_ts timestamp with time zone DEFAULT now(),
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    start_ts timestamp with time zone,
    update_ts timestamp with time zone DEFAULT now() NOT NULL,
    finish_ts timestamp with time zone,
    interruptions integer DEFAULT 0 NOT NULL
);


--
-- Name: TABLE procedure_execution; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.procedure_execution IS 'One run of a procedure. Its cursor moves in the transaction that writes what the step did. orrery.procedures.v1.ProcedureExecution.';


--
-- Name: COLUMN procedure_execution.request_id; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.procedure_execution.request_id IS 'The caller''s name of the request that asked for it. The same name finds it again.';


--
-- Name: COLUMN procedure_execution.phase; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.procedure_execution.phase IS 'pending, running, succeeded, failed or cancelled';


--
-- Name: COLUMN procedure_execution.cursor; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.procedure_execution.cursor IS 'Where the step continues, in the words of the procedure.';


--
-- Name: COLUMN procedure_execution.attempts; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.procedure_execution.attempts IS 'How many attempts in a row have failed at the present step.';


--
-- Name: COLUMN procedure_execution.fence; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.procedure_execution.fence IS 'Grows by one with each worker that takes the execution; only the newest may commit.';


--
-- Name: COLUMN procedure_execution.lease_ts; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.procedure_execution.lease_ts IS 'Until when its worker holds it; null if no worker does.';


--
-- Name: COLUMN procedure_execution.next_ts; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.procedure_execution.next_ts IS 'When a worker may next take it.';


--
-- Name: COLUMN procedure_execution.interruptions; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.procedure_execution.interruptions IS 'How many workers in a row have ended in the middle of the present step.';


--
-- Name: procedure_schedule; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.procedure_schedule (
    procedure text NOT NULL COLLATE pg_catalog."C",
    interval_micros bigint,
    jitter_micros bigint DEFAULT 0 NOT NULL,
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    next_ts timestamp with time zone,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE procedure_schedule; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.procedure_schedule IS 'When procedures run by themselves. orrery.procedures.v1.ProcedureSchedule.';


--
-- Name: COLUMN procedure_schedule.interval_micros; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.procedure_schedule.interval_micros IS 'Microseconds from one start to the next; null if the procedure does not run by itself.';


--
-- Name: COLUMN procedure_schedule.jitter_micros; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.procedure_schedule.jitter_micros IS 'Each start is later by a random part of so many microseconds.';


--
-- Name: COLUMN procedure_schedule.next_ts; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.procedure_schedule.next_ts IS 'When the next run starts.';


--
-- Name: product_performance; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.product_performance (
    product_uid text NOT NULL COLLATE pg_catalog."C",
    generation bigint NOT NULL,
    currency_code text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    metric_name text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    units numeric DEFAULT 0 NOT NULL,
    gross numeric DEFAULT 0 NOT NULL,
    units_7d numeric DEFAULT 0 NOT NULL,
    gross_7d numeric DEFAULT 0 NOT NULL,
    units_30d numeric DEFAULT 0 NOT NULL,
    gross_30d numeric DEFAULT 0 NOT NULL,
    units_90d numeric DEFAULT 0 NOT NULL,
    gross_90d numeric DEFAULT 0 NOT NULL,
    value numeric DEFAULT 0 NOT NULL
);


--
-- Name: TABLE product_performance; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.product_performance IS 'What a rebuild found out about each product: its sales by currency, and the latest value of each metric.';


--
-- Name: COLUMN product_performance.product_uid; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.product_performance.product_uid IS 'references catalog.product.uid on orphan delete';


--
-- Name: tag; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.tag (
    uid text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    status jsonb DEFAULT '{"phase": "active"}'::jsonb NOT NULL,
    labels jsonb DEFAULT '{}'::jsonb NOT NULL,
    annotations jsonb DEFAULT '{}'::jsonb NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE tag; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.tag IS 'What products are tagged with. orrery.records.v1.Tag.';


--
-- Name: tag_classification; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.tag_classification (
    tag_uid text NOT NULL COLLATE pg_catalog."C",
    category_name text NOT NULL COLLATE pg_catalog."C",
    tag_name text,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE tag_classification; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.tag_classification IS 'The category of a tag, at most one. orrery.records.v1.TagClassification.';


--
-- Name: COLUMN tag_classification.tag_uid; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.tag_classification.tag_uid IS 'references records.tag.uid on orphan delete';


--
-- Name: COLUMN tag_classification.tag_name; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.tag_classification.tag_name IS 'The name of the tag, changed in the transaction that renames it. Null while there is no such tag.';


--
-- Name: tag_group; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.tag_group (
    uid text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    tag_uids jsonb DEFAULT '[]'::jsonb NOT NULL,
    labels jsonb DEFAULT '{}'::jsonb NOT NULL,
    annotations jsonb DEFAULT '{}'::jsonb NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE tag_group; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.tag_group IS 'A named set of tags. orrery.records.v1.TagGroup.';


--
-- Name: COLUMN tag_group.tag_uids; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.tag_group.tag_uids IS 'tag_uids[] references records.tag.uid on orphan report';


--
-- Name: tag_performance_aggregate; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.tag_performance_aggregate (
    tag_uid text NOT NULL COLLATE pg_catalog."C",
    generation bigint NOT NULL,
    currency_code text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    metric_name text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    product_count bigint DEFAULT 0 NOT NULL,
    units numeric DEFAULT 0 NOT NULL,
    gross numeric DEFAULT 0 NOT NULL,
    units_7d numeric DEFAULT 0 NOT NULL,
    gross_7d numeric DEFAULT 0 NOT NULL,
    units_30d numeric DEFAULT 0 NOT NULL,
    gross_30d numeric DEFAULT 0 NOT NULL,
    units_90d numeric DEFAULT 0 NOT NULL,
    gross_90d numeric DEFAULT 0 NOT NULL,
    value numeric DEFAULT 0 NOT NULL
);


--
-- Name: TABLE tag_performance_aggregate; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.tag_performance_aggregate IS 'The sums of product_performance over the products of each tag. orrery.records.v1.TagPerformance.';


--
-- Name: COLUMN tag_performance_aggregate.tag_uid; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.tag_performance_aggregate.tag_uid IS 'references records.tag.uid on orphan delete';


--
-- Name: COLUMN tag_performance_aggregate.product_count; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.tag_performance_aggregate.product_count IS 'The products that have the tag; in rows with a currency or metric those that were sold in it or have it.';


--
-- Name: tag_performance_refresh; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.tag_performance_refresh (
    generation bigint NOT NULL,
    phase text NOT NULL COLLATE pg_catalog."C",
    step text NOT NULL COLLATE pg_catalog."C",
    cursor text DEFAULT ''::text NOT NULL,
    day_as_of text NOT NULL COLLATE pg_catalog."C",
    time_zone text NOT NULL COLLATE pg_catalog."C",
    fence bigint DEFAULT 1 NOT NULL,
    processed bigint DEFAULT 0 NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL,
    finish_ts timestamp with time zone
);


--
-- Name: TABLE tag_performance_refresh; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.tag_performance_refresh IS 'How far each rebuild of the performance of tags has come. Its cursor moves in the transaction that writes the rows.';


--
-- Name: COLUMN tag_performance_refresh.phase; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.tag_performance_refresh.phase IS 'running, current, retired or abandoned; readers see the current one';


--
-- Name: COLUMN tag_performance_refresh.fence; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.tag_performance_refresh.fence IS 'Grows by one with each call that continues the rebuild; only the newest may commit.';


--
-- Name: token_key; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.token_key (
    name text NOT NULL COLLATE pg_catalog."C",
    key bytea NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE token_key; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.token_key IS 'The key that seals page and resume tokens; made by the first process that needs it, shared by all replicas.';


--
-- Name: upload; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.upload (
    upload_id text NOT NULL COLLATE pg_catalog."C",
    object_key text NOT NULL COLLATE pg_catalog."C",
    content_hash bytea NOT NULL,
    part_bytes bigint NOT NULL,
    committed_offset bigint DEFAULT 0 NOT NULL,
    multipart_id text,
    part_ids text[] DEFAULT '{}'::text[] NOT NULL,
    hash_state bytea,
    stored_bytes bigint,
    fence bigint DEFAULT 1 NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL,
    expire_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE upload; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.upload IS 'Uploads whose content is not yet that of a document. A row is written before its object, and deleted in the transaction that gives the object to a document.';


--
-- Name: COLUMN upload.upload_id; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.upload.upload_id IS 'The caller''s name of the upload. The same name continues it.';


--
-- Name: COLUMN upload.object_key; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.upload.object_key IS 'The key of the object in the document storage.';


--
-- Name: COLUMN upload.content_hash; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.upload.content_hash IS 'The SHA-256 that the whole content must have.';


--
-- Name: COLUMN upload.part_bytes; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.upload.part_bytes IS 'The size of every part but the last.';


--
-- Name: COLUMN upload.committed_offset; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.upload.committed_offset IS 'The number of bytes that are stored in parts.';


--
-- Name: COLUMN upload.multipart_id; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.upload.multipart_id IS 'The storage''s id of the unfinished object; null before the first part.';


--
-- Name: COLUMN upload.part_ids; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.upload.part_ids IS 'The storage''s ids of the parts, in order.';


--
-- Name: COLUMN upload.hash_state; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.upload.hash_state IS 'The state of SHA-256 at committed_offset.';


--
-- Name: COLUMN upload.stored_bytes; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.upload.stored_bytes IS 'The size of the finished object; null before.';


--
-- Name: COLUMN upload.fence; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.upload.fence IS 'Grows by one with each stream that takes the upload over; only the newest may change it.';


--
-- Name: COLUMN upload.expire_ts; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.upload.expire_ts IS 'When the upload is given up, unless another part arrives.';


--
-- Name: write_commit; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.write_commit (
    resource text NOT NULL COLLATE pg_catalog."C",
    write_id text NOT NULL COLLATE pg_catalog."C",
    first_offset bigint NOT NULL,
    row_count bigint NOT NULL,
    row_hashes bytea NOT NULL
);


--
-- Name: TABLE write_commit; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.write_commit IS 'The content of the last commits of each write: 8 bytes of hash for every row, in order.';


--
-- Name: COLUMN write_commit.write_id; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.write_commit.write_id IS 'references records.write_session.write_id on orphan delete';


--
-- Name: write_session; Type: TABLE; Schema: records; Owner: -
--

CREATE TABLE records.write_session (
    resource text NOT NULL COLLATE pg_catalog."C",
    write_id text NOT NULL COLLATE pg_catalog."C",
    parameters jsonb NOT NULL,
    committed_offset bigint DEFAULT 0 NOT NULL,
    fence bigint DEFAULT 1 NOT NULL,
    create_ts timestamp with time zone DEFAULT now() NOT NULL,
    update_ts timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE write_session; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON TABLE records.write_session IS 'How far each named chunked write has come. Moves in the transaction that writes the rows.';


--
-- Name: COLUMN write_session.parameters; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.write_session.parameters IS 'What the write was begun with: mode, policy, mask, reference check; the uid on single creates.';


--
-- Name: COLUMN write_session.fence; Type: COMMENT; Schema: records; Owner: -
--

COMMENT ON COLUMN records.write_session.fence IS 'Grows by one with each stream that takes the write over; only the newest may commit.';


--
-- Name: orphan orphan_pkey; Type: CONSTRAINT; Schema: catalog; Owner: -
--

ALTER TABLE ONLY catalog.orphan
    ADD CONSTRAINT orphan_pkey PRIMARY KEY (relation, missing_uid);


--
-- Name: procedure_execution procedure_execution_pkey; Type: CONSTRAINT; Schema: catalog; Owner: -
--

ALTER TABLE ONLY catalog.procedure_execution
    ADD CONSTRAINT procedure_execution_pkey PRIMARY KEY (uid);


--
-- Name: procedure_schedule procedure_schedule_pkey; Type: CONSTRAINT; Schema: catalog; Owner: -
--

ALTER TABLE ONLY catalog.procedure_schedule
    ADD CONSTRAINT procedure_schedule_pkey PRIMARY KEY (procedure);


--
-- Name: product_metric product_metric_pkey; Type: CONSTRAINT; Schema: catalog; Owner: -
--

ALTER TABLE ONLY catalog.product_metric
    ADD CONSTRAINT product_metric_pkey PRIMARY KEY (product_uid, name);


--
-- Name: product product_pkey; Type: CONSTRAINT; Schema: catalog; Owner: -
--

ALTER TABLE ONLY catalog.product
    ADD CONSTRAINT product_pkey PRIMARY KEY (uid);


--
-- Name: token_key token_key_pkey; Type: CONSTRAINT; Schema: catalog; Owner: -
--

ALTER TABLE ONLY catalog.token_key
    ADD CONSTRAINT token_key_pkey PRIMARY KEY (name);


--
-- Name: write_commit write_commit_pkey; Type: CONSTRAINT; Schema: catalog; Owner: -
--

ALTER TABLE ONLY catalog.write_commit
    ADD CONSTRAINT write_commit_pkey PRIMARY KEY (resource, write_id, first_offset);


--
-- Name: write_session write_session_pkey; Type: CONSTRAINT; Schema: catalog; Owner: -
--

ALTER TABLE ONLY catalog.write_session
    ADD CONSTRAINT write_session_pkey PRIMARY KEY (resource, write_id);


--
-- Name: order_address order_address_pkey; Type: CONSTRAINT; Schema: orders; Owner: -
--

ALTER TABLE ONLY orders.order_address
    ADD CONSTRAINT order_address_pkey PRIMARY KEY (order_uid, kind);


--
-- Name: order_header order_header_pkey; Type: CONSTRAINT; Schema: orders; Owner: -
--

ALTER TABLE ONLY orders.order_header
    ADD CONSTRAINT order_header_pkey PRIMARY KEY (uid);


--
-- Name: order_line_item order_line_item_pkey; Type: CONSTRAINT; Schema: orders; Owner: -
--

ALTER TABLE ONLY orders.order_line_item
    ADD CONSTRAINT order_line_item_pkey PRIMARY KEY (order_uid, uid);


--
-- Name: order_summary order_summary_pkey; Type: CONSTRAINT; Schema: orders; Owner: -
--

ALTER TABLE ONLY orders.order_summary
    ADD CONSTRAINT order_summary_pkey PRIMARY KEY (order_uid);


--
-- Name: orphan orphan_pkey; Type: CONSTRAINT; Schema: orders; Owner: -
--

ALTER TABLE ONLY orders.orphan
    ADD CONSTRAINT orphan_pkey PRIMARY KEY (relation, missing_uid);


--
-- Name: procedure_execution procedure_execution_pkey; Type: CONSTRAINT; Schema: orders; Owner: -
--

ALTER TABLE ONLY orders.procedure_execution
    ADD CONSTRAINT procedure_execution_pkey PRIMARY KEY (uid);


--
-- Name: procedure_schedule procedure_schedule_pkey; Type: CONSTRAINT; Schema: orders; Owner: -
--

ALTER TABLE ONLY orders.procedure_schedule
    ADD CONSTRAINT procedure_schedule_pkey PRIMARY KEY (procedure);


--
-- Name: token_key token_key_pkey; Type: CONSTRAINT; Schema: orders; Owner: -
--

ALTER TABLE ONLY orders.token_key
    ADD CONSTRAINT token_key_pkey PRIMARY KEY (name);


--
-- Name: write_commit write_commit_pkey; Type: CONSTRAINT; Schema: orders; Owner: -
--

ALTER TABLE ONLY orders.write_commit
    ADD CONSTRAINT write_commit_pkey PRIMARY KEY (resource, write_id, first_offset);


--
-- Name: write_session write_session_pkey; Type: CONSTRAINT; Schema: orders; Owner: -
--

ALTER TABLE ONLY orders.write_session
    ADD CONSTRAINT write_session_pkey PRIMARY KEY (resource, write_id);


--
-- Name: schema_migrations schema_migrations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);


--
-- Name: identifier_series identifier_series_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.identifier_series
    ADD CONSTRAINT identifier_series_pkey PRIMARY KEY (name);


--
-- Name: link_product_macrodata_artifact link_product_macrodata_artifact_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.link_product_macrodata_artifact
    ADD CONSTRAINT link_product_macrodata_artifact_pkey PRIMARY KEY (product_uid, artifact_uid);


--
-- Name: link_product_tag link_product_tag_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.link_product_tag
    ADD CONSTRAINT link_product_tag_pkey PRIMARY KEY (product_uid, tag_uid);


--
-- Name: macrodata_artifact macrodata_artifact_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.macrodata_artifact
    ADD CONSTRAINT macrodata_artifact_pkey PRIMARY KEY (uid);


--
-- Name: macrodata_catalog macrodata_catalog_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.macrodata_catalog
    ADD CONSTRAINT macrodata_catalog_pkey PRIMARY KEY (uid);


--
-- Name: object_removal object_removal_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.object_removal
    ADD CONSTRAINT object_removal_pkey PRIMARY KEY (object_key);


--
-- Name: orphan orphan_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.orphan
    ADD CONSTRAINT orphan_pkey PRIMARY KEY (relation, missing_uid);


--
-- Name: owner_lock owner_lock_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.owner_lock
    ADD CONSTRAINT owner_lock_pkey PRIMARY KEY (owner, resource);


--
-- Name: procedure_execution procedure_execution_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.procedure_execution
    ADD CONSTRAINT procedure_execution_pkey PRIMARY KEY (uid);


--
-- Name: procedure_schedule procedure_schedule_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.procedure_schedule
    ADD CONSTRAINT procedure_schedule_pkey PRIMARY KEY (procedure);


--
-- Name: product_performance product_performance_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.product_performance
    ADD CONSTRAINT product_performance_pkey PRIMARY KEY (product_uid, generation, currency_code, metric_name);


--
-- Name: tag_classification tag_classification_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.tag_classification
    ADD CONSTRAINT tag_classification_pkey PRIMARY KEY (tag_uid);


--
-- Name: tag_group tag_group_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.tag_group
    ADD CONSTRAINT tag_group_pkey PRIMARY KEY (uid);


--
-- Name: tag_performance_aggregate tag_performance_aggregate_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.tag_performance_aggregate
    ADD CONSTRAINT tag_performance_aggregate_pkey PRIMARY KEY (tag_uid, generation, currency_code, metric_name);


--
-- Name: tag_performance_refresh tag_performance_refresh_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.tag_performance_refresh
    ADD CONSTRAINT tag_performance_refresh_pkey PRIMARY KEY (generation);


--
-- Name: tag tag_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.tag
    ADD CONSTRAINT tag_pkey PRIMARY KEY (uid);


--
-- Name: token_key token_key_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.token_key
    ADD CONSTRAINT token_key_pkey PRIMARY KEY (name);


--
-- Name: upload upload_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.upload
    ADD CONSTRAINT upload_pkey PRIMARY KEY (upload_id);


--
-- Name: write_commit write_commit_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.write_commit
    ADD CONSTRAINT write_commit_pkey PRIMARY KEY (resource, write_id, first_offset);


--
-- Name: write_session write_session_pkey; Type: CONSTRAINT; Schema: records; Owner: -
--

ALTER TABLE ONLY records.write_session
    ADD CONSTRAINT write_session_pkey PRIMARY KEY (resource, write_id);


--
-- Name: procedure_execution_create_ts_idx; Type: INDEX; Schema: catalog; Owner: -
--

CREATE INDEX procedure_execution_create_ts_idx ON catalog.procedure_execution USING btree (create_ts, uid);


--
-- Name: procedure_execution_finish_ts_idx; Type: INDEX; Schema: catalog; Owner: -
--

CREATE INDEX procedure_execution_finish_ts_idx ON catalog.procedure_execution USING btree (finish_ts, uid) WHERE (finish_ts IS NOT NULL);


--
-- Name: procedure_execution_next_ts_idx; Type: INDEX; Schema: catalog; Owner: -
--

CREATE INDEX procedure_execution_next_ts_idx ON catalog.procedure_execution USING btree (next_ts, uid) WHERE (phase = ANY (ARRAY['pending'::text, 'running'::text]));


--
-- Name: procedure_execution_procedure_idx; Type: INDEX; Schema: catalog; Owner: -
--

CREATE INDEX procedure_execution_procedure_idx ON catalog.procedure_execution USING btree (procedure, uid);


--
-- Name: procedure_execution_request_id_idx; Type: INDEX; Schema: catalog; Owner: -
--

CREATE UNIQUE INDEX procedure_execution_request_id_idx ON catalog.procedure_execution USING btree (request_id) WHERE (request_id IS NOT NULL);


--
-- Name: procedure_execution_running_idx; Type: INDEX; Schema: catalog; Owner: -
--

CREATE UNIQUE INDEX procedure_execution_running_idx ON catalog.procedure_execution USING btree (procedure) WHERE (phase = 'running'::text);


--
-- Name: product_create_ts_idx; Type: INDEX; Schema: catalog; Owner: -
--

CREATE INDEX product_create_ts_idx ON catalog.product USING btree (create_ts, uid);


--
-- Name: product_labels_idx; Type: INDEX; Schema: catalog; Owner: -
--

CREATE INDEX product_labels_idx ON catalog.product USING gin (labels) WITH (gin_pending_list_limit='1024');


--
-- Name: product_metric_value_idx; Type: INDEX; Schema: catalog; Owner: -
--

CREATE INDEX product_metric_value_idx ON catalog.product_metric USING btree (name, value, product_uid);


--
-- Name: product_name_idx; Type: INDEX; Schema: catalog; Owner: -
--

CREATE INDEX product_name_idx ON catalog.product USING btree ("left"(COALESCE(name, ''::text), 128) COLLATE "C", uid);


--
-- Name: product_phase_idx; Type: INDEX; Schema: catalog; Owner: -
--

CREATE INDEX product_phase_idx ON catalog.product USING btree (((status ->> 'phase'::text)), uid);


--
-- Name: product_update_ts_idx; Type: INDEX; Schema: catalog; Owner: -
--

CREATE INDEX product_update_ts_idx ON catalog.product USING btree (update_ts, uid);


--
-- Name: write_session_update_ts_idx; Type: INDEX; Schema: catalog; Owner: -
--

CREATE INDEX write_session_update_ts_idx ON catalog.write_session USING btree (update_ts);


--
-- Name: order_header_annotations_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX order_header_annotations_idx ON orders.order_header USING gin (annotations jsonb_path_ops) WITH (gin_pending_list_limit='1024');


--
-- Name: order_header_create_ts_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX order_header_create_ts_idx ON orders.order_header USING btree (create_ts, uid);


--
-- Name: order_header_customer_id_folded_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX order_header_customer_id_folded_idx ON orders.order_header USING btree (lower(NORMALIZE(customer_id, NFC)), uid) WHERE (customer_id <> lower(NORMALIZE(customer_id, NFC)));


--
-- Name: order_header_customer_id_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX order_header_customer_id_idx ON orders.order_header USING btree (customer_id, uid);


--
-- Name: order_header_due_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX order_header_due_idx ON orders.order_header USING btree (provision_timer_ts, uid) WHERE ((provision_timer_ts IS NOT NULL) AND ((status ->> 'phase'::text) = ANY (ARRAY['confirmed'::text, 'provisioning'::text])));


--
-- Name: order_header_labels_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX order_header_labels_idx ON orders.order_header USING gin (labels) WITH (gin_pending_list_limit='1024');


--
-- Name: order_header_phase_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX order_header_phase_idx ON orders.order_header USING btree (((status ->> 'phase'::text)), uid);


--
-- Name: order_header_provision_timer_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX order_header_provision_timer_idx ON orders.order_header USING btree (provision_timer_ts, uid) WHERE (provision_timer_ts IS NOT NULL);


--
-- Name: order_header_provision_timer_order_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX order_header_provision_timer_order_idx ON orders.order_header USING btree (COALESCE(provision_timer_ts, 'infinity'::timestamp with time zone), uid);


--
-- Name: order_header_update_ts_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX order_header_update_ts_idx ON orders.order_header USING btree (update_ts, uid);


--
-- Name: order_line_item_line_number_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX order_line_item_line_number_idx ON orders.order_line_item USING btree (order_uid, line_number, uid);


--
-- Name: order_line_item_product_uid_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX order_line_item_product_uid_idx ON orders.order_line_item USING btree (product_uid, order_uid) WHERE (product_uid IS NOT NULL);


--
-- Name: order_line_item_sku_folded_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX order_line_item_sku_folded_idx ON orders.order_line_item USING btree (lower(NORMALIZE(sku, NFC)), order_uid) WHERE (sku <> lower(NORMALIZE(sku, NFC)));


--
-- Name: order_line_item_sku_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX order_line_item_sku_idx ON orders.order_line_item USING btree (sku, order_uid) WHERE (sku IS NOT NULL);


--
-- Name: procedure_execution_create_ts_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX procedure_execution_create_ts_idx ON orders.procedure_execution USING btree (create_ts, uid);


--
-- Name: procedure_execution_finish_ts_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX procedure_execution_finish_ts_idx ON orders.procedure_execution USING btree (finish_ts, uid) WHERE (finish_ts IS NOT NULL);


--
-- Name: procedure_execution_next_ts_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX procedure_execution_next_ts_idx ON orders.procedure_execution USING btree (next_ts, uid) WHERE (phase = ANY (ARRAY['pending'::text, 'running'::text]));


--
-- Name: procedure_execution_procedure_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX procedure_execution_procedure_idx ON orders.procedure_execution USING btree (procedure, uid);


--
-- Name: procedure_execution_request_id_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE UNIQUE INDEX procedure_execution_request_id_idx ON orders.procedure_execution USING btree (request_id) WHERE (request_id IS NOT NULL);


--
-- Name: procedure_execution_running_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE UNIQUE INDEX procedure_execution_running_idx ON orders.procedure_execution USING btree (procedure) WHERE (phase = 'running'::text);


--
-- Name: write_session_update_ts_idx; Type: INDEX; Schema: orders; Owner: -
--

CREATE INDEX write_session_update_ts_idx ON orders.write_session USING btree (update_ts);


--
-- Name: link_product_macrodata_artifact_artifact_uid_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX link_product_macrodata_artifact_artifact_uid_idx ON records.link_product_macrodata_artifact USING btree (artifact_uid, product_uid);


--
-- Name: link_product_tag_tag_uid_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX link_product_tag_tag_uid_idx ON records.link_product_tag USING btree (tag_uid, product_uid);


--
-- Name: macrodata_artifact_catalog_uid_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX macrodata_artifact_catalog_uid_idx ON records.macrodata_artifact USING btree (catalog_uid, uid) WHERE (catalog_uid IS NOT NULL);


--
-- Name: macrodata_artifact_content_hash_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX macrodata_artifact_content_hash_idx ON records.macrodata_artifact USING btree (content_hash, uid) WHERE (content_hash IS NOT NULL);


--
-- Name: macrodata_artifact_create_ts_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX macrodata_artifact_create_ts_idx ON records.macrodata_artifact USING btree (create_ts, uid);


--
-- Name: macrodata_artifact_design_asset_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE UNIQUE INDEX macrodata_artifact_design_asset_idx ON records.macrodata_artifact USING btree ((
CASE
    WHEN (kind = 'design_asset'::text) THEN content_hash
    ELSE NULL::text
END));


--
-- Name: macrodata_artifact_identifier_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE UNIQUE INDEX macrodata_artifact_identifier_idx ON records.macrodata_artifact USING btree (identifier, kind, COALESCE(catalog_uid, ''::text));


--
-- Name: macrodata_artifact_kind_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX macrodata_artifact_kind_idx ON records.macrodata_artifact USING btree (kind, uid);


--
-- Name: macrodata_artifact_labels_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX macrodata_artifact_labels_idx ON records.macrodata_artifact USING gin (labels) WITH (gin_pending_list_limit='1024');


--
-- Name: macrodata_artifact_phase_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX macrodata_artifact_phase_idx ON records.macrodata_artifact USING btree (((status ->> 'phase'::text)), uid);


--
-- Name: macrodata_artifact_template_uid_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX macrodata_artifact_template_uid_idx ON records.macrodata_artifact USING btree (((body ->> 'template_uid'::text)), uid) WHERE ((body ->> 'template_uid'::text) IS NOT NULL);


--
-- Name: macrodata_artifact_update_ts_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX macrodata_artifact_update_ts_idx ON records.macrodata_artifact USING btree (update_ts, uid);


--
-- Name: macrodata_catalog_create_ts_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX macrodata_catalog_create_ts_idx ON records.macrodata_catalog USING btree (create_ts, uid);


--
-- Name: macrodata_catalog_labels_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX macrodata_catalog_labels_idx ON records.macrodata_catalog USING gin (labels) WITH (gin_pending_list_limit='1024');


--
-- Name: macrodata_catalog_name_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE UNIQUE INDEX macrodata_catalog_name_idx ON records.macrodata_catalog USING btree (lower(name));


--
-- Name: macrodata_catalog_name_order_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX macrodata_catalog_name_order_idx ON records.macrodata_catalog USING btree ("left"(name, 128) COLLATE "C", uid);


--
-- Name: macrodata_catalog_update_ts_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX macrodata_catalog_update_ts_idx ON records.macrodata_catalog USING btree (update_ts, uid);


--
-- Name: object_removal_remove_ts_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX object_removal_remove_ts_idx ON records.object_removal USING btree (remove_ts);


--
-- Name: procedure_execution_create_ts_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX procedure_execution_create_ts_idx ON records.procedure_execution USING btree (create_ts, uid);


--
-- Name: procedure_execution_finish_ts_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX procedure_execution_finish_ts_idx ON records.procedure_execution USING btree (finish_ts, uid) WHERE (finish_ts IS NOT NULL);


--
-- Name: procedure_execution_next_ts_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX procedure_execution_next_ts_idx ON records.procedure_execution USING btree (next_ts, uid) WHERE (phase = ANY (ARRAY['pending'::text, 'running'::text]));


--
-- Name: procedure_execution_procedure_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX procedure_execution_procedure_idx ON records.procedure_execution USING btree (procedure, uid);


--
-- Name: procedure_execution_request_id_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE UNIQUE INDEX procedure_execution_request_id_idx ON records.procedure_execution USING btree (request_id) WHERE (request_id IS NOT NULL);


--
-- Name: procedure_execution_running_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE UNIQUE INDEX procedure_execution_running_idx ON records.procedure_execution USING btree (procedure) WHERE (phase = 'running'::text);


--
-- Name: tag_classification_category_name_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE UNIQUE INDEX tag_classification_category_name_idx ON records.tag_classification USING btree (category_name, tag_name);


--
-- Name: tag_classification_category_order_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX tag_classification_category_order_idx ON records.tag_classification USING btree (category_name, tag_uid);


--
-- Name: tag_create_ts_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX tag_create_ts_idx ON records.tag USING btree (create_ts, uid);


--
-- Name: tag_group_name_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE UNIQUE INDEX tag_group_name_idx ON records.tag_group USING btree (lower(name));


--
-- Name: tag_group_tag_uids_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX tag_group_tag_uids_idx ON records.tag_group USING gin (tag_uids);


--
-- Name: tag_name_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE UNIQUE INDEX tag_name_idx ON records.tag USING btree (lower(name));


--
-- Name: tag_name_order_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX tag_name_order_idx ON records.tag USING btree ("left"(name, 128) COLLATE "C", uid);


--
-- Name: tag_update_ts_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX tag_update_ts_idx ON records.tag USING btree (update_ts, uid);


--
-- Name: upload_expire_ts_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX upload_expire_ts_idx ON records.upload USING btree (expire_ts);


--
-- Name: write_session_update_ts_idx; Type: INDEX; Schema: records; Owner: -
--

CREATE INDEX write_session_update_ts_idx ON records.write_session USING btree (update_ts);


--
-- Name: order_header_customer_id_folded; Type: STATISTICS; Schema: orders; Owner: -
--

CREATE STATISTICS orders.order_header_customer_id_folded ON lower(NORMALIZE(customer_id, NFC)) FROM orders.order_header;


--
-- Name: order_line_item_sku_folded; Type: STATISTICS; Schema: orders; Owner: -
--

CREATE STATISTICS orders.order_line_item_sku_folded ON lower(NORMALIZE(sku, NFC)) FROM orders.order_line_item;


--
-- PostgreSQL database dump complete
--

\unrestrict ac46a2fBPbB7EKKDdFiVVa5VS3rqTXE1izz95ESfIegLjTBQy8yMYcQsCzolwQ2


--
-- Dbmate schema migrations
--

INSERT INTO public.schema_migrations (version) VALUES
    ('20261124090000'),
    ('20261124090100'),
    ('20261124090200'),
    ('20261124090300'),
    ('20261124100000'),
    ('20261124100100'),
    ('20261124100200'),
    ('20261124100300'),
    ('20261128070000'),
    ('20261128070100'),
    ('20261128070200'),
    ('20261128080000'),
    ('20261128080100'),
    ('20261128080200'),
    ('20261128220000'),
    ('20261128220100'),
    ('20261128220200'),
    ('20261128220300'),
    ('20261128233000'),
    ('20261129000500'),
    ('20261129090000'),
    ('20261129090001'),
    ('20261129090002'),
    ('20261129100000'),
    ('20261129150000'),
    ('20261129150001'),
    ('20261129150002');
