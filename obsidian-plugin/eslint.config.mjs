// The rules of the Obsidian plugin review, all of them as errors.
import tsparser from "@typescript-eslint/parser";
import { defineConfig, globalIgnores } from "eslint/config";
import obsidianmd from "eslint-plugin-obsidianmd";

export default defineConfig([
	globalIgnores(["dist", "node_modules", "tests", "harness", "scripts", "*.mjs", "*.config.ts", "package-lock.json", "tsconfig.json", "versions.json"]),
	...obsidianmd.configs.recommended,
	{ files: ["src/**/*.ts"], languageOptions: { parser: tsparser, parserOptions: { project: "./tsconfig.json" } } },
]);
