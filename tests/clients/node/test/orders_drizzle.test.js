// A program with its own Drizzle schema for order headers, which names the table without the Postgres schema, and a
// client of the service: each keeps the other's data. The program does not know lines, addresses and summaries.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { desc, eq, inArray, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { integer, jsonb, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import pg from "pg";

import { OrderView } from "../generated/orrery/orders/v1/orders_service_pb.js";
import { Conversation, makeMark, orders, refusal, setting } from "../service.js";

const orderHeader = pgTable("order_header", {
  uid: text("uid").primaryKey(),
  customerId: text("customer_id"),
  currencyCode: text("currency_code").notNull(),
  revision: integer("revision").notNull().default(1),
  status: jsonb("status").notNull().default({ phase: "draft" }),
  labels: jsonb("labels").notNull().default({}),
  annotations: jsonb("annotations").notNull().default({}),
  provisionTimerTs: timestamp("provision_timer_ts", { withTimezone: true }),
  createTs: timestamp("create_ts", { withTimezone: true }).notNull().defaultNow(),
  updateTs: timestamp("update_ts", { withTimezone: true }).notNull().defaultNow(),
});

const pool = new pg.Pool({ connectionString: setting("ORRERY_ORDERS_DATABASE_URL"), max: 2 });
const database = drizzle(pool);
after(() => pool.end());

// More digits than a double or a 64-bit integer has. JavaScript cannot write them, but other programs do.
const BIG = "123456789012345678901234567890.000000000100";
const status = {
  phase: "confirmed",
  note: "counted twice",
  history: [{ at: "2026-01-01T00:00:00Z", by: null }, 17, 0.1],
  flags: { nested: { deeper: [true, false, ""] } },
};
const ODD_KEY = "odd key, with spaces";
const annotations = {
  "tool/settings": { width: 12, ratio: 1.5, parts: ["a", ["b"]] },
  plain: "text",
  [ODD_KEY]: [1, 2, 3],
};
const labels = { season: "winter", tier: 3, tags: ["x", { y: 1 }], "kept/as-is": true };

/** Inserts an order as the program does, and gives each of its jsonb columns a number that JavaScript could not have sent. */
async function insert(uid, values = {}) {
  await database.insert(orderHeader).values({ uid, currencyCode: "GBP", status, labels, annotations, ...values });
  const big = sql.raw(`'{"big": ${BIG}, "bigger": {"in": [${BIG}]}}'::jsonb`);
  await database
    .update(orderHeader)
    .set({ status: sql`status || ${big}`, labels: sql`labels || ${big}`, annotations: sql`annotations || ${big}` })
    .where(eq(orderHeader.uid, uid));
}

/** The contract's microseconds as a Date has them: milliseconds, as pg reads the column. */
function asDate({ seconds, nanos }) {
  return new Date(Number(seconds) * 1_000 + Math.floor(nanos / 1e6));
}

async function row(uid) {
  const [found] = await database.select().from(orderHeader).where(eq(orderHeader.uid, uid));
  return found;
}

/** The jsonb columns as Postgres prints them, without what Orrery changes: what must stay the same to the byte. */
async function asStored(uid) {
  const [found] = await database
    .select({
      status: sql`(status - 'phase' - 'transitions')::text`,
      labels: sql`(labels - 'season')::text`,
      annotations: sql`annotations::text`,
    })
    .from(orderHeader)
    .where(eq(orderHeader.uid, uid));
  return found;
}

async function streamed(filter, view) {
  const read = [];
  for await (const page of orders.streamOrders({ filter, view, pageSize: 2 })) {
    read.push(...page.orders);
  }
  return read;
}

