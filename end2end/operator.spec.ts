// The operator's pages: there for operators alone, usable without scripts, followed by the gateways.
import OpenAI from "openai";
import { address, expect, expectAccessible, newAddress, signIn, test } from "./support";

test("an operator adds a model and an upstream, and a key can use it at once", async ({ page }, info) => {
  // A sign-in, forms and calls.
  test.slow();
  const id = `spec/${info.project.name}-${Date.now()}`;
  // Each project has an operator of its own: one address gets one code a minute.
  await signIn(page, `${info.project.name}@operator.example`);
  await page.getByRole("link", { name: "Create an API key" }).first().click();
  await page.getByLabel("Name").fill(id);
  await page.getByRole("button", { name: "Create", exact: true }).click();
  const secret = (await page.locator("#new-secret").innerText()).trim();
  await page.getByRole("link", { name: "I stored it" }).click();

  await page.getByRole("link", { name: "Operator", exact: true }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Operator" })).toBeVisible();
  const pages = page.getByRole("navigation", { name: "Operator" });

  await pages.getByRole("link", { name: "Models" }).click();
  await page.getByRole("link", { name: "Add a model" }).click();
  await page.getByLabel("Name", { exact: true }).fill(id);
  await page.getByLabel("Other names").fill(`${id}-too`);
  await page.getByLabel("Input optional", { exact: true }).fill("-1");
  await page.getByLabel("Cached input").fill("0.075");
  await page.getByLabel("Output optional", { exact: true }).fill("0.6");
  await page.getByLabel("Name at UPSTREAM_URL").fill("gpt-4o-mini");
  await page.getByRole("button", { name: "Add model" }).click();
  await expect(page.getByText("An amount cannot be negative")).toBeVisible();
  await expect(page.getByLabel("Other names")).toHaveValue(`${id}-too`);
  if (info.project.name === "scripts") await expectAccessible(page);
  await page.getByLabel("Input optional", { exact: true }).fill("0.15");
  await page.getByRole("button", { name: "Add model" }).click();
  await expect(page.getByText(/Enforced on 1\/1 gateways? in \d+ ms/)).toBeVisible();

  const client = new OpenAI({ apiKey: secret, baseURL: `${address("GATEWAY_URL")}/v1`, maxRetries: 0 });
  const messages = [{ role: "user" as const, content: "Hello" }];
  const answer = await client.chat.completions.create({ model: `${id}-too`, messages });
  expect(answer.choices[0]?.message.content).not.toBe("");

  // Whose key the gateway does not have cannot be used: the page says so as soon as the gateway has.
  await pages.getByRole("link", { name: "Upstreams" }).click();
  await page.getByRole("link", { name: "Add an upstream" }).click();
  await page.getByLabel("Name", { exact: true }).fill(id);
  await page.getByLabel("Base URL").fill("https://api.example.com/v1/");
  await page.getByLabel("Variable with its key").fill("UPSTREAM_OF_NOBODY");
  await page.getByRole("button", { name: "Add upstream" }).click();
  const row = page.getByRole("row").filter({ hasText: id });
  await expect(row).toContainText("https://api.example.com/v1");
  await expect(async () => {
    await page.reload();
    await expect(row).toContainText("Cannot be used", { timeout: 500 });
  }).toPass();

  await pages.getByRole("link", { name: "Models" }).click();
  await page.getByRole("link", { name: id, exact: true }).click();
  await page.getByRole("checkbox", { name: "Offered" }).uncheck();
  await page.getByRole("button", { name: "Save model" }).click();
  await expect(page.getByRole("row").filter({ hasText: id })).toContainText("Disabled");
  await expect(client.chat.completions.create({ model: id, messages })).rejects.toMatchObject({ status: 404 });

  await pages.getByRole("link", { name: "Gateways" }).click();
  await expect(page.getByRole("row").filter({ hasText: "gateway-1" })).toContainText("Running");

  // A permission of the service's own, in front of an upstream whose key the gateway has.
  await pages.getByRole("link", { name: "Upstreams" }).click();
  await page.getByRole("link", { name: "Add an upstream" }).click();
  await page.getByLabel("Name", { exact: true }).fill(`${id}-demo`);
  await page.getByLabel("Base URL").fill(`${address("UPSTREAM_URL")}/v1`);
  await page.getByLabel("Variable with its key").fill("UPSTREAM_API_KEY");
  await page.getByRole("button", { name: "Add upstream" }).click();
  const word = id.replace(/[^a-z0-9]/g, "_");
  await pages.getByRole("link", { name: "Permissions" }).click();
  await page.getByRole("link", { name: "Add a permission" }).click();
  await page.getByLabel("Name", { exact: true }).fill(word);
  await page.getByLabel("Lets a key").fill("Read characters");
  const route = page.getByRole("group", { name: "Route 1" });
  await route.getByLabel("Path", { exact: true }).fill("/v1/chat/completions");
  await route.getByLabel("Upstream", { exact: true }).selectOption({ label: `${id}-demo` });
  await route.getByLabel("Path there, if another").fill("/models");
  await route.getByLabel("Dollars per call").fill("0.002");
  await page.getByRole("button", { name: "Add permission" }).click();
  await expect(page.getByText("/v1/chat/completions is a path of the gateway itself")).toBeVisible();
  await expect(route.getByLabel("Dollars per call")).toHaveValue("0.002");
  if (info.project.name === "scripts") await expectAccessible(page);
  await route.getByLabel("Path", { exact: true }).fill(`/v1/${word}/{id}`);
  await page.getByRole("button", { name: "Add permission" }).click();
  await expect(page.getByText(/Enforced on 1\/1 gateways? in \d+ ms/)).toBeVisible();
  const call = () =>
    fetch(`${address("GATEWAY_URL")}/v1/${word}/7`, { headers: { Authorization: `Bearer ${secret}` } });
  expect((await call()).status).toBe(200);

  await page.getByRole("link", { name: word, exact: true }).click();
  await page.getByRole("checkbox", { name: "Served" }).uncheck();
  await page.getByRole("button", { name: "Save permission" }).click();
  await expect(page.getByRole("row").filter({ hasText: word })).toContainText("Archived");
  expect((await call()).status).toBe(404);
});

test("for everybody else there is no such page", async ({ page }) => {
  await signIn(page, newAddress());
  await expect(page.getByRole("link", { name: "Operator", exact: true })).toHaveCount(0);
  for (const path of ["/operator", "/operator/models"]) {
    const answer = await page.goto(path);
    expect(answer?.status()).toBe(404);
  }
});
