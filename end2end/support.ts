// What every spec uses: a page on which a console error fails the test, the mail sink, the accessibility check.
import AxeBuilder from "@axe-core/playwright";
import { test as base, expect, type Page } from "@playwright/test";

/** An address that `cargo xtask test` passes. */
export function address(name: "CONSOLE_URL" | "GATEWAY_URL" | "MAIL_URL" | "UPSTREAM_URL"): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; run \`cargo xtask test --only browser\``);
  return value;
}

/** A client address of its own for each test: codes are limited by network, and a suite would run into that. */
function ownAddress(): string {
  const byte = () => Math.floor(Math.random() * 256);
  // The range set aside for benchmarks: nobody's.
  return `198.${18 + Math.floor(Math.random() * 2)}.${byte()}.${byte()}`;
}

/** A page whose errors fail the test, whatever else it checks. */
export const test = base.extend<{ quiet: void }>({
  extraHTTPHeaders: async ({}, use) => use({ "X-Forwarded-For": ownAddress() }),
  quiet: [
    async ({ page }, use) => {
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(`exception: ${error.message}`));
      page.on("console", (message) => {
        if (message.type() === "error" && !expected(message.text())) errors.push(message.text());
      });
      await use();
      expect(errors, "errors on the page").toEqual([]);
    },
    { auto: true },
  ],
});

export { expect };

/** Chromium reports every answer of 400 and above as an error; the spec that provokes one checks it itself. */
function expected(text: string): boolean {
  return /^Failed to load resource: the server responded with a status of 4\d\d/.test(text);
}

/** A message in the mail sink. */
export interface Mail {
  id: number;
  to: string[];
  subject: string;
  text: string;
  html: string | null;
  code: string | null;
}

/** Everything sent to `to`, newest first. */
export async function mails(to: string): Promise<Mail[]> {
  const answer = await fetch(`${address("MAIL_URL")}/api/messages?to=${encodeURIComponent(to)}`);
  if (!answer.ok) throw new Error(`the mail sink answers ${answer.status}`);
  return (await answer.json()) as Mail[];
}

/** Waits for the code of a mail to `to` that came after the first `seen` ones. */
export async function nextCode(to: string, seen = 0): Promise<string> {
  let code: string | null = null;
  await expect(async () => {
    const all = await mails(to);
    expect(all.length, `mails to ${to}`).toBeGreaterThan(seen);
    code = all[0]?.code ?? null;
    expect(code, "a code in the newest mail").not.toBeNull();
  }).toPass({ timeout: 10_000 });
  return code ?? "";
}

/** An address nobody used before. */
export function newAddress(): string {
  return `user-${crypto.randomUUID()}@example.com`;
}

/** Signs in as `email` through the pages a person uses, and ends on the account's keys. */
export async function signIn(page: Page, email: string): Promise<void> {
  const seen = (await mails(email)).length;
  await page.goto("/login");
  await page.getByLabel("Email address").fill(email);
  await page.getByRole("button", { name: "Email me a code" }).click();
  await enterCode(page, await nextCode(email, seen));
}

/** Enters the right code, and ends on the account's keys. */
export async function enterCode(page: Page, right: string): Promise<void> {
  const code = page.getByRole("textbox", { name: "Code" });
  await code.fill(right);
  // With scripts the eighth digit may send the form by itself, and the box is gone before Enter reaches it.
  await expect(async () => {
    await code.press("Enter", { timeout: 5_000 }).catch(() => undefined);
    await page.waitForURL(/\/a\/[^/]+\/keys$/, { timeout: 10_000 });
  }).toPass({ timeout: 45_000 });
}

/** No axe violation on the page as it is. */
export async function expectAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const told = violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.target).join(", ")}`);
  expect(told, "accessibility violations").toEqual([]);
}
