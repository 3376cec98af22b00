// Runs the checks of the harness: `node harness/run.mjs [--grep WORDS] [--junit FILE]`.
// One line per check, a second try for what failed, then "N passed, N failed"; a failed one leaves pictures and says where.
import fs from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { buildHost } from "./build-host.mjs";
import { checks, inTheme, Stage, Turn } from "./check.mjs";
import { here, launchOptions, out } from "./env.mjs";

const { values: options } = parseArgs({ options: { grep: { type: "string" }, junit: { type: "string" } } });
// Most of a check is waiting, so that two cores carry four.
const LANES = 4;
// What is measured is measured with nothing else under way.
const ALONE = "figures";

async function inTime(ms, work) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`not done after ${ms / 1000} s`)), ms);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function one(check, stage) {
  const turn = new Turn(stage);
  const began = performance.now();
  let error = null;
  try {
    await inTime(check.timeout, check.body(turn).then(() => turn.settle()));
  } catch (found) {
    error = found;
    error.evidence = await turn.evidence();
  }
  await turn.end();
  return { ...check, error, seconds: (performance.now() - began) / 1000 };
}

const escape = text => text.replace(/[^\t\n\r -\ud7ff\ue000-\ufffd]/gu, "?").replace(/[<>&"]/g, c => `&#${c.charCodeAt(0)};`);

function junit(results) {
  const cases = results.map(r => {
    const failure = r.error ? `<failure message="${escape(r.error.message)}">${escape(r.error.stack ?? "")}</failure>` : "";
    return `<testcase classname="harness.${escape(r.theme)}" name="${escape(r.name)}" time="${r.seconds.toFixed(3)}">${failure}</testcase>`;
  });
  const failed = results.filter(r => r.error).length;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites><testsuite name="harness" tests="${results.length}" failures="${failed}" errors="0" skipped="0">\n${cases.join("\n")}\n</testsuite></testsuites>\n`;
}

await fs.mkdir(out, { recursive: true });
for (const file of (await fs.readdir(path.join(here, "checks"))).filter(name => name.endsWith(".mjs")).sort()) {
  inTheme(path.basename(file, ".mjs"));
  await import(path.join(here, "checks", file));
}
const wanted = checks.filter(c => `${c.theme}: ${c.name}`.toLowerCase().includes((options.grep ?? "").toLowerCase()));
await buildHost();
const browser = await chromium.launch(launchOptions());

/** Carries out checks one after the other until there are none left, in worlds of its own. */
async function lane(queue, results) {
  const stage = new Stage(browser);
  try {
    for (let check = queue.shift(); check; check = queue.shift()) {
      const result = await one(check, stage);
      results.push(result);
      const { error } = result;
      console.log(`${error ? "FAIL" : "ok"} ${check.theme}: ${check.name} (${result.seconds.toFixed(1)} s)`);
      if (error) console.log(`  ${(error.stack ?? error.message).split("\n").slice(0, 8).join("\n  ")}\n  see ${error.evidence}`);
    }
  } finally {
    await stage.close();
  }
}

let results = [];
try {
  await lane(wanted.filter(c => c.theme === ALONE), results);
  // The long ones first, so that none is left over at the end.
  const together = wanted.filter(c => c.theme !== ALONE).sort((a, b) => Number(b.long) - Number(a.long));
  await Promise.all(Array.from({ length: LANES }, () => lane(together, results)));
  // What failed beside others, on a machine that may be busy, is tried once more on its own: a fault of the plugin fails again.
  const again = results.filter(r => r.error);
  if (again.length) {
    console.log(`${again.length} failed; each is tried once more, alone`);
    results = results.filter(r => !r.error);
    await lane(again, results);
  }
} finally {
  await browser.close();
}
const failed = results.filter(r => r.error).length;
if (options.junit) await fs.writeFile(options.junit, junit(results));
console.log(`${results.length - failed} passed, ${failed} failed`);
process.exit(failed || !results.length ? 1 : 0);
