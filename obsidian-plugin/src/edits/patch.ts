/** Carries out the hunks of a change on a text, and knows whether a file is the one they were made for. Pure. */
import type { Change, Edit, Hunk } from "../api/events";

const MARK = "\uFEFF";

/** The text with all hunks done. Offsets count UTF-16 units of the text before any of them. */
export function patched(text: string, hunks: readonly Hunk[]): string {
	let from = 0;
	let made = "";
	for (const hunk of hunks) {
		made += text.slice(from, hunk.start16) + hunk.new;
		from = hunk.end16;
	}
	return made + text.slice(from);
}

/** SHA-256 as hex. */
export async function digest(bytes: ArrayBuffer): Promise<string> {
	const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(bytes)));
	return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The text of a file as the app has it, and whether a byte order mark stands before it in the file. */
export interface Text {
	text: string;
	marked: boolean;
}

/** The text of a file; null when the bytes are no UTF-8, so that writing the text would change more than is wanted. */
export function textOf(bytes: ArrayBuffer): Text | null {
	try {
		const whole = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
		const marked = whole.startsWith(MARK);
		return { text: marked ? whole.slice(1) : whole, marked };
	} catch {
		return null;
	}
}

/** What is written for a text, with the mark that the file had. The app may give the text with it or without. */
export function marked(text: string, { marked: mark }: Text): string {
	return mark ? MARK + text : text;
}

/** A text without a byte order mark. */
export function bare(text: string): string {
	return text.startsWith(MARK) ? text.slice(1) : text;
}

/** The changes that are left when only these hunks are wanted; notes without any are left out. */
export function chosen(edit: Edit, hunks: ReadonlySet<string>): Change[] {
	return edit.changes
		.map((change) => ({ ...change, hunks: change.hunks.filter((hunk) => hunks.has(hunk.id)) }))
		.filter((change) => change.hunks.length > 0);
}

// As the service has it (commands/journal.py): more than so many notes, or most of a note that is not short.
const MANY_NOTES = 10;
const MOST_REMOVED = 0.5;
const FEW_CHARACTERS = 400;

/** What asks for a second yes, in words; "" when nothing does. */
export function grave(notes: readonly { path: string; before: string | null; after: string }[]): string {
	if (notes.length > MANY_NOTES) return `This changes ${notes.length} notes.`;
	const emptied = notes.find(
		({ before, after }) => before !== null && before.length > FEW_CHARACTERS && after.length < before.length * (1 - MOST_REMOVED),
	);
	return emptied ? `This removes most of ${emptied.path}.` : "";
}
