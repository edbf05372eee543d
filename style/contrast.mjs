// Holds the colour pairs of style/theme.css to WCAG 2.2: 4.5:1 for text, 3:1 for the edges of controls.
// Run by hand after a change of colour: `node style/contrast.mjs`; it exits with 1 when a pair fails.
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const css = await readFile(join(dirname(fileURLToPath(import.meta.url)), "theme.css"), "utf8");

function tokens(theme) {
  const start = css.indexOf(`name: "${theme}";`);
  const block = css.slice(start, css.indexOf("\n}", start));
  const found = {};
  for (const [, name, l, c, h] of block.matchAll(/--(?:color-|lk-)([\w-]+): oklch\(([\d.]+)% ([\d.]+) ([\d.]+)\)/g)) {
    found[name] = [Number(l) / 100, Number(c), Number(h)];
  }
  return found;
}

/** Relative luminance of an OKLCH colour, each sRGB channel clipped to its range as browsers do. */
function luminance([l, c, h]) {
  const a = c * Math.cos((h * Math.PI) / 180);
  const b = c * Math.sin((h * Math.PI) / 180);
  const [x, y, z] = [
    (l + 0.3963377774 * a + 0.2158037573 * b) ** 3,
    (l - 0.1055613458 * a - 0.0638541728 * b) ** 3,
    (l - 0.0894841775 * a - 1.291485548 * b) ** 3,
  ];
  const clip = (value) => Math.min(1, Math.max(0, value));
  const red = clip(4.0767416621 * x - 3.3077115913 * y + 0.2309699292 * z);
  const green = clip(-1.2684380046 * x + 2.6097574011 * y - 0.3413193965 * z);
  const blue = clip(-0.0041960863 * x - 0.7034186147 * y + 1.707614701 * z);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function ratio(one, other) {
  const [high, low] = [luminance(one), luminance(other)].sort((left, right) => right - left);
  return (high + 0.05) / (low + 0.05);
}

const surfaces = ["base-100", "base-200", "base-300"];
const texts = ["base-content", "muted", "primary", "success", "warning", "error", "info", "violet"];
const pairs = [
  ...surfaces.flatMap((surface) => texts.map((text) => [text, surface, 4.5])),
  ...["primary", "neutral", "info", "success", "warning", "error"].map((name) => [`${name}-content`, name, 4.5]),
  ...["accent", "success", "warning", "error"].flatMap((wash) => [
    ["base-content", `wash-${wash}`, 4.5],
    ["muted", `wash-${wash}`, 4.5],
    [wash, `wash-${wash}`, 4.5],
  ]),
  ["edge", "base-100", 3],
  ["edge", "base-200", 3],
];

let failed = 0;
for (const theme of ["latchkey", "latchkey-dark"]) {
  const colour = tokens(theme);
  let lowest = Infinity;
  for (const [front, back, least] of pairs) {
    const found = ratio(colour[front], colour[back]);
    lowest = Math.min(lowest, found / least);
    if (!(found >= least)) {
      failed += 1;
      console.error(`${theme}: ${front} on ${back} is ${found.toFixed(2)}:1, must be ${least}:1`);
    }
  }
  console.log(`${theme}: ${pairs.length} pairs, the tightest at ${lowest.toFixed(2)} of its bound`);
}
process.exit(failed === 0 ? 0 : 1);