test("it works as the role of the orders service, on columns that are those of the table", async () => {
  const { rows } = await database.execute(sql`select current_user as name`);
  assert.equal(rows[0].name, "orders_service");
  const columns = await database.execute(sql`
    select column_name, data_type, is_nullable, column_default from information_schema.columns
    where table_schema = 'orders' and table_name = 'order_header' order by ordinal_position`);
  assert.deepEqual(columns.rows.map((column) => Object.values(column).map(String).join(" | ")), [
    "uid | text | NO | null",
    "customer_id | text | YES | null",
    "currency_code | text | NO | null",
    "revision | integer | NO | 1",
    `status | jsonb | NO | '{"phase": "draft"}'::jsonb`,
    "labels | jsonb | NO | '{}'::jsonb",
    "annotations | jsonb | NO | '{}'::jsonb",
    "provision_timer_ts | timestamp with time zone | YES | null",
    "create_ts | timestamp with time zone | NO | now()",
    "update_ts | timestamp with time zone | NO | now()",
  ]);
});

test("an order that has only what the table's defaults give it is read in every way", async () => {
  const uid = `ord_${makeMark()}`;
  const [inserted] = await database.insert(orderHeader).values({ uid, currencyCode: "GBP" }).returning();
  assert.deepEqual([inserted.revision, inserted.status], [1, { phase: "draft" }]);

  const read = await orders.getOrder({ uid });
  assert.deepEqual([read.uid, read.currencyCode, read.customerId, read.revision], [uid, "GBP", "", 1]);
  assert.deepEqual([read.status.phase, read.status.details ?? {}], ["draft", {}]);
  assert.deepEqual([read.lineItems, read.addresses, read.summary], [[], [], undefined], "the program wrote neither lines nor a summary");
  assert.deepEqual(asDate(read.createTs), inserted.createTs);
  assert.equal(read.provisionTimerTs, undefined);

  const filter = { uids: [uid] };
  assert.deepEqual(await streamed(filter, OrderView.FULL), [read]);
  assert.deepEqual(await streamed(filter, OrderView.BASIC), [read]);
  assert.deepEqual((await orders.listOrders({ filter })).orders, [read]);
  assert.deepEqual((await orders.batchGetOrders({ uids: [uid] })).orders, [read]);
  assert.deepEqual((await orders.lookupOrders({ criterion: { case: "uidPrefix", value: uid } })).orders, [read]);
  const check = new Conversation(orders.checkOrders);
  assert.deepEqual((await check.ask({ uids: [uid] })).missingUids, []);
  await check.end();
});

test("orders that Drizzle wrote are listed, selected and looked up", async () => {
  const mark = makeMark();
  const uids = Array.from({ length: 5 }, (_, number) => `ord_${mark}-${number}`);
  const provisionTimerTs = new Date("2100-01-01T00:00:00.123Z");
  for (const [number, uid] of uids.entries()) {
    const own = { labels: { ...labels, test: mark }, annotations: { ...annotations, ticket: number, mark } };
    await insert(uid, { ...own, customerId: mark, provisionTimerTs: number % 2 ? provisionTimerTs : null });
  }
  const found = async (filter) => (await orders.listOrders({ filter })).orders.map((order) => order.uid);
  assert.deepEqual(await found({ labelSelector: `test=${mark},season in (winter)`, phases: ["confirmed"] }), uids);
  assert.deepEqual(await found({ customerId: mark, phases: ["draft"] }), []);
  const timer = { start: timestampFromDate(provisionTimerTs) };
  assert.deepEqual(await found({ customerId: mark, provisionTimer: timer }), [uids[1], uids[3]]);
  assert.deepEqual(await found({ customerId: mark, provisionTimer: {} }), [uids[1], uids[3]], "an order without a timer is never meant");
  assert.deepEqual((await streamed({ labelSelector: `test=${mark}` }, OrderView.FULL)).map((order) => order.uid), uids);

  const lookup = async (by, value) => (await orders.lookupOrders({ criterion: { case: by, value } })).orders.map((order) => order.uid);
  assert.deepEqual(await lookup("text", mark), uids);
  assert.deepEqual(await lookup("customerId", mark), uids);
  assert.deepEqual(await lookup("annotation", { key: "mark", value: mark }), uids);
  assert.ok((await lookup("annotation", { key: "ticket", value: "3" })).includes(uids[3]), "a number is found by its text");

  const rows = await database.select().from(orderHeader).where(inArray(orderHeader.uid, uids)).orderBy(desc(orderHeader.uid));
  assert.deepEqual(rows.map((each) => each.uid), uids.toReversed());
});

