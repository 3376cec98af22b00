/** What can go wrong between the plugin and the service, each named for the fact, with words for the person. */

/** A conflict's two texts: the note as it is now (null when it is gone), and what was wanted in it. */
export interface Conflict {
	path: string;
	theirs: string | null;
	ours: string;
}

export interface Extra {
	conflict?: Conflict;
}

/** The error in a body of the service. */
interface Told {
	code?: string;
	message?: string;
	hint?: string;
}

/**
 * Codes of the service (`unauthorized`, `busy`, `conflict`, …), and ours:
 * offline (nobody answers), unknown_host (the name leads nowhere), blocked (the app may not read the answer),
 * stalled (no byte for too long), broken (an end without `done`), strange (the answer is not the service's).
 */
export class Fault extends Error {
	constructor(
		readonly code: string,
		message: string,
		readonly hint = "",
		readonly extra: Extra = {},
	) {
		super(message);
		this.name = "Fault";
	}

	/** Whether waiting may mend it: the network, not the request. */
	get passing(): boolean {
		return ["offline", "unknown_host", "blocked", "stalled", "broken"].includes(this.code);
	}

	/** Message and hint, for one line. */
	get words(): string {
		return this.hint ? `${this.message} ${this.hint}` : this.message;
	}
}

const START = 'Start it with "kos serve", then try again.';

export const offline = (): Fault => new Fault("offline", "The service does not answer.", START);
export const unpaired = (): Fault => new Fault("unauthorized", "Not connected to your service yet.", "Set its address and token.");
export const blocked = (): Fault => new Fault("blocked", "The app may not read what the service sends.");
export const stalled = (seconds: number): Fault =>
	new Fault("stalled", `The service has said nothing for ${seconds} seconds.`, "It may hang: look at its window, or start it anew.");
export const broken = (): Fault => new Fault("broken", "The answer broke off.", "Run the command again.");
export const strange = (status: number): Fault =>
	new Fault("strange", `Something else than Knowledge-OS answers at this address (status ${status}).`, "Check the address.");

/** Any error as a fault. */
export function faultOf(error: unknown): Fault {
	if (error instanceof Fault) return error;
	return new Fault("internal", error instanceof Error ? error.message : String(error), "Run the command again.");
}

/** What `requestUrl` throws when nothing answered: the message carries the network's own name for it. */
export function unreachable(error: unknown): Fault {
	const message = error instanceof Error ? error.message : String(error);
	if (/NAME_NOT_RESOLVED|ENOTFOUND|hostname could not be found/i.test(message))
		return new Fault("unknown_host", "No machine has the name in the address.", "Check the address in the settings.");
	return offline();
}

// What the plugin's person can do differs from what a caller of the HTTP service can.
const HINTS: Record<string, string> = {
	unauthorized: 'Set the token that "kos token" prints.',
	wrong_host: 'Use the address that "kos serve" prints, or allow this name there.',
	forbidden_origin: "Add the app's origin to the option `origins` of the service.",
};
const MESSAGES: Record<string, string> = {
	unauthorized: "The service does not take the token.",
	wrong_host: "The service does not go by the name in the address.",
	forbidden_origin: "The service does not take requests from this app.",
};

/** The fault in an answer with an error status. */
export function refused(status: number, body: unknown): Fault {
	const { error, conflict } = (body ?? {}) as { error?: Told; conflict?: Conflict };
	if (typeof error?.code !== "string") return status === 401 ? refused(401, { error: { code: "unauthorized" } }) : strange(status);
	const { code, message = "", hint = "" } = error;
	return new Fault(code, sentence(MESSAGES[code] ?? message), sentence(HINTS[code] ?? hint), conflict ? { conflict } : {});
}

/** A message of the service as a sentence: it writes them small and without a full stop. */
export function sentence(text: string): string {
	const trimmed = text.trim();
	if (!trimmed) return "";
	return trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + (/[.!?…]$/.test(trimmed) ? "" : ".");
}
