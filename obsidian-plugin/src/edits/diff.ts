/** What a hunk does to the lines it touches, as rows to show. Pure. */
import type { Hunk } from "../api/events";

export interface Row {
	kind: "same" | "del" | "add";
	/** The line in pieces; those that differ from the line it replaces are told apart. */
	parts: { text: string; changed: boolean }[];
}

// Above this many pairs of lines a difference is not looked for: all old lines go, all new lines come.
const MOST_PAIRS = 250_000;

/** The rows of one hunk: the whole lines it touches, before and after. */
export function hunkRows(text: string, hunk: Hunk): Row[] {
	const from = hunk.start16 === 0 ? 0 : text.lastIndexOf("\n", hunk.start16 - 1) + 1;
	const end = text.indexOf("\n", hunk.end16);
	const to = end < 0 ? text.length : end;
	return lineRows(text.slice(from, to), text.slice(from, hunk.start16) + hunk.new + text.slice(hunk.end16, to));
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

/** The longest common subsequence of lines, as the steps from one to the other. */
function script(old: string[], fresh: string[]): [Row["kind"], string][] {
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

function row(kind: Row["kind"], line: string, other: string | null): Row {
	if (other === null) return { kind, parts: [{ text: line, changed: false }] };
	const mine = Array.from(line);
	const theirs = Array.from(other);
	const shorter = Math.min(mine.length, theirs.length);
	let head = 0;
	while (head < shorter && mine[head] === theirs[head]) head++;
	let tail = 0;
	while (tail < shorter - head && mine[mine.length - 1 - tail] === theirs[theirs.length - 1 - tail]) tail++;
	const cut = [mine.slice(0, head), mine.slice(head, mine.length - tail), mine.slice(mine.length - tail)];
	const parts = cut.map((piece, i) => ({ text: piece.join(""), changed: i === 1 })).filter((part) => part.text !== "");
	return { kind, parts: parts.length ? parts : [{ text: "", changed: false }] };
}
