/** The wire: events of a run and the edits it proposes, as the service sends them (docs/schema in its repository). */

export interface Passage {
	path: string;
	/** Heading path joined by " > ", "" above all headings. */
	heading: string;
	why: string;
	/** The map that led to it and its section, as "path" or "path#section"; "" for none. */
	via: string;
}

export interface Decision {
	tier: string;
	node: string;
	model: string;
	num_ctx: number;
	rule: string;
	why: string;
	rejected: { runner: string; reason: string }[];
}

/** New text in place of old in one note. Offsets count UTF-16 units of the text as Obsidian has it. */
export interface Hunk {
	/** "1.2" is the second hunk of the first note. */
	id: string;
	start16: number;
	end16: number;
	old: string;
	new: string;
	why: string;
}

export interface Change {
	path: string;
	/** SHA-256 of the file it is for, "" for a new note. */
	base: string;
	/** In the order of the note, apart from each other. */
	hunks: Hunk[];
}

export interface Edit {
	id: string;
	title: string;
	changes: Change[];
	status: "proposed" | "applied" | "undone";
}

export interface Finding {
	code: string;
	weight: string;
	path: string;
	message: string;
	hint: string;
}

export interface Unsupported {
	/** Where the sentence stands in the answer, in characters (code points, not UTF-16 units). */
	start: number;
	end: number;
	why: string;
}

export interface Usage {
	prompt_tokens: number;
	prompt_eval_count: number | null;
	num_ctx: number;
	completion_tokens: number | null;
}

export interface Done {
	answer: string;
	sources: Passage[];
	edits: Edit[];
	findings: Finding[];
	decision: Decision | null;
	usage: Usage;
	timings: Record<string, number>;
	degraded: string[];
	cached: boolean;
}

export interface Failed {
	code: string;
	message: string;
	hint: string;
	retry_after?: number;
}

interface Bodies {
	started: { run: string; command: string };
	phase: { name: string; detail: string; n: number; total: number };
	gathered: { stage: string; tokens: number; budget: number; passages: (Passage & { tokens: number })[] };
	decided: { stage: string; decision: Decision };
	token: { stage: string; text: string };
	checked: { links: Record<string, unknown>; unsupported: Unsupported[] };
	proposed: { edits: Edit[] };
	done: Done;
	failed: Failed;
}

export type EventName = keyof Bodies;

/** One event of a run, numbered from 1. An event of a name unknown here is passed over by readers. */
export type KosEvent = { [Name in EventName]: { event: Name; id: number; data: Bodies[Name] } }[EventName];

/** Whether an event is the last of its run. */
export function isFinal(event: KosEvent): boolean {
	return event.event === "done" || event.event === "failed";
}
