// The common part of both TypeScript clients: reads a job from stdin, plays it, prints what it saw as JSON.
import { readFileSync, writeSync } from "node:fs";

// Insert values from earlier answers: "$list.next_cursor" is that field of the answer to the call "list".
function resolved(given, answers) {
  const found = { ...given };
  for (const [name, value] of Object.entries(given)) {
    if (typeof value === "string" && value.startsWith("$")) {
      const dot = value.lastIndexOf(".");
      found[name] = answers[value.slice(1, dot)].structured?.[value.slice(dot + 1)];
    }
  }
  return found;
}

async function call(client, name, given) {
  try {
    const result = await client.callTool({ name, arguments: given });
    const texts = result.content.filter((block) => block.type === "text").map((block) => block.text);
    return { isError: result.isError ?? false, texts, structured: result.structuredContent ?? null };
  } catch (error) {
    if (typeof error.code !== "number") throw error;
    // The SDK of version 1 puts the code into the message as well.
    return { error: { code: error.code, message: error.message.replace(/^MCP error -?\d+: /, "") } };
  }
}

// `connect` takes the job and returns the connected client and a function that returns the negotiated protocol.
export async function play(connect) {
  const job = JSON.parse(readFileSync(0, "utf8"));
  const { client, protocol } = await connect(job);
  const { tools } = await client.listTools();
  const answers = {};
  for (const step of job.session) {
    answers[step.name] = await call(client, step.tool, resolved(step.arguments, answers));
  }
  const seen = { protocol: protocol(), instructions: client.getInstructions(), tools, answers };
  await client.close();
  writeSync(1, JSON.stringify(seen));
  process.exit(0);
}
