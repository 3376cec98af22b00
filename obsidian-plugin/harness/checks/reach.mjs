// Who can use it, and where: phones, popouts, the keyboard alone, readers of screens, dark and light, calm motion.
import assert from "node:assert/strict";
import { check } from "../check.mjs";
import { unique } from "../driver.mjs";

const NOTE = "02-Projects/Off-Site Backup.md";
const fast = { ollama: { decode: 2000 } };
const slow = { ollama: { decode: 250, "load-seconds": 0.4 } };
const TEXT = `## Plan\n\nFirst ([[Off-Site Backup#Next Actions]]).\n\n| what | when |\n| --- | --- |\n| ${"a long cell ".repeat(12)} | now |\n\n\`\`\`sh\n${"a-very-long-command --with-many-options ".repeat(6)}\n\`\`\`\n\n- [ ] one task\n`;
const CHOICE = JSON.stringify({ projects: [{ project: 1, log: "Taped the vent.", status: "blocked", next: "Measure" }], finished: [] });

check("on a phone: the same panel over the whole width, by polling where fetch is blocked", async t => {
  const w = await t.world(slow);
  w.proxy.fault("block", { side: "fetch" });
  const p = await t.open(w, { note: NOTE, mobile: "ios", phone: true });
  await w.double.say(TEXT);
  await p.cursor();
  await p.type("\n");
  await p.slash(`/plan ${unique("the")}`);
  await p.done();
  const wide = await p.page.evaluate(() => {
    const view = document.querySelector(".kos-view");
    const over = [...view.querySelectorAll("*")].filter(
      el => el.getBoundingClientRect().right > innerWidth + 1 && !el.closest("pre, table, .kos-diff"),
    );
    return [view.getBoundingClientRect().width, over.map(el => el.className || el.tagName), view.scrollWidth - view.clientWidth];
  });
  assert.deepEqual(wide, [390, [], 0]);
  assert.ok(w.proxy.find("GET", /wait=/).length >= 1);
});

check("on a phone: what is tapped is large enough, and the set-up fits", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE, mobile: "android", phone: true });
  await p.run("orient");
  await p.done();
  const small = selector =>
    p.page.evaluate(
      query =>
        [...document.querySelectorAll(query)]
          .filter(el => el.getClientRects().length)
          .map(el => [el.className, Math.round(el.getBoundingClientRect().height)])
          .filter(([, height]) => height < 30),
      selector,
    );
  assert.deepEqual(await small(".kos-view button, .kos-view summary"), []);
  await p.run("check-connection");
  await p.page.waitForSelector(".kos-setup");
  assert.ok(await p.page.evaluate(() => document.querySelector(".kos-setup").scrollWidth <= innerWidth));
  await p.page.click(".kos-test");
  await p.until(() => document.querySelectorAll('.kos-step[data-result="ok"]').length === 6);
});

check("on a phone: nothing of Node or Electron is asked for, and the errors of its network are understood", async t => {
  const w = await t.world(fast);
  for (const mobile of ["ios", "android"]) {
    const p = await t.open(w, { note: NOTE, mobile, phone: true });
    await w.proxy.close();
    await p.run("orient");
    await p.reaches("failed");
    assert.match(await p.text(".kos-error"), /does not answer.*kos serve/s);
    await w.proxy.open();
    await p.again();
  }
});

