// Faults: whatever breaks, the person is told in words, nothing hangs, and nothing that was typed is lost.
import assert from "node:assert/strict";
import { check } from "../check.mjs";
import { unique } from "../driver.mjs";
import { redis } from "../world.mjs";

const NOTE = "02-Projects/Off-Site Backup.md";
const TODAY = "01-Journal/Daily/2025-09-14.md";
const fast = { ollama: { decode: 2000 } };
const slow = { ollama: { decode: 250, "load-seconds": 0.4 } };
const LONG = `A long answer.\n\n${"- a step of the answer, in words\n".repeat(60)}`.trim();

/** A long answer, until its first words stand there. */
async function writing(t, w, o = {}) {
  const p = await t.open(w, { note: NOTE, ...o });
  await p.openPanel();
  await w.double.say(LONG);
  await p.say(unique("What are the steps?"));
  await p.shows(80);
  return p;
}
/** The end of a run that must fail, with these words; what was written stays, and Run again is offered. */
async function fails(p, pattern, timeout = 25_000) {
  await p.until(() => document.querySelector(".kos-view")?.dataset.state === "failed", undefined, { timeout });
  assert.match(await p.text(".kos-error"), pattern);
  assert.equal(await p.in(".kos-error").getAttribute("role"), "alert");
  assert.ok(await p.in(".kos-again").isVisible());
}

check("the service is down: the typed command comes back, words say what to start, and then it works", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  await w.service.kill();
  try {
    const words = unique("Off-site disk is here");
    await p.cursor();
    await p.type("\n");
    await p.slash(`/update ${words}`);
    await fails(p, /The service does not answer\.\s+Start it with "kos serve"/);
    assert.match(await p.note(), new RegExp(`\\n/update ${words}$`));
    await p.focus(/editor/);
    assert.match(await p.status("offline"), /offline/);
    assert.ok(!/at |TypeError|undefined/.test(await p.panel()));
  } finally {
    await w.service.start();
  }
  await p.again();
  assert.match(w.read(TODAY), /Off-site disk is here/);
});

check("the typed command goes to the panel when the note was written in meanwhile", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  w.proxy.fault("block", { path: "/v1/commands/", method: "POST", ms: 600 });
  await p.cursor();
  await p.type("\n");
  await p.slash("/plan the move");
  await p.type("more text");
  await fails(p, /does not answer/);
  await p.until(() => document.querySelector(".kos-composer textarea").value === "/plan the move");
  assert.match(await p.note(), /\nmore text$/);
});

check("killed in mid-answer and away: told within half a minute, what was written stays", async t => {
  const w = await t.ownWorld(slow);
  const p = await writing(t, w);
  await w.service.kill();
  await p.until(() => /Connection lost, trying again/.test(document.querySelector(".kos-phase").textContent));
  await fails(p, /does not answer/, 30_000);
  assert.match(await p.phase(), /Broken off\. What was written so far is kept\./);
  await p.shows(80);
  await p.status("offline");
}, { timeout: 50_000, long: true });

check("killed in mid-answer and started anew: the run is gone, and Run again answers", async t => {
  const w = await t.ownWorld(slow);
  const p = await writing(t, w);
  await w.service.kill();
  await w.service.start();
  await fails(p, /started anew meanwhile/);
  await p.again();
});

check("stopped in mid-answer in good order: the answer ends with the service's own word", async t => {
  const w = await t.ownWorld(slow);
  const p = await writing(t, w);
  await w.service.kill("SIGTERM");
  await fails(p, /./);
  await p.shows(80);
});

check("a stream that is cut goes on where it stopped, without a word twice or missing", async t => {
  const w = await t.world(slow);
  const p = await t.open(w, { note: NOTE });
  await p.openPanel();
  await w.double.say(LONG);
  w.proxy.fault("cut", { path: "/v1/runs/", side: "fetch", after: 9000, times: 1, method: "GET" });
  await p.say(unique("What are the steps?"));
  await p.done();
  assert.equal((await p.shown()).answer, LONG);
  const streams = w.proxy.find("GET", /\/events\?after=\d+$/).filter(s => s.side === "fetch");
  assert.equal(streams.length, 2);
  assert.match(streams[1].path, /after=[1-9]/);
});

check("a stream that falls silent is given up, and the run is polled to its end", async t => {
  const w = await t.world(slow);
  const p = await t.open(w, { note: NOTE, settings: { patience: 10 } });
  await p.openPanel();
  await w.double.say(LONG);
  w.proxy.fault("stall", { path: "/v1/runs/", side: "fetch", after: 9000, method: "GET" });
  await p.say(unique("What are the steps?"));
  await p.done();
  assert.equal((await p.shown()).answer, LONG);
  assert.ok(w.proxy.find("GET", /wait=/).length >= 1);
}, { long: true });

