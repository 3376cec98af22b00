// The ways to a command besides typing it: palette, menus, ribbon, the app's command line, links; and settings, set-up, status.
import assert from "node:assert/strict";
import { check } from "../check.mjs";
import { unique } from "../driver.mjs";

const NOTE = "02-Projects/Off-Site Backup.md";
const fast = { ollama: { decode: 2000 } };
const COMMANDS = ["orient", "update", "plan", "research", "validate", "ask"];
const posts = w => w.proxy.find("POST", /^\/v1\/commands\//);
const steps = p => p.in(".kos-step").evaluateAll(rows => rows.map(r => [r.querySelector(".kos-step-name").textContent, r.dataset.result, r.innerText]));

check("the palette has the service's commands and the plugin's, with no hotkeys of their own", async t => {
  const p = await t.open(await t.world(fast), { note: NOTE });
  const found = await p.page.evaluate(() => [...window.host.plugin.commands__.values()].map(c => [c.id, c.name, c.hotkeys ?? null]));
  const ids = found.map(([id]) => id);
  for (const id of [...COMMANDS, "open-panel", "stop", "review-proposal", "undo-last-apply", "show-map", "check-connection"])
    assert.ok(ids.includes(id), id);
  assert.deepEqual(found.filter(([, , hotkeys]) => hotkeys), []);
  for (const [, name] of found) assert.ok(!/command|knowledge/i.test(name), name);
});

check("a command of the palette runs with the open note, one that needs words asks for them in the panel", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await p.run("plan");
  await p.done();
  assert.equal(JSON.parse(posts(w)[0].body).note, NOTE);
  await p.run("research");
  await p.until(() => document.querySelector(".kos-composer textarea").value === "/research ");
  await p.focus(/TEXTAREA/);
  assert.equal(posts(w).length, 1);
  await p.type("humidity");
  await p.another(() => p.press("Enter"));
  await p.done();
  assert.equal(JSON.parse(posts(w)[1].body).text, "humidity");
});

check("the menu of a note offers commands for the note, and with a selection those for it", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  assert.deepEqual(await p.page.evaluate(() => window.host.editorMenu()), ["Orient", "Plan", "Validate"]);
  await p.press("Escape");
  await p.select("Off-Site Backup");
  const offered = await p.page.evaluate(() => window.host.editorMenu());
  assert.deepEqual(offered, ["Update with the selection", "Research with the selection", "Ask with the selection"]);
  await p.press("ArrowDown");
  await p.press("ArrowDown");
  await p.press("Enter");
  await p.until(() => document.querySelector(".kos-composer textarea")?.value === "/research Off-Site Backup");
});

check("the app's command line runs a command and prints its answer", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await w.double.say("The disk waits ([[Off-Site Backup#Next Actions]]).");
  const printed = await p.page.evaluate(text => window.host.cli("knowledge-os:ask", { text }), unique("What waits?"));
  assert.match(printed, /The disk waits/);
  await w.service.kill();
  try {
    const told = await p.page.evaluate(() => window.host.cli("knowledge-os:orient", {}));
    assert.match(told, /does not answer.*kos serve/s);
  } finally {
    await w.service.start();
  }
});

check("a link opens and fills in, and runs nothing", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await p.page.evaluate(() => window.host.protocol("knowledge-os", { run: "update", text: "delete everything" }));
  await p.until(() => document.querySelector(".kos-composer textarea")?.value === "/update delete everything");
  await p.page.waitForTimeout(300);
  assert.equal(posts(w).length, 0);
  await p.page.evaluate(() => window.host.protocol("knowledge-os", { run: "rm -rf" }));
  await p.notice(/no command that is known/);
});

check("the ribbon opens the panel; it survives being closed and opened again", async t => {
  const p = await t.open(await t.world(fast), { note: NOTE });
  await p.page.click(".side-dock-ribbon-action");
  await p.page.waitForSelector(".kos-view");
  assert.equal(await p.in(".kos-view").count(), 1);
  await p.run("orient");
  await p.done();
  await p.page.evaluate(() => window.host.app.workspace.detachLeavesOfType("knowledge-os-answer"));
  await p.until(() => !document.querySelector(".kos-view"));
  await p.page.click(".side-dock-ribbon-action");
  await p.until(() => document.querySelector(".kos-view")?.dataset.state === "done");
  await p.shows(50);
});

check("a panel that was open when the app closed comes back, loaded only when it is shown", async t => {
  const p = await t.open(await t.world(fast), { note: NOTE, restore: "knowledge-os-answer" });
  assert.equal(await p.in(".kos-view").count(), 0);
  await p.run("orient");
  await p.done();
  assert.equal(await p.in(".kos-view").count(), 1);
});

