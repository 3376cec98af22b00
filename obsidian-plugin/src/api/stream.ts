/** The events of a run as a stream over `fetch`: the only place that uses it, since `requestUrl` cannot stream. */
import { headers, type Address } from "./ask";
import { blocked, Fault, refused, stalled } from "./errors";
import type { KosEvent } from "./events";
import { SseParser } from "./sse";

/** Whether this web view may read what the service sends; the header makes it ask first, as a stream does. */
export async function canStream(address: Address): Promise<boolean> {
	try {
		return (await window.fetch(`${address.url}/healthz`, { headers: headers(address) })).ok;
	} catch {
		return false;
	}
}

/**
 * Events after number `after`, as they come. Ends when the service ends the stream.
 * @throws Fault blocked when nothing could be read (the app's origin is not allowed, or nobody is there), stalled after silence
 */
export async function* stream(address: Address, run: string, after: number, signal: AbortSignal): AsyncGenerator<KosEvent> {
	const silence = new AbortController();
	const stop = (): void => silence.abort();
	signal.addEventListener("abort", stop);
	let timer = 0;
	let quiet = false;
	const heard = (): void => {
		window.clearTimeout(timer);
		timer = window.setTimeout(() => {
			quiet = true;
			stop();
		}, address.patience * 1000);
	};
	try {
		heard();
		const response = await window.fetch(`${address.url}/v1/runs/${run}/events?after=${after}`, {
			headers: { ...headers(address), Accept: "text/event-stream" },
			signal: silence.signal,
		});
		if (!response.ok || !response.body) throw refused(response.status, await response.json().catch(() => null));
		const parser = new SseParser();
		const decoder = new TextDecoder();
		const reader = response.body.getReader();
		for (;;) {
			const { done, value } = await reader.read();
			if (done) return;
			heard();
			for (const raw of parser.push(decoder.decode(value, { stream: true })))
				yield { event: raw.event, id: Number(raw.id), data: JSON.parse(raw.data) as unknown } as KosEvent;
		}
	} catch (error) {
		if (quiet) throw stalled(address.patience);
		if (error instanceof Fault || signal.aborted) throw error;
		throw blocked();
	} finally {
		window.clearTimeout(timer);
		signal.removeEventListener("abort", stop);
		stop();
	}
}
