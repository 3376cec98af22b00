// The rules of the Obsidian plugin review, all of them as errors; the manifest and the licence are read as well.
import tsparser from "@typescript-eslint/parser";
import { defineConfig, globalIgnores } from "eslint/config";
import obsidianmd from "eslint-plugin-obsidianmd";
import { PlainTextParser } from "eslint-plugin-obsidianmd/dist/lib/plainTextParser.js";

export default defineConfig([
	globalIgnores(["dist", "node_modules", "tests", "harness", "scripts", "*.mjs", "*.config.ts", "package-lock.json", "tsconfig.json", "versions.json"]),
	...obsidianmd.configs.recommended,
	{ files: ["src/**/*.ts"], languageOptions: { parser: tsparser, parserOptions: { project: "./tsconfig.json" } } },
	{ files: ["manifest.json"], languageOptions: { parser: tsparser }, plugins: { obsidianmd }, rules: { "obsidianmd/validate-manifest": "error" } },
	{ files: ["LICENSE"], languageOptions: { parser: PlainTextParser }, plugins: { obsidianmd }, rules: { "obsidianmd/validate-license": "error" } },
]);
