// Origins: which apps may read the stream, and what happens in one that may not. Preflights and refusals are the service's.
import assert from "node:assert/strict";
import { check } from "../check.mjs";
import { unique } from "../driver.mjs";

const NOTE = "02-Projects/Off-Site Backup.md";
const slow = { ollama: { decode: 250, "load-seconds": 0.4 } };
const TEXT = `A plan.\n\n${"- a step of the plan, in words\n".repeat(40)}`.trim();

async function answered(t, w, o) {
  const p = await t.open(w, { note: NOTE, ...o });
  await p.openPanel();
  await w.double.say(TEXT);
  await p.watch("length", 'document.querySelector(".kos-body")?.textContent.length ?? 0');
  await p.say(unique("Which steps has the plan?"));
  await p.done();
  const lengths = (await p.watched("length")).filter(Boolean);
  return { p, lengths, stream: w.proxy.find("GET", /\/events\?after=\d+$/).filter(s => s.side === "fetch") };
}

for (const [origin, mobile] of [
  ["app://obsidian.md", ""],
  ["capacitor://localhost", "ios"],
  ["http://localhost", "android"],
  ["https://localhost", "android"],
])
  check(`${origin} streams, after a preflight`, async t => {
    const w = await t.world(slow);
    w.proxy.origin = origin;
    const { p, lengths, stream } = await answered(t, w, { mobile });
    assert.ok(lengths.length >= 5, lengths.join(" → "));
    assert.equal((await p.shown()).answer, TEXT);
    const [preflight] = w.proxy.find("OPTIONS", /\/events/);
    assert.equal(preflight.origin, origin);
    assert.match(preflight.headers["access-control-request-headers"], /authorization/);
    assert.deepEqual(stream.map(s => [s.status, s.origin]), [[200, origin]]);
    assert.equal(w.proxy.find("GET", /wait=/).length, 0, "nothing was polled");
  });

check("an origin that is not allowed: fetch is refused, the run is polled, and the text still grows", async t => {
  const w = await t.world(slow);
  w.proxy.origin = "http://evil.example";
  const { p, lengths } = await answered(t, w, {});
  assert.ok(lengths.length >= 3, lengths.join(" → "));
  assert.equal((await p.shown()).answer, TEXT);
  const refused = w.proxy.seen.filter(s => s.side === "fetch");
  assert.ok(refused.length >= 1 && refused.every(s => s.status === 403), JSON.stringify(refused.map(s => [s.path, s.status])));
  assert.ok(w.proxy.find("GET", /wait=/).length >= 2);
  // The next run does not try in vain again.
  const tried = refused.length;
  await p.ask(unique("And the next?"));
  assert.equal(w.proxy.seen.filter(s => s.side === "fetch").length, tried);
});

check("what requestUrl sends has no origin, and the token on every request but the open one", async t => {
  const w = await t.world(slow);
  const p = await t.open(w, { note: NOTE });
  await p.run("orient");
  await p.done();
  const own = w.proxy.seen.filter(s => s.side === "native");
  assert.ok(own.length >= 3 && own.every(s => s.origin === null));
  for (const s of w.proxy.seen.filter(s => s.method !== "OPTIONS")) assert.equal(s.headers.authorization, `Bearer ${w.token}`, s.path);
});

check("nothing goes to any other address", async t => {
  const w = await t.world(slow);
  const p = await t.open(w, { note: NOTE });
  const foreign = [];
  p.page.on("request", r => {
    if (![w.page.url, w.proxy.url].some(own => r.url().startsWith(own))) foreign.push(r.url());
  });
  await p.run("orient");
  await p.done();
  assert.deepEqual(foreign, []);
  const native = (await p.record("requestUrl")).map(r => r.url).filter(url => !url.startsWith(w.proxy.url));
  assert.deepEqual(native, []);
});
