// Cuts the icon sprite of the console out of lucide-static and writes public/icons.svg.
// Run by hand after changing the list: `node style/icons.mjs`. The result is committed.
// `Icon` in src/ui/icon.rs names the same icons; its test compares the two.
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const icons = [
  "arrow-left",
  "ban",
  "check",
  "chevron-right",
  "circle-alert",
  "circle-check",
  "circle-pause",
  "circle-user",
  "copy",
  "info",
  "key-round",
  "log-out",
  "mail",
  "monitor",
  "moon",
  "plus",
  "search-x",
  "sun",
  "triangle-alert",
  "wrench",
  "x",
];

const symbols = [];
for (const name of icons) {
  const svg = await readFile(join(root, "node_modules/lucide-static/icons", `${name}.svg`), "utf8");
  const body = svg
    .slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.lastIndexOf("</svg>"))
    .split("\n")
    .map((line) => line.trim())
    .join("");
  symbols.push(`<symbol id="${name}" viewBox="0 0 24 24">${body}</symbol>`);
}

const licence = (await readFile(join(root, "node_modules/lucide-static/LICENSE"), "utf8")).trim();
await writeFile(join(root, "public", "icons.LICENSE.txt"), `${licence}\n`);
await writeFile(
  join(root, "public", "icons.svg"),
  `<svg xmlns="http://www.w3.org/2000/svg">\n${symbols.join("\n")}\n</svg>\n`,
);
console.log(`icons.svg: ${symbols.length} icons`);
