/** What the person can set, with its defaults, and how older settings are read. */
import type { Command } from "../api/client";

/** Where a finished answer goes. */
export type Delivery = "panel" | "cursor" | "note";

export interface Settings {
	/** Address of the service. */
	address: string;
	/** Name of the token in the app's secret storage; the token itself is never in the settings, which may sync. */
	tokenName: string;
	/** Whether commands typed in a note are listed. */
	slash: boolean;
	/** What begins a command in a note. */
	trigger: string;
	delivery: Delivery;
	/** Whether a proposal waits for a yes. */
	confirm: boolean;
	/** Folders, one a line: the open note and the selection are not sent when the note lies in one. */
	hidden: string;
	/** Tier by command, "" for the service's own choice. */
	tiers: Record<string, string>;
	/** Silence after which the service counts as hanging, in seconds. */
	patience: number;
	/** The commands the service listed last, so that they are there before it answers. */
	commands: Command[];
}

export const ADDRESS = "http://127.0.0.1:8765";
export const TOKEN_NAME = "knowledge-os-token";

const command = (name: string, description: string, hint: string, tier: string, text = "", writes: string[] = []): Command => ({
	name,
	description,
	argument_hint: hint,
	text,
	tier,
	writes,
});

/** What the service ships; what it lists takes their place. */
export const COMMANDS: Command[] = [
	command("orient", "Brief me on the last days, active projects, what is due and what is blocked.", "[what matters today]", "fast"),
	command("update", "Keep what happened in today's note and file what it touches.", "<what happened>", "fast", "required", ["capture"]),
	command("plan", "Plan the week, the month or a project.", "[week | month | project]", "balanced"),
	command("research", "Investigate a topic in the vault.", "<topic>", "deep", "required"),
	command("validate", "Check the health of the vault.", "[scope]", "deep"),
	command("ask", "Ask a question and get a cited answer.", "<question>", "balanced", "required"),
];

export function defaults(): Settings {
	return {
		address: ADDRESS,
		tokenName: TOKEN_NAME,
		slash: true,
		trigger: "/",
		delivery: "panel",
		confirm: true,
		hidden: "",
		tiers: {},
		patience: 30,
		commands: COMMANDS,
	};
}

/** Settings out of whatever the file holds: what is missing or of another kind takes its default. */
export function settingsFrom(data: unknown): Settings {
	const kept = (data && typeof data === "object" ? data : {}) as Record<string, unknown>;
	const made = defaults() as unknown as Record<string, unknown>;
	for (const [name, value] of Object.entries(made)) {
		const found = kept[name];
		if (found !== undefined && found !== null && typeof found === typeof value && Array.isArray(found) === Array.isArray(value)) made[name] = found;
	}
	const settings = made as unknown as Settings;
	if (addressFault(settings.address)) settings.address = ADDRESS;
	if (!settings.commands.length) settings.commands = COMMANDS;
	settings.patience = Math.min(300, Math.max(10, settings.patience));
	return settings;
}

/** What is wrong with an address, "" when nothing is. */
export function addressFault(address: string): string {
	let url: URL;
	try {
		url = new URL(address.trim());
	} catch {
		return `Use an address such as ${ADDRESS}`;
	}
	if (!/^https?:$/.test(url.protocol) || url.pathname.replace(/\/$/, "") || url.search || url.username || url.password)
		return `Use an address such as ${ADDRESS}, without a path`;
	return "";
}

/** The address as requests use it. */
export function baseOf(address: string): string {
	return address.trim().replace(/\/+$/, "");
}

/** Whether a note lies in a folder of which nothing is sent. */
export function isHidden(path: string, hidden: string): boolean {
	const folders = hidden.split("\n").map((line) => line.trim().replace(/^\/+|\/+$/g, ""));
	return folders.some((folder) => folder !== "" && path.startsWith(`${folder}/`));
}
