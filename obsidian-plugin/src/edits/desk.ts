/** The person's edits: what was applied here, kept on this device so that it can be taken back after a restart. */
import type { Edit } from "../api/events";
import type { Client } from "../api/client";
import { Fault } from "../api/errors";
import { keepNewest, type Store } from "../store";
import { chosen } from "./patch";
import { NoteChanged, type Writer, type Written } from "./writer";

/** An edit that was applied here. */
export interface Applied {
	id: string;
	title: string;
	/** Ids of the hunks that were written. */
	hunks: string[];
	notes: Written[];
	/** Whether the service knows of it, and so can take it back and merge what was written since. */
	told: boolean;
}

const KEY = "knowledge-os-applied";
const BOUNDS = { count: 20, characters: 1_000_000 };

export class Desk {
	private applied: Applied[];

	constructor(
		private readonly store: Store,
		private readonly writer: Writer,
		private readonly client: Client,
	) {
		const kept = store.loadLocalStorage(KEY);
		this.applied = Array.isArray(kept) ? (kept as Applied[]) : [];
	}

	/** The last edit that was applied here and is not taken back, null when there is none. */
	last(): Applied | null {
		return this.applied[0] ?? null;
	}

	find(id: string): Applied | null {
		return this.applied.find((one) => one.id === id) ?? null;
	}

	/**
	 * Write an edit, or some of its hunks, and tell the service.
	 * @returns the notes written; null when the person said no
	 * @throws see `Writer.apply`
	 */
	async apply(edit: Edit, hunks: ReadonlySet<string>): Promise<Written[] | null> {
		const notes = await this.writer.apply(chosen(edit, hunks));
		if (!notes) return null;
		const one: Applied = { id: edit.id, title: edit.title, hunks: [...hunks], notes, told: false };
		this.keep([one, ...this.applied]);
		// The notes are written; that the service does not know it (it is away, or has its own copy of the vault) loses nothing.
		one.told = await this.client.applied(edit.id, one.hunks).then(
			() => true,
			() => false,
		);
		this.keep(this.applied);
		return notes;
	}

	/**
	 * Take an applied edit back: by the service, which merges what was written since; without it, when nothing was.
	 * @throws NoteChanged with both texts when neither can
	 */
	async undo(one: Applied): Promise<void> {
		if (one.told) await this.undoThere(one);
		else await this.writer.revert(one.notes);
		this.keep(this.applied.filter((other) => other.id !== one.id));
	}

	private async undoThere(one: Applied): Promise<void> {
		try {
			await this.writer.flush(one.notes.map((note) => note.path));
			await this.client.undo(one.id);
		} catch (error) {
			if (!(error instanceof Fault)) throw error;
			const { conflict } = error.extra;
			if (conflict) throw new NoteChanged(conflict.path, conflict.theirs, conflict.ours);
			await this.writer.revert(one.notes);
		}
	}

	private keep(applied: Applied[]): void {
		this.applied = keepNewest(this.store, KEY, applied, BOUNDS, (list) => list);
	}
}
