/** One short request to the service. It goes through `requestUrl`, which no origin rule of the web view can block. */
import { requestUrl } from "obsidian";
import { Fault, refused, stalled, strange, unpaired, unreachable } from "./errors";

/** Where the service is, and the token it asks for. */
export interface Address {
	/** Without a slash at its end, such as http://127.0.0.1:8765. */
	url: string;
	/** null when none is set. */
	token: string | null;
	/** Silence after which it counts as hanging, in seconds. */
	patience: number;
}

// The one address that asks for no token.
const OPEN = "/healthz";

export function headers(address: Address): Record<string, string> {
	return address.token ? { Authorization: `Bearer ${address.token}` } : {};
}

/**
 * The JSON that the service answers.
 * @param signal gives the answer up; the request itself cannot be taken back
 * @throws Fault for every error status, silence, and whatever else is not an answer of the service
 */
export async function ask(address: Address, method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<unknown> {
	if (!address.token && path !== OPEN) throw unpaired();
	const request = requestUrl({
		url: address.url + path,
		method,
		headers: headers(address),
		throw: false,
		...(body === undefined ? {} : { contentType: "application/json", body: JSON.stringify(body) }),
	});
	const answer = await within(
		address.patience,
		request.then(
			(response) => response,
			(error: unknown) => {
				throw unreachable(error);
			},
		),
		signal,
	);
	let json: unknown = null;
	try {
		json = answer.json as unknown;
	} catch {
		if (answer.status < 400) throw strange(answer.status);
	}
	if (answer.status >= 400) throw refused(answer.status, json);
	return json;
}

/** The result of a promise, unless it takes longer than so many seconds or is given up: `requestUrl` itself never ends early. */
export async function within<T>(seconds: number, work: Promise<T>, signal?: AbortSignal): Promise<T> {
	let timer = 0;
	let stop = (): void => undefined;
	const end = new Promise<never>((_, reject) => {
		timer = window.setTimeout(() => reject(stalled(seconds)), seconds * 1000);
		stop = () => reject(new Fault("cancelled", "Stopped."));
	});
	signal?.addEventListener("abort", stop);
	try {
		return await Promise.race([work, end]);
	} finally {
		window.clearTimeout(timer);
		signal?.removeEventListener("abort", stop);
	}
}

/** A list in an answer, which something else than the service may not have. */
export function listed<T>(list: unknown): T[] {
	if (!Array.isArray(list)) throw strange(200);
	return list as T[];
}

/** Whether an error is a fault with this code. */
export function isFault(error: unknown, code: string): error is Fault {
	return error instanceof Fault && error.code === code;
}
