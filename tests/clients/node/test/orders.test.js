// A client with generated stubs: whole orders with both streams, each interrupted and resumed; and errors.

import assert from "node:assert/strict";
import { test } from "node:test";

import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";

import { AddressKind, OrderSchema } from "../generated/orrery/orders/v1/order_pb.js";
import { OrderView, StreamOrdersResponseSchema } from "../generated/orrery/orders/v1/orders_service_pb.js";
import { ErrorReason } from "../generated/orrery/type/v1/error_reason_pb.js";
import { ReferenceCheck, RowErrorPolicy } from "../generated/orrery/type/v1/write_pb.js";
import { catalog, Conversation, makeMark, orders, refusal } from "../service.js";

const COUNT = 1_200;
const CHUNK = 100;
const PHASES = ["draft", "confirmed", "provisioning", "fulfilled", "closed", "cancelled", "returned"];

/** An amount of so many pence: "12.50". */
function pounds(pence) {
  const digits = String(Math.abs(pence)).padStart(3, "0");
  return `${pence < 0 ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/** A line as it reads when it is stored, but for updateTs, and what it is worth in pence. */
function makeLine(mark, number, place) {
  const [quantity, price, discount, tax] = [((number + place) % 9) - 2, number * 7 - 300, number % 50, place * 3];
  const line = {
    uid: `oli_${place}`,
    lineNumber: place,
    productUid: place % 4 ? `prd_${mark}-${number % 11}` : "",
    sku: `${mark}-${number % 13}`,
    name: `Küchenuhr № ${number} 🕰`,
    quantity,
    unitPrice: pounds(price),
    discount: pounds(discount),
    tax: pounds(tax),
    status: { phase: place % 2 ? "active" : "returned" },
    labels: number % 6 ? {} : { gift: "yes" },
    annotations: { text: `a "quoted" text,\nof two lines\t${"x".repeat(number % 50)}` },
    createTs: timestampFromMs(1_600_000_000_000 + number),
  };
  return { line, quantity, subtotal: quantity * price, discount, tax };
}

/** Orders of which no two are alike, with 1 to 6 lines and up to two addresses, as they read when they are stored. */
function makeOrders(mark, count = COUNT) {
  return Array.from({ length: count }, (_, number) => {
    const lines = Array.from({ length: 1 + (number % 6) }, (_, place) => makeLine(mark, number, place + 1));
    const total = (field) => lines.reduce((sum, line) => sum + line[field], 0);
    const shipping = number % 1_000;
    return create(OrderSchema, {
      uid: `ord_${mark}-${String(number).padStart(5, "0")}`,
      customerId: `${mark}-${number % 17}`,
      currencyCode: number % 5 ? "GBP" : "EUR",
      status: { phase: PHASES[number % 7], details: { note: `lot ${number}`, weights: [number, number / 4], nested: { deep: true } } },
      labels: { test: mark, "example.com/shop": String(number % 3) },
      annotations: { "source/row": String(number) },
      provisionTimerTs: number % 4 ? undefined : timestampFromMs(4_000_000_000_000 + number),
      createTs: timestampFromMs(1_600_000_000_000 + number),
      lineItems: lines.map(({ line }) => line),
      addresses: [
        { kind: AddressKind.BILLING, name: "Zoë", lines: ["1 Planet Row", `Floor ${number}`], countryCode: "GB" },
        { kind: AddressKind.SHIPPING, company: "Orrery\tLtd", city: "Leeds", region: "Yorkshire", postalCode: "LS1 1AA", email: "z@example.com" },
      ].slice(0, number % 3),
      summary: {
        lineCount: lines.length,
        quantity: BigInt(total("quantity")),
        subtotal: pounds(total("subtotal")),
        discount: pounds(total("discount")),
        tax: pounds(total("tax")),
        shipping: pounds(shipping),
        total: pounds(total("subtotal") - total("discount") + total("tax") + shipping),
      },
    });
  });
}

/** An order without what the service adds. */
function asSent({ $typeName, revision, updateTs, etag, lineItems, ...sent }) {
  return create(OrderSchema, { ...sent, lineItems: lineItems.map(({ $typeName, updateTs, ...line }) => line) });
}

/** Compares one by one, so that a difference is reported in a few lines. */
function assertSame(read, wanted) {
  assert.equal(read.length, wanted.length);
  read.forEach((order, at) => assert.deepEqual(order, wanted[at]));
}

function start(fields = {}) {
  return { payload: { case: "start", value: fields } };
}

function chunk(rows, offset) {
  return { payload: { case: "chunk", value: { offset: BigInt(offset), orders: rows.slice(offset, offset + CHUNK) } } };
}

function chunks(rows, from = 0) {
  const all = [];
  for (let offset = from; offset < rows.length; offset += CHUNK) {
    all.push(chunk(rows, offset));
  }
  return all;
}

async function writeAll(rows, fields) {
  const conversation = new Conversation(orders.writeOrders);
  conversation.send(start(fields), ...chunks(rows));
  return conversation.end();
}

async function readAll(mark, view = OrderView.FULL) {
  const read = [];
  for await (const page of orders.streamOrders({ filter: { labelSelector: `test=${mark}` }, view })) {
    read.push(...page.orders);
  }
  return read;
}

const sum = (answers, count) => answers.reduce((total, answer) => total + Number(answer[count]), 0);

test("an order is created, read back whole, moved and handed out", async () => {
  const mark = makeMark();
  const uid = `ord_${mark}`;
  await catalog.createProduct({ product: { uid: `prd_${mark}` } });
  const created = await orders.createOrder({
    order: {
      uid,
      currencyCode: "GBP",
      lineItems: [
        { productUid: `prd_${mark}`, quantity: 3, unitPrice: "0.001" },
        { name: "Adjustment", quantity: 1, unitPrice: "-1.20", tax: "0.5" },
      ],
      addresses: [{ kind: AddressKind.SHIPPING, lines: ["1 Planet Row"], countryCode: "GB" }],
    },
    requestId: mark,
    view: OrderView.FULL,
  });
  assert.deepEqual(created.lineItems.map((line) => [line.lineNumber, line.unitPrice]), [[1, "0.001"], [2, "-1.20"]]);
  assert.deepEqual([created.summary.subtotal, created.summary.total], ["-1.197", "-0.697"]);
  assert.deepEqual(await orders.getOrder({ uid, view: OrderView.FULL }), created);

  const timed = await orders.setProvisionTimer({ uid, provisionTimerTs: timestampFromMs(1_000), revision: 1 });
  assert.equal(timed.revision, 2);
  assert.deepEqual([timed.summary.total, timed.lineItems], ["-0.697", []], "a change answers with the BASIC view");
  const confirm = { uid, toPhase: "confirmed", reason: "paid", revision: 2, requestId: mark };
  const confirmed = await orders.transitionOrder(confirm);
  assert.deepEqual(await orders.transitionOrder(confirm), confirmed, "a lost answer can be asked for again");
  const [{ at, ...transition }] = confirmed.status.details.transitions;
  assert.deepEqual(transition, { from: "draft", to: "confirmed", reason: "paid" });
  assert.ok(Date.parse(at) > 0);
  const { orders: claimed } = await orders.claimDueOrders({ limit: 1_000, lease: { seconds: 3_600n }, view: OrderView.FULL });
  const ours = claimed.find((order) => order.uid === uid);
  assert.deepEqual([ours.status.phase, ours.revision], ["provisioning", 4]);
  assert.deepEqual(await orders.getOrder({ uid }), ours);
  const fulfilled = await orders.transitionOrder({ uid, toPhase: "fulfilled", revision: ours.revision });
  assert.equal(fulfilled.provisionTimerTs, undefined);
});

test("a write goes on where it broke off", async () => {
  const mark = makeMark();
  const rows = makeOrders(mark);
  const first = new Conversation(orders.writeOrders);
  assert.equal((await first.ask(start({ writeId: mark }))).committedOffset, 0n);
  first.send(...chunks(rows));
  let acknowledged = 0;
  while (acknowledged < COUNT / 3) {
    acknowledged = Number((await first.hear()).committedOffset);
  }
  first.breakOff();

  const second = new Conversation(orders.writeOrders);
  const committed = Number((await second.ask(start({ writeId: mark }))).committedOffset);
  assert.ok(acknowledged <= committed && committed <= COUNT, `${acknowledged} were acknowledged, ${committed} committed`);
  assert.equal(committed % CHUNK, 0, "a chunk is committed whole or not at all");

  // Committed chunks are acknowledged again and not applied again.
  const again = await second.ask(chunk(rows, committed - CHUNK));
  assert.equal(Number(again.committedOffset), committed);
  assert.equal(again.created + again.updated + again.unchanged + again.rejected + again.superseded, 0n);

  second.send(...chunks(rows, committed));
  assert.equal(sum(await second.end(), "created"), COUNT - committed);

  const stored = await readAll(mark);
  assertSame(stored.map(asSent), rows);
  assert.ok(stored.every((order) => order.revision === 1 && order.etag && order.updateTs));

  // The same orders with another write_id: nothing is written.
  assert.equal(sum(await writeAll(rows, { writeId: `${mark}-again` }), "unchanged"), COUNT);
  assertSame(await readAll(mark), stored);

  // Orders are sent back as they were read, including revisions and etags.
  assert.equal(sum(await writeAll(stored), "unchanged"), COUNT);
});

test("a read goes on where it broke off", async () => {
  const mark = makeMark();
  const rows = makeOrders(mark);
  await writeAll(rows);
  const read = [];
  let resumeToken = "";
  let breaks = 0;
  for (let done = false; !done; ) {
    done = true;
    let pages = 0;
    const request = { filter: { labelSelector: `test=${mark}` }, view: OrderView.FULL, pageSize: 37, resumeToken };
    for await (const page of orders.streamOrders(request)) {
      assert.ok(page.orders.length <= 37);
      assert.ok(toBinary(StreamOrdersResponseSchema, page).length < 4 << 20);
      read.push(...page.orders);
      resumeToken = page.resumeToken;
      pages += 1;
      if (pages === 7) {
        breaks += 1;
        done = false;
        break;
      }
    }
  }
  assert.ok(breaks >= 4);
  assertSame(read.map(asSent), rows);

  const basic = read.map(({ $typeName, lineItems, addresses, ...header }) => create(OrderSchema, header));
  assertSame(await readAll(mark, OrderView.UNSPECIFIED), basic);
});

test("lines and sales are streamed", async () => {
  const mark = makeMark();
  const rows = makeOrders(mark, 120);
  await writeAll(rows);
  const lines = [];
  for await (const page of orders.streamLineItems({ filter: { skus: [`${mark}-3`] }, pageSize: 7 })) {
    lines.push(...page.lineItems.map((line) => [line.orderUid, line.uid]));
  }
  const wanted = rows.flatMap((order) =>
    order.lineItems.filter((line) => line.sku === `${mark}-3`).map((line) => [order.uid, line.uid]),
  );
  assert.ok(wanted.length > 20);
  assert.deepEqual(lines, wanted);

  let units = 0n;
  for await (const page of orders.streamProductSales({ dayFrom: "2020-09-13", dayTo: "2020-09-13", phases: ["closed"] })) {
    for (const sales of page.productSales.filter((each) => each.productUid.includes(mark))) {
      units += sales.units;
    }
  }
  const closed = rows.filter((order) => order.status.phase === "closed").flatMap((order) => order.lineItems);
  assert.equal(units, BigInt(closed.filter((line) => line.productUid).reduce((total, line) => total + line.quantity, 0)));
});

test("a row that stops a write, and rows that a write skips", async () => {
  const mark = makeMark();
  const rows = makeOrders(mark, 20);
  rows[13].lineItems[1].unitPrice = "12,50";
  const stopping = new Conversation(orders.writeOrders);
  await stopping.ask(start({ writeId: mark, onRowError: RowErrorPolicy.STOP }));
  const answer = await stopping.ask(chunk(rows, 0));
  assert.equal(answer.committedOffset, 0n);
  const [rowError] = answer.rowErrors;
  assert.deepEqual([rowError.offset, rowError.code, rowError.field], [13n, 3, "line_items[1].unit_price"]);
  assert.equal(rowError.reason, ErrorReason.FIELD_INVALID);
  const stopped = await refusal(() => stopping.hear());
  assert.deepEqual([stopped.code, stopped.reason, stopped.metadata.offset], ["InvalidArgument", "ROW_REJECTED", "13"]);
  assert.equal((await readAll(mark)).length, 0, "nothing of the refused chunk was written");

  const fields = { onRowError: RowErrorPolicy.SKIP, referenceCheck: ReferenceCheck.REJECT };
  const known = rows.filter((order) => order.lineItems.every((line) => line.productUid !== `prd_${mark}-5`));
  for (let number = 0; number < 11; number++) {
    if (number !== 5) {
      await catalog.createProduct({ product: { uid: `prd_${mark}-${number}` } });
    }
  }
  const [skipped] = await writeAll(rows, fields);
  assert.equal(Number(skipped.created), known.length - 1);
  assert.equal(Number(skipped.rejected), rows.length - known.length + 1);
  const missing = skipped.rowErrors.filter((error) => error.reason === ErrorReason.REFERENCE_MISSING);
  assert.deepEqual(missing.map((error) => [error.offset, error.code, error.field]), [
    [5n, 9, "line_items[0].product_uid"],
    [16n, 9, "line_items[0].product_uid"],
  ]);
});

test("errors say why, for programs", async () => {
  const mark = makeMark();
  const uid = `ord_${mark}`;
  const missing = await refusal(() => orders.getOrder({ uid }));
  assert.deepEqual([missing.code, missing.reason, missing.resource], ["NotFound", "RESOURCE_NOT_FOUND", uid]);

  const wrong = { uid, currencyCode: "GBP", lineItems: [{}, { unitPrice: "0.00001" }] };
  const invalid = await refusal(() => orders.createOrder({ order: wrong }));
  assert.deepEqual([invalid.code, invalid.reason], ["InvalidArgument", "FIELD_INVALID"]);
  assert.deepEqual(invalid.fields, ["order.line_items[1].unit_price"]);

  const dangling = { uid, currencyCode: "GBP", lineItems: [{ productUid: `prd_${mark}` }] };
  const unreferenced = await refusal(() => orders.createOrder({ order: dangling }));
  assert.deepEqual([unreferenced.code, unreferenced.reason], ["FailedPrecondition", "REFERENCE_MISSING"]);
  assert.deepEqual(unreferenced.fields, ["order.line_items[0].product_uid"]);

  const made = await orders.createOrder({ order: { uid, currencyCode: "GBP" } });
  const taken = await refusal(() => orders.createOrder({ order: { uid, currencyCode: "GBP" } }));
  assert.deepEqual([taken.code, taken.reason], ["AlreadyExists", "RESOURCE_EXISTS"]);

  const forbidden = await refusal(() => orders.transitionOrder({ uid, toPhase: "closed" }));
  assert.deepEqual([forbidden.code, forbidden.reason], ["FailedPrecondition", "PHASE_FORBIDS"]);
  assert.deepEqual(forbidden.preconditions, [["PHASE", uid, "is draft and cannot become closed"]]);

  const change = { order: { uid, customerId: "one", revision: made.revision }, updateMask: { paths: ["customer_id"] } };
  assert.equal((await orders.updateOrder(change)).revision, 2);
  const stale = await refusal(() => orders.updateOrder(change));
  assert.deepEqual([stale.code, stale.reason], ["Aborted", "REVISION_MISMATCH"]);
  const changed = await refusal(() => orders.deleteOrder({ uid, etag: made.etag }));
  assert.deepEqual([changed.code, changed.reason], ["Aborted", "ETAG_MISMATCH"]);

  const gap = new Conversation(orders.writeOrders);
  await gap.ask(start({ writeId: mark }));
  const left = await refusal(() => gap.ask(chunk(makeOrders(mark, 30), 10)));
  assert.deepEqual([left.code, left.reason, left.metadata.expected_offset], ["OutOfRange", "OFFSET_GAP", "0"]);
});