check("settings: a wrong address is told and not kept, changes are kept over a restart", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await p.page.evaluate(() => window.host.openSettings());
  const row = name => p.in(`.setting-item:has(.setting-item-name:text-is("${name}"))`);
  const address = row("Service address").locator("input");
  assert.equal(await address.inputValue(), w.proxy.url);
  await address.fill("not an address");
  await p.until(() => /Use an address such as/.test(document.querySelector(".setting-item-error")?.textContent ?? ""));
  const kept = () => JSON.parse(w.read(".obsidian/plugins/knowledge-os/data.json"));
  assert.equal(kept().address, w.proxy.url);
  await address.fill(w.proxy.url);
  await row("Begin a command with").locator("input").fill(";;");
  await row("A finished answer").locator("select").selectOption("cursor");
  await row("research").locator("select").selectOption("balanced");
  await row("List commands while typing").locator(".checkbox-container").click();
  await p.until(() => !document.querySelector('.setting-item-name:is([hidden])') && window.host.plugin.settings.slash === false);
  await row("Begin a command with").waitFor({ state: "hidden" }); // a setting that means nothing
  await p.page.waitForTimeout(150);
  assert.ok(!JSON.stringify(kept()).includes(w.token), "the token is no setting");
  await p.reload();
  const now = await p.page.evaluate(() => window.host.plugin.settings);
  assert.deepEqual([now.slash, now.trigger, now.delivery, now.tiers], [false, ";;", "cursor", { research: "balanced" }]);
});

check("settings that somebody broke by hand are mended, not obeyed", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE, settings: { address: "javascript:alert(1)", patience: "soon", trigger: 7, commands: "none", tiers: null, hidden: 3 } });
  const { address, patience, trigger } = await p.page.evaluate(() => window.host.plugin.settings);
  assert.deepEqual([address, patience, trigger], ["http://127.0.0.1:8765", 30, "/"]);
});

check("what the tier and the hidden folders say reaches the service", async t => {
  const w = await t.world(fast);
  const settings = { tiers: { plan: "fast" }, hidden: "02-Projects\n/03-Infrastructure/" };
  const p = await t.open(w, { note: NOTE, settings });
  await p.run("plan");
  await p.done();
  const body = JSON.parse(posts(w)[0].body);
  assert.equal(body.tier, "fast");
  assert.ok(!("note" in body) && !("selection" in body));
  assert.match(await p.text(".kos-chip"), /^fast · llama3\.2:3b$/);
});

check("a finished answer goes to the cursor, or becomes a note, when that is set", async t => {
  const w = await t.world(fast);
  for (const delivery of ["cursor", "note"]) {
    const p = await t.open(w, { note: NOTE, settings: { delivery } });
    await w.double.say("A short plan.");
    await p.cursor();
    await p.type("\n");
    await p.slash(`/plan ${unique("for")}`);
    await p.done();
    await p.until(() => /A short plan\./.test(window.host.editor.getValue()));
    await p.until(([note, stays]) => (window.host.view.file.path === note) === stays, [NOTE, delivery === "cursor"]);
  }
});

check("first run: the panel says what to do, and the set-up pairs", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE, settings: null });
  assert.match(await p.status("unpaired"), /not paired/);
  await p.openPanel();
  await p.page.click(".kos-set-up");
  await p.page.waitForSelector(".kos-setup");
  await p.page.fill(".kos-address", w.proxy.url);
  await p.page.fill(".kos-token", ` ${w.token} `);
  assert.equal(await p.in(".kos-token").getAttribute("type"), "password");
  await p.page.click(".kos-test");
  await p.until(() => document.querySelectorAll(".kos-step").length === 6);
  const found = await steps(p);
  assert.deepEqual(found.map(([name, result]) => [name, result]), ["Service", "Name", "Token", "Vault", "Streaming", "Models"].map(n => [n, "ok"]), JSON.stringify(found));
  await p.press("Escape");
  await p.status("ready");
  assert.ok(!w.read(".obsidian/plugins/knowledge-os/data.json").includes(w.token));
  await p.reload();
  await p.status("ready");
});

check("the connection test names the step that fails, and what to do", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await p.run("check-connection");
  const test = async () => {
    await p.page.click(".kos-test");
    await p.until(() => document.querySelector(".kos-test:not([disabled])") && document.querySelector(".kos-step"));
    const found = await steps(p);
    return found.find(([, result]) => result === "failed") ?? found.at(-1);
  };
  const fails = async (name, pattern) => {
    const [step, result, words] = await test();
    assert.deepEqual([step, result], [name, "failed"], words);
    assert.match(words, pattern);
  };
  // The name of the machine, nobody listening, something else listening.
  await p.page.fill(".kos-address", "http://no-such-machine.invalid:8765");
  await fails("Service", /No machine has the name/);
  await p.page.fill(".kos-address", "http://127.0.0.1:9");
  await fails("Service", /does not answer.*kos serve/s);
  await p.page.fill(".kos-address", w.page.url);
  await fails("Service", /Something else than Knowledge-OS/);
  await p.page.fill(".kos-address", w.proxy.url);
  // A name the service does not go by, a wrong token, an origin it does not take, a vault it does not read.
  w.proxy.host = "rebound.example";
  await fails("Name", /does not go by the name/);
  w.proxy.host = null;
  await p.page.fill(".kos-token", "wrong");
  await fails("Token", /does not take the token.*kos token/s);
  await p.page.fill(".kos-token", w.token);
  w.proxy.origin = "http://evil.example";
  await fails("Streaming", /origin/);
  w.proxy.origin = "app://obsidian.md";
  const lift = w.proxy.respond("/v1/status", async (_, pass) => {
    const { body } = await pass();
    return { body: { ...body, vault: { ...body.vault, name: "Another" } } };
  });
  await fails("Vault", /reads the vault Another/);
  lift();
  assert.deepEqual((await test()).slice(0, 2), ["Models", "ok"]);
});

