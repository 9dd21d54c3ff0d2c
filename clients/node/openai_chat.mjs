// The chat completions of the `openai` package for JavaScript.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const address = "http://127.0.0.1:8080/v1";
const token = process.env.INGRAM_TOKEN;

const client = new OpenAI({
  baseURL: "http://127.0.0.1:8080/v1",
  apiKey: token,
});

const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Tells the weather of a city.",
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
    },
  },
};

// One pixel.
const picture =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

const invoice = z.object({ customer: z.string(), items: z.array(z.string()), total: z.number() });

const user = (content) => ({ role: "user", content });
const say = (content, more = {}, options = {}) =>
  client.chat.completions.create({ model: "", messages: [user(content)], ...more }, options);

// A client that notes the status of every answer, those that it repeats included.
function counting(statuses) {
  const noting = async (...request) => {
    const answer = await fetch(...request);
    statuses.push(answer.status);
    return answer;
  };
  return new OpenAI({ baseURL: address, apiKey: token, fetch: noting });
}

// Follows a run to its end.
async function rest(run) {
  for await (const event of await client.responses.retrieve(run, { stream: true })) void event;
  return client.responses.retrieve(run);
}

test("a reply", async () => {
  const completion = await client.chat.completions.create({
    model: "",
    messages: [{ role: "user", content: "Say hello." }],
  });
  const answer = completion.choices[0].message.content;
  assert.equal(answer, "Hello, how can I help?");
  assert.match(completion.id, /^run_/);
  assert.equal(completion.choices[0].finish_reason, "stop");
});

test("a streamed reply", async () => {
  const stream = await client.chat.completions.create({
    model: "",
    messages: [{ role: "user", content: "Say hello." }],
    stream: true,
  });
  let answer = "";
  for await (const chunk of stream) {
    answer += chunk.choices[0].delta.content ?? "";
  }
  assert.equal(answer, "Hello, how can I help?");
});

test("the accumulated stream", async () => {
  const stream = client.chat.completions.stream({
    model: "",
    messages: [user("Say hello.")],
    stream_options: { include_usage: true },
  });
  assert.equal(await stream.finalContent(), "Hello, how can I help?");
  assert.ok((await stream.totalUsage()).completion_tokens > 0);
});

test("the history of a thread", async () => {
  const options = { headers: { "IC-Thread-Id": `node-${randomUUID()}` } };
  await say("My name is Grace.", {}, options);
  const completion = await say("What is my name?", {}, options);
  assert.equal(completion.choices[0].message.content, "Your name is Grace.");
});

test("an image", async () => {
  const completion = await say([
    { type: "text", text: "What is this?" },
    { type: "image_url", image_url: { url: picture } },
  ]);
  assert.equal(completion.choices[0].message.content, "I see 1 of them.");
});

test("tools that the client runs by itself", async () => {
  const asked = [];
  const runner = client.chat.completions.runTools({
    model: "",
    messages: [user("What is the weather in Paris and Rome?")],
    tools: [
      {
        type: "function",
        function: {
          ...weather.function,
          parse: JSON.parse,
          function: ({ city }) => {
            asked.push(city);
            return { celsius: { Paris: 21, Rome: 30 }[city] };
          },
        },
      },
    ],
  });
  assert.equal(await runner.finalContent(), "It is 30 degrees.");
  assert.deepEqual(asked, ["Paris", "Rome"]);
});

test("tools that the client runs by itself, in streams", async () => {
  const runner = client.chat.completions.runTools({
    model: "",
    stream: true,
    messages: [user("What is the weather in Paris?")],
    tools: [
      {
        type: "function",
        function: { ...weather.function, parse: JSON.parse, function: () => ({ celsius: 21 }) },
      },
    ],
  });
  assert.match(await runner.finalContent(), /It is 21 degrees\.$/);
});

test("the choice of a tool", async () => {
  const called = async (choice) => {
    const completion = await say("Say hello.", { tools: [weather], tool_choice: choice });
    return (completion.choices[0].message.tool_calls ?? []).map((call) => call.function.name);
  };
  assert.deepEqual(await called("none"), []);
  assert.deepEqual(await called("required"), ["get_weather"]);
  assert.deepEqual(await called({ type: "function", function: { name: "get_weather" } }), ["get_weather"]);
});

