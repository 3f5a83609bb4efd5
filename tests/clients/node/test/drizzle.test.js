// A program with its own Drizzle schema, which names the table without the Postgres schema, and a client of the
// service: each keeps the other's data.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { eq, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { jsonb, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import pg from "pg";

import { catalog, makeMark, setting } from "../service.js";

const product = pgTable("product", {
  uid: text("uid").primaryKey(),
  name: text("name"),
  status: jsonb("status").notNull().default({ phase: "active" }),
  labels: jsonb("labels").notNull().default({}),
  annotations: jsonb("annotations").notNull().default({}),
  createTs: timestamp("create_ts", { withTimezone: true }).notNull().defaultNow(),
  updateTs: timestamp("update_ts", { withTimezone: true }).notNull().defaultNow(),
});

const pool = new pg.Pool({ connectionString: setting("ORRERY_CATALOG_DATABASE_URL"), max: 2 });
const database = drizzle(pool);
after(() => pool.end());

const status = {
  phase: "active",
  note: "counted twice",
  history: [{ at: "2026-01-01T00:00:00Z", by: null }, 17, 0.1],
  flags: { nested: { deeper: [true, false, ""] } },
};
const ODD_KEY = "odd key, with spaces";
const annotations = {
  "tool/settings": { width: 12, ratio: 1.5, parts: ["a", ["b"]] },
  "plain": "text",
  [ODD_KEY]: [1, 2, 3],
};
const labels = { season: "winter", tier: 3, tags: ["x", { y: 1 }], "kept/as-is": true };

/** The jsonb columns as Postgres prints them: what must stay the same to the byte. */
async function asStored(uid) {
  const [row] = await database
    .select({
      status: sql`status::text`,
      annotations: sql`annotations::text`,
      others: sql`(labels - 'season')::text`,
      season: sql`labels ->> 'season'`,
    })
    .from(product)
    .where(eq(product.uid, uid));
  return row;
}

test("it works as the catalog's own role", async () => {
  const { rows } = await database.execute(sql`select current_user as name`);
  assert.equal(rows[0].name, "catalog_service");
});

test("a client of the service reads what Drizzle wrote, and changes one label of it", async () => {
  const uid = `prd_${makeMark()}`;
  const [inserted] = await database.insert(product).values({ uid, name: "From Drizzle", status, labels, annotations }).returning();

  const read = await catalog.getProduct({ uid });
  assert.equal(read.name, "From Drizzle");
  assert.equal(read.status.phase, "active");
  const { phase, ...details } = status;
  assert.deepEqual(read.status.details, details);
  assert.equal(read.labels.season, "winter");
  assert.equal(read.labels.tier, "3");
  assert.deepEqual(JSON.parse(read.labels.tags), labels.tags);
  assert.deepEqual(JSON.parse(read.annotations["tool/settings"]), annotations["tool/settings"]);
  assert.equal(read.annotations.plain, "text");

  const before = await asStored(uid);
  const changed = await catalog.updateProduct({
    product: { uid, labels: { season: "summer" }, etag: read.etag },
    updateMask: { paths: ["labels.season"] },
  });
  assert.equal(changed.labels.season, "summer");
  assert.notEqual(changed.etag, read.etag);

  assert.deepEqual(await asStored(uid), { ...before, season: "summer" });
  const [row] = await database.select().from(product).where(eq(product.uid, uid));
  assert.deepEqual(row.labels, { ...labels, season: "summer" });
  assert.deepEqual([row.status, row.annotations], [status, annotations]);
  assert.deepEqual(row.createTs, inserted.createTs);
  assert.ok(row.updateTs > inserted.updateTs);
});

test("a whole product that goes through the service and back stays what it was", async () => {
  const uid = `prd_${makeMark()}`;
  // Keys outside of the contract can be kept with a mask, but not sent.
  const { [ODD_KEY]: _, ...sendable } = annotations;
  await database.insert(product).values({ uid, name: "Round trip", status, labels, annotations: sendable });
  const before = await asStored(uid);
  const read = await catalog.getProduct({ uid });
  const written = await catalog.updateProduct({ product: { ...read, name: "Round trip, renamed" } });
  assert.equal(written.name, "Round trip, renamed");
  assert.deepEqual(await asStored(uid), before);
});

test("Drizzle reads and changes what the service wrote", async () => {
  const uid = `prd_${makeMark()}`;
  const made = await catalog.createProduct({
    product: { uid, name: "From the service", status: { phase: "draft", details: { lots: [1, 2] } }, labels: { season: "spring" } },
  });
  const [row] = await database.select().from(product).where(eq(product.uid, uid));
  assert.equal(row.name, "From the service");
  assert.deepEqual(row.status, { phase: "draft", lots: [1, 2] });
  assert.deepEqual(row.labels, { season: "spring" });
  assert.equal(BigInt(row.createTs.getTime()), (made.createTs.seconds * 1000n) + BigInt(Math.floor(made.createTs.nanos / 1e6)));

  await database.update(product).set({ status: { ...row.status, phase: "active" }, updateTs: new Date() }).where(eq(product.uid, uid));
  const read = await catalog.getProduct({ uid });
  assert.equal(read.status.phase, "active");
  assert.deepEqual(read.status.details, { lots: [1, 2] });
  assert.notEqual(read.etag, made.etag, "a change by another program changes the etag");
});
