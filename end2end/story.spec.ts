// The main job, from signing in to a key that stops: S1, S3-S7, S12, A1, A2, A5, A9, R6, R11, R14, R20.
import OpenAI from "openai";
import { address, expect, newAddress, signIn, test } from "./support";
import { createKey, keyRow, revoke, showColumns, toggle } from "./keys";

/** A client as a user would make it from the page's snippet. */
function client(secret: string): OpenAI {
  return new OpenAI({ apiKey: secret, baseURL: `${address("GATEWAY_URL")}/v1`, maxRetries: 0 });
}

async function ask(secret: string): Promise<string> {
  const answer = await client(secret).chat.completions.create({
    model: "gpt-4o-mini",
    messages: [{ role: "user", content: "Hello" }],
  });
  return answer.choices[0]?.message.content ?? "";
}

test("a key is made, used, seen, switched off and on, and revoked", async ({ page }) => {
  await signIn(page, newAddress());
  await expect(page.getByText(`${address("GATEWAY_URL")}/v1`).first()).toBeVisible();

  const secret = await createKey(page, "build-bot");
  await expect(page.getByText(/Enforced on 1\/1 gateways? in \d+ ms/)).toBeVisible();
  expect(await ask(secret)).not.toBe("");

  await page.getByRole("link", { name: "I stored it" }).click();
  await showColumns(page, "Requests", "Cost");
  const row = keyRow(page, "build-bot");
  await expect(row).toContainText(`••••${secret.slice(-4)}`);
  await expect(async () => {
    await page.reload();
    await expect(row.locator("[data-label='Requests']")).toHaveText("1", { timeout: 500 });
  }).toPass();
  await expect(row.locator("[data-label='Cost']")).toHaveText(/^\$0\.0*[1-9]/);
  await expect(row.locator("[data-label='Last used']")).not.toContainText("Never");

  await toggle(page, "build-bot");
  await expect(row).toContainText("Disabled");
  await expect(ask(secret)).rejects.toMatchObject({ status: 401, code: "key_disabled" });

  await toggle(page, "build-bot");
  await expect(row).toContainText("Operational");
  expect(await ask(secret)).not.toBe("");

  await revoke(page, "build-bot");
  await expect(page.getByRole("row").filter({ hasText: "build-bot" })).toHaveCount(0);
  const refused = ask(secret);
  await expect(refused).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
  await expect(refused).rejects.toMatchObject({ status: 401, code: "invalid_api_key", type: "authentication_error" });
});

test("a stream arrives word by word and is counted", async ({ page }) => {
  await signIn(page, newAddress());
  const secret = await createKey(page, "streamer");
  const stream = await client(secret).chat.completions.create({
    model: "gpt-4o-mini",
    messages: [{ role: "user", content: "Hello" }],
    stream: true,
  });
  let frames = 0;
  for await (const chunk of stream) frames += chunk.choices[0]?.delta.content ? 1 : 0;
  expect(frames).toBeGreaterThan(1);
  await page.getByRole("link", { name: "I stored it" }).click();
  await showColumns(page, "Requests");
  await expect(async () => {
    await page.reload();
    await expect(keyRow(page, "streamer").locator("[data-label='Requests']")).toHaveText("1", { timeout: 500 });
  }).toPass();
});
