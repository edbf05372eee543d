// Cuts the two web fonts of the console out of the npm packages and writes them to public/fonts.
// Run by hand after a font update: `node style/fonts.mjs`. The result is committed, so that no build
// and no browser depends on a font service.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import subsetFont from "subset-font";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const target = join(root, "public", "fonts");
const LIMIT_BYTES = 70 * 1024;

const ascii = String.fromCharCode(...Array.from({ length: 95 }, (_, at) => at + 0x20));
const latin1 = String.fromCharCode(...Array.from({ length: 96 }, (_, at) => at + 0xa0));
const punctuation = "‐‑–—‘’“”„†‡•…‹›€™−×→←↑↓≤≥≈";

const fonts = [
  {
    package: "@fontsource-variable/inter",
    file: "inter-latin-wght-normal.woff2",
    output: "inter.woff2",
    text: ascii + latin1 + punctuation,
    variationAxes: { wght: { min: 400, max: 650 } },
  },
  {
    // Keys, ids and code are ASCII; the mask needs its bullet.
    package: "@fontsource-variable/jetbrains-mono",
    file: "jetbrains-mono-latin-wght-normal.woff2",
    output: "jetbrains-mono.woff2",
    text: `${ascii}•…`,
    variationAxes: { wght: { min: 400, max: 600 } },
  },
];

await mkdir(target, { recursive: true });
let total = 0;
for (const font of fonts) {
  const home = join(root, "node_modules", font.package);
  const source = await readFile(join(home, "files", font.file));
  const cut = await subsetFont(source, font.text, {
    targetFormat: "woff2",
    variationAxes: font.variationAxes,
  });
  total += cut.length;
  await writeFile(join(target, font.output), cut);
  await writeFile(join(target, font.output.replace("woff2", "LICENSE.txt")), await readFile(join(home, "LICENSE")));
  console.log(`${font.output}: ${source.length} -> ${cut.length} bytes`);
}
console.log(`together ${total} of ${LIMIT_BYTES} bytes`);
if (total > LIMIT_BYTES) process.exit(1);
