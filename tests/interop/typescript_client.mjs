// Plays a session through version 2 of the TypeScript SDK, whose client is a separate package.
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { play } from "./session.mjs";

function transport({ transport, command, env, url }) {
  if (transport === "stdio") return new StdioClientTransport({ command: command[0], args: command.slice(1), env });
  return new (transport === "sse" ? SSEClientTransport : StreamableHTTPClientTransport)(new URL(url));
}

await play(async (job) => {
  const mode = job.era === "modern" ? "auto" : "legacy";
  const client = new Client({ name: "interop", version: "1" }, { versionNegotiation: { mode } });
  await client.connect(transport(job));
  return { client, protocol: () => client.getNegotiatedProtocolVersion() };
});
