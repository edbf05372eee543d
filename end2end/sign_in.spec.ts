// S1: sign in with an email and a one-time code, over real mail.
import { address, enterCode, expect, newAddress, nextCode, signIn, test } from "./support";

test("a newcomer signs in with the mailed code and sees the keys page", async ({ page }) => {
  await signIn(page, newAddress());
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
});

test("a wrong code is refused and the right one still works", async ({ page }) => {
  const email = newAddress();
  await page.goto("/");
  await page.getByLabel("Email address").fill(email);
  await page.getByRole("button", { name: "Email me a code" }).click();
  const code = await nextCode(email);
  const wrong = code === "00000000" ? "00000001" : "00000000";
  await page.getByRole("textbox", { name: "Code" }).fill(wrong);
  await page.getByRole("textbox", { name: "Code" }).press("Enter");
  await expect(page.getByRole("textbox", { name: "Code" })).toHaveAttribute("aria-invalid", "true");
  await enterCode(page, code);
});

test("the inbox shows the code", async ({ page }) => {
  const email = newAddress();
  await page.goto("/login");
  await page.getByLabel("Email address").fill(email);
  await page.getByRole("button", { name: "Email me a code" }).click();
  const code = await nextCode(email);
  await page.goto(address("MAIL_URL"));
  const row = page.getByRole("link").filter({ hasText: email });
  await expect(row).toContainText(code);
});
