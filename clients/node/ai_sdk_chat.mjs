// The AI SDK with `@ai-sdk/openai-compatible`, which speaks Chat Completions.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";

const address = "http://127.0.0.1:8080/v1";
const token = process.env.INGRAM_TOKEN;

const ingram = createOpenAICompatible({
  name: "ingram",
  baseURL: "http://127.0.0.1:8080/v1",
  apiKey: token,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = ingram("");

const tools = {
  get_weather: tool({
    description: "Tells the weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => ({ celsius: { Paris: 21, Rome: 30 }[city] }),
  }),
};

// One pixel.
const picture = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==",
  "base64",
);

const user = (content) => ({ role: "user", content });
const refusal = (status, code) => (error) =>
  APICallError.isInstance(error) && error.statusCode === status && error.data.error.code === code;

// Reads a stream to its end and returns its parts.
async function parts(result) {
  const all = [];
  for await (const part of result.stream) all.push(part);
  return all;
}

test("a reply", async () => {
  const { text, finalStep, usage } = await generateText({
    model: ingram(""),
    prompt: "Say hello.",
  });
  assert.equal(text, "Hello, how can I help?");
  assert.match(finalStep.response.id, /^run_/);
  assert.ok(usage.outputTokens > 0);
});

test("a streamed reply", async () => {
  const result = streamText({
    model: ingram(""),
    prompt: "Say hello.",
  });
  let answer = "";
  for await (const text of result.textStream) {
    answer += text;
  }
  assert.equal(answer, "Hello, how can I help?");
  assert.equal(await result.finishReason, "stop");
  assert.ok((await result.usage).outputTokens > 0);
});

test("instructions are added to those of the agent", async () => {
  const { text } = await generateText({ model, instructions: "Answer in French.", prompt: "Say hello." });
  assert.match(text, /^Bonjour/);
});

test("the history of the request", async () => {
  const messages = [user("My name is Ada.")];
  const first = await generateText({ model, messages });
  messages.push(...first.responseMessages, user("What is my name?"));
  const { text } = await generateText({ model, messages });
  assert.equal(text, "Your name is Ada.");
});

test("the history of a thread", async () => {
  const headers = { "IC-Thread-Id": `ai-${randomUUID()}` };
  await generateText({ model, headers, prompt: "My name is Grace." });
  const { text } = await generateText({ model, headers, prompt: "What is my name?" });
  assert.equal(text, "Your name is Grace.");
});

test("an image", async () => {
  const content = [
    { type: "text", text: "What is this?" },
    { type: "file", mediaType: "image/png", data: picture },
  ];
  const { text } = await generateText({ model, messages: [user(content)] });
  assert.equal(text, "I see 1 of them.");
});

test("tools", async () => {
  const { text, steps } = await generateText({
    model,
    tools,
    stopWhen: isStepCount(5),
    prompt: "What is the weather in Paris?",
  });
  assert.equal(text, "It is 21 degrees.");
  assert.equal(steps.length, 2);
});

test("parallel tools in streams, and a turn after them", async () => {
  const messages = [user("What is the weather in Paris and Rome?")];
  const result = streamText({ model, tools, stopWhen: isStepCount(5), messages });
  const all = await parts(result);
  assert.equal(all.filter((part) => part.type === "tool-result").length, 2);
  assert.deepEqual(all.filter((part) => part.type === "error"), []);
  assert.equal(await result.text, "It is 30 degrees.");
  messages.push(...(await result.responseMessages), user("Say hello."));
  const { text } = await generateText({ model, tools, messages });
  assert.equal(text, "Hello, how can I help?");
});

test("the choice of a tool", async () => {
  const called = async (toolChoice) => {
    const { toolCalls } = await generateText({ model, tools, toolChoice, prompt: "Say hello." });
    return toolCalls.map((call) => call.toolName);
  };
  assert.deepEqual(await called("none"), []);
  assert.deepEqual(await called("required"), ["get_weather"]);
  assert.deepEqual(await called({ type: "tool", toolName: "get_weather" }), ["get_weather"]);
});

test("a structured answer", async () => {
  const schema = z.object({ customer: z.string(), items: z.array(z.string()), total: z.number() });
  const { output } = await generateText({
    model,
    output: Output.object({ schema }),
    prompt: "Write an invoice for Ada.",
  });
  assert.deepEqual(output, { customer: "Ada", items: ["paper", "ink"], total: 12.5 });
});

test("an approval of a tool that the server carries out", async () => {
  const messages = [user("Refund order 12.")];
  const paused = await generateText({ model, messages });
  const [call] = paused.toolCalls;
  assert.ok(call.toolCallId.startsWith(`${paused.finalStep.response.id}::`));
  // The SDK takes the call for one of its own; the answer to it is the decision.
  const { toolCallId, toolName, input } = call;
  messages.push(
    { role: "assistant", content: [{ type: "tool-call", toolCallId, toolName, input }] },
    { role: "tool", content: [{ type: "tool-result", toolCallId, toolName, output: { type: "text", value: "approve" } }] },
  );
  const approved = await generateText({ model, messages });
  assert.equal(approved.finalStep.response.id, paused.finalStep.response.id);
  assert.match(approved.text, /Order refunded\.$/);
});

test("errors have their status and code", async () => {
  const stranger = createOpenAICompatible({ name: "ingram", baseURL: address, apiKey: "thp_live_nonsense" });
  await assert.rejects(generateText({ model: stranger(""), prompt: "Say hello." }), refusal(401, "unauthenticated"));
  await assert.rejects(
    generateText({ model: ingram("no-such-model"), prompt: "Say hello." }),
    refusal(422, "unknown_provider"),
  );
  await assert.rejects(
    generateText({ model, maxRetries: 0, prompt: "Please be unavailable." }),
    refusal(502, "model_request_failed"),
  );
});

test("a failure in the middle of a stream", async () => {
  const all = await parts(streamText({ model, onError: () => {}, prompt: "Please break off." }));
  const text = all.filter((part) => part.type === "text-delta").map((part) => part.text);
  assert.match(text.join(""), /^I begin/);
  const { error } = all.find((part) => part.type === "error");
  assert.match(error.message, /The scripted connection broke/);
});

test("who leaves a stream cancels the run", async () => {
  let run;
  const noting = async (...request) => {
    const answer = await fetch(...request);
    run = answer.headers.get("ic-run-id");
    return answer;
  };
  const leaving = createOpenAICompatible({ name: "ingram", baseURL: address, apiKey: token, fetch: noting });
  const controller = new AbortController();
  const left = streamText({
    model: leaving(""),
    abortSignal: controller.signal,
    prompt: "Please talk for a minute.",
  });
  for await (const part of left.stream) {
    if (part.type === "text-delta") controller.abort();
  }
  const headers = { authorization: `Bearer ${token}` };
  await (await fetch(`${address}/responses/${run}?stream=true`, { headers })).text();
  const response = await (await fetch(`${address}/responses/${run}`, { headers })).json();
  assert.equal(response.status, "cancelled");
});
