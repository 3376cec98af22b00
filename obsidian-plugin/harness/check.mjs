// Checks: how they are written, and what they get. One file of checks/ per theme.
//
//   check("what holds", async t => {
//     const w = await t.world();                 // shared with other checks that ask for the same, as new each time
//     const p = await t.open(w, { note: "…" });  // a page of its own, with the plugin set up
//   });
import fs from "node:fs/promises";
import path from "node:path";
import { Driver } from "./driver.mjs";
import { temporary } from "./env.mjs";
import { world } from "./world.mjs";

export const checks = [];
let theme = "";
export const inTheme = name => {
  theme = name;
};

/** @param o.timeout in ms, for the few that need more than the others; o.long whether it waits for long */
export function check(name, body, o = {}) {
  checks.push({ theme, name, body, timeout: o.timeout ?? 40_000, long: Boolean(o.long) });
}

// So many worlds are kept by one lane for the next check that asks for the same.
const KEPT = 2;

/** The worlds of one lane of checks. */
export class Stage {
  #worlds = new Map();
  constructor(browser) {
    this.browser = browser;
  }
  async world(options = {}) {
    const key = JSON.stringify(options);
    const found = this.#worlds.get(key) ?? (await world(options));
    this.#worlds.delete(key);
    this.#worlds.set(key, found);
    const [oldest] = this.#worlds.keys();
    if (this.#worlds.size > KEPT) {
      await this.#worlds.get(oldest).stop();
      this.#worlds.delete(oldest);
    }
    await found.fresh();
    return found;
  }
  async close() {
    for (const one of this.#worlds.values()) await one.stop();
  }
}

/** What one check gets. */
export class Turn {
  pages = [];
  #own = [];
  #forgiven = [];
  constructor(stage) {
    this.stage = stage;
  }
  world(options) {
    return this.stage.world(options);
  }
  /** A world for this check alone, for those that leave it broken. */
  async ownWorld(options = {}) {
    const made = await world(options);
    this.#own.push(made);
    return made;
  }
  /** Errors of the page that this check brings about. */
  forgive(...patterns) {
    this.#forgiven.push(...patterns);
  }
  async open(w, o = {}) {
    const driver = await Driver.open(this.stage.browser, w, o);
    this.pages.push(driver);
    return driver;
  }
  async settle() {
    for (const driver of this.pages) {
      const errors = (await driver.record("errors")).filter(e => !this.#forgiven.some(f => f.test(e)));
      if (errors.length) throw new Error(`errors in the page:\n${errors.join("\n")}`);
    }
  }
  /** Pictures and texts of the pages of a check that failed. */
  async evidence() {
    const folder = await temporary("failed");
    for (const [n, driver] of this.pages.entries()) {
      const { page } = driver;
      await page.screenshot({ path: path.join(folder, `page-${n}.png`), timeout: 5000 }).catch(() => {});
      const state = await Promise.race([
        page.evaluate(() => ({ record: window.host?.record, note: window.host?.editor?.getValue(), body: document.body.innerHTML })),
        new Promise(done => setTimeout(() => done({ record: "the page does not answer" }), 3000)),
      ]).catch(error => ({ record: String(error) }));
      await fs.writeFile(path.join(folder, `page-${n}.json`), JSON.stringify({ record: state.record, note: state.note, seen: driver.world.proxy.seen }, null, 1));
      await fs.writeFile(path.join(folder, `page-${n}.html`), state.body ?? "");
    }
    return folder;
  }
  async end() {
    for (const driver of this.pages) await driver.close().catch(() => {});
    for (const made of this.#own) await made.stop().catch(() => {});
  }
}
