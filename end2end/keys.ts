// What a person does on the keys pages, for specs that need it done.
import { expect, type Locator, type Page } from "@playwright/test";

/** Makes a key through the form and returns its secret from the page that shows it once. */
export async function createKey(page: Page, name: string): Promise<string> {
  await page.getByRole("link", { name: "Create an API key" }).first().click();
  await page.getByLabel("Name").fill(name);
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await expect(page.getByRole("heading", { name: `Your new key: ${name}` })).toBeVisible();
  return (await page.locator("#new-secret").innerText()).trim();
}

/** The row of a key. */
export function keyRow(page: Page, name: string): Locator {
  return page.getByRole("row").filter({ has: page.getByRole("rowheader", { name, exact: true }) });
}

/** Flips a key's switch and waits until the server has confirmed it. */
export async function toggle(page: Page, name: string): Promise<void> {
  const control = page.getByRole("switch", { name: `Enable key ${name}` });
  const before = await control.getAttribute("aria-checked");
  await control.click();
  await expect(control).toHaveAttribute("aria-checked", before === "true" ? "false" : "true");
  await expect(control).not.toHaveAttribute("aria-busy", "true");
}

/** Revokes a key through the question that the page asks, as a dialog or as a page of its own. */
export async function revoke(page: Page, name: string): Promise<void> {
  await page.getByRole("link", { name: `Revoke key ${name}` }).click();
  await expect(page.getByRole("heading", { name: `Revoke ${name}?` })).toBeVisible();
  await page.getByRole("button", { name: "Revoke key", exact: true }).click();
  await expect(page.getByText(/Enforced on 1\/1 gateways? in \d+ ms/)).toBeVisible();
}

/** Shows columns of the list that are hidden until somebody asks for them. */
export async function showColumns(page: Page, ...names: string[]): Promise<void> {
  await page.getByText("Columns", { exact: true }).first().click();
  for (const name of names) await page.getByRole("checkbox", { name, exact: true }).check();
  await page.getByRole("button", { name: "Show these columns" }).click();
  for (const name of names) await expect(page.getByRole("columnheader", { name })).toBeVisible();
}
