// The official Node client against the gateway, as a user would write it.
// Needs OPENAI_BASE_URL and OPENAI_API_KEY, which the client reads by itself.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { VERSION } from "openai/version";

const model = "gpt-4o-mini";
const messages = [{ role: "user", content: "Hello" }];
const client = new OpenAI({ maxRetries: 0 });

const models = [];
for await (const listed of client.models.list()) models.push(listed.id);
assert.ok(models.includes(model), models.join());

const answer = await client.chat.completions.create({ model, messages });
assert.ok(answer.choices[0].message.content);
assert.ok(answer.usage.total_tokens > 0);

let text = "";
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  text += chunk.choices[0]?.delta?.content ?? "";
}
assert.ok(text, "an empty stream");

const stranger = new OpenAI({ apiKey: "sk-lk-not-a-key", maxRetries: 0 });
await assert.rejects(stranger.models.list(), (refused) => {
  assert.ok(refused instanceof OpenAI.AuthenticationError);
  assert.equal(refused.status, 401);
  assert.match(refused.message, /Invalid API key/);
  return true;
});

console.log(`openai ${VERSION} for Node: models, chat, stream, 401`);
