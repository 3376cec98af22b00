// The panel from the first source to the finished answer: what it shows when, and what can be done with it.
import assert from "node:assert/strict";
import { check } from "../check.mjs";
import { unique } from "../driver.mjs";

const NOTE = "02-Projects/Fermentation Chamber.md";
const SLOW = { ollama: { decode: 250, "load-seconds": 0.4 } };
const fast = { ollama: { decode: 2000 } };
const LONG = `## Long\n\n${"A sentence about the chamber, long enough to stop. ".repeat(120)}`;

check("it opens beside the note, and the cursor stays in the note", async t => {
  const p = await t.open(await t.world(fast), { note: NOTE });
  await p.cursor();
  const opens = p.page.waitForSelector(".mod-right-split:not(.is-sidedock-collapsed) .kos-view");
  await p.type("\n");
  await p.slash("/orient");
  await opens;
  await p.type("I write on");
  await p.done();
  await p.focus(/editor/);
  assert.match(await p.note(), /\nI write on$/);
  await p.type("\n");
  await p.another(() => p.slash("/plan"));
  await p.type("and on");
  await p.done();
  assert.equal(await p.focused(), "editor", "with the panel open already");
  assert.match(await p.note(), /\nand on$/);
});

check("phases are named, with their numbers, in a line that is read out", async t => {
  // Its own: the model is not in memory yet.
  const w = await t.ownWorld(SLOW);
  const p = await t.open(w, { note: NOTE });
  await p.openPanel();
  await p.watch("phase", 'document.querySelector(".kos-phase")?.textContent');
  await p.say(unique("What does the humidity test say?"));
  await p.done();
  const said = (await p.watched("phase")).join("\n");
  assert.match(said, /Reading the vault.*\d+ notes/);
  assert.match(said, /Loading the model.*qwen2\.5:7b/);
  assert.match(said, /Writing: qwen2\.5:7b…/);
  assert.match(said, /Done in \d+\.\d s · \d+ tokens · \d+ passages used\.$/);
  const line = p.in(".kos-phase");
  assert.equal(await line.getAttribute("role"), "status");
  assert.equal(await line.getAttribute("aria-live"), "polite");
});

check("who waits in line is told the place", async t => {
  // The first answer must last until the second window is open, on a busy machine too.
  const w = await t.ownWorld({ ollama: { decode: 50, "load-seconds": 0.4 } });
  await w.double.say(LONG, LONG);
  const first = await t.open(w, { note: NOTE });
  await first.openPanel();
  await first.say(unique("First in line?"));
  await first.until(() => document.querySelector(".kos-body")?.textContent.length > 50);
  const second = await t.open(w, { note: NOTE });
  await second.openPanel();
  await second.say(unique("Second in line?"));
  await second.until(() => /Waiting in line 1 of 1/.test(document.querySelector(".kos-phase").textContent));
  assert.match(await second.text(".kos-status"), /1 of 1 in line/);
  for (const p of [first, second]) {
    await p.page.click(".kos-stop");
    await p.reaches("stopped");
  }
});

check("a chip names tier and model, and says why when it is opened", async t => {
  const p = await t.open(await t.world(fast), { note: NOTE });
  await p.status("ready");
  await p.run("orient");
  await p.done();
  assert.equal(await p.text(".kos-chip"), "fast · llama3.2:3b");
  assert.ok(!(await p.in(".kos-decision").isVisible()));
  await p.page.click(".kos-chip");
  assert.match(await p.text(".kos-decision"), /orient/);
  assert.match(await p.text(".kos-decision"), /window of 7168 tokens/);
  assert.equal(await p.in(".kos-chip").getAttribute("aria-expanded"), "true");
});

check("sources stand there before the first word, each with its reason", async t => {
  const w = await t.world(SLOW);
  const p = await t.open(w, { note: NOTE });
  await p.openPanel();
  await p.watch(
    "seen",
    '[document.querySelectorAll(".kos-source").length > 0, (document.querySelector(".kos-body")?.textContent.length ?? 0) > 0].join()',
  );
  await p.say(unique("What is next for the chamber?"));
  await p.done();
  const seen = await p.watched("seen");
  assert.ok(seen.indexOf("true,false") >= 0 && seen.indexOf("true,false") < seen.indexOf("true,true"), seen.join(" → "));
  const reasons = await p.in(".kos-source .kos-why").allInnerTexts();
  assert.ok(reasons.length >= 3 && reasons.every(r => r.trim().length > 5), reasons.join("; "));
});