check("Stop works at once while the service hangs, and what was written stays", async t => {
  const w = await t.world(slow);
  const p = await t.open(w, { note: NOTE });
  await p.openPanel();
  await w.double.say(LONG);
  w.proxy.fault("stall", { path: "/v1/runs/", side: "fetch", after: 9000, method: "GET" });
  await p.say(unique("What are the steps?"));
  await p.shows(80);
  w.proxy.fault("hold", { side: "native" });
  await p.page.click(".kos-stop");
  await p.until(() => document.querySelector(".kos-view").dataset.state === "stopped", undefined, { timeout: 5000 });
  await p.shows(80);
});

check("silence on every way ends in words", async t => {
  const w = await t.world(slow);
  const p = await t.open(w, { note: NOTE, settings: { patience: 10 } });
  await p.openPanel();
  await w.double.say(LONG);
  w.proxy.fault("stall", { path: "/v1/runs/", side: "fetch", after: 9000, method: "GET" });
  w.proxy.fault("hold", { path: "/v1/runs/", side: "native" });
  await p.say(unique("What are the steps?"));
  await fails(p, /said nothing for 10 seconds/, 30_000);
  await p.shows(80);
}, { long: true });

check("a service that takes the command and says nothing is told after the patience that is set", async t => {
  const w = await t.world(slow);
  const p = await t.open(w, { note: NOTE, settings: { patience: 10 } });
  w.proxy.fault("hold", { path: "/v1/commands/", method: "POST" });
  await p.cursor();
  await p.type("\n");
  await p.slash("/plan the week");
  await fails(p, /said nothing for 10 seconds/);
  assert.match(await p.note(), /\n\/plan the week$/);
}, { long: true });

check("a refused token: the command comes back, and the way to a new one is named", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE, token: "wrong" });
  await p.cursor();
  await p.type("\n");
  await p.slash("/orient");
  await fails(p, /does not take the token.*kos token/s);
  assert.match(await p.note(), /\n\/orient$/);
  await p.status("unpaired");
});

check("a token that is refused in mid-run ends it in words", async t => {
  const w = await t.world(slow);
  const p = await writing(t, w);
  w.proxy.fault("status", { status: 401, code: "unauthorized", path: "/v1/runs/" });
  w.proxy.fault("status", { status: 401, code: "unauthorized", path: "/v1/status" });
  const [stream] = w.proxy.find("GET", /\/events/).filter(s => s.side === "fetch");
  assert.ok(stream);
  await w.proxy.close();
  await w.proxy.open();
  await fails(p, /does not take the token/);
});

for (const [what, fault, pattern] of [
  ["a name the service does not go by", { status: 421, code: "wrong_host" }, /does not go by the name/],
  ["a refused origin", { status: 403, code: "forbidden_origin" }, /does not take requests from this app/],
  ["a busy service", { status: 429, code: "busy", message: "8 requests wait already", hint: "Try again in 5 seconds." }, /8 requests wait already\.\s+Try again in 5 seconds\./],
  ["a missing model", { status: 424, code: "model_missing", message: "the model qwen3:8b is not there", hint: "Run ollama pull qwen3:8b." }, /The model qwen3:8b is not there\.\s+Run ollama pull/],
  ["a full disk", { status: 507, code: "disk_full", message: "the disk is full" }, /The disk is full\./],
])
  check(`${what} is told in words, and the typed command comes back`, async t => {
    const w = await t.world(fast);
    const p = await t.open(w, { note: NOTE });
    w.proxy.fault("status", { path: "/v1/commands/", method: "POST", ...fault });
    await p.cursor();
    await p.type("\n");
    await p.slash("/orient");
    await fails(p, pattern);
    assert.match(await p.note(), /\n\/orient$/);
  });

check("something else at the address is told as that", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  for (const made of [
    { status: 200, headers: { "content-type": "text/html" }, body: "<html>router</html>" },
    { status: 404, headers: { "content-type": "text/html" }, body: "<html>no</html>" },
    { status: 200, body: { hello: "world" } },
    { status: 200, body: "null" },
  ]) {
    const lift = w.proxy.respond("/v1/", () => made);
    await p.cursor();
    await p.type("\n");
    await p.slash("/orient");
    await p.reaches("failed");
    const told = await p.text(".kos-error");
    assert.match(told, /Something else/, `${JSON.stringify(made)}: ${told}`);
    assert.match(await p.note(), /\/orient$/);
    lift();
    await p.again();
    await p.page.evaluate(() => window.host.editor.setLine(window.host.editor.lastLine(), ""));
  }
});