test("Orrery moves, times and hands out an order that Drizzle wrote, and loses nothing of it", async () => {
  const uid = `ord_${makeMark()}`;
  await insert(uid, { revision: 7 });
  const before = await asStored(uid);
  assert.ok(before.status.includes(BIG) && before.labels.includes(BIG) && before.annotations.includes(BIG));

  const due = new Date("2020-01-01T00:00:00.000Z");
  const timed = await orders.setProvisionTimer({ uid, provisionTimerTs: timestampFromDate(due), revision: 7 });
  assert.equal(timed.revision, 8);
  assert.deepEqual((await row(uid)).provisionTimerTs, due);

  const claimed = await orders.claimDueOrders({ limit: 1_000, lease: { seconds: 3_600n } });
  assert.deepEqual(claimed.orders.filter((order) => order.uid === uid).map((order) => order.revision), [9]);
  const fulfilled = await orders.transitionOrder({ uid, toPhase: "fulfilled", reason: "shipped", revision: 9 });
  assert.deepEqual([fulfilled.revision, fulfilled.lineItems.length, fulfilled.summary], [10, 0, undefined]);

  const stored = await row(uid);
  assert.deepEqual([stored.status.phase, stored.revision, stored.provisionTimerTs], ["fulfilled", 10, null]);
  assert.deepEqual(stored.status.transitions.map(({ from, to }) => [from, to]), [
    ["confirmed", "provisioning"],
    ["provisioning", "fulfilled"],
  ]);
  assert.equal(stored.status.transitions[1].reason, "shipped");
  assert.ok(stored.updateTs > stored.createTs);
  assert.deepEqual(await asStored(uid), before);

  const refused = await refusal(() => orders.transitionOrder({ uid, toPhase: "draft" }));
  assert.deepEqual(refused.preconditions, [["PHASE", uid, "is fulfilled and cannot become draft"]]);
});

test("Orrery changes one label of an order that Drizzle wrote, and gives it lines", async () => {
  const uid = `ord_${makeMark()}`;
  await insert(uid);
  const read = await orders.getOrder({ uid });
  const { phase, ...details } = status;
  const { big, bigger, ...others } = read.status.details;
  assert.deepEqual([read.status.phase, others], [phase, details]);
  assert.deepEqual([big, bigger], [BIG, { in: [BIG] }]);
  assert.deepEqual([read.labels.season, read.labels.tier, read.labels.big], ["winter", "3", BIG]);
  assert.deepEqual(JSON.parse(read.annotations["tool/settings"]), annotations["tool/settings"]);

  const before = await asStored(uid);
  const change = { order: { uid, labels: { season: "summer" }, etag: read.etag }, updateMask: { paths: ["labels.season"] } };
  const changed = await orders.updateOrder(change);
  assert.deepEqual([changed.labels.season, changed.revision], ["summer", 2]);
  assert.notEqual(changed.etag, read.etag);
  assert.deepEqual(await asStored(uid), before);
  assert.equal((await row(uid)).labels.season, "summer");

  const lineItems = [{ sku: "85123A", quantity: 2, unitPrice: "2.55" }];
  const filled = await orders.updateOrder({ order: { uid, lineItems, revision: 2 }, updateMask: { paths: ["line_items"] }, view: OrderView.FULL });
  assert.deepEqual([filled.revision, filled.summary.total], [3, "5.10"]);
  assert.deepEqual(await orders.getOrder({ uid }), filled);
  assert.deepEqual(await asStored(uid), before);
  assert.equal((await row(uid)).revision, 3);
});