check("the answer grows while it is written, drawn at most every 120 ms", async t => {
  const w = await t.world(SLOW);
  const p = await t.open(w, { note: NOTE });
  await w.double.say(`## Steps\n\n${"- a step of the answer, and [[Attic]]\n".repeat(60)}`);
  await p.openPanel();
  await p.watch("length", 'document.querySelector(".kos-body")?.textContent.length ?? 0');
  await p.say(unique("Which steps?"));
  await p.done();
  const lengths = (await p.watched("length")).filter(Boolean);
  assert.ok(lengths.length >= 8, lengths.join(" → "));
  // One drawing renders the blocks that ended and the one that grows: two calls at most, but for the last.
  const renders = await p.record("renders");
  const most = 2 * ((renders.at(-1) - renders[0]) / 120 + 1) + 2;
  assert.ok(renders.length <= most, `${renders.length} calls, ${most.toFixed(1)} at most`);
  assert.equal(await p.in(".kos-body h2").innerText(), "Steps");
});

check("a citation opens its note at the heading and asks for a preview", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await w.double.say("The plan stands ([[Off-Site Backup#Next Actions]]).");
  await p.openPanel();
  await p.say(unique("Where does the plan stand?"));
  await p.done();
  const link = p.in(".kos-body a.internal-link").first();
  assert.equal(await link.getAttribute("data-href"), "Off-Site Backup#Next Actions");
  await link.hover();
  const [hover] = await p.record("hovers");
  assert.deepEqual(hover, { linktext: "Off-Site Backup#Next Actions", source: "knowledge-os", sourcePath: "" });
  await link.click();
  await p.until(() => window.host.view.file.path === "02-Projects/Off-Site Backup.md");
  await p.until(() => /^## Next Actions/.test(window.host.editor.getLine(window.host.editor.getCursor().line)));
});

check("a citation whose note is gone is marked when the answer is looked at again", async t => {
  const w = await t.world(fast);
  w.write("Ghost.md", "# Ghost\n\nA note about the passing spectre.\n");
  const p = await t.open(w, { note: NOTE });
  await p.openPanel();
  await w.double.say("It was here ([[Ghost]]).", "Another answer.");
  const question = unique("What of the passing spectre?");
  await p.say(question);
  await p.done();
  assert.equal(await p.in(".kos-body a.is-unresolved").count(), 0);
  await p.ask(unique("Something else?"));
  w.remove("Ghost.md");
  await p.until(() => !window.host.app.vault.getFileByPath("Ghost.md"));
  await p.page.click(".kos-history-toggle");
  await p.in(".kos-history-item").filter({ hasText: question }).click();
  await p.until(() => document.querySelector(".kos-body a.internal-link.is-unresolved")?.innerText === "Ghost");
});

check("a source opens at its heading, and the keyboard reaches it", async t => {
  const p = await t.open(await t.world(fast), { note: "Home.md" });
  await p.openPanel();
  await p.say(unique("Off-site backup, what is next?"));
  await p.done();
  if (await p.in(".kos-more").count()) await p.page.click(".kos-more");
  const link = p.in('.kos-source a.internal-link[data-href*="#"]').first();
  const [path, ...headings] = (await link.getAttribute("data-href")).split("#");
  await link.focus();
  await p.press("Enter");
  await p.until(wanted => window.host.view.file.path === wanted, `${path}.md`);
  const line = await p.page.evaluate(() => window.host.editor.getLine(window.host.editor.getCursor().line));
  assert.equal(line.replace(/^#+ /, ""), headings.at(-1));
});

check("sentences that the cited notes do not bear are marked, with the reason", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await w.double.say("The chamber was sold to a bakery in Oslo for 900 crowns ([[Fermentation Chamber#Log]]).");
  await p.openPanel();
  await p.say(unique("What became of the chamber?"));
  await p.done();
  await p.page.waitForSelector(".kos-unsupported");
  assert.match(await p.text(".kos-unsupported"), /Oslo/);
  assert.match(await p.in(".kos-unsupported-sign").first().getAttribute("aria-label"), /^Not supported: ./);
  assert.match(await p.text(".kos-doubts"), /^1 sentence is not supported/);
});

for (const [way, side] of [["streaming", null], ["polling", "fetch"]])
  check(`Stop ends the generation on the server while ${way}, and keeps what was written`, async t => {
    const w = await t.world(SLOW);
    if (side) w.proxy.fault("block", { side });
    const p = await t.open(w, { note: NOTE });
    await w.double.say(LONG);
    await p.openPanel();
    await p.say(unique("Tell me everything?"));
    await p.shows(60);
    await p.page.click(".kos-stop");
    await p.reaches("stopped");
    const kept = await p.text(".kos-body");
    assert.ok(kept.length > 60 && kept.length < LONG.length / 2, `${kept.length} characters`);
    assert.match(await p.phase(), /Stopped\. What was written so far is kept\./);
    const [run] = await w.service.runs();
    assert.equal(run.code, "cancelled", JSON.stringify(run));
    const [chat] = (await w.double.chats()).slice(-1);
    assert.ok(chat.closed > 0, "the model was let go");
    assert.ok(await p.in(".kos-insert").isVisible());
  });

check("insert puts the answer at the cursor as one undo step", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await w.double.say("One.\n\nTwo ([[Attic]]).");
  await p.openPanel();
  await p.say(unique("Say two things?"));
  await p.done();
  await p.cursor("# Fermentation Chamber");
  const before = await p.note();
  await p.page.click(".kos-insert");
  assert.equal(await p.note(), before.replace("# Fermentation Chamber", "# Fermentation ChamberOne.\n\nTwo ([[Attic]])."));
  await p.focus(/editor/);
  await p.page.evaluate(() => window.host.editor.undo());
  assert.equal(await p.note(), before);
  await p.select("# Fermentation Chamber");
  await p.page.click(".kos-insert");
  assert.ok((await p.note()).includes("# Fermentation ChamberOne."), "a selection stays, and the answer stands behind it");
});