check("the test of a service that hangs ends, and names it", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await p.status("ready");
  const lift = w.proxy.fault("hold", { side: "native" });
  await p.run("check-connection");
  await p.page.click(".kos-test");
  await p.until(() => document.querySelector(".kos-step"), undefined, { timeout: 15_000 });
  assert.match((await steps(p))[0].join(), /Service,failed,.*nothing for 10 seconds/s);
  lift();
});

check("the status bar: ready, busy, offline and back, each with a click that helps", async t => {
  const w = await t.world({ ollama: { decode: 250, "load-seconds": 0.4 } });
  const p = await t.open(w, { note: NOTE });
  assert.equal(await p.status("ready"), "KOS: ready");
  assert.match(await p.in(".kos-status").getAttribute("aria-label"), /\d+ notes/);
  await p.openPanel();
  await p.say(unique("Busy now?"));
  await p.status("busy");
  await p.done();
  await p.status("ready");
  await w.proxy.close();
  await p.page.click(".kos-status");
  assert.equal(await p.status("offline"), "KOS: offline");
  await p.notice(/does not answer.*kos serve/);
  await w.proxy.open();
  await p.page.click(".kos-status");
  await p.status("ready");
});

check("the status bar: a wrong token is not paired, a missing model is degraded", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE, token: "wrong" });
  await p.status("unpaired");
  await p.page.click(".kos-status");
  await p.page.waitForSelector(".kos-setup");
  const lift = w.proxy.respond("/v1/status", async (_, pass) => {
    const { body } = await pass();
    return { body: { ...body, nodes: body.nodes.map(n => ({ ...n, reachable: false, error: "Ollama does not answer.", hint: "Start it." })) } };
  });
  const degraded = await t.open(w, { note: NOTE });
  assert.match(await degraded.status("degraded"), /no model/);
  assert.match(await degraded.in(".kos-status").getAttribute("aria-label"), /Ollama does not answer/);
  lift();
});

check("a map of content shows its members and how each was found", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: "@Infrastructure.md" });
  await p.run("show-map");
  await p.page.waitForSelector(".kos-map-modal .kos-member");
  const rows = await p.in(".kos-member").count();
  assert.ok(rows > 5);
  const hows = await p.in(".kos-member .kos-how").allInnerTexts();
  for (const how of ["link", "base", "dataview"]) assert.ok(hows.includes(how), `one is found by ${how}`);
  await p.in(".kos-member a").first().click();
  assert.equal(await p.in(".modal").count(), 0);
  await p.until(() => window.host.view.file.path !== "@Infrastructure.md");
  await p.page.evaluate(path => window.host.open(path), NOTE);
  await p.run("show-map");
  await p.notice(/no map/);
});

check("modes: the switch frees the card and gives it back; it is not there where no node has modes", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await p.status("ready");
  await p.openPanel();
  const button = p.in(".kos-mode");
  await button.waitFor();
  const switched = async to => {
    await button.click();
    await p.until(on => document.querySelector(".kos-mode").getAttribute("aria-checked") === on, String(to === "GAMING"));
    assert.deepEqual((await w.service.ask("/v1/mode")).nodes.map(node => node.mode), [to]);
  };
  assert.equal(await button.getAttribute("aria-checked"), "false");
  await switched("GAMING");
  const before = (await w.double.chats()).length;
  await p.run("orient");
  await p.done();
  assert.match(await p.text(".kos-degraded"), /No model answered/);
  assert.match(await p.text(".kos-degraded"), /GAMING/);
  assert.equal((await w.double.chats()).length, before, "nothing came to the card");
  await switched("NORMAL");
  const without = await t.world(fast);
  without.proxy.respond("/v1/status", async (_, pass) => {
    const { body } = await pass();
    return { body: { ...body, nodes: body.nodes.map(({ mode, ...node }) => node) } };
  });
  const q = await t.open(without, { note: NOTE });
  await q.openPanel();
  await q.status("ready");
  assert.equal(await q.in(".kos-mode").count(), 0);
});
