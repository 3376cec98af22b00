// Drives one page as a person would, and asks the page what happened in it.
import assert from "node:assert/strict";
import fs from "node:fs/promises";
import path from "node:path";

const TOKEN = "knowledge-os-token";
const PHONE = { width: 390, height: 844 };
const DESKTOP = { width: 1280, height: 800 };

export class Driver {
  /**
   * @param o.note the note that is open; o.theme "dark"; o.mobile "ios" or "android"; o.phone a phone's width
   * @param o.settings of the plugin, over those that pair it; null leaves it as after installing
   * @param o.token instead of the service's; o.address instead of the proxy's; o.reducedMotion; o.restore a deferred view
   */
  static async open(browser, w, o = {}) {
    const context = await browser.newContext({
      viewport: o.phone ? PHONE : (o.viewport ?? DESKTOP),
      reducedMotion: o.reducedMotion ? "reduce" : "no-preference",
      hasTouch: Boolean(o.phone),
    });
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: w.page.url });
    context.setDefaultTimeout(12_000);
    const page = await context.newPage();
    const driver = new Driver(page, w, context);
    await driver.configure(o);
    const query = new URLSearchParams({ vault: path.basename(w.vault) });
    for (const name of ["note", "theme", "mobile", "restore", "plugin"]) if (o[name]) query.set(name, o[name]);
    if (o.phone) query.set("width", "phone");
    if (o.settings !== null) query.set("secrets", new URLSearchParams({ [TOKEN]: o.token ?? w.token }));
    await page.goto(`${w.page.url}/?${query}`);
    await driver.ready();
    return driver;
  }
  constructor(page, w, context) {
    Object.assign(this, { page, world: w, context });
  }
  /** What the person set up before: the plugin's data.json. */
  async configure({ settings = {}, address }) {
    const folder = path.join(this.world.vault, ".obsidian", "plugins", "knowledge-os");
    await fs.mkdir(folder, { recursive: true });
    const file = path.join(folder, "data.json");
    if (settings === null) return fs.rm(file, { force: true });
    const paired = { address: address ?? this.world.proxy.url, tokenName: TOKEN };
    return fs.writeFile(file, JSON.stringify({ ...paired, ...settings }));
  }
  async ready() {
    await this.page.waitForSelector("body[data-ready]", { timeout: 20_000 });
    const state = await this.page.evaluate(() => [document.body.dataset.ready, window.host.record.errors]);
    assert.equal(state[0], "yes", state[1].join("\n"));
  }
  async reload() {
    await this.page.reload();
    await this.ready();
  }
  close() {
    return this.context.close();
  }

  // What the page says.
  record(name) {
    return this.page.evaluate(n => window.host?.record[n] ?? [], name);
  }
  note() {
    return this.page.evaluate(() => window.host.editor.getValue());
  }
  in(selector) {
    return this.page.locator(selector);
  }
  text(selector) {
    return this.page.locator(selector).first().innerText();
  }
  focused() {
    return this.page.evaluate(() => {
      const el = document.activeElement;
      return el.closest(".cm-editor") ? "editor" : (el.className || el.tagName).trim();
    });
  }
  async until(f, arg, o = {}) {
    await this.page.waitForFunction(f, arg, { timeout: 15_000, polling: 30, ...o });
  }

  // What the person does.
  /** Until what was done is on the screen: no person's next key comes sooner, and the editor misplaces one that does. */
  async drawn() {
    await this.page.evaluate(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))));
  }
  async type(text, delay = 12) {
    for (const [n, line] of text.split("\n").entries()) {
      if (n) {
        await this.press("Enter");
        await this.drawn();
      }
      await this.page.keyboard.type(line, { delay });
    }
  }
  press(key) {
    return this.page.keyboard.press(key);
  }
  /** The cursor to the end of the note, or behind the first place where `text` stands. */
  async cursor(text) {
    await this.page.evaluate(wanted => {
      const { editor } = window.host;
      const at = wanted === undefined ? editor.getValue().length : editor.getValue().indexOf(wanted) + wanted.length;
      editor.setCursor(editor.offsetToPos(at));
      editor.focus();
    }, text);
    await this.drawn();
  }
  async select(text) {
    await this.page.evaluate(wanted => {
      const { editor } = window.host;
      const at = editor.getValue().indexOf(wanted);
      editor.setSelection(editor.offsetToPos(at), editor.offsetToPos(at + wanted.length));
      editor.focus();
    }, text);
    await this.drawn();
  }
  popup() {
    return this.page.locator(".suggestion-container .suggestion-item");
  }
  async popupSays(...texts) {
    await this.until(n => document.querySelectorAll(".suggestion-container .suggestion-item").length === n, texts.length);
    const found = await this.popup().allInnerTexts();
    texts.forEach((text, n) => assert.ok(found[n].includes(text), `${found[n]} has ${text}`));
  }
  async noPopup() {
    await this.page.waitForTimeout(80);
    assert.equal(await this.popup().count(), 0);
  }
  /** Types a command at the cursor and runs it. */
  async slash(text) {
    await this.type(text);
    await this.popup().first().waitFor();
    await this.press("Enter");
  }
  run(id) {
    return this.page.evaluate(command => window.host.run(command), id);
  }

  // The plugin's own parts.
  state() {
    return this.page.evaluate(() => document.querySelector(".kos-view")?.dataset.state ?? "none");
  }
  /** Until the panel shows one of these states. */
  async reaches(...states) {
    await this.until(wanted => wanted.includes(document.querySelector(".kos-view")?.dataset.state), states, { timeout: 25_000 });
  }
  async done() {
    await this.reaches("done", "failed", "stopped");
    assert.equal(await this.state(), "done", await this.panel());
  }
  panel() {
    return this.page.evaluate(() => document.querySelector(".kos-view")?.innerText ?? "");
  }
  phase() {
    return this.text(".kos-phase");
  }
  async status(state) {
    await this.until(wanted => document.querySelector(".kos-status")?.dataset.state === wanted, state);
    return this.text(".kos-status");
  }
  async notice(pattern) {
    await this.until(source => window.host.record.notices.some(n => new RegExp(source).test(n)), pattern.source);
  }
  /** The run that the panel shows, as the plugin keeps it. */
  shown() {
    return this.page.evaluate(() => window.host.app.workspace.getLeavesOfType("knowledge-os-answer")[0]?.view.shown ?? null);
  }
  /** Does something that begins another run, and waits until that one is shown. */
  async another(act) {
    const before = (await this.shown())?.key ?? "";
    await act();
    await this.until(key => {
      const shown = window.host.app.workspace.getLeavesOfType("knowledge-os-answer")[0]?.view.shown;
      return shown && shown.key !== key;
    }, before);
  }
  async again() {
    await this.another(() => this.page.click(".kos-again"));
    await this.done();
  }
  /** Asks at the foot of the panel, and waits for the answer. */
  async ask(text) {
    await this.another(() => this.say(text));
    await this.done();
  }
  /** Until so many characters of an answer stand in the panel. */
  async shows(characters) {
    await this.until(n => (document.querySelector(".kos-body")?.textContent.length ?? 0) > n, characters);
  }
  /** Until what has the focus is called so. */
  async focus(wanted) {
    for (let tries = 0; tries < 100 && !wanted.test(await this.focused()); tries++) await this.page.waitForTimeout(30);
    assert.match(await this.focused(), wanted);
  }
  /** Records each new value of an expression about the page, from inside of it. */
  watch(name, expression) {
    return this.page.evaluate(
      ([key, source]) => {
        const ask = new Function(`return (${source})`);
        const values = ((window.watched ??= {})[key] = []);
        const look = () => {
          const value = ask();
          if (value !== values.at(-1)?.[1]) values.push([performance.now(), value]);
        };
        new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
        look();
      },
      [name, expression],
    );
  }
  watched(name) {
    return this.page.evaluate(key => window.watched[key].map(([, value]) => value), name);
  }
  /** Says a line at the foot of the panel. */
  async say(text) {
    await this.page.fill(".kos-composer textarea", text);
    await this.page.press(".kos-composer textarea", "Enter");
  }
  async openPanel() {
    await this.run("open-panel");
    await this.page.waitForSelector(".kos-view");
  }
}

let last = 0;
/** Words that no cache has seen. */
export const unique = words => `${words} ${Date.now().toString(36)}${last++}`;
