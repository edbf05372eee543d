// Every page by axe, which is a script itself and so can only look at pages that may run some.
import { expect, expectAccessible, newAddress, signIn, test } from "./support";

test("the sign-in page is accessible in both themes", async ({ page }) => {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await page.goto("/login");
    await expectAccessible(page);
    await page.goto("/nowhere");
    await expectAccessible(page);
  }
});

test("the page for the code is accessible in both themes", async ({ page }) => {
  await page.goto("/login");
  await page.getByLabel("Email address").fill(newAddress());
  await page.getByRole("button", { name: "Email me a code" }).click();
  await expect(page.getByRole("textbox", { name: "Code" })).toBeVisible();
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await expectAccessible(page);
  }
});

test("every keys page is accessible in both themes, on a desk and on a phone", async ({ page }) => {
  // Twenty runs of axe.
  test.slow();
  const everywhere = async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      for (const width of [1280, 390]) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        await page.setViewportSize({ width, height: 900 });
        await expectAccessible(page);
      }
    }
  };
  await signIn(page, newAddress());
  await everywhere();
  await page.getByRole("link", { name: "Create an API key" }).first().click();
  await everywhere();
  await page.getByLabel("Name").fill("seen");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await expect(page.locator("#new-secret")).toBeVisible();
  await everywhere();
  await page.getByRole("link", { name: "I stored it" }).click();
  await expect(page.getByRole("rowheader")).toHaveCount(1);
  await everywhere();
  await page.getByRole("link", { name: "Revoke key seen" }).click();
  await everywhere();
});

test("the form and the page of a key are accessible", async ({ page }) => {
  // Sixteen runs of axe.
  test.slow();
  const twice = async () => {
    for (const [colorScheme, width] of [["light", 1280], ["dark", 390]] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.setViewportSize({ width, height: 900 });
      await expectAccessible(page);
    }
  };
  await signIn(page, newAddress());
  await page.getByRole("link", { name: "Create an API key" }).first().click();
  await page.getByText("Quota and limits").click();
  await page.getByLabel("Limit cost").check();
  await page.getByText("Access", { exact: true }).click();
  await page.getByLabel("Only what is ticked").check();
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await expect(page.getByText(/^Nothing was saved/)).toBeVisible();
  await twice();
  await page.getByLabel("Name").fill("seen");
  await page.getByLabel("Amount").fill("100");
  await page.getByLabel("Everything").check();
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.getByRole("link", { name: "I stored it" }).click();
  const filters = page.getByText("Filters", { exact: true });
  await filters.click();
  await twice();
  await filters.click();
  await page.getByRole("link", { name: "seen", exact: true }).click();
  const key = page.url();
  await twice();
  await page.getByRole("link", { name: "Audit", exact: true }).click();
  await twice();
  await page.goto(`${key}/rotate`);
  await twice();
  await page.getByRole("button", { name: "Create new secret" }).click();
  await page.goto(key);
  await expect(page.getByRole("heading", { name: "Rotation under way" })).toBeVisible();
  await twice();
  await page.goto(`${key}/delete`);
  await twice();
});
