// The responses and conversations of the `openai` package for JavaScript.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const address = "http://127.0.0.1:8080/v1";
const token = process.env.INGRAM_TOKEN;

const client = new OpenAI({
  baseURL: "http://127.0.0.1:8080/v1",
  apiKey: token,
});

const weather = {
  type: "function",
  name: "get_weather",
  description: "Tells the weather of a city.",
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
  strict: true,
};

// One pixel.
const picture =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

const invoice = z.object({ customer: z.string(), items: z.array(z.string()), total: z.number() });

const respond = (input, more = {}, options = {}) => client.responses.create({ model: "", input, ...more }, options);
const kinds = (response) => response.output.map((item) => item.type);

// A client that notes the status of every answer, those that it repeats included.
function counting(statuses) {
  const noting = async (...request) => {
    const answer = await fetch(...request);
    statuses.push(answer.status);
    return answer;
  };
  return new OpenAI({ baseURL: address, apiKey: token, fetch: noting });
}

// Follows a response to its end.
async function rest(id) {
  for await (const event of await client.responses.retrieve(id, { stream: true })) void event;
  return client.responses.retrieve(id);
}

test("a reply", async () => {
  const response = await client.responses.create({
    model: "",
    input: "Say hello.",
  });
  const answer = response.output_text;
  assert.equal(answer, "Hello, how can I help?");
  assert.match(response.id, /^run_/);
  assert.equal(response.status, "completed");
  assert.deepEqual(kinds(response), ["message"]);
});

test("a streamed reply", async () => {
  const stream = await client.responses.create({
    model: "",
    input: "Say hello.",
    stream: true,
  });
  let answer = "";
  for await (const event of stream) {
    if (event.type === "response.output_text.delta") answer += event.delta;
  }
  assert.equal(answer, "Hello, how can I help?");
});

test("the accumulated stream", async () => {
  const stream = client.responses.stream({ model: "", input: "Think about it." });
  const snapshots = [];
  stream.on("response.output_text.delta", (event) => snapshots.push(event.snapshot));
  const response = await stream.finalResponse();
  assert.equal(snapshots.at(-1), "I have thought about it.");
  assert.deepEqual(kinds(response), ["reasoning", "message"]);
});

test("an image", async () => {
  const content = [
    { type: "input_text", text: "What is this?" },
    { type: "input_image", image_url: picture, detail: "auto" },
  ];
  assert.equal((await respond([{ role: "user", content }])).output_text, "I see 1 of them.");
});

test("the response before", async () => {
  const first = await respond("My name is Grace.");
  const second = await client.responses.create({
    model: "",
    input: "What is my name?",
    previous_response_id: first.id,
  });
  assert.equal(second.output_text, "Your name is Grace.");
});

test("a conversation", async () => {
  const conversation = await client.conversations.create({ metadata: { topic: "names" } });
  await respond("My name is Linus.", { conversation: conversation.id });
  const response = await respond("What is my name?", { conversation: { id: conversation.id } });
  assert.equal(response.output_text, "Your name is Linus.");
  const roles = [];
  for await (const item of client.conversations.items.list(conversation.id, { order: "asc", limit: 2 })) {
    roles.push(item.role);
  }
  assert.deepEqual(roles, ["user", "assistant", "user", "assistant"]);
  const named = await client.conversations.retrieve(conversation.id);
  assert.equal(named.metadata.topic, "names");
});

test("tools of the client, in streams", async () => {
  const input = [{ role: "user", content: "What is the weather in Paris and Rome?" }];
  const first = await client.responses.stream({ model: "", input, tools: [weather] }).finalResponse();
  input.push(...first.output);
  for (const call of first.output.filter((item) => item.type === "function_call")) {
    const celsius = { Paris: 21, Rome: 30 }[JSON.parse(call.arguments).city];
    input.push({ type: "function_call_output", call_id: call.call_id, output: JSON.stringify({ celsius }) });
  }
  assert.equal(input.length, 5);
  const second = await client.responses.stream({ model: "", input, tools: [weather] }).finalResponse();
  assert.equal(second.output_text, "It is 30 degrees.");
});

test("the choice of a tool", async () => {
  const called = async (choice) => {
    const response = await respond("Say hello.", { tools: [weather], tool_choice: choice });
    return kinds(response).filter((kind) => kind === "function_call").length;
  };
  assert.equal(await called("auto"), 0);
  assert.equal(await called("required"), 1);
  assert.equal(await called({ type: "function", name: "get_weather" }), 1);
});

test("a structured answer", async () => {
  const response = await client.responses.parse({
    model: "",
    input: "Write an invoice for Ada.",
    text: { format: zodTextFormat(invoice, "invoice") },
  });
  assert.deepEqual(response.output_parsed, { customer: "Ada", items: ["paper", "ink"], total: 12.5 });
});

