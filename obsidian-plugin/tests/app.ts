// An app with notes in memory, and the small parts that tests of writing share.
import { App } from "obsidian-test-mocks/obsidian";
import type { App as RealApp } from "obsidian";
import type { Change } from "../src/api/events";
import { digest } from "../src/edits/patch";
import type { Store } from "../src/store";

export interface Notes {
	app: RealApp;
	read(path: string): Promise<string | null>;
	write(path: string, text: string): Promise<void>;
}

export function notes(files: Record<string, string>): Notes {
	const app = App.createConfigured__({ files }).asOriginalType__();
	const file = (path: string) => app.vault.getFileByPath(path);
	// The mock keeps texts and bytes apart; in the app they are two views of one file.
	const raw = new Map<string, ArrayBuffer>();
	app.vault.readBinary = async (one) => raw.get(one.path) ?? new Uint8Array(new TextEncoder().encode(await app.vault.read(one))).buffer;
	app.vault.modifyBinary = async (one, data) => void raw.set(one.path, data);
	return {
		app,
		read: async (path) => {
			const found = file(path);
			return found ? app.vault.read(found) : null;
		},
		write: async (path, text) => {
			const found = file(path);
			if (found) await app.vault.modify(found, text);
		},
	};
}

/** A change that puts texts in at places of a note, as the service would propose it. */
export async function change(path: string, before: string | null, ...insertions: [number, string][]): Promise<Change> {
	return {
		path,
		base: before === null ? "" : await digest(new Uint8Array(new TextEncoder().encode(before)).buffer),
		hunks: insertions.map(([at, text], i) => ({ id: `1.${i + 1}`, start16: at, end16: at, old: "", new: text, why: "test" })),
	};
}

/** What the app keeps on the device, in memory, through JSON as the app does. */
export function store(): Store & { kept: Map<string, string> } {
	const kept = new Map<string, string>();
	return {
		kept,
		loadLocalStorage: (key) => JSON.parse(kept.get(key) ?? "null") as unknown,
		saveLocalStorage: (key, data) => void kept.set(key, JSON.stringify(data)),
	};
}
