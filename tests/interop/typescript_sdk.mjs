// Plays a session through version 1 of the TypeScript SDK.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { play } from "./session.mjs";

function transport({ transport, command, env, url }) {
  if (transport === "stdio") return new StdioClientTransport({ command: command[0], args: command.slice(1), env });
  return new (transport === "sse" ? SSEClientTransport : StreamableHTTPClientTransport)(new URL(url));
}

await play(async (job) => {
  const client = new Client({ name: "interop", version: "1" });
  const wire = transport(job);
  // Every transport receives the negotiated version through this method; only one of them lets it be read.
  let negotiated;
  const setVersion = wire.setProtocolVersion?.bind(wire);
  wire.setProtocolVersion = (version) => {
    negotiated = version;
    setVersion?.(version);
  };
  await client.connect(wire);
  return { client, protocol: () => negotiated };
});
