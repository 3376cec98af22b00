// Bundles the plugin into dist/: main.js, and the manifest and styles beside it. `--watch` builds again on each change.
// Node built-ins are not marked external: an import of one fails the build, as it would fail on a phone.
import { copyFile, mkdir } from "node:fs/promises";
import path from "node:path";
import esbuild from "esbuild";

const root = path.resolve(import.meta.dirname, "..");
const dist = path.join(root, "dist");
await mkdir(dist, { recursive: true });
for (const name of ["manifest.json", "styles.css"]) await copyFile(path.join(root, name), path.join(dist, name));

const options = {
	absWorkingDir: root,
	entryPoints: ["src/main.ts"],
	outfile: "dist/main.js",
	bundle: true,
	format: "cjs",
	target: "es2020",
	treeShaking: true,
	minify: true,
	legalComments: "none",
	charset: "utf8",
	external: ["obsidian", "electron", "@codemirror/*", "@lezer/*"],
	logLevel: "warning",
};
if (process.argv.includes("--watch")) await (await esbuild.context(options)).watch();
else await esbuild.build(options);
