// Changes to notes: words kept at once, the rest as a proposal with a diff, chosen hunk by hunk, written once, taken back.
import assert from "node:assert/strict";
import { check } from "../check.mjs";
import { unique } from "../driver.mjs";

const HOME = "Home.md";
const CHAMBER = "02-Projects/Fermentation Chamber.md";
const TODAY = "01-Journal/Daily/2025-09-14.md";
const fast = { ollama: { decode: 2000 } };
const slow = { ollama: { decode: 250, "load-seconds": 0.4 } };

/** What the model says to an update: the synthesis, then its choice among the projects, the first of which is named. */
const file = (w, choice) =>
  w.double.say(
    "## Synthesis\n\nThe vent is taped ([[Fermentation Chamber#Scope]]).",
    JSON.stringify({ projects: [{ project: 1, log: "Taped the vent.", status: "blocked", next: "Measure the night", ...choice }], finished: [] }),
  );
const words = () => unique("Taped the upper vent of the [[Fermentation Chamber]],");

/** An update typed in a note, until its proposal waits. */
async function proposed(t, w, o = {}) {
  const p = await t.open(w, { note: HOME, ...o });
  await file(w, o.choice);
  const said = o.words ?? words();
  await p.cursor();
  await p.type("\n");
  await p.slash(`/update ${said}`);
  await p.done();
  await p.page.waitForSelector(".kos-apply");
  return { p, said };
}
const hunk = (p, why) => p.in(`.kos-hunk:has(.kos-hunk-head:has-text("${why}"))`);
const applied = p => p.page.waitForSelector('.kos-proposal[data-status="applied"]');

check("the words of an update stand in the note of the day before the model has said anything", async t => {
  const w = await t.world({ ollama: { ...slow.ollama, "load-seconds": 3 } });
  const p = await t.open(w, { note: HOME });
  await file(w);
  const said = words();
  await p.cursor();
  await p.type("\n");
  await p.slash(`/update ${said}`);
  await p.page.waitForSelector(".kos-kept a");
  assert.ok(w.read(TODAY).includes(said), w.read(TODAY));
  assert.equal(await p.state(), "running");
  assert.equal(await p.text(".kos-body"), "");
  assert.match(await p.text(".kos-kept"), /Your words are kept in 2025-09-14/);
  assert.ok(!(await p.note()).includes("/update"));
  await p.done();
  const [edit] = (await w.service.edits()).filter(e => e.status === "applied");
  assert.deepEqual(edit.paths, [TODAY]);
});

check("a proposal shows each change as a diff, and the notes stay as they are", async t => {
  const w = await t.world(fast);
  const before = w.bytes(CHAMBER);
  const { p } = await proposed(t, w);
  assert.ok(w.bytes(CHAMBER).equals(before));
  const names = await p.in(".kos-change .kos-change-head a").allInnerTexts();
  assert.ok(names.includes("Fermentation Chamber") && names.includes("2025-09-14"), names.join());
  const status = hunk(p, "status");
  assert.match(await status.locator(".kos-del").innerText(), /status: active/);
  assert.match(await status.locator(".kos-add").innerText(), /status: blocked/);
  assert.equal(await status.locator("input[type=checkbox]").isChecked(), true);
  assert.match(await hunk(p, "log line").locator(".kos-hunk-head").innerText(), /below Log/);
  const count = await p.in(".kos-hunk").count();
  assert.equal(await p.text(".kos-apply"), `Apply ${count} changes`);
});

check("apply writes exactly what was shown, and the service knows it", async t => {
  const w = await t.world(fast);
  const { p, said } = await proposed(t, w);
  const before = w.read(CHAMBER);
  const lines = await p.in(".kos-add .kos-line-text").allInnerTexts();
  await p.page.click(".kos-apply");
  await applied(p);
  const now = w.read(CHAMBER);
  assert.notEqual(now, before);
  for (const line of lines.map(l => l.trim()).filter(Boolean)) assert.ok((now + w.read(TODAY)).includes(line), line);
  assert.ok(w.read(TODAY).includes(said.split("[[")[0]));
  await p.notice(/Changed .*Fermentation Chamber/);
  const edits = (await w.service.edits()).slice(0, 2);
  assert.ok(edits.every(e => e.status === "applied"), JSON.stringify(edits));
  assert.match(await p.text(".kos-proposal"), /Applied/);
});

