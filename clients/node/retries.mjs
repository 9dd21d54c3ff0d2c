// What the `openai` package for JavaScript and the AI SDK do when the server is busy.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { createOpenAI } from "@ai-sdk/openai";
import { generateText } from "ai";
import OpenAI from "openai";

const address = "http://127.0.0.1:8080/v1";
const token = process.env.INGRAM_TOKEN;

const client = new OpenAI({ baseURL: address, apiKey: token });

// The server of this program runs two runs at once, and lets one wait on a thread.
const start = (thread) =>
  client.responses.create(
    { model: "", input: "Count to twenty.", stream: true },
    { headers: { "IC-Thread-Id": thread } },
  );

async function finish(streams) {
  for (const stream of streams) for await (const event of stream) void event;
}

function noting(statuses) {
  return async (...request) => {
    const answer = await fetch(...request);
    statuses.push(answer.status);
    return answer;
  };
}

test("a full thread is tried again", async () => {
  const thread = `full-${randomUUID()}`;
  const streams = [await start(thread), await start(thread)];
  const statuses = [];
  const patient = new OpenAI({ baseURL: address, apiKey: token, fetch: noting(statuses), maxRetries: 10 });
  const options = { headers: { "IC-Thread-Id": thread } };
  const response = await patient.responses.create({ model: "", input: "Say hello." }, options);
  assert.equal(response.output_text, "Hello, how can I help?");
  assert.deepEqual([...new Set(statuses)], [429, 200]);
  await finish(streams);
});

test("a full server is tried again by the AI SDK", async () => {
  const streams = [await start(`one-${randomUUID()}`), await start(`other-${randomUUID()}`)];
  const statuses = [];
  const patient = createOpenAI({ baseURL: address, apiKey: token, fetch: noting(statuses) });
  const { text } = await generateText({ model: patient(""), maxRetries: 10, prompt: "Say hello." });
  assert.equal(text, "Hello, how can I help?");
  assert.deepEqual([...new Set(statuses)], [503, 200]);
  await finish(streams);
});
