// Checks a running server with the official `openai` package for Node and with the AI SDK's
// provider for OpenAI-compatible servers.
//
//     node clients.mjs http://127.0.0.1:8000/v1 MODEL
//
// Works against any model. Prints one line per check and a summary; exits with 1 if any failed.

import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateObject, generateText, streamObject, streamText } from "ai";
import OpenAI, { APIError } from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const provider = createOpenAICompatible({ name: "phial", baseURL, includeUsage: true });
const structured = createOpenAICompatible({
  name: "phial",
  baseURL,
  supportsStructuredOutputs: true,
});
// Everything in it has an end, whatever the model would like to say.
const Light = z.object({ on: z.boolean(), colour: z.enum(["red", "white"]) });
const messages = [{ role: "user", content: "Say hello." }];

const checks = {
  async chat() {
    const answer = await client.chat.completions.create({ model, messages, max_tokens: 8 });
    assert.equal(answer.object, "chat.completion");
    assert.equal(typeof answer.choices[0].message.content, "string");
    assert.ok(answer._request_id);
  },

  async chatStreamed() {
    const stream = client.chat.completions.stream({
      model,
      messages,
      max_tokens: 8,
      temperature: 0,
      stream_options: { include_usage: true },
    });
    let text = "";
    stream.on("content", (delta) => (text += delta));
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0].message.content, text);
    assert.ok(final.usage.completion_tokens > 0);
  },

  async completion() {
    const answer = await client.completions.create({ model, prompt: "Once", max_tokens: 4 });
    assert.equal(answer.object, "text_completion");
    let pieces = "";
    const options = { model, prompt: "Once", max_tokens: 4, temperature: 0 };
    for await (const piece of await client.completions.create({ ...options, stream: true })) {
      pieces += piece.choices[0].text;
    }
    assert.equal((await client.completions.create(options)).choices[0].text, pieces);
  },

  async embedding() {
    const answer = await client.embeddings.create({ model, input: "Hello" });
    const length = Math.hypot(...answer.data[0].embedding);
    assert.ok(Math.abs(length - 1) < 1e-3, `${length}`);
  },

  async response() {
    const options = { model, input: "Say hello.", max_output_tokens: 16, temperature: 0 };
    const answer = await client.responses.create(options);
    const kinds = [];
    for await (const event of await client.responses.create({ ...options, stream: true })) {
      kinds.push(event.type);
    }
    assert.equal(kinds[0], "response.created");
    assert.ok(kinds.includes("response.output_text.done"));
    const stream = client.responses.stream(options);
    assert.equal((await stream.finalResponse()).output_text, answer.output_text);
    assert.equal((await client.responses.retrieve(answer.id)).output_text, answer.output_text);
  },

  async parsed() {
    const options = { model, messages, temperature: 0, max_tokens: 100 };
    const response_format = zodResponseFormat(Light, "light");
    const answer = await client.chat.completions.parse({ ...options, response_format });
    Light.parse(answer.choices[0].message.parsed);
    const stream = client.chat.completions.stream({ ...options, response_format });
    const final = await stream.finalChatCompletion();
    assert.deepEqual(final.choices[0].message.parsed, answer.choices[0].message.parsed);
    const response = await client.responses.parse({
      model,
      input: "Say hello.",
      max_output_tokens: 100,
      text: { format: zodTextFormat(Light, "light") },
    });
    Light.parse(response.output_parsed);
  },

  async sdkObject() {
    const options = { schema: Light, prompt: "Say hello.", temperature: 0, maxOutputTokens: 100 };
    const { object } = await generateObject({ model: structured(model), ...options });
    Light.parse(object);
    const stream = streamObject({ model: structured(model), ...options });
    for await (const part of stream.partialObjectStream) assert.equal(typeof part, "object");
    assert.deepEqual(await stream.object, object);
  },

  async errors() {
    const refused = async (body, code, param) => {
      const error = await client.chat.completions.create({ model, messages, ...body }).then(
        () => assert.fail("it was accepted"),
        (error) => error,
      );
      assert.ok(error instanceof APIError);
      assert.deepEqual([error.status, error.code, error.param], [400, code, param]);
      assert.ok(error.requestID);
    };
    await refused({ temperature: 3 }, "invalid_value", "temperature");
    await refused({ reasoning_effort: "high" }, "unsupported_parameter", "reasoning_effort");
  },

  async sdkText() {
    const answer = await generateText({
      model: provider(model),
      prompt: "Say hello.",
      maxOutputTokens: 8,
      temperature: 0,
    });
    assert.equal(typeof answer.text, "string");
    assert.ok(["stop", "length"].includes(answer.finishReason));
    assert.ok(answer.usage.outputTokens > 0);
    const stream = streamText({
      model: provider(model),
      prompt: "Say hello.",
      maxOutputTokens: 8,
      temperature: 0,
    });
    let text = "";
    for await (const piece of stream.textStream) text += piece;
    assert.equal(text, answer.text);
    assert.ok(["stop", "length"].includes(await stream.finishReason));
    assert.ok((await stream.usage).outputTokens > 0);
  },

  async sdkEmbedding() {
    const embedding = provider.textEmbeddingModel ?? provider.embeddingModel;
    const answer = await embed({ model: embedding(model), value: "Hello" });
    assert.ok(answer.embedding.length > 0);
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok   ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}\n${error.stack ?? error}`);
  }
}
console.log(`${Object.keys(checks).length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
