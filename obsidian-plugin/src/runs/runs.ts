/** Begins runs, follows them to their end, and keeps the person's words on the way: nothing here draws or asks. */
import type { Asking, Client } from "../api/client";
import { Fault, faultOf } from "../api/errors";
import type { Edit, Failed } from "../api/events";
import { isFault } from "../api/ask";
import type { Desk } from "../edits/desk";
import { NoteChanged } from "../edits/writer";
import type { History } from "./history";
import { advance, failed, newRun, withStatus, type RunRecord } from "./run";

/** What runs need to know of a command. */
export interface Habits {
	/** Whether it proposes first an edit that holds the person's own words. */
	captures(command: string): boolean;
	now(): number;
	newKey(): string;
}

// The note of the day may be saved in the very moment the words go into it; then they are sent again.
const MOST_CAPTURES = 3;
// What the service gets to tell that a run has ended, after it was told to end it.
const STOP_MS = 3000;

export class Runs {
	private readonly live = new Map<string, { record: RunRecord; abort: AbortController }>();
	private listener: (record: RunRecord) => void = () => undefined;

	constructor(
		private readonly client: Client,
		private readonly history: History,
		private readonly desk: Desk,
		private readonly habits: Habits,
	) {}

	/** Who is told of each change of a run. */
	onChange(listener: (record: RunRecord) => void): void {
		this.listener = listener;
	}

	/** The run as it is now, null when it is not known. */
	get(key: string): RunRecord | null {
		return this.live.get(key)?.record ?? this.history.get(key);
	}

	/** The run that is being answered now, the last begun; null for none. */
	busy(): RunRecord | null {
		return [...this.live.values()].pop()?.record ?? null;
	}

	/**
	 * Run a command to its end.
	 * @param kept told the record as soon as it is kept on this device; what it does is done before anything is sent
	 * @returns the record at the end, whatever the end was; never throws
	 */
	async run(command: string, asking: Asking, kept: (record: RunRecord) => Promise<void> = () => Promise.resolve()): Promise<RunRecord> {
		const fresh = newRun(this.habits.newKey(), command, asking, this.habits.now());
		for (let tries = 1; ; tries++) {
			const record = await this.carryOut(fresh, tries < MOST_CAPTURES, tries === 1 ? kept : undefined);
			if (record) return record;
		}
	}

	/** Follow a run that was under way when the app was closed. */
	async resume({ key, command, asking, begun, run, edits, kept }: RunRecord): Promise<void> {
		const before: RunRecord = { ...newRun(key, command, asking, begun), run, edits, kept };
		if (run) await this.carryOut({ ...before, state: "running" }, false);
		else this.put(failed(before, { code: "broken", message: "The app was closed before this was sent.", hint: "Run it again." }));
	}

	/** End a run, on the service first; what was written so far stays. */
	stop(key: string): void {
		const live = this.live.get(key);
		if (!live) return;
		const { run } = live.record;
		// The service sends the end as an event. One that hangs is not waited for long.
		if (run) void this.client.cancel(run).catch(() => undefined);
		window.setTimeout(() => live.abort.abort(), run ? STOP_MS : 0);
	}

	/** Keep a run in another state, such as one of whose edits was applied. */
	put(record: RunRecord): void {
		const live = this.live.get(record.key);
		if (live) live.record = record;
		this.history.put(record);
		this.listener(record);
	}

	/** Let go of everything; the runs go on at the service. */
	close(): void {
		for (const { abort } of this.live.values()) abort.abort();
		this.live.clear();
		this.listener = () => undefined;
	}

	/** Carry a run from where it is to its end; null when it is to be begun anew, since nothing was written yet. */
	private async carryOut(fresh: RunRecord, again: boolean, kept?: (record: RunRecord) => Promise<void>): Promise<RunRecord | null> {
		const live = { record: fresh, abort: new AbortController() };
		const { signal } = live.abort;
		const { key } = fresh;
		this.live.set(key, live);
		const show = (record: RunRecord): void => {
			live.record = record;
			if (this.live.get(key) === live) this.listener(record);
		};
		const heard = (link: RunRecord["link"]): void => {
			if (link !== live.record.link) show({ ...live.record, link });
		};
		this.put(fresh);
		try {
			await kept?.(fresh);
			if (!fresh.run) this.put(await this.begin(fresh, signal));
			for await (const event of this.client.follow(live.record.run, signal, heard)) {
				show(advance(live.record, event));
				await this.keepWords(live.record);
			}
		} catch (error) {
			if (!(error instanceof Fault) && live.record.run) void this.client.cancel(live.record.run).catch(() => undefined);
			if (error instanceof NoteChanged && again) return null;
			live.record = failed(live.record, failure(error, live.record.run !== "", signal.aborted));
		}
		if (this.live.get(key) === live) {
			this.live.delete(key);
			this.put(live.record);
		}
		return live.record;
	}

	/** Hand the run to the service. An earlier run that it no longer knows is left out rather than the question refused. */
	private async begin(record: RunRecord, signal: AbortSignal): Promise<RunRecord> {
		const { command, asking } = record;
		try {
			return { ...record, run: await this.client.start(command, asking, this.habits.newKey(), signal), state: "running" };
		} catch (error) {
			if (!asking.follows || !(isFault(error, "not_found") || isFault(error, "conflict"))) throw error;
			const alone = { ...asking, follows: null };
			const run = await this.client.start(command, alone, this.habits.newKey(), signal);
			return { ...record, run, asking: alone, state: "running", degraded: ["rerun"] };
		}
	}

	/** Write the words of the person as soon as it is known where: the first edit of a command that captures. */
	private async keepWords(record: RunRecord): Promise<void> {
		const words = record.edits[0];
		if (record.kept || !words || !this.habits.captures(record.command)) return;
		if (!this.desk.find(words.id)) await this.desk.apply(words, allHunks(words));
		this.put({ ...withStatus(record, words.id, "applied"), kept: words.changes[0]?.path ?? "" });
	}
}

/** The ids of all hunks of an edit. */
export function allHunks(edit: Edit): Set<string> {
	return new Set(edit.changes.flatMap((change) => change.hunks.map((hunk) => hunk.id)));
}

function failure(error: unknown, begun: boolean, stopped: boolean): Failed {
	if (stopped) return { code: "cancelled", message: "Stopped.", hint: "" };
	if (error instanceof NoteChanged) {
		const hint = "Your words are not written yet: send them again.";
		return { code: "conflict", message: `${error.path} is being changed by something else.`, hint };
	}
	const { code, message, hint } = faultOf(error);
	if (code !== "not_found" || !begun) return { code, message, hint };
	return { code: "broken", message: "The service no longer knows this run: it was started anew meanwhile.", hint: "Run it again." };
}
