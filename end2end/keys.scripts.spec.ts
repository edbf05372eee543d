// What only scripts can do: optimistic switches, copying, dialogs by keyboard.
import { expect, newAddress, signIn, test } from "./support";
import { createKey } from "./keys";

test("a switch flips at once, and back with the reason if the server refuses", async ({ page }) => {
  await signIn(page, newAddress());
  await createKey(page, "build-bot");
  await page.getByRole("link", { name: "I stored it" }).click();
  const control = page.getByRole("switch", { name: "Enable key build-bot" });
  await page.route("**/set_key_enabled*", (route) =>
    route.fulfill({
      status: 503,
      contentType: "application/json",
      headers: { serverfnerror: "true" },
      body: JSON.stringify({ kind: "unavailable" }),
    }),
  );
  await control.click();
  await expect(page.locator(".key-status-refused")).toBeVisible();
  await expect(control).toHaveAttribute("aria-checked", "true");
});

test("the copy button copies the secret", async ({ page, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await signIn(page, newAddress());
  const secret = await createKey(page, "build-bot");
  await page.getByRole("button", { name: "Copy", exact: true }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret);
});

test("the dialog is left with Escape and gives the focus back", async ({ page }) => {
  await signIn(page, newAddress());
  await createKey(page, "build-bot");
  await page.getByRole("link", { name: "I stored it" }).click();
  const link = page.getByRole("link", { name: "Revoke key build-bot" });
  await link.focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await expect(dialog).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();
  await expect(link).toBeFocused();
});
