// A key with everything it can be given, and its own page: A1, A5, A7, A11, A12, A14-A22, O1-O7, O9, O10, R5, R13, K2, K5, K6.
import OpenAI from "openai";
import { address, expect, newAddress, signIn, test } from "./support";

function client(secret: string): OpenAI {
  return new OpenAI({ apiKey: secret, baseURL: `${address("GATEWAY_URL")}/v1`, maxRetries: 0 });
}

function ask(secret: string) {
  return client(secret).chat.completions.create({
    model: "gpt-4o-mini",
    max_tokens: 16,
    messages: [{ role: "user", content: "Hello" }],
  });
}

test("limits and rules are set in one form, shown on the key's page, and the gateway keeps them", async ({ page }) => {
  await signIn(page, newAddress());
  await page.getByRole("link", { name: "Create an API key" }).first().click();
  await page.getByLabel("Name").fill("build-bot");
  await page.getByLabel("Note").fill("CI for the web repo");
  await page.getByLabel("Environment").fill("staging");
  await page.getByText("Quota and limits").click();
  await page.getByLabel("Limit cost").check();
  await page.getByLabel("Amount").fill("50000000");
  await page.getByLabel("Unit").selectOption("credits");
  await page.getByLabel("Limit requests per minute").check();
  await page.locator("#rate").fill("1");
  await page.getByText("Access", { exact: true }).click();
  await page.getByRole("checkbox", { name: "gpt-4o-mini", exact: true }).check();
  await page.getByLabel("Only what is ticked").check();
  await page.getByRole("checkbox", { name: /^chat:read/ }).check();
  await page.getByRole("button", { name: "Create", exact: true }).click();
  const secret = (await page.locator("#new-secret").innerText()).trim();
  await page.getByRole("link", { name: "I stored it" }).click();

  await page.getByRole("link", { name: "build-bot", exact: true }).click();
  await expect(page.getByText("$0.00 of $100.00")).toBeVisible();
  for (const fact of ["staging", "gpt-4o-mini", "chat:read", "1 in any 60 seconds", "CI for the web repo"]) {
    await expect(page.getByText(fact, { exact: true }).first()).toBeVisible();
  }

  expect((await ask(secret)).choices.length).toBe(1);
  await expect(ask(secret)).rejects.toMatchObject({ status: 429, code: "rate_limit_exceeded" });
  await expect(client(secret).models.list()).rejects.toMatchObject({ status: 403, code: "insufficient_permissions" });

  await page.getByRole("link", { name: "Edit", exact: true }).click();
  await expect(page.getByLabel("Note")).toHaveValue("CI for the web repo");
  await page.getByText("Quota and limits").click();
  await expect(page.getByLabel("Amount")).toHaveValue("100.00");
  await page.getByLabel("Limit requests per minute").uncheck();
  await page.getByRole("button", { name: "Save key" }).click();
  await expect(page.getByText(/Saved build-bot\. Enforced on 1\/1 gateways? in \d+ ms/)).toBeVisible();
  expect((await ask(secret)).choices.length).toBe(1);

  await page.getByRole("link", { name: "build-bot", exact: true }).click();
  await page.getByRole("link", { name: "Requests", exact: true }).click();
  await expect(page.getByText("Too many requests within 60 seconds.", { exact: false })).toBeVisible();
  await page.getByRole("link", { name: "Audit", exact: true }).click();
  await expect(page.getByText(/Requests per minute: 1 → none/)).toBeVisible();
});

test("a form that is wrong in three places says so at each and keeps what was typed", async ({ page }) => {
  await signIn(page, newAddress());
  await page.getByRole("link", { name: "Create an API key" }).first().click();
  await page.getByText("Quota and limits").click();
  await page.getByLabel("Limit tokens").check();
  await page.locator("#tokens").fill("lots");
  await page.getByText("Access", { exact: true }).click();
  await page.getByLabel("Allowed addresses").fill("10.0.0.1\nlocalhost");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await expect(page.getByText("Nothing was saved: 3 fields need another look.")).toBeVisible();
  await expect(page.getByLabel("Name")).toHaveAttribute("aria-invalid", "true");
  await expect(page.locator("#tokens")).toHaveValue("lots");
  await expect(page.getByText(/Line 2: localhost is no address/)).toBeVisible();
  await expect(page.getByLabel("Allowed addresses")).toHaveValue("10.0.0.1\nlocalhost");
});

test("a rotation keeps the old secret until it is ended, and regenerating stops it at once", async ({ page }) => {
  await signIn(page, newAddress());
  await page.getByRole("link", { name: "Create an API key" }).first().click();
  await page.getByLabel("Name").fill("rotating");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  const first = (await page.locator("#new-secret").innerText()).trim();
  await page.getByRole("link", { name: "I stored it" }).click();
  await page.getByRole("link", { name: "rotating", exact: true }).click();
  const key = page.url();

  await page.getByRole("link", { name: "Rotate", exact: true }).click();
  await page.getByLabel("1 hour").check();
  await page.getByRole("button", { name: "Create new secret" }).click();
  const second = (await page.locator("#new-secret").innerText()).trim();
  expect(second).not.toBe(first);
  expect((await ask(second)).choices.length).toBe(1);
  expect((await ask(first)).choices.length).toBe(1);

  await page.goto(key);
  await expect(page.getByRole("heading", { name: "Rotation under way" })).toBeVisible();
  await expect(async () => {
    await page.reload();
    await expect(page.getByText(/1 request in the last hour/)).toBeVisible({ timeout: 500 });
  }).toPass();
  await page.getByRole("button", { name: "End now" }).click();
  await expect(page.getByText(/Ended the rotation of rotating\. Enforced on 1\/1/)).toBeVisible();
  await expect(ask(first)).rejects.toMatchObject({ status: 401, code: "invalid_api_key" });
  expect((await ask(second)).choices.length).toBe(1);

  await page.getByRole("link", { name: "Rotate", exact: true }).click();
  await page.getByLabel("Stop it at once").check();
  await page.getByRole("button", { name: "Create new secret" }).click();
  const third = (await page.locator("#new-secret").innerText()).trim();
  await expect(page.getByText(/Enforced on 1\/1 gateways? in \d+ ms/)).toBeVisible();
  await expect(ask(second)).rejects.toMatchObject({ status: 401, code: "invalid_api_key" });
  expect((await ask(third)).choices.length).toBe(1);

  await page.goto(key);
  await page.getByRole("link", { name: "Delete", exact: true }).click();
  await page.getByLabel("Its name").fill("rotating");
  await page.getByRole("button", { name: "Delete key" }).click();
  await expect(page.getByText(/Deleted rotating\. Enforced on 1\/1/)).toBeVisible();
  await expect(ask(third)).rejects.toMatchObject({ status: 401, code: "invalid_api_key" });
});
