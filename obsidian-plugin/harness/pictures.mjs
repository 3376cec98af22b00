// The four pictures of the README: `node harness/pictures.mjs [FOLDER]`, else out/pictures. Made small afterwards, by hand.
import fs from "node:fs/promises";
import path from "node:path";
import { chromium } from "playwright-core";
import { buildHost } from "./build-host.mjs";
import { Stage, Turn } from "./check.mjs";
import { launchOptions, out } from "./env.mjs";

const folder = path.resolve(process.argv[2] ?? path.join(out, "pictures"));
const NOTE = "02-Projects/Fermentation Chamber.md";
const BRIEFING = `## Last days

- No pointed cabbage at the market yet: the man says the first week of October ([[2025-09-13#Log]]).

## Blocked

- [[Off-Site Backup]] is blocked: the pool larder on [[Pantry]] is degraded, no big reads before the resilver is through ([[Off-Site Backup]]).

## Next

- [ ] Sell the chamber to the bakery in Oslo ([[2025-09-13#Log]])`;
const SYNTHESIS = "## Synthesis\n\nThe upper vent is taped over ([[Fermentation Chamber#Next Actions]]).";
const CHOICE = JSON.stringify({
  projects: [{ project: 1, log: "Taped over the upper vent.", status: "active", next: "Repeat the humidity test over two nights" }],
  finished: [],
});
const wide = { viewport: { width: 1180, height: 720 } };

async function typed(p, text) {
  await p.cursor();
  await p.type("\n");
  await p.slash(text);
  await p.done();
}
/** [name, how the page looks, what leads there] */
const PICTURES = [
  ["commands", wide, async p => {
    await p.cursor("# Fermentation Chamber");
    await p.type("\n\n/");
    await p.popup().first().waitFor();
  }],
  ["answer", wide, async (p, w) => {
    await w.double.say(BRIEFING);
    await typed(p, "/orient");
  }],
  ["changes", { ...wide, theme: "dark" }, async (p, w) => {
    await w.double.say(SYNTHESIS, CHOICE);
    await typed(p, "/update Taped over the upper vent of the Fermentation Chamber.");
    await p.page.waitForSelector(".kos-apply");
  }],
  ["phone", { phone: true, mobile: "ios" }, async (p, w) => {
    await w.double.say(BRIEFING);
    await p.run("orient");
    await p.done();
  }],
];

await fs.mkdir(folder, { recursive: true });
await buildHost();
const browser = await chromium.launch(launchOptions());
const stage = new Stage(browser);
try {
  for (const [name, look, lead] of PICTURES) {
    const turn = new Turn(stage);
    const w = await turn.world({ ollama: { decode: 2000 } });
    const p = await turn.open(w, { note: NOTE, ...look });
    await lead(p, w);
    await p.page.waitForTimeout(400);
    await p.page.screenshot({ path: path.join(folder, `${name}.png`) });
    await turn.end();
    console.log(name);
  }
} finally {
  await stage.close();
  await browser.close();
}