check("a property is changed in its line: every other byte of the note is the same", async t => {
  const w = await t.world(fast);
  // A byte order mark, CRLF, a comment, odd quotes and spaces: whatever writes YAML anew would lose them.
  const text = w.read(CHAMBER).replace("status: active", "status:   'active'  # since May").replace(/\n/g, "\r\n");
  w.write(CHAMBER, `\ufeff${text}`);
  await w.seen();
  const { p } = await proposed(t, w);
  const boxes = p.in(".kos-hunk input[type=checkbox]");
  for (let n = 0; n < (await boxes.count()); n++) await boxes.nth(n).uncheck();
  assert.ok(await p.in(".kos-apply").isDisabled());
  await hunk(p, "status").locator("input").check();
  await p.page.click(".kos-apply");
  await applied(p);
  const lines = (bytes) => bytes.toString("latin1").split("\n");
  const [old, now] = [lines(Buffer.from(`\ufeff${text}`)), lines(w.bytes(CHAMBER))];
  assert.equal(now.length, old.length);
  const changed = old.map((line, n) => [line, now[n]]).filter(([a, b]) => a !== b);
  assert.equal(changed.length, 1, JSON.stringify(changed));
  assert.match(changed[0][1], /^status: .*blocked.*# since May\r$/);
});

check("a hunk that is left out is not written, and the service is told which were", async t => {
  const w = await t.world(fast);
  const { p } = await proposed(t, w);
  const count = await p.in(".kos-hunk").count();
  await hunk(p, "status").locator("input").uncheck();
  assert.equal(await p.text(".kos-apply"), `Apply ${count - 1} changes`);
  await p.page.click(".kos-apply");
  await applied(p);
  assert.match(w.read(CHAMBER), /\nstatus: active\n/);
  assert.match(w.read(CHAMBER), /Taped the vent\./);
  const [told] = w.proxy.find("POST", /\/applied$/).slice(-1);
  assert.equal(JSON.parse(told.body).hunks.length, count - 1);
});

check("the focus goes to the changes when nothing was done meanwhile, and an early Enter is ignored", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: HOME });
  await file(w);
  await p.cursor();
  await p.type("\n");
  await p.slash(`/update ${words()}`);
  // Enter in the very moment they take the focus.
  await p.page.evaluate(
    () =>
      new Promise(done =>
        document.addEventListener("focusin", e => e.target.classList.contains("kos-proposal") && done(), { capture: true }),
      ),
  );
  await p.press("Enter");
  await p.page.waitForTimeout(450);
  assert.equal(await p.in('.kos-proposal[data-status="proposed"]').count(), 1);
  await p.focus(/kos-proposal/);
  await p.press("Enter");
  await applied(p);
  await p.focus(/editor/);
});

check("who writes on when the changes have the focus is back in the note, and nothing is applied", async t => {
  const w = await t.world(fast);
  const { p } = await proposed(t, w);
  await p.focus(/kos-proposal/);
  await p.page.waitForTimeout(1500);
  await p.type("I write on now");
  await p.focus(/editor/);
  assert.match(await p.note(), /I write on now/);
  assert.equal(await p.in('.kos-proposal[data-status="proposed"]').count(), 1);
  await p.run("review-proposal");
  await p.press("Enter");
  await applied(p);
  await p.press("Space");
  await p.press("Enter");
  await p.page.waitForTimeout(300);
  assert.equal(await p.in('.kos-proposal[data-status="applied"]').count(), 1, "a key too many takes nothing back");
});

check("words that are taken back take their proposal along", async t => {
  const w = await t.world(fast);
  const { p } = await proposed(t, w);
  await p.page.click(".kos-undo-words");
  await p.until(() => !document.querySelector(".kos-proposal"));
  assert.match(await p.text(".kos-kept"), /taken back/);
});

check("who types on keeps the cursor and is told that a proposal waits", async t => {
  const w = await t.world(slow);
  const p = await t.open(w, { note: HOME });
  await file(w);
  await p.cursor();
  await p.type("\n");
  await p.slash(`/update ${words()}`);
  await p.type("and I write on");
  await p.done();
  await p.notice(/Proposed changes wait/);
  await p.focus(/editor/);
  assert.match(await p.note(), /\nand I write on$/);
  await p.run("review-proposal");
  await p.focus(/kos-apply/);
});

