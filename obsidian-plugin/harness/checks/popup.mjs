// The list of commands in a note: where it opens, how it is used, what becomes of the typed text.
import assert from "node:assert/strict";
import { check } from "../check.mjs";
import { unique } from "../driver.mjs";

const NAMES = ["/orient", "/update", "/plan", "/research", "/validate", "/ask"];
const NOTE = "02-Projects/Smart Mirror.md";
const fast = { ollama: { decode: 2000 } };
const posts = w => w.proxy.find("POST", /^\/v1\/commands\//);

check("it opens at the start of a line and after a blank, with every command of the service", async t => {
  const p = await t.open(await t.world(fast), { note: NOTE });
  await p.cursor();
  await p.type("\n/");
  await p.popupSays(...NAMES);
  await p.press("Backspace");
  await p.noPopup();
  await p.type("a word /");
  await p.popupSays(...NAMES);
});

check("it stays away in and/or, addresses, paths, fractions and behind unknown names", async t => {
  const p = await t.open(await t.world(fast), { note: NOTE });
  await p.cursor();
  for (const text of ["\nand/o", "\nhttps://orient", "\n~/plan", "\n1/2", "\n/nothing", "\n`x`/ask", "\n//"]) {
    await p.type(text, 4);
    await p.noPopup();
  }
});

check("typing narrows it, arrows go round, Tab writes the name out", async t => {
  const p = await t.open(await t.world(fast), { note: NOTE });
  await p.cursor();
  await p.type("\n/");
  await p.popupSays(...NAMES);
  const selected = () => p.text(".suggestion-item.is-selected");
  assert.match(await selected(), /^\/orient/);
  await p.press("ArrowDown");
  assert.match(await selected(), /^\/update/);
  await p.press("ArrowUp");
  await p.press("ArrowUp");
  assert.match(await selected(), /^\/ask/);
  await p.type("p");
  await p.popupSays("/plan");
  await p.press("Tab");
  assert.match(await p.note(), /\n\/plan $/);
});

check("Escape closes it and it stays closed there", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await p.cursor();
  await p.type("\n/or");
  await p.popupSays("/orient");
  await p.press("Escape");
  await p.noPopup();
  await p.type("i");
  await p.noPopup();
  await p.press("Enter");
  assert.match(await p.note(), /\n\/ori\n$/);
  assert.equal(posts(w).length, 0);
});

check("the mouse runs the command it clicks", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await p.cursor();
  await p.type("\n/");
  await p.popupSays(...NAMES);
  await p.popup().nth(4).click();
  await p.reaches("running", "done");
  assert.equal(posts(w)[0].path, "/v1/commands/validate");
});

check("Enter takes the typed command out of the note, and undo brings it back", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await p.cursor();
  const before = await p.note();
  await p.type("\n/orient");
  // The editor takes what follows within half a second for one step with the typing.
  await p.page.waitForTimeout(600);
  await p.press("Enter");
  await p.done();
  assert.equal(await p.note(), `${before}\n`);
  await p.page.evaluate(() => window.host.editor.undo());
  assert.equal(await p.note(), `${before}\n/orient`);
});

check("words behind the command go to the service, with the note and what was not saved yet", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await p.cursor();
  const told = unique("unsaved words");
  await p.type(`\n${told}\n`);
  await p.type("/plan next week");
  await p.popupSays("/plan next week");
  await p.press("Enter");
  await p.done();
  const [sent] = posts(w);
  assert.equal(sent.path, "/v1/commands/plan");
  const { idempotency_key, ...body } = JSON.parse(sent.body);
  assert.deepEqual(body, { text: "next week", note: NOTE, detach: true, apply: "none" });
  assert.ok(idempotency_key.length > 10);
  assert.ok(w.read(NOTE).includes(told), "the note was saved before it was asked about");
  assert.ok(!w.read(NOTE).includes("/plan"));
});

check("a command that needs words waits for them", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await p.cursor();
  await p.type("\n/resea");
  await p.popupSays("/research");
  await p.press("Enter");
  assert.match(await p.note(), /\n\/research $/);
  assert.equal(posts(w).length, 0);
  await p.type("humidity");
  await p.popupSays("/research humidity");
  await p.press("Enter");
  await p.done();
  assert.equal(JSON.parse(posts(w)[0].body).text, "humidity");
});

check("a list that another plugin opens first does not keep the command from running", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  // As the app's own slash commands: any slash, and every command of the palette.
  await p.page.evaluate(() => {
    const { app, plugin } = window.host;
    const ours = app.workspace.suggestManager.suggests[0];
    const Core = class extends Object.getPrototypeOf(ours.constructor) {
      onTrigger(cursor, editor) {
        const found = /(?:^|\s)\/(\w*)$/.exec(editor.getLine(cursor.line).slice(0, cursor.ch));
        return found && { start: { line: cursor.line, ch: cursor.ch - found[1].length - 1 }, end: cursor, query: found[1] };
      }
      getSuggestions({ query }) {
        return [...plugin.commands__.values()].filter(c => c.name.toLowerCase().includes(query.toLowerCase()));
      }
      renderSuggestion(command, el) {
        el.setText(command.name);
      }
      selectSuggestion(command) {
        const { editor, start, end } = this.context;
        editor.replaceRange("", start, end);
        window.host.run(command.id);
      }
    };
    app.workspace.suggestManager.suggests.unshift(new Core(app));
  });
  await p.cursor();
  await p.type("\n/orient");
  await p.until(() => /^Orient/.test(document.querySelector(".suggestion-item.is-selected")?.innerText ?? ""));
  await p.press("Enter");
  await p.done();
  assert.equal(posts(w)[0].path, "/v1/commands/orient");
});

check("another trigger, and none at all, are settings", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE, settings: { trigger: ";;" } });
  await p.cursor();
  await p.type("\n/or");
  await p.noPopup();
  await p.type("\n;;or");
  await p.popupSays(";;orient");
  const off = await t.open(w, { note: NOTE, settings: { slash: false } });
  await off.cursor();
  await off.type("\n/or");
  await off.noPopup();
});
