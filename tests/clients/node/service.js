// The addresses of the services, and clients for them.

import { randomBytes } from "node:crypto";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  ResourceInfoSchema,
} from "./generated/google/rpc/error_details_pb.js";
import { CatalogService } from "./generated/orrery/catalog/v1/catalog_service_pb.js";
import { OrdersService } from "./generated/orrery/orders/v1/orders_service_pb.js";

/** A setting from the environment. There is no default: a run without a service must fail, not pass. */
export function setting(name) {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} must be set; see tests/clients/run`);
  }
  return value;
}

/** The services' addresses, host:port. */
export const catalogAddress = setting("ORRERY_CATALOG");
export const ordersAddress = setting("ORRERY_ORDERS");
export const recordsAddress = setting("ORRERY_RECORDS");

/** A client over gRPC with generated stubs. It refuses messages above 4 MiB, as most gRPC libraries do. */
function clientOf(service, address) {
  return createClient(
    service,
    createGrpcTransport({ baseUrl: `http://${address}`, readMaxBytes: 4 << 20, defaultTimeoutMs: 60_000 }),
  );
}

export const catalog = clientOf(CatalogService, catalogAddress);
export const orders = clientOf(OrdersService, ordersAddress);

/** A word that only one test uses: in uids and in the label `test`, so that tests share one database. */
export function makeMark() {
  return `js-${randomBytes(6).toString("hex")}`;
}

/** The caller's side of a bidirectional stream: send, hear, send again. */
export class Conversation {
  #waiting = [];
  #wake = () => {};
  #ended = false;
  #abort = new AbortController();
  #answers;

  constructor(method) {
    this.#answers = method(this.#requests(), { signal: this.#abort.signal })[Symbol.asyncIterator]();
  }

  async *#requests() {
    for (;;) {
      while (this.#waiting.length > 0) {
        yield this.#waiting.shift();
      }
      if (this.#ended) {
        return;
      }
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }

  /** Queues requests; returns at once. */
  send(...requests) {
    this.#waiting.push(...requests);
    this.#wake();
  }

  /** The next response. Throws a ConnectError if the call failed, and an Error at the stream's good end. */
  async hear() {
    const { done, value } = await this.#answers.next();
    if (done) {
      throw new Error("the stream ended where an answer was due");
    }
    return value;
  }

  /** Sends one request and waits for the next response. */
  async ask(request) {
    this.send(request);
    return this.hear();
  }

  /** Says that there is nothing more to send; the responses that were still to come. */
  async end() {
    this.#ended = true;
    this.#wake();
    const rest = [];
    for (let next = await this.#answers.next(); !next.done; next = await this.#answers.next()) {
      rest.push(next.value);
    }
    return rest;
  }

  /** Ends the call as a client does that goes away. */
  breakOff() {
    this.#abort.abort();
    this.#ended = true;
    this.#wake();
  }
}

/** Expects a call to fail; returns its code, its reason, and what the other details say. */
export async function refusal(call) {
  let error;
  try {
    await call();
  } catch (caught) {
    error = ConnectError.from(caught);
  }
  if (!error) {
    throw new Error("the call succeeded, and should not");
  }
  const [info] = error.findDetails(ErrorInfoSchema);
  if (info?.domain !== "orrery") {
    throw new Error(`came without google.rpc.ErrorInfo: ${error.message}`);
  }
  const violations = error.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations);
  return {
    code: Code[error.code],
    reason: info.reason,
    metadata: info.metadata,
    fields: violations.map((violation) => violation.field),
    resource: error.findDetails(ResourceInfoSchema)[0]?.resourceName,
    preconditions: error
      .findDetails(PreconditionFailureSchema)
      .flatMap((failure) => failure.violations.map(({ type, subject, description }) => [type, subject, description])),
  };
}