for (const [what, note] of [
  ["made anew", ""],
  ["there", "# Sunday\n\n## Log\n\n- 08:00 mine\n"],
])
  check(`a proposal fits though the words are written only when the run is over, in a note of the day that is ${what}`, async t => {
    const w = await t.world(fast);
    if (note) {
      w.write(TODAY, note);
      await w.seen();
    }
    const p = await t.open(w, { note: HOME });
    await file(w);
    await p.page.evaluate(path => {
      const { vault } = window.host.app;
      const late = () => new Promise(done => setTimeout(done, 1500));
      const { create, process } = vault;
      vault.create = async (name, text) => (name === path && (await late()), create(name, text));
      vault.process = async (one, change) => (one.path === path && (await late()), process(one, change));
    }, TODAY);
    await p.cursor();
    await p.type("\n");
    await p.slash(`/update ${words()}`);
    await p.done();
    await p.page.waitForSelector(".kos-apply");
    assert.equal(await p.in(".kos-changed").count(), 0, "no note changed since");
    await p.page.click(".kos-apply");
    await applied(p);
    assert.match(w.read(CHAMBER), /Taped the vent\./);
    assert.match(w.read(TODAY), /The vent is taped/);
  });

check("an edit is applied once, however often it is clicked", async t => {
  const w = await t.world(fast);
  const { p } = await proposed(t, w);
  await p.page.evaluate(() => {
    const button = document.querySelector(".kos-apply");
    for (let n = 0; n < 5; n++) button.click();
  });
  await applied(p);
  assert.equal(w.read(CHAMBER).split("Taped the vent.").length, 2);
  assert.equal(w.proxy.find("POST", /\/applied$/).length, 2, "one for the words, one for the rest");
  await p.page.waitForTimeout(300);
  assert.equal(await p.in(".kos-conflict").count(), 0, "the other clicks are no edits that come too late");
});

check("undo brings every byte back, by the button and by the command after a restart", async t => {
  const w = await t.world(fast);
  const before = w.bytes(CHAMBER);
  const { p } = await proposed(t, w);
  const today = w.bytes(TODAY);
  await p.page.click(".kos-apply");
  await applied(p);
  await p.page.click(".kos-undo");
  await p.page.waitForSelector('.kos-proposal[data-status="undone"]');
  assert.ok(w.bytes(CHAMBER).equals(before) && w.bytes(TODAY).equals(today));

  const again = await proposed(t, w);
  const then = w.bytes(TODAY);
  await again.p.page.click(".kos-apply");
  await applied(again.p);
  await again.p.reload();
  await again.p.run("undo-last-apply");
  assert.match(await again.p.text(".modal"), /Undo the last applied changes\?[\s\S]*Fermentation Chamber/);
  await again.p.in(".modal button").filter({ hasText: "Undo" }).click();
  await again.p.notice(/Taken back/);
  assert.ok(w.bytes(CHAMBER).equals(before) && w.bytes(TODAY).equals(then));
});

check("undo merges with what was written since", async t => {
  const w = await t.world(fast);
  const { p } = await proposed(t, w);
  const before = w.read(CHAMBER);
  await p.page.click(".kos-apply");
  await applied(p);
  w.write(CHAMBER, `${w.read(CHAMBER)}\nA line of my own.\n`);
  await p.until(() => window.host.app.vault.getFileByPath("02-Projects/Fermentation Chamber.md"));
  await p.page.click(".kos-undo");
  await p.page.waitForSelector('.kos-proposal[data-status="undone"]');
  assert.equal(w.read(CHAMBER), `${before}\nA line of my own.\n`);
});

check("a note that changed since is not written, nor is any other; both texts are shown", async t => {
  const w = await t.world(fast);
  const { p } = await proposed(t, w);
  const today = w.bytes(TODAY);
  const theirs = w.read(CHAMBER).replace("status: active", "status: done");
  w.write(CHAMBER, theirs);
  await p.page.click(".kos-apply");
  await p.page.waitForSelector(".kos-conflict");
  assert.equal(await p.in(".kos-conflict .kos-theirs pre").textContent(), theirs);
  assert.match(await p.in(".kos-conflict .kos-ours pre").textContent(), /Taped the vent\./);
  assert.equal(w.read(CHAMBER), theirs);
  assert.ok(w.bytes(TODAY).equals(today));
  await p.press("Escape");
  await p.focus(/kos-apply/);
});

