/** The service, as the plugin speaks to it: one method for each thing asked. */
import { ask, isFault, listed, type Address } from "./ask";
import { strange } from "./errors";
import type { Edit, KosEvent } from "./events";
import { follow, type Link } from "./follow";
import { poll } from "./poll";
import { stream } from "./stream";

/** A command that the service offers. */
export interface Command {
	name: string;
	description: string;
	argument_hint: string;
	/** "required" when it needs words. */
	text: string;
	tier: string;
	/** "capture" when it writes the person's words. */
	writes: string[];
}

export interface NodeState {
	name: string;
	reachable: boolean;
	models: string[];
	error: string;
	hint: string;
	/** NORMAL or GAMING; missing where a node has no modes. */
	mode?: string;
}

export interface Status {
	version: string;
	ready: boolean;
	vault?: { name: string; notes: number };
	cache?: { name: string; last_error: string; breaker: string };
	nodes: NodeState[];
	runs: { running: number };
}

export interface Receipt {
	budget_tokens: number;
	tokens: number;
	passages: { path: string; heading: string; tokens: number; why: string; via: string }[];
	cut: { path: string; heading: string; tokens: number; why: string }[];
}

export interface MapMembers {
	path: string;
	why: string;
	members: { path: string; section: string; how: string }[];
	/** The members under every section, and view of a base, that names them. */
	places: { path: string; section: string; how: string }[];
	unresolved: number;
	/** Queries of the map that the service does not evaluate, and why. */
	unsupported: { section: string; kind: string; why: string }[];
}

/** What a command is asked with. */
export interface Asking {
	text: string;
	note: string | null;
	selection: string | null;
	tier: string | null;
	follows: string | null;
}

// How long a web view that could not stream is not asked to again: it may have been the service that was away.
const BLOCKED_MS = 60_000;

export class Client {
	private blockedUntil = 0;

	/** @param address asked anew for each request, so that settings count at once */
	constructor(private readonly address: () => Address) {}

	async commands(): Promise<Command[]> {
		return listed<Command>(((await this.ask("GET", "/v1/commands")) as { commands?: unknown } | null)?.commands);
	}

	async status(): Promise<Status> {
		return statusOf(await this.ask("GET", "/v1/status"));
	}

	/**
	 * Begin a run, which goes on whatever becomes of this app. Nothing is written by it: what it proposes is applied here.
	 * @param key the same key never begins a second run
	 * @returns the run's id
	 */
	async start(command: string, asking: Asking, key: string, signal?: AbortSignal): Promise<string> {
		const body = { ...clean(asking), detach: true, apply: "none", idempotency_key: key };
		const begin = (): Promise<unknown> => this.ask("POST", `/v1/commands/${command}`, body, signal);
		// An answer that got lost is asked for once more: the key makes it the same run.
		const begun = (await begin().catch((error: unknown) => {
			if (isFault(error, "offline")) return begin();
			throw error;
		})) as { run?: unknown } | null;
		if (typeof begun?.run !== "string") throw strange(200);
		return begun.run;
	}

	/** The events of a run to its end; see `follow`. */
	async *follow(run: string, signal: AbortSignal, heard: (link: Link) => void): AsyncGenerator<KosEvent> {
		const address = this.address();
		const wire = {
			stream: (after: number, end: AbortSignal): AsyncGenerator<KosEvent> => this.streamed(address, run, after, end),
			poll: (after: number, end: AbortSignal): AsyncGenerator<KosEvent> => poll(address, run, after, end),
			now: () => Date.now(),
			sleep: (milliseconds: number) => new Promise<void>((resolve) => window.setTimeout(resolve, milliseconds)),
			heard,
		};
		yield* follow(wire, Date.now() >= this.blockedUntil, signal);
	}

	/** End a run on the service. */
	async cancel(run: string): Promise<void> {
		await this.ask("DELETE", `/v1/runs/${run}`);
	}

	async receipt(run: string): Promise<Receipt> {
		const receipt = (await this.ask("GET", `/v1/runs/${run}/receipt`)) as Receipt;
		listed(receipt?.passages);
		return receipt;
	}

	/** Read a run's passages again: whether they are the same, and which notes changed. */
	async replay(run: string): Promise<{ identical: boolean; changed: string[] }> {
		return (await this.ask("POST", `/v1/runs/${run}/replay`, {})) as { identical: boolean; changed: string[] };
	}

	/** An edit with its hunks for the notes as they are on the disk. */
	async edit(id: string): Promise<Edit> {
		const edit = (await this.ask("GET", `/v1/edits/${id}`)) as Edit;
		listed(edit?.changes);
		return edit;
	}

	/** Tell that these hunks of an edit were applied here. */
	async applied(edit: string, hunks: string[]): Promise<void> {
		await this.ask("POST", `/v1/edits/${edit}/applied`, { hunks });
	}

	/** Take an applied edit back, merged with what was written since. */
	async undo(edit: string): Promise<Edit> {
		return (await this.ask("POST", `/v1/edits/${edit}/undo`, {})) as Edit;
	}

	async map(path: string): Promise<MapMembers> {
		const map = (await this.ask("GET", `/v1/maps/${path.split("/").map(encodeURIComponent).join("/")}`)) as MapMembers;
		listed(map?.members);
		listed(map.places);
		listed(map.unsupported);
		return map;
	}

	/** Set the mode of a node, NORMAL or GAMING. */
	async setMode(node: string, mode: string): Promise<void> {
		await this.ask("PUT", "/v1/mode", { node, mode });
	}

	private ask(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<unknown> {
		return ask(this.address(), method, path, body, signal);
	}

	private async *streamed(address: Address, run: string, after: number, signal: AbortSignal): AsyncGenerator<KosEvent> {
		try {
			yield* stream(address, run, after, signal);
		} catch (error) {
			if (isFault(error, "blocked")) this.blockedUntil = Date.now() + BLOCKED_MS;
			throw error;
		}
	}
}

/** What the service says of itself, when it is the service. */
export function statusOf(answer: unknown): Status {
	const status = answer as Status | null;
	if (typeof status?.version !== "string" || !Array.isArray(status.nodes)) throw strange(200);
	return status;
}

/** Without the fields that say nothing. */
function clean(asking: Asking): Partial<Asking> {
	return Object.fromEntries(Object.entries(asking).filter(([, value]) => value !== null && value !== ""));
}
