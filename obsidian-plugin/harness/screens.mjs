// Pictures of every state of the plugin, light, dark and on a phone: `node harness/screens.mjs [FOLDER]`, else out/screens.
import fs from "node:fs/promises";
import path from "node:path";
import { chromium } from "playwright-core";
import { buildHost } from "./build-host.mjs";
import { Driver } from "./driver.mjs";
import { launchOptions, out } from "./env.mjs";
import { world } from "./world.mjs";

const folder = path.resolve(process.argv[2] ?? path.join(out, "screens"));
const NOTE = "02-Projects/Fermentation Chamber.md";
const ANSWER = `## Where it stands

The chamber held 30 °C for 48 hours ([[Fermentation Chamber#Success Criteria]]). Humidity fell to 58 % because the upper vent is open ([[2025-09-13#Log]]).

## Next

- [ ] Tape over the upper vent ([[Fermentation Chamber#Next Actions]])
- [ ] Repeat the humidity test, then begin [[Koji at Home]]

| day | humidity |
| --- | --- |
| 13 September | 58 % |

The whole house was sold to a bakery in Oslo ([[Fermentation Chamber#Log]]).`;
const CHOICE = JSON.stringify({ projects: [{ project: 1, log: "Taped the upper vent.", status: "blocked", next: "Measure the night" }], finished: [] });

/** [name, what leads there]: each gets a page of its own. */
const STATES = [
  ["popup", async ({ p }) => {
    await p.cursor("## Next Actions");
    await p.type("\n\n/");
    await p.popup().first().waitFor();
  }],
  ["popup with words", async ({ p }) => {
    await p.cursor("## Next Actions");
    await p.type("\n\n/plan next week");
    await p.popup().first().waitFor();
  }],
  ["first meeting", async ({ p }) => p.openPanel(), { settings: null }],
  ["sources before the answer", async ({ w, p }) => {
    await w.double.fault("slow_first", { seconds: 5 });
    await p.openPanel();
    await p.say("What is next for the chamber?");
    await p.page.waitForSelector(".kos-source");
  }],
  ["writing", async ({ w, p }) => {
    await p.openPanel();
    await w.double.say(ANSWER.repeat(3));
    await p.say("What is next for the chamber, in full?");
    await p.shows(300);
  }],
  ["done", async ({ w, p }) => {
    await p.openPanel();
    await w.double.say(ANSWER);
    await p.ask("How is the chamber?");
  }],
  ["why this model", async ({ p }) => {
    await p.run("orient");
    await p.done();
    await p.page.click(".kos-chip");
  }],
  ["why this answer", async ({ p }) => {
    await p.run("orient");
    await p.done();
    await p.page.click(".kos-receipt");
    await p.page.waitForSelector(".kos-receipt-modal summary");
  }],
  ["proposal", proposal],
  ["applied", async given => {
    await proposal(given);
    await given.p.page.click(".kos-apply");
    await given.p.page.waitForSelector('.kos-proposal[data-status="applied"]');
  }],
  ["conflict", async given => {
    await proposal(given);
    given.w.write(NOTE, given.w.read(NOTE).replace("status: active", "status: done"));
    await given.p.page.click(".kos-apply");
    await given.p.page.waitForSelector(".kos-conflict");
  }],
  ["stopped", async ({ w, p }) => {
    await p.openPanel();
    await w.double.say(ANSWER.repeat(3));
    await p.say("Tell me everything?");
    await p.shows(200);
    await p.page.click(".kos-stop");
    await p.reaches("stopped");
  }],
  ["offline", async ({ w, p }) => {
    await w.proxy.close();
    await p.cursor();
    await p.type("\n");
    await p.slash("/orient");
    await p.reaches("failed");
    await w.proxy.open();
  }],
  ["history", async ({ w, p }) => {
    await p.openPanel();
    await w.double.say("One.", "Two.");
    await p.ask("The first question?");
    await p.ask("The second question?");
    await p.page.click(".kos-history-toggle");
  }],
  ["map", async ({ p }) => {
    await p.run("show-map");
    await p.page.waitForSelector(".kos-member");
  }, { note: "@Infrastructure.md" }],
  ["set-up", async ({ p }) => tested(p)],
  ["set-up with a wrong token", async ({ p }) => {
    await p.run("check-connection");
    await p.page.fill(".kos-token", "wrong");
    await tested(p);
  }],
  ["settings", async ({ p }) => {
    await p.page.evaluate(() => window.host.openSettings());
    await p.page.waitForSelector(".setting-item");
  }],
  ["gaming", async ({ p }) => {
    await p.openPanel();
    await p.page.click(".kos-mode");
    await p.page.waitForSelector('.kos-mode[aria-checked="true"]');
    await p.run("orient");
    await p.done();
    await p.page.click(".kos-mode");
    await p.page.waitForSelector('.kos-mode[aria-checked="false"]');
    await p.page.click(".kos-mode");
    await p.page.waitForSelector('.kos-mode[aria-checked="true"]');
  }],
  // The last one: the double does not come back.
  ["from the notes alone", async ({ w, p }) => {
    await w.double.stop("SIGKILL");
    await p.run("plan");
    await p.done();
  }],
];
const LOOKS = { light: {}, dark: { theme: "dark" }, phone: { phone: true, mobile: "ios" } };

async function proposal({ w, p }) {
  await w.double.say("## Synthesis\n\nThe vent is taped ([[Fermentation Chamber#Scope]]).", CHOICE);
  await p.cursor();
  await p.type("\n");
  await p.slash("/update Taped the upper vent of the [[Fermentation Chamber]]");
  await p.done();
  await p.page.waitForSelector(".kos-apply");
}
async function tested(p) {
  if (!(await p.in(".kos-setup").count())) await p.run("check-connection");
  await p.page.click(".kos-test");
  await p.until(() => document.querySelector(".kos-step") && document.querySelector(".kos-test:not([disabled])"));
}

await fs.mkdir(folder, { recursive: true });
await buildHost();
const browser = await chromium.launch(launchOptions());
try {
  for (const [look, options] of Object.entries(LOOKS)) {
    // One of its own: answers of another would come out of the cache.
    const w = await world({ ollama: { decode: 150, "load-seconds": 0.3 } });
    try {
      for (const state of STATES) await picture(w, look, options, state);
    } finally {
      await w.stop();
    }
  }
} finally {
  await browser.close();
}
console.log(folder);
process.exit();

async function picture(w, look, options, [name, lead, more]) {
  await w.fresh();
  const p = await Driver.open(browser, w, { note: NOTE, ...options, ...more });
  try {
    await lead({ w, p });
    await p.page.waitForTimeout(250);
    await p.page.screenshot({ path: path.join(folder, `${name.replaceAll(" ", "-")}-${look}.png`) });
    console.log(`${name}, ${look}`);
  } catch (error) {
    console.error(`${name}, ${look}: ${error.message.split("\n")[0]}`);
    process.exitCode = 1;
  } finally {
    await p.close();
  }
}