check("in a window of its own: it goes on drawing, and its keys and clicks are its own", async t => {
  const w = await t.world(slow);
  const p = await t.open(w, { note: NOTE });
  await p.openPanel();
  await w.double.say(TEXT.repeat(6));
  await p.say(unique("What is the plan?"));
  await p.shows(20);
  const [popout] = await Promise.all([p.context.waitForEvent("page"), p.page.evaluate(() => void window.host.popout())]);
  await popout.waitForSelector(".kos-view");
  assert.equal(await p.in(".kos-view").count(), 0);
  // The main window is behind: what draws by its timers would stand still there.
  await popout.waitForFunction(() => document.querySelector(".kos-view").dataset.state === "done", undefined, { polling: 50 });
  assert.ok((await popout.locator(".kos-body h2").count()) === 6);
  await popout.hover(".kos-body a.internal-link");
  assert.equal((await p.record("hovers")).length, 1);
  await popout.click(".kos-body a.internal-link >> nth=0");
  await p.until(() => window.host.record.opened.length === 1);
  await popout.click(".kos-receipt");
  await popout.waitForSelector(".kos-receipt-modal");
  await popout.keyboard.press("Escape");
  assert.equal(await popout.locator(".modal").count(), 0);
  await w.double.say("Second.");
  await popout.fill(".kos-composer textarea", unique("And then?"));
  await popout.press(".kos-composer textarea", "Enter");
  await popout.waitForFunction(() => /Second\./.test(document.querySelector(".kos-body").innerText), undefined, { polling: 50 });
  await popout.close();
});

check("with the keyboard alone: from the command to the answer, its sources, its changes, and back", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: "Home.md" });
  await w.double.say("## Synthesis\n\nTaped ([[Fermentation Chamber#Scope]]).", CHOICE);
  await p.cursor();
  await p.type("\n");
  await p.slash(`/update ${unique("Taped the vent of the [[Fermentation Chamber]]")}`);
  await p.done();
  await p.until(() => document.activeElement.classList.contains("kos-proposal"));
  // Forwards to the first checkbox, out of the box with Space, and on to Apply.
  for (let n = 0; n < 60 && (await p.page.evaluate(() => document.activeElement.type)) !== "checkbox"; n++) await p.press("Tab");
  const before = await p.text(".kos-apply");
  await p.press("Space");
  assert.notEqual(await p.text(".kos-apply"), before);
  await p.press("Space");
  for (let n = 0; n < 60 && !/kos-apply/.test(await p.focused()); n++) await p.press("Tab");
  await p.press("Enter");
  await p.page.waitForSelector('.kos-proposal[data-status="applied"]');
  await p.focus(/editor/);
  // Everything that can be used is reached by Tab.
  await p.page.evaluate(() => document.querySelector(".kos-view").setAttribute("tabindex", "-1"));
  await p.page.focus(".kos-view");
  for (let n = 0; n < 60; n++) {
    await p.press("Tab");
    await p.page.evaluate(() => (document.activeElement.dataset.reached = "yes"));
  }
  const missed = await p.in(".kos-view :is(button, a, input, textarea, summary):not([data-reached])").evaluateAll(els =>
    els.filter(el => el.getClientRects().length && !el.disabled).map(el => el.outerHTML.slice(0, 100)),
  );
  assert.deepEqual(missed, []);
});

check("what is drawn has a name and a role for those who hear it", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: "Home.md" });
  await w.double.say("## Synthesis\n\nSold to Oslo ([[Fermentation Chamber#Scope]]).", CHOICE);
  await p.cursor();
  await p.type("\n");
  await p.slash(`/update ${unique("Taped the vent of the [[Fermentation Chamber]]")}`);
  await p.done();
  await p.page.waitForSelector(".kos-apply");
  const nameless = await p.in(".kos-view :is(button, a, input, textarea, [role])").evaluateAll(els =>
    els
      .filter(el => !(el.ariaLabel || el.innerText?.trim() || el.labels?.[0]?.innerText.trim() || ["status", "alert", "region"].includes(el.role)))
      .map(el => el.outerHTML.slice(0, 120)),
  );
  assert.deepEqual(nameless, []);
  assert.deepEqual(await p.in('.kos-add .kos-sign:not([aria-label="added"]), .kos-del .kos-sign:not([aria-label="removed"])').count(), 0);
  assert.equal(await p.in(".kos-status").getAttribute("role"), "status");
});

