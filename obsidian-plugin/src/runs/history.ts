/** The runs that are kept on this device, newest first. They hold words of notes, so they lie where nothing syncs them. */
import { keepNewest, type Store } from "../store";
import { isOver, type RunRecord } from "./run";

const KEY = "knowledge-os-runs";
const SCHEMA = 1;
const BOUNDS = { count: 50, characters: 1_000_000 };

export class History {
	private records: RunRecord[];

	constructor(private readonly store: Store) {
		const kept = store.loadLocalStorage(KEY) as { schema?: unknown; runs?: unknown } | null;
		this.records = kept?.schema === SCHEMA && Array.isArray(kept.runs) ? (kept.runs as RunRecord[]) : [];
	}

	all(): readonly RunRecord[] {
		return this.records;
	}

	get(key: string): RunRecord | null {
		return this.records.find((one) => one.key === key) ?? null;
	}

	/** Runs that were under way when the app was closed. */
	open(): RunRecord[] {
		return this.records.filter((one) => !isOver(one));
	}

	/** Put a run in, or in the place of its earlier state, and keep it. */
	put(record: RunRecord): void {
		const at = this.records.findIndex((one) => one.key === record.key);
		if (at < 0) this.records.unshift(record);
		else this.records[at] = record;
		this.save();
	}

	clear(): void {
		this.records = this.records.filter((one) => !isOver(one));
		this.save();
	}

	private save(): void {
		this.records = keepNewest(this.store, KEY, this.records, BOUNDS, (runs) => ({ schema: SCHEMA, runs }));
	}
}