test("an approval", async () => {
  const paused = await respond("Refund order 12.");
  assert.deepEqual(kinds(paused), ["message", "mcp_approval_request"]);
  const request = paused.output[1];
  const response = await client.responses.create({
    model: "",
    input: [{ type: "mcp_approval_response", approval_request_id: request.id, approve: true }],
  });
  assert.equal(response.id, paused.id);
  assert.deepEqual(kinds(response), ["mcp_call", "message"]);
  assert.equal(response.output_text, "Order refunded.");
});

test("an approval in streams", async () => {
  const paused = await client.responses.stream({ model: "", input: "Refund order 12." }).finalResponse();
  const decision = { type: "mcp_approval_response", approval_request_id: paused.output[1].id, approve: true };
  const response = await client.responses.stream({ model: "", input: [decision] }).finalResponse();
  assert.equal(response.id, paused.id);
  assert.equal(response.output_text, "Order refunded.");
  // The whole of it, over the pause, is one stream too.
  const numbers = [];
  const whole = client.responses.stream({ response_id: paused.id });
  whole.on("event", (event) => numbers.push(event.sequence_number));
  await whole.done();
  assert.deepEqual(numbers, [...numbers.keys()]);
});

test("a conversation that waits takes no turn and is not asked again", async () => {
  const conversation = await client.conversations.create({});
  await respond("Refund order 12.", { conversation: conversation.id });
  const statuses = [];
  const turn = counting(statuses).responses.create({
    model: "",
    input: "Say hello.",
    conversation: conversation.id,
  });
  await assert.rejects(turn, (error) => error instanceof OpenAI.ConflictError && error.code === "conversation_locked");
  assert.deepEqual(statuses, [409]);
});

test("an answer in the background", async () => {
  const response = await respond("Count to twenty.", { background: true });
  assert.ok(["queued", "in_progress"].includes(response.status), response.status);
  assert.equal((await rest(response.id)).status, "completed");
  const endless = await respond("Please talk for a minute.", { background: true });
  assert.equal((await client.responses.cancel(endless.id)).status, "cancelled");
});

test("a stream that is picked up again", async () => {
  let [answer, id, last] = ["", undefined, undefined];
  for await (const event of await respond("Count to twenty.", { stream: true })) {
    last = event.sequence_number;
    if (event.type === "response.created") id = event.response.id;
    if (event.type === "response.output_text.delta") {
      answer += event.delta;
      if (answer.includes("5")) break;
    }
  }
  for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: last })) {
    assert.equal(event.sequence_number, last + 1);
    last = event.sequence_number;
    if (event.type === "response.output_text.delta") answer += event.delta;
  }
  assert.equal(answer, (await client.responses.retrieve(id)).output_text);
  const replayed = client.responses.stream({ response_id: id, starting_after: 4 });
  const numbers = [];
  replayed.on("event", (event) => numbers.push(event.sequence_number));
  assert.equal((await replayed.finalResponse()).output_text, answer);
  assert.equal(numbers[0], 5);
});

test("errors have their types", async () => {
  const stranger = new OpenAI({ baseURL: address, apiKey: "thp_live_nonsense" });
  await assert.rejects(stranger.responses.create({ model: "", input: "Say hello." }), OpenAI.AuthenticationError);
  await assert.rejects(
    client.responses.retrieve("run_11111111111111111111zz"),
    (error) => error instanceof OpenAI.NotFoundError && error.code === "not_found",
  );
  await assert.rejects(
    respond("Say hello.", { model: "no-such-model" }),
    (error) => error instanceof OpenAI.UnprocessableEntityError && error.code === "unknown_provider",
  );
  const first = await respond("Say hello.");
  const conversation = await client.conversations.create({});
  await assert.rejects(
    respond("Say hello.", { previous_response_id: first.id, conversation: conversation.id }),
    (error) => error instanceof OpenAI.BadRequestError && error.code === "invalid_request",
  );
});

test("a failed run is not repeated", async () => {
  const statuses = [];
  const failed = counting(statuses).responses.create({ model: "", input: "Please be unavailable." });
  await assert.rejects(failed, (error) => error.status === 502 && error.code === "model_request_failed");
  assert.deepEqual(statuses, [502]);
});

test("a failure in the middle of a stream", async () => {
  let [answer, id] = ["", undefined];
  await assert.rejects(
    async () => {
      for await (const event of await respond("Please break off.", { stream: true })) {
        if (event.type === "response.created") id = event.response.id;
        if (event.type === "response.output_text.delta") answer += event.delta;
      }
    },
    (error) => error instanceof OpenAI.APIError && error.code === "model_request_failed",
  );
  assert.match(answer, /^I begin/);
  assert.equal((await client.responses.retrieve(id)).status, "failed");
});

test("a response goes on without its reader", async () => {
  let id;
  for await (const event of await respond("Count to twenty.", { stream: true })) {
    id = event.response.id;
    break;
  }
  assert.equal((await rest(id)).status, "completed");
});
