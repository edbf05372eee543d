// What only scripts can do: optimistic switches, copying, dialogs by keyboard.
import { expect, newAddress, signIn, test } from "./support";
import { createKey } from "./keys";

test("a switch flips at once, and back with the reason if the server refuses", async ({ page }) => {
  await signIn(page, newAddress());
  await createKey(page, "build-bot");
  await page.getByRole("link", { name: "I stored it" }).click();
  await page.waitForLoadState("networkidle");
  const control = page.getByRole("switch", { name: "Enable key build-bot" });
  await page.route("**/set_key_enabled*", (route) =>
    route.fulfill({
      status: 409,
      contentType: "application/json",
      headers: { serverfnerror: "true" },
      body: JSON.stringify({ kind: "conflict", message: "Somebody else has revoked this key." }),
    }),
  );
  await control.click();
  await expect(page.locator(".key-status-refused")).toHaveText("Somebody else has revoked this key.");
  await expect(control).toHaveAttribute("aria-checked", "true");
});

test("the copy button copies the secret", async ({ page }) => {
  await signIn(page, newAddress());
  const secret = await createKey(page, "build-bot");
  // Until its script has come the button does nothing.
  const copy = page.getByRole("button", { name: "Copy", exact: true });
  await expect(async () => {
    await copy.click();
    await expect(copy).toHaveAttribute("data-copied", "", { timeout: 1_000 });
  }).toPass();
  // The page's policy lets no script read the clipboard, so it is pasted as a person would.
  await page.getByRole("link", { name: "Create another" }).click();
  await page.getByLabel("Name").focus();
  await page.keyboard.press("Control+V");
  await expect(page.getByLabel("Name")).toHaveValue(secret);
});

test("the dialog is left with Escape and gives the focus back", async ({ page }) => {
  await signIn(page, newAddress());
  await createKey(page, "build-bot");
  await page.getByRole("link", { name: "I stored it" }).click();
  const keys = page.url();
  const link = page.getByRole("link", { name: "Revoke key build-bot" });
  const dialog = page.getByRole("dialog");
  // Until its script has come the link leads to the page that asks the same.
  await expect(async () => {
    await page.goto(keys, { waitUntil: "networkidle" });
    await link.focus();
    await page.keyboard.press("Enter");
    await expect(dialog).toBeVisible({ timeout: 2_000 });
  }).toPass();
  await page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();
  await expect(link).toBeFocused();
});
