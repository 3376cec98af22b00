// The examples of the wire that the service's own tests read too.
import { readFileSync } from "node:fs";
import path from "node:path";
import type { Edit, KosEvent } from "../src/api/events";

const read = (name: string): unknown => JSON.parse(readFileSync(path.resolve(import.meta.dirname, "../../tests/contract", name), "utf8"));

export const events = read("events.json") as {
	examples: Record<string, unknown[]>;
	run: { events: KosEvent[]; sse: string; ndjson: string };
};
export const errors = (read("errors.json") as { errors: Record<string, { status: number; body: unknown }> }).errors;
export const edits = read("edits.json") as {
	cases: { name: string; notes: Record<string, string>; edit: Edit; hunks: string[] | null; after: Record<string, string> }[];
	errors: { name: string; status: number; body: { conflict?: { path: string; theirs: string | null; ours: string } } }[];
};
