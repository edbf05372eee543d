// The official Node clients against the gateway, as a user would write it.
// Needs OPENAI_BASE_URL and OPENAI_API_KEY. OpenAI's client reads them by itself; Anthropic's gets the same key and the
// same gateway, whose base URL it wants without the version.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { VERSION } from "openai/version";

const model = "gpt-4o-mini";
const messages = [{ role: "user", content: "Hello" }];
const noKey = "sk-lk-not-a-key";
const client = new OpenAI({ maxRetries: 0 });

const models = [];
for await (const listed of client.models.list()) models.push(listed.id);
assert.ok(models.includes(model), models.join());
assert.equal((await client.models.retrieve(model)).id, model);

const answer = await client.chat.completions.create({ model, messages });
assert.ok(answer.choices[0].message.content);
assert.ok(answer.usage.total_tokens > 0);

let text = "";
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  text += chunk.choices[0]?.delta?.content ?? "";
}
assert.ok(text, "an empty stream");

const vectors = await client.embeddings.create({ model: "text-embedding-3-small", input: ["one", "two"] });
assert.deepEqual(vectors.data.map((entry) => entry.embedding.length), [64, 64]);

const response = await client.responses.create({ model, input: "Hello" });
assert.ok(response.output_text && response.usage.output_tokens > 0);
const kinds = [];
let words = "";
for await (const event of await client.responses.create({ model, input: "Hello", stream: true })) {
  kinds.push(event.type);
  if (event.type === "response.output_text.delta") words += event.delta;
}
assert.equal(words, response.output_text);
assert.deepEqual([kinds[0], kinds.at(-1)], ["response.created", "response.completed"]);

const images = await client.images.generate({ model: "gpt-image-1", prompt: "A key", n: 2 });
assert.equal(images.data.length, 2);

const gateway = process.env.OPENAI_BASE_URL.replace(/\/v1$/, "");
const anthropic = (apiKey) => new Anthropic({ baseURL: gateway, apiKey, authToken: null, maxRetries: 0 });
const claude = anthropic(process.env.OPENAI_API_KEY);
const message = await claude.messages.create({ model, max_tokens: 64, messages });
assert.ok(message.content[0].text && message.usage.output_tokens > 0);
assert.ok(message._request_id, "no request id");
const last = await claude.messages.stream({ model, max_tokens: 64, messages }).finalMessage();
assert.equal(last.content[0].text, message.content[0].text);
assert.equal(last.usage.output_tokens, message.usage.output_tokens);

/** A call that must fail with this class of error, status and words. */
async function refused(call, kind, status, words) {
  await assert.rejects(call, (refusal) => {
    assert.ok(refusal instanceof kind, String(refusal));
    assert.equal(refusal.status, status);
    assert.match(refusal.message, words);
    return true;
  });
}

const stranger = new OpenAI({ apiKey: noKey, maxRetries: 0 });
await refused(stranger.models.list(), OpenAI.AuthenticationError, 401, /Invalid API key/);
await refused(client.models.retrieve("nobody/nothing"), OpenAI.NotFoundError, 404, /nobody\/nothing/);
const tooMany = client.images.generate({ model: "gpt-image-1", prompt: "A key", n: 11 });
await refused(tooMany, OpenAI.BadRequestError, 400, /'n'/);
const ask = (client, model) => client.messages.create({ model, max_tokens: 9, messages });
await refused(ask(anthropic(noKey), model), Anthropic.AuthenticationError, 401, /Invalid API key/);
await refused(ask(claude, "nobody"), Anthropic.NotFoundError, 404, /not_found_error/);

console.log(
  `openai ${VERSION} for Node: models, chat, stream, embeddings, responses, images, errors; ` +
    "@anthropic-ai/sdk: messages, stream, errors",
);