check("a note that changes between reading and writing is not written either", async t => {
  const w = await t.world(fast);
  const { p } = await proposed(t, w);
  const today = w.bytes(TODAY);
  const theirs = w.read(CHAMBER).replace("status: active", "status: done");
  // The app reads the note for `process` a moment after the plugin compared it: change it in between.
  await p.page.evaluate(
    ([path, text]) => {
      const { vault } = window.host.app;
      const process = vault.process;
      vault.process = async (file, change) => {
        if (file.path === path) await vault.adapter.write(path, text);
        return process(file, change);
      };
    },
    [CHAMBER, theirs],
  );
  await p.page.click(".kos-apply");
  await p.page.waitForSelector(".kos-conflict");
  assert.equal(w.read(CHAMBER), theirs);
  assert.ok(w.bytes(TODAY).equals(today), "the note that was written first is as before");
});

check("words typed but not saved in a note that a change is for are saved, and the change goes around them", async t => {
  const w = await t.world(fast);
  const { p } = await proposed(t, w);
  await p.page.evaluate(path => window.host.open(path), CHAMBER);
  await p.cursor("# Fermentation Chamber");
  await p.type(" mine");
  await p.page.click(".kos-apply");
  await applied(p);
  assert.ok(w.read(CHAMBER).includes("# Fermentation Chamber mine"));
  assert.ok(w.read(CHAMBER).includes("Taped the vent."));
  await p.page.click(".kos-undo");
  await p.page.waitForSelector('.kos-proposal[data-status="undone"]');
  assert.match(w.read(CHAMBER), /status: active[^]*# Fermentation Chamber mine/);
  assert.ok(!w.read(CHAMBER).includes("Taped the vent."));
});

check("a proposal that waits while others of its notes' lines change is applied where its lines stand now", async t => {
  const w = await t.world(fast);
  const { p } = await proposed(t, w);
  w.write(TODAY, `${w.read(TODAY).trimEnd()}\n- 23:50 said later\n`);
  w.write(CHAMBER, w.read(CHAMBER).replace("# Fermentation Chamber", "A line above.\n\n# Fermentation Chamber"));
  await w.seen();
  await p.page.click(".kos-apply");
  await applied(p);
  assert.match(w.read(CHAMBER), /A line above\.\n\n# Fermentation Chamber[^]*Taped the vent\./);
  assert.match(w.read(TODAY), /- 23:50 said later\n\n## Synthesis\n/);
  assert.equal(w.proxy.find("POST", /\/applied$/).length, 2, "the service knows that it is applied");
  await p.page.click(".kos-undo");
  await p.page.waitForSelector('.kos-proposal[data-status="undone"]');
  assert.equal(w.proxy.find("POST", /\/undo$/).length, 1, "and takes it back");
  assert.ok(!w.read(CHAMBER).includes("Taped the vent."));
  assert.match(w.read(CHAMBER), /A line above\./);
});

check("an open note takes an applied change over without losing the cursor", async t => {
  const w = await t.world(fast);
  const { p } = await proposed(t, w);
  await p.page.evaluate(path => window.host.open(path), CHAMBER);
  await p.cursor("## Scope");
  await p.page.click(".kos-apply");
  await applied(p);
  await p.until(() => /Taped the vent\./.test(window.host.editor.getValue()));
  assert.equal(await p.page.evaluate(() => window.host.editor.getLine(window.host.editor.getCursor().line)), "## Scope");
  assert.equal(await p.note(), w.read(CHAMBER));
});

check("dismiss takes a proposal away and writes nothing", async t => {
  const w = await t.world(fast);
  const before = w.bytes(CHAMBER);
  const { p } = await proposed(t, w);
  await p.page.click(".kos-dismiss");
  assert.equal(await p.in(".kos-proposal").count(), 0);
  await p.page.waitForTimeout(200);
  assert.ok(w.bytes(CHAMBER).equals(before));
});

check("without confirming, the rest is applied too", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: HOME, settings: { confirm: false } });
  await file(w);
  await p.cursor();
  await p.type("\n");
  await p.slash(`/update ${words()}`);
  await p.done();
  await applied(p);
  assert.match(w.read(CHAMBER), /Taped the vent\./);
});