test("a structured answer", async () => {
  const completion = await client.chat.completions.parse({
    model: "",
    messages: [user("Write an invoice for Ada.")],
    response_format: zodResponseFormat(invoice, "invoice"),
  });
  assert.deepEqual(completion.choices[0].message.parsed, { customer: "Ada", items: ["paper", "ink"], total: 12.5 });
});

test("an approval", async () => {
  const messages = [user("Refund order 12.")];
  const paused = await client.chat.completions.create({ model: "", messages });
  const { message, finish_reason: reason } = paused.choices[0];
  assert.equal(reason, "tool_calls");
  const [call] = message.tool_calls;
  assert.ok(call.id.startsWith(`${paused.id}::`));
  messages.push(message, { role: "tool", tool_call_id: call.id, content: "approve" });
  const completion = await client.chat.completions.create({ model: "", messages });
  assert.equal(completion.id, paused.id);
  assert.match(completion.choices[0].message.content, /Order refunded\.$/);
});

test("an approval in streams", async () => {
  const messages = [user("Refund order 12.")];
  const paused = await client.chat.completions.stream({ model: "", messages }).finalChatCompletion();
  const { message } = paused.choices[0];
  messages.push(message, { role: "tool", tool_call_id: message.tool_calls[0].id, content: "approve" });
  const completion = await client.chat.completions.stream({ model: "", messages }).finalChatCompletion();
  assert.equal(completion.id, paused.id);
  assert.match(completion.choices[0].message.content, /Order refunded\.$/);
});

test("a thread that waits takes no turn and is not asked again", async () => {
  const headers = { "IC-Thread-Id": `node-${randomUUID()}` };
  await say("Refund order 12.", {}, { headers });
  const statuses = [];
  const turn = counting(statuses).chat.completions.create(
    { model: "", messages: [user("Say hello.")] },
    { headers },
  );
  await assert.rejects(turn, (error) => error instanceof OpenAI.ConflictError && error.code === "conversation_locked");
  assert.deepEqual(statuses, [409]);
});

test("errors have their types", async () => {
  const stranger = new OpenAI({ baseURL: address, apiKey: "thp_live_nonsense" });
  await assert.rejects(
    stranger.chat.completions.create({ model: "", messages: [user("Say hello.")] }),
    (error) => error instanceof OpenAI.AuthenticationError && error.code === "unauthenticated" && /^req_/.test(error.requestID),
  );
  await assert.rejects(
    say("Say hello.", { model: "no-such-model" }),
    (error) => error instanceof OpenAI.UnprocessableEntityError && error.code === "unknown_provider",
  );
  await assert.rejects(
    say("Say hello.", { n: 2 }),
    (error) => error instanceof OpenAI.UnprocessableEntityError && error.param === "n",
  );
});

test("a failed run is not repeated", async () => {
  const statuses = [];
  const failed = counting(statuses).chat.completions.create({
    model: "",
    messages: [user("Please be unavailable.")],
  });
  await assert.rejects(failed, (error) => error.status === 502 && error.code === "model_request_failed");
  assert.deepEqual(statuses, [502]);
});

test("a failure in the middle of a stream", async () => {
  let answer = "";
  await assert.rejects(
    async () => {
      for await (const chunk of await say("Please break off.", { stream: true })) {
        answer += chunk.choices[0].delta.content ?? "";
      }
    },
    (error) => error instanceof OpenAI.APIError && error.code === "model_request_failed",
  );
  assert.match(answer, /^I begin/);
});

test("who leaves a stream cancels the run", async () => {
  const stream = await say("Please talk for a minute.", { stream: true });
  let run;
  for await (const chunk of stream) {
    run = chunk.id;
    if (chunk.choices[0].delta.content) {
      stream.controller.abort();
    }
  }
  assert.equal((await rest(run)).status, "cancelled");
});

test("a run with a key goes on without its reader", async () => {
  const stream = await say("Count to twenty.", { stream: true }, { headers: { "Idempotency-Key": randomUUID() } });
  let run;
  for await (const chunk of stream) {
    run = chunk.id;
    break;
  }
  const response = await rest(run);
  assert.equal(response.status, "completed");
  assert.match(response.output_text, /19 20$/);
});

test("models", async () => {
  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  assert.ok(models.includes("scripted/clients"));
  await assert.rejects(client.models.retrieve("no-such-model"), OpenAI.NotFoundError);
});