check("replace takes the place of the selection it was asked about, and of no other", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await w.double.say("A better sentence.");
  const selected = "Fermentation Chamber";
  await p.select(selected);
  await p.openPanel();
  await p.say(unique("Say it better?"));
  await p.done();
  assert.equal(JSON.parse(w.proxy.find("POST", /^\/v1\/commands/)[0].body).selection, selected);
  const before = await p.note();
  await p.select("type: project");
  await p.page.click(".kos-replace");
  await p.notice(/selection is another one/i);
  assert.equal(await p.note(), before);
  await p.select(selected);
  await p.page.click(".kos-replace");
  assert.equal(await p.note(), before.replace(selected, "A better sentence."));
  await p.page.evaluate(() => window.host.editor.undo());
  assert.equal(await p.note(), before);
});

check("copy and new note take the answer as it was written", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  const said = "First: *this* ([[Attic]]).\n\n- [ ] and that";
  await w.double.say(said);
  await p.openPanel();
  await p.say(unique("What: first/second?"));
  await p.done();
  await p.page.click(".kos-copy");
  await p.notice(/Copied/);
  assert.equal(await p.page.evaluate(() => navigator.clipboard.readText()), said);
  await p.page.click(".kos-new-note");
  await p.until(() => window.host.view.file.path.includes("What first second"));
  assert.equal(await p.note(), said);
  const path = await p.page.evaluate(() => window.host.view.file.path);
  assert.equal(w.read(path), said);
});

check("why this answer lists what was used and what was cut, and reads it again", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await p.run("orient");
  await p.done();
  await p.page.click(".kos-receipt");
  await p.page.waitForSelector(".kos-receipt-modal");
  const text = await p.text(".kos-receipt-modal");
  assert.match(text, /Used: \d+ passages, \d+ of \d+ tokens/);
  assert.match(text, /llama3\.2:3b on local/);
  await p.page.click(".kos-replay");
  await p.until(() => /All read the same today/.test(document.querySelector(".kos-receipt-modal").innerText));
  const note = `${(await p.in(".kos-receipt-row a").first().getAttribute("data-href")).split("#")[0]}.md`;
  w.write(note, w.read(note).replace(/([a-z])\./g, "$1!"));
  for (let i = 0; i < 20 && !/Changed since/.test(await p.text(".kos-receipt-modal")); i++) {
    await p.page.click(".kos-replay");
    await p.page.waitForTimeout(150);
  }
  assert.match(await p.text(".kos-receipt-modal"), /Changed since: \S/);
  await p.press("Escape");
  assert.equal(await p.in(".modal").count(), 0);
});

check("a plain text after an answer is a follow-up, a command is not", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await p.run("orient");
  await p.done();
  await p.ask(unique("And what about the chamber?"));
  const [first, second] = w.proxy.find("POST", /^\/v1\/commands/);
  assert.equal(first.path, "/v1/commands/orient");
  assert.equal(second.path, "/v1/commands/ask");
  const runs = await w.service.runs();
  assert.equal(JSON.parse(second.body).follows, runs[1].run);
  await p.say("/nothing at all");
  await p.until(() => /no command \/nothing/.test(document.querySelector(".kos-composer").innerText));
  assert.equal(await p.page.inputValue(".kos-composer textarea"), "/nothing at all");
});

check("earlier answers are kept over a restart of the app, and can be looked at", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await w.double.say("The first answer.", "The second answer.");
  await p.openPanel();
  const question = unique("First question?");
  await p.say(question);
  await p.done();
  await p.ask(unique("Second question?"));
  await p.reload();
  await p.openPanel();
  await p.until(() => /The second answer/.test(document.querySelector(".kos-body").innerText));
  await p.page.click(".kos-history-toggle");
  await p.in(".kos-history-item", {}).filter({ hasText: question }).click();
  await p.until(() => /The first answer/.test(document.querySelector(".kos-body").innerText));
});

check("what was missing is told in words: no model answered", async t => {
  const w = await t.world({ ollama: { models: ["all-minilm:latest"] } });
  const p = await t.open(w, { note: NOTE });
  await p.run("orient");
  await p.done();
  assert.match(await p.text(".kos-degraded"), /No model answered: this is from your notes alone/);
  assert.match(await p.text(".kos-degraded"), /ollama pull/);
  await p.shows(100);
});
