// A user with a command-line client and no .proto file: buf curl, which uses reflection like grpcurl.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const BUF = fileURLToPath(new URL("node_modules/.bin/buf", import.meta.url));
const run = promisify(execFile);

/** A person at the service of this name at this address. */
export class Person {
  /** The methods called so far. */
  called = new Set();

  constructor(address, service) {
    this.address = address;
    this.service = service;
  }

  /** Runs `buf curl` with these arguments and returns what it printed. */
  async curl(path, ...flags) {
    const usual = ["curl", "--protocol", "grpc", "--http2-prior-knowledge"];
    return (await run(BUF, [...usual, ...flags, `http://${this.address}${path}`], { timeout: 60_000 })).stdout;
  }

  /** Calls a method with these messages, and returns the messages of the answer. */
  async call(method, ...messages) {
    this.called.add(method);
    const sent = messages.map((message) => JSON.stringify(message)).join("\n");
    const printed = await this.curl(`/${this.service}/${method}`, "-d", sent);
    // One JSON object after another, each ending with a brace at the start of a line.
    return printed.split(/(?<=^(?:\}|\{\})$)/mu).filter((text) => text.trim()).map((text) => JSON.parse(text));
  }
}
