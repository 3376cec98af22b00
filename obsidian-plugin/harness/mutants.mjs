// Plants faults in the plugin, one at a time, each in a copy of its own, and holds that a unit test or a check of the harness
// finds it: `node harness/mutants.mjs [--only WORDS]`. Run after `npm run build`; takes some minutes, and is no part of a check run.
// Last line: "N found, N missed".
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { plugin, repository, temporary } from "./env.mjs";

const { values: options } = parseArgs({ options: { only: { type: "string" } } });

// [what is wrong, file below src, text, text instead, who must find it: "test FILE" or "check WORDS" or "build"]
const MUTANTS = [
  ["the list opens in the middle of words", "editor/slash.ts", "if (last > 0 && !/\\s/.test(before.charAt(last - 1))) return null;", "", "check stays away in and/or"],
  ["words behind a name count in prose", "editor/slash.ts", "if (first) {", "if (true) {", "test slash"],
  ["the list comes back after Escape", "editor/slash-suggest.ts", "if (unchanged) this.dismissed", "if (!unchanged) this.dismissed", "check Escape closes it"],
  ["a command that needs words runs without", "editor/slash-suggest.ts", 'offer.command.text === "required" && !offer.words', "false", "check needs words waits"],
  ["the typed command stays in the note", "editor/insert.ts", 'editor.replaceRange("", start, end);', "", "check Enter takes the typed command out"],
  ["the typed command is lost when it cannot be sent", "conductor.ts", "if (lost && !putBack())", "if (lost && false)", "check the service is down"],
  ["a command typed elsewhere meanwhile is lost", "editor/insert.ts", "if (editor.getValue() !== without) return false;", "if (editor.getValue() !== without) return true;", "check the typed command goes to the panel"],
  ["what is not saved yet is not seen", "conductor.ts", "await lastNote(this.app)?.save();", "", "check with the note and what was not saved yet"],
  ["the panel takes the cursor", "conductor.ts", '"right", { active: false, reveal: true }', '"right", { active: true, reveal: true }', "check the cursor stays in the note"],
  ["the service may write by itself", "api/client.ts", 'apply: "none"', 'apply: "all"', "check a proposal shows each change"],
  ["a run ends with the app", "api/client.ts", "detach: true", "detach: false", "check the answer grows"],
  ["the start is not tried again", "api/client.ts", 'if (isFault(error, "offline")) return begin();', "", "check does not begin a second run"],
  ["the second try is another run", "api/client.ts", "idempotency_key: key }", "idempotency_key: key + Math.random() }", "test client"],
  ["no polling where fetch is refused", "api/follow.ts", "streams = false;\n\t\t\t\tcontinue;", "throw fault;", "check an origin that is not allowed"],
  ["a stream that breaks is begun from the start", "api/follow.ts", "wire.stream(last, signal)", "wire.stream(0, signal)", "test follow"],
  ["events are given twice", "api/follow.ts", "if (event.id <= last) continue;", "", "test follow"],
  ["an end without an end is an end", "api/follow.ts", "throw broken();", "return;", "test follow"],
  ["a service that stays away is waited for for ever", "api/follow.ts", "wire.now() - lostSince >= GIVE_UP_MS", "false", "test follow"],
  ["silence is waited for for ever", "api/stream.ts", "quiet = true;\n\t\t\tstop();", "", "check a stream that falls silent"],
  ["silence of the short way is waited for for ever", "api/ask.ts", "reject(stalled(seconds))", "undefined", "check says nothing is told after the patience"],
  ["Stop only stops looking", "runs/runs.ts", "if (run) void this.client.cancel(run).catch(() => undefined);", "", "check ends the generation on the server while streaming"],
  ["Stop throws away what was written", "runs/run.ts", 'return { ...record, state, phase: null, fault', 'return { ...record, answer: "", state, phase: null, fault', "test run"],
  ["the digest is not looked at", "edits/writer.ts", "(await digest(bytes)) !== change.base", "false", "check a note that changed since is not written"],
  ["the text is not looked at again while writing", "edits/writer.ts", "clash = bare(now) === step.before ? null : bare(now);", "clash = null;", "check changes between reading and writing"],
  ["half of an edit stays", "edits/writer.ts", "await this.takeBack(step);", "", "test writer"],
  ["what was typed is not saved before a change", "edits/writer.ts", "for (const view of views) await view.save();", "", "check are saved, and count"],
  ["a byte order mark is dropped", "edits/patch.ts", "return mark ? MARK + text : text;", "return text;", "test patch"],
  ["bytes that are no text are written over", "edits/patch.ts", "fatal: true", "fatal: false", "test patch"],
  ["a hunk that was left out is written", "edits/patch.ts", ".filter((hunk) => hunks.has(hunk.id))", ".filter(() => true)", "check a hunk that is left out"],
  ["offsets count bytes", "edits/patch.ts", "text.slice(from, hunk.start16)", "text.slice(from, hunk.start)", "test patch"],
  ["the words of an update wait for the model", "runs/runs.ts", "if (record.kept || !words ||", "if (record.kept || !words || record.edits.length < 2 ||", "check before the model has said anything"],
  ["the words of an update are written twice", "runs/runs.ts", "if (!this.desk.find(words.id)) await", "await", "test runs"],
  ["the words of an update are given up at the first clash", "runs/runs.ts", "const MOST_CAPTURES = 3;", "const MOST_CAPTURES = 1;", "test runs"],
  ["the service never hears what was applied", "edits/desk.ts", "this.client.applied(edit.id, one.hunks)", "Promise.reject(new Error())", "check the service knows it"],
  ["an edit is applied twice by two clicks", "views/proposal-view.ts", "if (this.working) return;", "", "check applied once"],
  ["an early Enter applies", "views/proposal-view.ts", "const GUARD_MS = 400;", "const GUARD_MS = 0;", "check an early Enter is ignored"],
  ["the focus is taken from who types on", "conductor.ts", "if (!(untouched && view?.focusProposal(true)))", "if (!view?.focusProposal(true))", "check who types on keeps the cursor"],
  ["undo forgets what was applied at a restart", "edits/desk.ts", "this.applied = keepNewest(this.store, KEY, applied, BOUNDS, (list) => list);", "this.applied = applied;", "check undo brings every byte back"],
  ["undo does not merge", "edits/desk.ts", "if (one.told) await this.undoThere(one);\n\t\telse ", "", "check undo merges"],
  ["sources come with the end", "runs/run.ts", "passages: event.data.passages,", "passages: [],", "check sources stand there before"],
  ["sources come without their reason", "views/source-list.ts", "`${passage.why}${via}`", '""', "check each with its reason"],
  ["the chip does not say why", "views/answer-view.ts", "text: sentence(decision.why)", 'text: ""', "check says why when it is opened"],
  ["the answer is drawn for each token", "views/answer-body.ts", "const EVERY_MS = 120;", "const EVERY_MS = 0;", "check drawn at most every 120 ms"],
  ["the answer is drawn at its end only", "views/answer-view.ts", "} else parts.body.show(record.answer);", "}", "check the answer grows"],
  ["blocks are cut inside of a fence", "views/blocks.ts", "blank && !fence &&", "blank &&", "test blocks"],
  ["marks are put by UTF-16 units", "views/blocks.ts", "const points = Array.from(text);", 'const points = text.split("");', "test blocks"],
  ["unsupported sentences are not marked", "views/answer-body.ts", "wrapMarked(el, unsupported);", "", "check do not bear are marked"],
  ["links that lead nowhere look like any other", "views/links.ts", 'link.toggleClass("is-unresolved", gone);', "", "check whose note is gone is marked"],
  ["no preview on hover", "views/links.ts", "if (link)\n\t\t\tapp.workspace", "if (!link)\n\t\t\tapp.workspace", "check asks for a preview"],
  ["a heading is not opened", "views/links.ts", 'return [path.replace(/\\.md$/, ""), ...parts].join("#");', 'return path.replace(/\\.md$/, "");', "check a source opens at its heading"],
  ["insert writes over the selection", "editor/insert.ts", "editor.replaceRange(text, at, at);", "editor.replaceSelection(text);", "check insert puts the answer at the cursor"],
  ["another selection is replaced", "editor/insert.ts", "if (!meant || editor.getSelection() !== meant) return false;", "", "check of no other"],
  ["what was missing is not told", "views/answer-view.ts", "for (const words of degradedWords(record)) {", "for (const words of [] as string[]) {", "check no model answered"],
  ["phases are not read out", "views/answer-view.ts", '"aria-live": "polite"', '"aria-live": "off"', "check a line that is read out"],
  ["earlier answers are forgotten at a restart", "runs/history.ts", "this.records = keepNewest(this.store, KEY, this.records, BOUNDS, (runs) => ({ schema: SCHEMA, runs }));", "", "check earlier answers are kept"],
  ["a follow-up stands alone", "conductor.ts", "? shown.run : null", "? null : null", "check is a follow-up"],
  ["the status bar is always content", "status/status-bar.ts", 'if (fault) return { state: "offline"', 'if (fault) return { state: "ready"', "test settings"],
  ["a wrong address is kept", "settings/tab.ts", "addressFault(value) || undefined", "undefined", "check a wrong address is told"],
  ["hidden folders are sent", "conductor.ts", "note !== null && !isHidden(note, this.plugin.settings.hidden)", "note !== null", "check hidden folders"],
  ["a link of the app runs a command", "main.ts", "void this.conductor.open(true, `/${command.name} ${text ?? \"\"}`);", "void this.conductor.chosen(command.name);", "check runs nothing"],
  ["a Node module is used", "editor/slash.ts", 'import type { Command } from "../api/client";', 'import type { Command } from "../api/client";\nimport { sep } from "node:path";\nexport const s = sep;', "build"],
];

