// The AI SDK with `@ai-sdk/openai`, which speaks the Responses API.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";

const address = "http://127.0.0.1:8080/v1";
const token = process.env.INGRAM_TOKEN;

const openai = createOpenAI({
  baseURL: "http://127.0.0.1:8080/v1",
  apiKey: token,
});
const model = openai("");

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
    model: openai(""),
    prompt: "Say hello.",
  });
  assert.equal(text, "Hello, how can I help?");
  assert.match(finalStep.response.id, /^run_/);
  assert.equal(finalStep.response.modelId, "scripted/clients");
  assert.ok(usage.outputTokens > 0);
});

test("a streamed reply", async () => {
  const result = streamText({
    model: openai(""),
    prompt: "Say hello.",
  });
  let answer = "";
  for await (const text of result.textStream) {
    answer += text;
  }
  assert.equal(answer, "Hello, how can I help?");
  assert.equal(await result.finishReason, "stop");
});

test("instructions are added to those of the agent", async () => {
  const { text } = await generateText({ model, instructions: "Answer in French.", prompt: "Say hello." });
  assert.match(text, /^Bonjour/);
});

test("a summary of the reasoning", async () => {
  const result = streamText({ model, prompt: "Think about it." });
  assert.equal(await result.text, "I have thought about it.");
  assert.equal((await result.finalStep).reasoningText, "The answer is in the question.");
});

test("the history of the request", async () => {
  const messages = [user("My name is Ada.")];
  const first = await generateText({ model, messages });
  messages.push(...first.responseMessages, user("What is my name?"));
  const { text } = await generateText({ model, messages });
  assert.equal(text, "Your name is Ada.");
});

test("the response before", async () => {
  const first = await generateText({ model, prompt: "My name is Grace." });
  const { text } = await generateText({
    model,
    prompt: "What is my name?",
    providerOptions: { openai: { previousResponseId: first.finalStep.response.id } },
  });
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
  const streamed = streamText({ model, output: Output.object({ schema }), prompt: "Write an invoice for Ada." });
  assert.equal((await streamed.output).customer, "Ada");
});

test("an approval of a tool that the server carries out", async () => {
  const messages = [user("Refund order 12.")];
  const paused = await generateText({ model, messages });
  const request = paused.content.find((part) => part.type === "tool-approval-request");
  assert.deepEqual([request.toolCall.toolName, request.toolCall.input], ["mcp.refund", { order: 12 }]);
  messages.push(...paused.responseMessages, {
    role: "tool",
    content: [{ type: "tool-approval-response", approvalId: request.approvalId, approved: true, providerExecuted: true }],
  });
  const approved = await generateText({ model, messages });
  assert.equal(approved.text, "Order refunded.");
  assert.equal(approved.finalStep.response.id, paused.finalStep.response.id);
  assert.deepEqual(approved.finalStep.toolResults.map((result) => result.output.output), ['{"ok":true}']);
  // The talk goes on with all of it in the request.
  messages.push(...approved.responseMessages, user("Say hello."));
  const { text } = await generateText({ model, messages });
  assert.equal(text, "Hello, how can I help?");
});

test("an approval in streams", async () => {
  const messages = [user("Refund order 12.")];
  const paused = streamText({ model, messages });
  const request = (await parts(paused)).find((part) => part.type === "tool-approval-request");
  messages.push(...(await paused.responseMessages), {
    role: "tool",
    content: [{ type: "tool-approval-response", approvalId: request.approvalId, approved: true, providerExecuted: true }],
  });
  const approved = streamText({ model, messages });
  assert.equal(await approved.text, "Order refunded.");
  messages.push(...(await approved.responseMessages), user("Say hello."));
  assert.equal(await streamText({ model, messages }).text, "Hello, how can I help?");
});

test("a rejection", async () => {
  const messages = [user("Refund order 12.")];
  const paused = await generateText({ model, messages });
  const request = paused.content.find((part) => part.type === "tool-approval-request");
  messages.push(...paused.responseMessages, {
    role: "tool",
    content: [{ type: "tool-approval-response", approvalId: request.approvalId, approved: false, providerExecuted: true }],
  });
  const rejected = await generateText({ model, messages });
  assert.deepEqual(rejected.finalStep.toolResults, []);
});

test("an MCP server that the request brings along", async () => {
  const dictionary = openai.tools.mcp({
    serverLabel: "dictionary",
    serverUrl: process.env.INGRAM_MCP_URL,
    requireApproval: "always",
  });
  const tools = { dictionary };
  const messages = [user("Please look up ingram.")];
  const paused = await generateText({ model, tools, messages });
  const request = paused.content.find((part) => part.type === "tool-approval-request");
  messages.push(...paused.responseMessages, {
    role: "tool",
    content: [{ type: "tool-approval-response", approvalId: request.approvalId, approved: true, providerExecuted: true }],
  });
  const { text } = await generateText({ model, tools, messages });
  assert.equal(text, "The lookup says: a surname");
});

test("errors have their status and code", async () => {
  const stranger = createOpenAI({ baseURL: address, apiKey: "thp_live_nonsense" });
  await assert.rejects(generateText({ model: stranger(""), prompt: "Say hello." }), refusal(401, "unauthenticated"));
  await assert.rejects(
    generateText({ model: openai("no-such-model"), prompt: "Say hello." }),
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

test("a run that is cancelled before it has said anything is not begun again", async () => {
  let begun = 0;
  const cancelling = async (...request) => {
    const answer = await fetch(...request);
    begun += 1;
    const headers = { authorization: `Bearer ${token}` };
    const path = `responses/${answer.headers.get("ic-run-id")}/cancel`;
    await fetch(`${address}/${path}`, { method: "POST", headers });
    return answer;
  };
  const patient = createOpenAI({ baseURL: address, apiKey: token, fetch: cancelling });
  const all = await parts(streamText({ model: patient(""), onError: () => {}, prompt: "Wait for a minute." }));
  assert.equal(all.filter((part) => part.type === "error").length, 1);
  assert.equal(begun, 1);
});

test("who leaves a stream does not cancel the response", async () => {
  let run;
  const noting = async (...request) => {
    const answer = await fetch(...request);
    run = answer.headers.get("ic-run-id");
    return answer;
  };
  const leaving = createOpenAI({ baseURL: address, apiKey: token, fetch: noting });
  const controller = new AbortController();
  const left = streamText({ model: leaving(""), abortSignal: controller.signal, prompt: "Count to twenty." });
  for await (const part of left.stream) {
    if (part.type === "text-delta") controller.abort();
  }
  const headers = { authorization: `Bearer ${token}` };
  await (await fetch(`${address}/responses/${run}?stream=true`, { headers })).text();
  const response = await (await fetch(`${address}/responses/${run}`, { headers })).json();
  assert.equal(response.status, "completed");
});
