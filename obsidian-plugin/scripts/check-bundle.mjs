// Holds the built plugin against what the platform takes and what we promise of its size and start.
import { readFile } from "node:fs/promises";
import path from "node:path";
import vm from "node:vm";

const root = path.resolve(import.meta.dirname, "..");
const LIMIT_BYTES = 150_000;
const code = await readFile(path.join(root, "dist/main.js"), "utf8");
const faults = [];

const size = Buffer.byteLength(code);
if (size >= LIMIT_BYTES) faults.push(`main.js has ${size} bytes, ${LIMIT_BYTES} are promised`);
for (const [, name] of code.matchAll(/\brequire\("([^"]+)"\)/g))
	if (name !== "obsidian" && !name.startsWith("@codemirror/")) faults.push(`main.js requires ${name}, which no phone has`);
for (const [what, pattern] of [
	["a lookbehind, which older iOS cannot read", /\(\?<[=!]/],
	["innerHTML, outerHTML or insertAdjacentHTML", /\b(?:innerHTML|outerHTML|insertAdjacentHTML)\b/],
	["eval or new Function", /\beval\(|new Function\b/],
	["console.log", /console\.log\b/],
	["a source map", /sourceMappingURL/],
])
	if (pattern.test(code)) faults.push(`main.js has ${what}`);
for (const [address] of code.matchAll(/https?:\/\/[\w.-]+(?::\d+)?/g))
	if (address !== "http://127.0.0.1:8765") faults.push(`main.js names the address ${address}`);

// As the app does it: one function with an injected require. What is measured is ours, so the module it gets is empty.
const module = { exports: {} };
const compiled = vm.runInThisContext(`(function (module, exports, require) {${code}\n})`);
const began = performance.now();
compiled(module, module.exports, () => new Proxy({}, { get: () => class {} }));
const took = performance.now() - began;
if (typeof module.exports.default !== "function") faults.push("main.js exports no plugin");
if (took >= 50) faults.push(`main.js takes ${took.toFixed(1)} ms to evaluate, 50 are promised`);

console.log(`main.js: ${size} bytes, evaluated in ${took.toFixed(1)} ms`);
for (const fault of faults) console.error(fault);
process.exitCode = faults.length ? 1 : 0;