/** The repository again, with a copy of the plugin in it that can be broken. */
async function mirror() {
  const root = await temporary("mutants");
  for (const name of fs.readdirSync(repository)) {
    if (name !== path.basename(plugin)) fs.symlinkSync(path.join(repository, name), path.join(root, name));
  }
  const copy = path.join(root, path.basename(plugin));
  const skipped = new Set(["node_modules", "dist"].map(name => path.join(plugin, name)));
  fs.cpSync(plugin, copy, { recursive: true, filter: source => !skipped.has(source) });
  fs.symlinkSync(fs.realpathSync(path.join(plugin, "node_modules")), path.join(copy, "node_modules"));
  return copy;
}

const copy = await mirror();
// What failing checks leave is of no use here: it goes with the copy, however this ends.
const env = { ...process.env, TMPDIR: path.dirname(copy) };
process.on("exit", () => fs.rmSync(path.dirname(copy), { recursive: true, force: true }));
let told = "";
const holds = (seconds, ...args) => {
  const { status, stdout, stderr } = spawnSync("node", args, { cwd: copy, env, encoding: "utf8", timeout: seconds * 1000 });
  told = stdout + stderr;
  return status === 0;
};

/** Who found the fault, "" for nobody. */
function finder(by) {
  const [kind, ...rest] = by.split(" ");
  const words = rest.join(" ");
  if (!holds(60, "scripts/build.mjs")) return "the build";
  if (kind === "test") return holds(words ? 120 : 600, "node_modules/vitest/vitest.mjs", "run", words && `tests/${words}.test.ts`) ? "" : by;
  if (kind === "check") return holds(words ? 120 : 600, "harness/run.mjs", "--grep", words) ? "" : by;
  return "";
}

const wanted = MUTANTS.filter(([name]) => name.includes(options.only ?? ""));
let missed = 0;
const finders = options.only ? new Set(wanted.map(([, , , , by]) => by).filter(by => by !== "build")) : ["test ", "check "];
for (const by of finders) if (finder(by)) throw new Error(`${by} fails without any fault:\n${told}`);
for (const [name, file, from, to, by] of wanted) {
  const place = path.join(copy, "src", file);
  const text = fs.readFileSync(place, "utf8");
  if (text.split(from).length !== 2) throw new Error(`${file} does not have just one ${JSON.stringify(from)}`);
  fs.writeFileSync(place, text.replace(from, () => to));
  const found = finder(by);
  fs.writeFileSync(place, text);
  if (!found) missed++;
  console.log(`${found ? "found " : "MISSED"} ${name}${found ? `, by ${found}` : `: ${by}`}`);
}
console.log(`${wanted.length - missed} found, ${missed} missed`);
process.exitCode = missed ? 1 : 0;
