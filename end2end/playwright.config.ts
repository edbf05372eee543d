// Browser specs against a running Latchkey. `cargo xtask test --only browser` starts one and passes its addresses;
// nothing here starts or installs anything.
import { defineConfig, type LaunchOptions } from "@playwright/test";

const root = typeof process.getuid === "function" && process.getuid() === 0;

const launchOptions: LaunchOptions = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    // Chromium has no sandbox for root.
    ...(root ? ["--no-sandbox"] : []),
    // It calls home otherwise, and what it cannot reach shows up as noise.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
  ],
};

export default defineConfig({
  testDir: ".",
  testMatch: "**/*.spec.ts",
  outputDir: "test-results",
  forbidOnly: !!process.env.CI,
  fullyParallel: true,
  workers: 2,
  retries: 0,
  // Two slow cores that serve, compile WASM and render at once.
  timeout: 60_000,
  expect: { timeout: 10_000 },
  reporter: [["list"]],
  use: {
    baseURL: process.env.CONSOLE_URL,
    launchOptions,
    locale: "en-GB",
    timezoneId: "Europe/Berlin",
    screenshot: "only-on-failure",
    trace: "retain-on-failure",
  },
  projects: [
    { name: "scripts" },
    // The same pages must work without; specs of what only scripts can do are named *.scripts.spec.ts.
    { name: "no-scripts", testIgnore: "**/*.scripts.spec.ts", use: { javaScriptEnabled: false } },
  ],
});
