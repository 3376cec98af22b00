/** What hunks do to the lines they touch, as rows to show. Pure. */
import type { Hunk } from "../api/events";
import { patched } from "./patch";

export interface Row {
	kind: "same" | "del" | "add";
	/** The line in pieces; those that differ from the line it replaces are told apart. */
	parts: { text: string; changed: boolean }[];
}

// Above this many pairs of lines a difference is not looked for: all old lines go, all new lines come.
const MOST_PAIRS = 250_000;

/** Hunks that touch the same lines, together: apart, each would show a line that never was. */
export function together(text: string, hunks: readonly Hunk[]): Hunk[][] {
	const groups: Hunk[][] = [];
	let end = -1;
	for (const hunk of hunks) {
		const last = groups[groups.length - 1];
		if (last && lineStart(text, hunk.start16) <= end) last.push(hunk);
		else groups.push([hunk]);
		end = lineEnd(text, hunk.end16);
	}
	return groups;
}

/** The rows of hunks that stand together: the whole lines they touch, before and after. */
export function hunkRows(text: string, hunks: readonly Hunk[]): Row[] {
	const from = lineStart(text, hunks[0]?.start16 ?? 0);
	const lines = text.slice(from, lineEnd(text, hunks[hunks.length - 1]?.end16 ?? 0));
	const moved = hunks.map((hunk) => ({ ...hunk, start16: hunk.start16 - from, end16: hunk.end16 - from }));
	return lineRows(lines, patched(lines, moved));
}

function lineStart(text: string, offset: number): number {
	return offset === 0 ? 0 : text.lastIndexOf("\n", offset - 1) + 1;
}

function lineEnd(text: string, offset: number): number {
	const end = text.indexOf("\n", offset);
	return end < 0 ? text.length : end;
}

/** The heading under which a place in a text stands, "" above all. */
export function headingAt(text: string, offset: number): string {
	const headings = text.slice(0, offset).match(/^#{1,6}[ \t]+.*$/gm);
	return headings?.[headings.length - 1]?.replace(/^#+[ \t]+/, "").trim() ?? "";
}

/** The rows that turn one text into another, by whole lines; a single line that changed shows where. */
export function lineRows(before: string, after: string): Row[] {
	const old = lines(before);
	const fresh = lines(after);
	const rows: Row[] = [];
	let dels: string[] = [];
	let adds: string[] = [];
	const flush = (): void => {
		rows.push(...replaced(dels, adds));
		dels = [];
		adds = [];
	};
	for (const [kind, line] of script(old, fresh)) {
		if (kind === "del") dels.push(line);
		else if (kind === "add") adds.push(line);
		else {
			flush();
			rows.push({ kind, parts: [{ text: line, changed: false }] });
		}
	}
	flush();
	return rows;
}

function lines(text: string): string[] {
	return text === "" ? [] : text.replace(/\r/g, "").split("\n");
}

/** The longest common subsequence of lines or words, as the steps from one to the other. */
function script(old: readonly string[], fresh: readonly string[]): [Row["kind"], string][] {
	if (old.length * fresh.length > MOST_PAIRS)
		return [...old.map((line): [Row["kind"], string] => ["del", line]), ...fresh.map((line): [Row["kind"], string] => ["add", line])];
	const width = fresh.length + 1;
	const common = new Uint32Array((old.length + 1) * width);
	const at = (i: number, j: number): number => common[i * width + j] ?? 0;
	for (let i = old.length - 1; i >= 0; i--)
		for (let j = fresh.length - 1; j >= 0; j--)
			common[i * width + j] = old[i] === fresh[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
	const steps: [Row["kind"], string][] = [];
	let i = 0;
	let j = 0;
	while (i < old.length || j < fresh.length) {
		const gone = old[i];
		const come = fresh[j];
		if (gone !== undefined && gone === come) {
			steps.push(["same", gone]);
			i++;
			j++;
		} else if (gone !== undefined && (come === undefined || at(i + 1, j) >= at(i, j + 1))) {
			steps.push(["del", gone]);
			i++;
		} else if (come !== undefined) {
			steps.push(["add", come]);
			j++;
		}
	}
	return steps;
}

/** Lines in place of others: pairs of them show what differs within the line. */
function replaced(dels: string[], adds: string[]): Row[] {
	const pairs = dels.length === adds.length;
	const gone = dels.map((line, i) => row("del", line, pairs ? (adds[i] ?? null) : null));
	const come = adds.map((line, i) => row("add", line, pairs ? (dels[i] ?? null) : null));
	return [...gone, ...come];
}

function row(kind: "del" | "add", line: string, other: string | null): Row {
	if (other === null) return { kind, parts: [{ text: line, changed: false }] };
	const parts: Row["parts"] = [];
	for (const [step, word] of script(words(kind === "del" ? line : other), words(kind === "del" ? other : line))) {
		if (step !== "same" && step !== kind) continue;
		const changed = step === kind;
		const last = parts[parts.length - 1];
		if (last?.changed === changed) last.text += word;
		else parts.push({ text: word, changed });
	}
	return { kind, parts: parts.length ? parts : [{ text: "", changed: false }] };
}

/** A line in words, blanks and single signs; none of them is half a letter. */
function words(line: string): string[] {
	return line.match(/[\p{L}\p{N}\p{M}]+|\s+|[^\p{L}\p{N}\p{M}\s]/gu) ?? [];
}
