// Speaks AG-UI to a gateway with the official client, as a scenario in JSON on standard input says, and prints what the
// client holds after each of its acts.
import { HttpAgent } from "@ag-ui/client";
import { readFileSync } from "node:fs";

const { url, threadId, acts } = JSON.parse(readFileSync(0, "utf8"));
const agent = new HttpAgent({ url: `${url}/v1/agui`, threadId });
let last = null; // the latest `id:` of any stream
process.on("unhandledRejection", () => {}); // the client leaves one behind when its connection is cut

async function* lines(body) {
  let rest = "";
  for await (const chunk of body) {
    rest += Buffer.from(chunk).toString();
    const parts = rest.split("\n\n");
    rest = parts.pop();
    yield* parts.map((part) => `${part}\n\n`);
  }
}

// A fetch that notes each id, and cuts the connection after `count` events of the protocol.
function watched(count, headers = {}, method, where) {
  return async (address, init) => {
    const request = method === "GET" ? { headers: { ...headers, Accept: "text/event-stream" } } : init;
    const answer = await fetch(where ?? address, request);
    if (!answer.ok) return answer;
    let seen = 0;
    const body = new ReadableStream({
      async start(controller) {
        for await (const part of lines(answer.body)) {
          const id = /^id: (.*)$/m.exec(part);
          if (id) last = id[1];
          controller.enqueue(new TextEncoder().encode(part));
          if (id && ++seen === count) {
            await answer.body.cancel().catch(() => {});
            controller.error(new Error("cut"));
            return;
          }
        }
        controller.close();
      },
    });
    return new Response(body, { status: 200, headers: answer.headers });
  };
}

const held = (types, failure) => ({
  messages: agent.messages,
  state: agent.state,
  interrupts: agent.pendingInterrupts,
  types,
  failure,
  last,
});

for (const act of acts) {
  const types = [];
  let failure = null;
  const subscriber = { onEvent: ({ event }) => void types.push(event.type) };
  if (act.say) agent.addMessage({ id: `said-${act.runId}`, role: "user", content: act.say });
  if (act.join) {
    const headers = act.after === "last" ? { "Last-Event-ID": last } : {};
    agent.fetch = watched(act.cut ?? 0, headers, "GET", `${act.elsewhere ?? url}/v1/agui/${threadId}/${act.runId}`);
  } else {
    agent.fetch = watched(act.cut ?? 0);
  }
  const resume = act.resume && agent.pendingInterrupts.map((asked) => ({ interruptId: asked.id, ...act.resume }));
  try {
    await agent.runAgent({ runId: act.runId, ...(resume && { resume }) }, subscriber);
  } catch (error) {
    failure = String(error.message);
  }
  console.log(JSON.stringify(held(types, failure)));
}