test("a whole order that goes through the service and back stays what it was", async () => {
  const uid = `ord_${makeMark()}`;
  // Keys outside of the contract can be kept with a mask, but not sent.
  const { [ODD_KEY]: _, ...sendable } = annotations;
  await insert(uid, { annotations: sendable, revision: 3 });
  // A nested number that no double holds is read as text, and would be written back as text.
  await database.update(orderHeader).set({ status: sql`status - 'bigger'` }).where(eq(orderHeader.uid, uid));
  const before = await asStored(uid);
  const read = await orders.getOrder({ uid });
  const same = await orders.updateOrder({ order: read, view: OrderView.FULL });
  assert.deepEqual(same, read, "nothing changed, and the revision did not grow");
  const written = await orders.updateOrder({ order: { ...read, customerId: "someone" }, view: OrderView.FULL });
  assert.deepEqual([written.customerId, written.revision], ["someone", 4]);
  assert.deepEqual(await asStored(uid), before);

  const conversation = new Conversation(orders.writeOrders);
  conversation.send({ payload: { case: "start", value: {} } });
  conversation.send({ payload: { case: "chunk", value: { orders: [{ ...written, customerId: "someone else" }] } } });
  const [answer] = await conversation.end();
  assert.equal(answer.updated, 1n);
  assert.deepEqual(await asStored(uid), before);
  const stored = await row(uid);
  assert.deepEqual([stored.customerId, stored.revision, stored.status.phase], ["someone else", 5, "confirmed"]);
});

test("Drizzle reads and changes what the service wrote", async () => {
  const uid = `ord_${makeMark()}`;
  const made = await orders.createOrder({
    order: {
      uid,
      customerId: "17850",
      currencyCode: "EUR",
      status: { details: { lots: [1, 2] } },
      labels: { season: "spring" },
      lineItems: [{ sku: "85123A", quantity: 1, unitPrice: "1.00" }],
    },
  });
  const stored = await row(uid);
  assert.deepEqual([stored.customerId, stored.currencyCode, stored.revision], ["17850", "EUR", 1]);
  assert.deepEqual([stored.status, stored.labels, stored.annotations], [{ phase: "draft", lots: [1, 2] }, { season: "spring" }, {}]);
  assert.deepEqual(stored.createTs, asDate(made.createTs));

  // Like an existing program that updates the revision itself.
  const status = { ...stored.status, phase: "confirmed", by: "the shop" };
  await database
    .update(orderHeader)
    .set({ status, revision: sql`${orderHeader.revision} + 1`, updateTs: new Date() })
    .where(eq(orderHeader.uid, uid));
  const read = await orders.getOrder({ uid });
  assert.deepEqual([read.status.phase, read.status.details], ["confirmed", { lots: [1, 2], by: "the shop" }]);
  assert.deepEqual([read.revision, read.lineItems.length, read.summary.total], [2, 1, "1.00"]);
  assert.notEqual(read.etag, made.etag, "a change by another program changes the etag");
  const stale = await refusal(() => orders.transitionOrder({ uid, toPhase: "provisioning", revision: made.revision }));
  assert.deepEqual([stale.code, stale.reason], ["Aborted", "REVISION_MISMATCH"]);

  // A change without a new revision is noticed by the etag.
  await database.update(orderHeader).set({ customerId: "17851" }).where(eq(orderHeader.uid, uid));
  const unnoticed = await orders.getOrder({ uid });
  assert.equal(unnoticed.revision, 2);
  const changed = await refusal(() => orders.deleteOrder({ uid, etag: read.etag }));
  assert.deepEqual([changed.code, changed.reason], ["Aborted", "ETAG_MISMATCH"]);
  await orders.deleteOrder({ uid, etag: unnoticed.etag });
  assert.equal(await row(uid), undefined);
});
