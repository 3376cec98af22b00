// The page's script out of host.ts, anew for each run: it is quick, and never of another day.
import path from "node:path";
import { build } from "esbuild";
import { here, out } from "./env.mjs";

export const buildHost = () =>
  build({
    entryPoints: [path.join(here, "host.ts")],
    bundle: true,
    minify: true,
    keepNames: true,
    format: "iife",
    outfile: path.join(out, "host.js"),
    logLevel: "warning",
  });
