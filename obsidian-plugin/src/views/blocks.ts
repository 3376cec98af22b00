/** Cuts Markdown that still grows into blocks that will not change any more and the one that may. Pure. */

/**
 * Where the blocks of a text begin whose end is known: the text before the last of these offsets reads the same however
 * the text goes on. A block ends at a blank line outside of fences and math, unless a list or quote may go on behind it.
 */
export function blockStarts(text: string): number[] {
	const starts = [0];
	let fence = "";
	let listed = false;
	let blank = false;
	let at = 0;
	for (const line of text.split("\n")) {
		const opens = /^ {0,3}(`{3,}|~{3,}|\$\$)/.exec(line)?.[1] ?? "";
		const fresh = blank && !fence && line !== "" && !/^[ \t]/.test(line);
		const item = /^(?:[-*+]|\d+[.)])[ \t]/.test(line);
		if (fresh && !(listed && item)) {
			if (at > 0) starts.push(at);
			listed = item;
		}
		if (!blank && item && !fence) listed = true;
		if (fence) {
			if (opens && opens.startsWith(fence) && line.trim() === opens) fence = "";
		} else if (opens && !(opens === "$$" && line.trim().length > 2 && line.trimEnd().endsWith("$$"))) fence = opens;
		blank = line.trim() === "";
		at += line.length + 1;
	}
	return starts;
}

const OPEN = "\uE000";
const CLOSE = "\uE001";

/** Where an unsupported sentence begins and ends, as `markSentences` writes it into the Markdown. */
export const MARKS = { open: OPEN, close: CLOSE };

/**
 * The Markdown with a mark before and after each range, so that the rendered text shows where they stand.
 * @param ranges start and end in code points, in order, apart from each other
 */
export function markSentences(text: string, ranges: readonly { start: number; end: number }[]): string {
	const points = Array.from(text);
	let made = "";
	let from = 0;
	for (const { start, end } of ranges) {
		if (start < from || end > points.length || start >= end) continue;
		const sentence = points.slice(start, end).join("");
		// A mark before a list sign, quote sign, table bar or heading sign would make it text.
		const sign = /^[ \t]*(?:(?:[-*+]|\d+[.)]|>|#{1,6})[ \t]+(?:\[.\][ \t]+)?|\|[ \t]*)*/.exec(sentence)?.[0] ?? "";
		const body = sentence.slice(sign.length).replace(/([ \t]*\|?[ \t]*)$/, `${CLOSE}$1`);
		made += points.slice(from, start).join("") + sign + OPEN + body;
		from = end;
	}
	return made + points.slice(from).join("");
}
