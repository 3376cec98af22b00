/** One command from question to answer, as far as this app knows it: a record that events carry forward. Pure. */
import type { Asking } from "../api/client";
import type { Decision, Edit, Failed, Finding, KosEvent, Passage, Unsupported, Usage } from "../api/events";
import type { Link } from "../api/follow";

/** sending (not yet taken by the service), running, and the three ends. */
export type RunState = "sending" | "running" | "done" | "failed" | "stopped";

export interface Phase {
	name: string;
	detail: string;
	n: number;
	total: number;
}

export interface RunRecord {
	/** This app's own id, also the idempotency key it was begun with. */
	key: string;
	/** The service's id, "" before it took the run. */
	run: string;
	command: string;
	asking: Asking;
	/** Milliseconds since the epoch. */
	begun: number;
	state: RunState;
	phase: Phase | null;
	link: Link;
	passages: Passage[];
	tokens: number;
	budget: number;
	decision: Decision | null;
	answer: string;
	unsupported: Unsupported[];
	edits: Edit[];
	/** The note that holds the person's words, "" before. */
	kept: string;
	findings: Finding[];
	degraded: string[];
	usage: Usage | null;
	seconds: number;
	cached: boolean;
	fault: Failed | null;
}

export function newRun(key: string, command: string, asking: Asking, now: number): RunRecord {
	return {
		key,
		run: "",
		command,
		asking,
		begun: now,
		state: "sending",
		phase: null,
		link: "stream",
		passages: [],
		tokens: 0,
		budget: 0,
		decision: null,
		answer: "",
		unsupported: [],
		edits: [],
		kept: "",
		findings: [],
		degraded: [],
		usage: null,
		seconds: 0,
		cached: false,
		fault: null,
	};
}

export function isOver(record: RunRecord): boolean {
	return record.state !== "sending" && record.state !== "running";
}

/** The record after one more event. */
export function advance(record: RunRecord, event: KosEvent): RunRecord {
	switch (event.event) {
		case "started":
			return { ...record, run: event.data.run, state: "running" };
		case "phase":
			return { ...record, state: "running", phase: event.data };
		case "gathered":
			return { ...record, passages: event.data.passages, tokens: event.data.tokens, budget: event.data.budget };
		case "decided":
			return { ...record, decision: event.data.decision };
		case "token":
			return { ...record, answer: record.answer + event.data.text };
		case "checked":
			return { ...record, unsupported: event.data.unsupported };
		case "proposed":
			return { ...record, edits: withEdits(record.edits, event.data.edits) };
		case "done": {
			const { answer, findings, decision, usage, timings, cached } = event.data;
			const seconds = (timings["total_ms"] ?? 0) / 1000;
			const edits = withEdits(record.edits, event.data.edits);
			const degraded = [...new Set([...record.degraded, ...event.data.degraded])];
			return { ...record, state: "done", phase: null, answer, edits, findings, decision, usage, seconds, degraded, cached };
		}
		case "failed":
			return failed(record, event.data);
		default:
			return record;
	}
}

/** The record of a run that ended with a fault; cancelled is what Stop does. */
export function failed(record: RunRecord, fault: Failed): RunRecord {
	const state = fault.code === "cancelled" ? "stopped" : "failed";
	return { ...record, state, phase: null, fault: state === "failed" ? fault : null };
}

/** The record with one edit in another state. */
export function withStatus(record: RunRecord, id: string, status: Edit["status"]): RunRecord {
	return { ...record, edits: record.edits.map((edit) => (edit.id === id ? { ...edit, status } : edit)) };
}

/** Edits known and new. What was applied here meanwhile stays so, whatever the service knew when it wrote the event. */
function withEdits(known: Edit[], told: Edit[]): Edit[] {
	const before = new Map(known.map((edit) => [edit.id, edit]));
	const fresh = told.filter((edit) => !before.has(edit.id));
	return [...known, ...fresh];
}

/** The edits that wait for a yes: all but the one that holds the person's own words. */
export function proposals(record: RunRecord, captures: boolean): Edit[] {
	return captures ? record.edits.slice(1) : record.edits;
}

const PHASES: Record<string, string> = {
	reading: "Reading the vault",
	searching: "Searching",
	queued: "Waiting in line",
	loading: "Loading the model",
	thinking: "Thinking",
	writing: "Writing",
};

/** What is going on, in words and numbers, for one line. */
export function phaseWords(record: RunRecord): string {
	if (record.state === "sending") return "Sending…";
	if (record.state === "stopped") return record.answer ? "Stopped. What was written so far is kept." : "Stopped.";
	if (record.state === "failed") return record.answer ? "Broken off. What was written so far is kept." : "Not answered.";
	if (record.state === "done") return doneWords(record);
	if (record.link === "lost") return "Connection lost, trying again…";
	const phase = record.phase;
	if (!phase) return "Sent…";
	const name = PHASES[phase.name] ?? phase.name.charAt(0).toUpperCase() + phase.name.slice(1);
	const place = phase.total > 0 ? ` ${phase.n} of ${phase.total}` : "";
	return `${name}${place}${phase.detail ? `: ${phase.detail}` : ""}…`;
}

function doneWords(record: RunRecord): string {
	const parts = [record.cached ? "Answered from the cache" : `Done in ${record.seconds.toFixed(1)} s`];
	const { usage } = record;
	if (usage?.completion_tokens && !record.cached) parts.push(`${usage.completion_tokens} ${usage.completion_tokens === 1 ? "token" : "tokens"}`);
	if (record.passages.length) parts.push(`${record.passages.length} ${record.passages.length === 1 ? "passage" : "passages"} used`);
	return `${parts.join(" · ")}.`;
}

const DEGRADED: Record<string, string> = {
	model: "No model answered: this is from your notes alone.",
	tier: "Another model than the command asks for answered.",
	routing: "No model chose the projects: only those your words name were filed.",
	context: "The model read less than was sent: a part of the notes is missing in this answer.",
	embeddings: "Your notes were searched by words alone: what your question means was not told in time.",
	cache: "The cache is away: answers take longer.",
	web: "The web was not searched.",
	rerun: "The service no longer knows the earlier answer: this one stands alone.",
};

/** What was missing, in words; findings that explain it stand behind it. */
export function degradedWords(record: RunRecord): string[] {
	return record.degraded.map((name) => DEGRADED[name] ?? `Missing: ${name}.`);
}

/** What a run was asked, as one would type it. */
export function typed(record: Pick<RunRecord, "command" | "asking">): string {
	const { command, asking } = record;
	return command === "ask" ? asking.text : `/${command}${asking.text ? ` ${asking.text}` : ""}`;
}
