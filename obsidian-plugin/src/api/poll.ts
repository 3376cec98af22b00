/** The events of a run by long polling over `requestUrl`: where `fetch` is blocked, and while a network comes and goes. */
import { ask, listed, type Address } from "./ask";
import { isFinal, type KosEvent } from "./events";

// Below the patience of any setting, so that an answer without news is no silence.
const WAIT_SECONDS = 5;

/** Events after number `after`, as they come. Ends with the run. */
export async function* poll(address: Address, run: string, after: number, signal: AbortSignal): AsyncGenerator<KosEvent> {
	let last = after;
	while (!signal.aborted) {
		const path = `/v1/runs/${run}/events?after=${last}&wait=${WAIT_SECONDS}`;
		const page = (await ask(address, "GET", path, undefined, signal)) as { events?: unknown; done?: boolean } | null;
		const events = listed<KosEvent>(page?.events);
		for (const event of events) {
			last = event.id;
			yield event;
			if (isFinal(event)) return;
		}
		if (page?.done && !events.length) return;
	}
}