check("an answer to the start that is lost does not begin a second run", async t => {
  const w = await t.world(fast);
  const p = await t.open(w, { note: NOTE });
  const before = (await w.service.runs()).length;
  w.proxy.fault("cut", { path: "/v1/commands/", method: "POST", after: 1, times: 1 });
  await p.openPanel();
  await p.say(unique("Only once?"));
  await p.done();
  assert.equal(w.proxy.find("POST", /^\/v1\/commands/).length, 2);
  assert.equal((await w.service.runs()).length, before + 1);
});

check("the app is closed in mid-answer: the run is followed to its end when it is back", async t => {
  const w = await t.world(slow);
  const p = await writing(t, w);
  await p.reload();
  await p.openPanel();
  await p.done();
  assert.equal((await p.shown()).answer, LONG);
});

check("the plugin is switched off in mid-answer: nothing is left behind", async t => {
  const w = await t.world(slow);
  const p = await writing(t, w);
  await p.page.evaluate(() => window.host.unload());
  const sent = (await p.record("requestUrl")).length;
  await p.page.waitForTimeout(1500);
  const later = (await p.record("requestUrl")).slice(sent).map(s => `${s.method} ${s.url}`);
  assert.deepEqual(later, [], "no request after that");
  assert.equal(await p.in(".kos-status").count(), 0);
});

check("no model, no Ollama: the notes alone answer, and that is said", async t => {
  const w = await t.ownWorld(fast);
  await w.double.stop("SIGKILL");
  const p = await t.open(w, { note: NOTE });
  await p.run("orient");
  await p.done();
  assert.match(await p.text(".kos-degraded"), /from your notes alone/);
  await p.shows(100);
  await p.status("degraded");
});

for (const kind of ["died", "cut", "garbage", "no_memory"])
  check(`Ollama that breaks (${kind}) is told, and the words of an update are kept`, async t => {
    const w = await t.world(fast);
    const p = await t.open(w, { note: NOTE });
    await w.double.fault(kind, { after: 5, times: null });
    const words = unique("The blue disk was checked,");
    await p.cursor();
    await p.type("\n");
    await p.slash(`/update ${words}`);
    await p.reaches("done", "failed");
    assert.ok(w.read(TODAY).includes(words));
    assert.match(await p.text(".kos-kept"), /Your words are kept/);
    const told = (await p.in(".kos-degraded, .kos-error").allInnerTexts()).join("\n");
    assert.ok(told.length > 20, await p.panel());
    assert.ok(!(await p.note()).includes("/update"), "kept words are not put back as well");
  });

check("Redis goes away: answers still come, and the status bar says so", async t => {
  const store = await redis();
  const w = await t.ownWorld({ ...fast, cache: store.url });
  try {
    const p = await t.open(w, { note: NOTE });
    await p.run("orient");
    await p.done();
    await store.stop("SIGKILL");
    // The service tries the cache again now and then: between two failures it may look well.
    for (let n = 0; n < 4 || (n < 12 && (await p.in(".kos-status").getAttribute("data-state")) !== "degraded"); n++) {
      await p.ask(unique("Still there?"));
      await p.shows(20);
    }
    assert.match(await p.status("degraded"), /no cache/);
  } finally {
    await store.stop("SIGKILL");
  }
});

check("the service is still reading the vault: the status bar says so, and commands come with it", async t => {
  const w = await t.world(fast);
  const lift = w.proxy.respond("/v1/status", async (_, pass) => {
    const { body } = await pass();
    return { body: { ...body, ready: false, vault: undefined } };
  });
  const p = await t.open(w, { note: NOTE });
  assert.match(await p.status("busy"), /reading the vault/);
  lift();
  await p.status("ready");
});

check("offline for a moment in mid-answer: it goes on by itself", async t => {
  const w = await t.world(slow);
  const p = await writing(t, w);
  await w.proxy.close();
  await p.until(() => /Connection lost/.test(document.querySelector(".kos-phase").textContent));
  await w.proxy.open();
  await p.done();
  assert.equal((await p.shown()).answer, LONG);
});

check("an update whose note of the day is being written by somebody keeps both texts", async t => {
  const w = await t.world(fast);
  w.write(TODAY, "# Sunday\n\n## Log\n\n- 08:00 mine\n");
  await w.seen();
  const p = await t.open(w, { note: TODAY });
  // Between the proposal of the words and their writing, each time but the last.
  let times = 0;
  const lift = w.proxy.respond("/v1/commands/update", async (_, pass) => {
    const made = await pass();
    if (times++ < 1) w.write(TODAY, w.read(TODAY).replace("mine", "mine, and more"));
    return made;
  });
  const words = unique("Both stay.");
  await p.cursor();
  await p.type("\n");
  await p.slash(`/update ${words}`);
  await p.reaches("done");
  lift();
  const now = w.read(TODAY);
  assert.ok(now.includes("mine, and more") && now.includes(words), now);
  assert.equal(now.split(words).length, 2, "the words stand there once");
});
