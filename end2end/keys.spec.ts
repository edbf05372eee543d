// The keys pages where something is wrong, repeated or asked for twice.
import { expect, newAddress, signIn, test } from "./support";
import { createKey, keyRow, revoke } from "./keys";

test("a name that is missing or taken is refused at its field and nothing typed is lost", async ({ page }) => {
  await signIn(page, newAddress());
  await createKey(page, "build-bot");
  await page.getByRole("link", { name: "Create another" }).click();
  const name = page.getByLabel("Name");
  const create = page.getByRole("button", { name: "Create", exact: true });

  await create.click();
  await expect(name).toHaveAttribute("aria-invalid", "true");

  await name.fill("Build-Bot");
  await create.click();
  await expect(page.getByText("Another key of this account has this name")).toBeVisible();
  await expect(name).toHaveValue("Build-Bot");

  await name.fill("deploy-bot");
  await create.click();
  await expect(page.getByRole("heading", { name: "Your new key: deploy-bot" })).toBeVisible();
});

test("the secret is shown once: a reload shows the key without it and makes no second one", async ({ page }) => {
  await signIn(page, newAddress());
  const secret = await createKey(page, "once");
  await page.reload();
  await expect(page.getByText("a secret is shown only once")).toBeVisible();
  expect(await page.content()).not.toContain(secret);
  await page.getByRole("link", { name: "I stored it" }).click();
  await expect(page.getByRole("rowheader")).toHaveCount(1);
  expect(await page.content()).not.toContain(secret);
});

test("a name with markup is shown as text", async ({ page }) => {
  await signIn(page, newAddress());
  const name = `<img src=x onerror="document.title='run'"></title><script>1</script>`;
  await createKey(page, name);
  await page.getByRole("link", { name: "I stored it" }).click();
  await expect(page.getByRole("rowheader", { name, exact: true })).toBeVisible();
  await expect(page).toHaveTitle(/^API keys - /);
});

test("a revoked key is kept under its filter and cannot be switched", async ({ page }) => {
  await signIn(page, newAddress());
  await createKey(page, "old");
  await page.getByRole("link", { name: "I stored it" }).click();
  await revoke(page, "old");
  await page.getByRole("link", { name: /^Revoked/ }).click();
  await expect(keyRow(page, "old")).toContainText("Revoked");
  await expect(page.getByRole("switch")).toHaveCount(0);
});

test("another account's page answers as a missing one", async ({ page }) => {
  await signIn(page, newAddress());
  for (const path of ["/a/acme/keys", "/a/nobody-has-this/keys"]) {
    const answer = await page.goto(path);
    expect(answer?.status()).toBe(404);
  }
});

test("signing out ends the session", async ({ page }) => {
  await signIn(page, newAddress());
  const keys = page.url();
  await page.locator("summary").click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL(/\/login$/);
  await page.goto(keys);
  await expect(page).toHaveURL(/\/login$/);
});
