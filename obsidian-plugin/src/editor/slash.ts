/** What a line says to the service: a command being typed, its name whole, or its words behind it. Pure. */
import type { Command } from "../api/client";

/** A command in a line, from its trigger to the cursor. */
export interface Slash {
	/** Where the trigger stands in the line. */
	ch: number;
	/** The commands it may be; one alone once words stand behind the name. */
	commands: Command[];
	/** The words behind the name, "" for none. */
	words: string;
}

/**
 * The command that ends at the cursor, null where none does.
 *
 * A name counts at the start of a line or after a blank, never in and/or, in addresses or paths. With words behind it, it
 * counts only where nothing but list marks, quote marks and blanks stands before it: elsewhere it is likely prose.
 * @param before the line up to the cursor
 * @param trigger what begins a command, usually "/"
 */
export function slashIn(before: string, trigger: string, commands: readonly Command[]): Slash | null {
	const ch = before.indexOf(trigger);
	if (ch < 0) return null;
	const first = /^[ \t]*(?:(?:>|[-*+]|\d+[.)])[ \t]+(?:\[.\][ \t]+)?)*$/.test(before.slice(0, ch));
	if (first) {
		const match = /^([\w-]+)[ \t]+(.*)$/.exec(before.slice(ch + trigger.length));
		const command = match && commands.find((one) => one.name === match[1]?.toLowerCase());
		if (match && command) return { ch, commands: [command], words: match[2]?.trim() ?? "" };
	}
	const last = before.lastIndexOf(trigger);
	if (last > 0 && !/\s/.test(before.charAt(last - 1))) return null;
	const name = before.slice(last + trigger.length).toLowerCase();
	if (!/^[\w-]*$/.test(name)) return null;
	const fitting = commands.filter((one) => one.name.startsWith(name));
	return fitting.length ? { ch: last, commands: fitting, words: "" } : null;
}

/** What a person typed into a box of its own: a command with its words, or words alone. Null for an unknown command. */
export function spoken(text: string, commands: readonly Command[]): { command: string; text: string } | null {
	const match = /^\/([\w-]+)(?:\s+([\s\S]*))?$/.exec(text.trim());
	if (!match) return { command: "ask", text: text.trim() };
	const name = match[1]?.toLowerCase() ?? "";
	return commands.some((one) => one.name === name) ? { command: name, text: match[2]?.trim() ?? "" } : null;
}