/** Texts of the panel that stand out less than 4.5 : 1 (3 : 1 for large ones) from what is behind them. */
const faint = root => {
  const rgb = text => {
    const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
    context.fillStyle = text;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((c, n) => c * top[3] + below[n] * (1 - top[3]));
  const light = colour => {
    const [r, g, b] = colour.map(c => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = el => {
    const layers = [];
    for (let at = el; at; at = at.parentElement) layers.unshift(rgb(getComputedStyle(at).backgroundColor));
    return layers.reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const found = new Map();
  for (const el of document.querySelectorAll(`${root} *`)) {
    const own = [...el.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join("");
    const style = getComputedStyle(el);
    if (!own || !el.getClientRects().length || el.disabled || el.closest("a")) continue;
    const back = behind(el);
    const front = over(rgb(style.color), back);
    let opacity = 1;
    for (let at = el; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
    const seen = over([...front, opacity], back);
    const [high, low] = [light(seen), light(back)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    // A sign is a picture rather than a text.
    const large = own.length === 1 || Number.parseFloat(style.fontSize) >= 24 || (Number.parseFloat(style.fontSize) >= 18.6 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.set(el.className || el.tagName, `${ratio.toFixed(1)} ${own.slice(0, 30)}`);
  }
  return [...found].map(pair => pair.join(": "));
};

for (const theme of ["light", "dark"])
  check(`${theme}: texts of the plugin's own can be read, and colours are the theme's`, async t => {
    const w = await t.world(fast);
    const p = await t.open(w, { note: "Home.md", theme });
    await w.double.say("## Synthesis\n\nSold to Oslo ([[Fermentation Chamber#Scope]]).", CHOICE);
    await p.cursor();
    await p.type("\n");
    await p.slash(`/update ${unique("Taped the vent of the [[Fermentation Chamber]]")}`);
    await p.done();
    await p.page.waitForSelector(".kos-apply");
    await p.page.click(".kos-chip");
    // Accent, success and warning of the default theme are themselves below that line: only our own choices count.
    const own = (await p.page.evaluate(`(${faint})(".kos-view")`)).filter(text => !/internal-link|mod-cta|^A:|-sign:/.test(text));
    assert.deepEqual(own, []);
    const [back, text] = await p.page.evaluate(() => {
      const style = getComputedStyle(document.querySelector(".kos-view"));
      return [style.backgroundColor, style.color];
    });
    assert.equal(text, theme === "dark" ? "rgb(218, 218, 218)" : "rgb(34, 34, 34)", back);
  });

check("who wants no motion gets none", async t => {
  const w = await t.world(slow);
  const p = await t.open(w, { note: NOTE, reducedMotion: true });
  await p.openPanel();
  await w.double.say(TEXT.repeat(4));
  await p.say(unique("What is the plan?"));
  for (let n = 0; n < 12; n++) {
    const moving = await p.page.evaluate(() => document.getAnimations().map(a => a.animationName ?? a.transitionProperty));
    assert.deepEqual(moving.filter(name => !/cm-blink/.test(name)), []);
    await p.page.waitForTimeout(60);
  }
  await p.done();
});

check("what notes and models say is text, never markup of the panel", async t => {
  const w = await t.world(fast);
  const evil = "<img src=x onerror=window.pwned=1>";
  w.write("02-Projects/Off-Site Backup.md", `${w.read(NOTE)}\n## ${evil}\n\nThe offsite disk ${evil} waits for the courier.\n`);
  await w.seen();
  const p = await t.open(w, { note: NOTE });
  await w.double.say(`Here ${evil} ([[Off-Site Backup#${evil}]]).`);
  w.proxy.respond("/v1/status", async (_, pass) => {
    const { body } = await pass();
    return { body: { ...body, nodes: [{ ...body.nodes[0], reachable: false, error: evil, hint: evil }] } };
  });
  await p.openPanel();
  await p.ask(`Where does the courier wait for the offsite disk? ${evil}`);
  await p.page.click(".kos-history-toggle");
  await p.page.waitForTimeout(200);
  assert.equal(await p.in(".kos-view img, .kos-status img, .notice img").count(), 0);
  assert.equal(await p.page.evaluate(() => window.pwned), undefined);
});
