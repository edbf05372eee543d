// What axe, which is a script, says of the operator's pages.
import { expect, expectAccessible, signIn, test } from "./support";

test("the operator's pages are accessible and fit, on a desk and on a phone", async ({ page }) => {
  // Sixteen runs of axe.
  test.slow();
  await signIn(page, "accessibility@operator.example");
  const paths = ["", "/models", "/models/new", "/upstreams", "/upstreams/new", "/permissions", "/permissions/new", "/gateways"];
  for (const path of paths) {
    await page.goto(`/operator${path}`);
    for (const [colorScheme, width] of [["light", 1280], ["dark", 390]] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.setViewportSize({ width, height: 900 });
      await expectAccessible(page);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(overflow, `${path} at ${width} px is not wider than its window`).toBeLessThanOrEqual(0);
    }
  }
});
