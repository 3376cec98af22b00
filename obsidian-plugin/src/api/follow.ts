/** Follows a run to its end, whatever the network does: streams, reconnects, polls, and gives up in bounded time. */
import { broken, Fault, faultOf } from "./errors";
import { isFinal, type KosEvent } from "./events";

/** How the events come just now; "lost" while the service cannot be reached. */
export type Link = "stream" | "poll" | "lost";

type Source = (after: number, signal: AbortSignal) => AsyncGenerator<KosEvent>;

/** What following needs of the world; tests give their own. */
export interface Wire {
	stream: Source;
	poll: Source;
	/** Milliseconds, of any clock that goes on while the machine sleeps or not. */
	now: () => number;
	sleep: (milliseconds: number) => Promise<void>;
	heard: (link: Link) => void;
}

// A service that is started anew, and a Wi-Fi after sleep, are back within this; then the person is told.
const GIVE_UP_MS = 15_000;
const PAUSES_MS = [200, 500, 1000, 2000];

/**
 * The events of a run, each once, in order; the last is `done` or `failed`.
 *
 * A stream that breaks is taken up once more where it stopped; where that fails, and where the app may not stream at all,
 * the same run is polled. Silence ends a stream the same way.
 * @param streams whether to try streaming at all
 * @throws Fault when the service stays away, no longer knows the run, or ends it without a final event
 */
export async function* follow(wire: Wire, streams: boolean, signal: AbortSignal): AsyncGenerator<KosEvent> {
	let last = 0;
	let lostSince: number | null = null;
	let tries = 0;
	for (;;) {
		const link: Link = streams ? "stream" : "poll";
		const began = last;
		try {
			for await (const event of streams ? wire.stream(last, signal) : wire.poll(last, signal)) {
				lostSince = null;
				tries = 0;
				wire.heard(link);
				if (event.id <= last) continue;
				last = event.id;
				yield event;
				if (isFinal(event)) return;
			}
			throw broken();
		} catch (error) {
			const fault = faultOf(error);
			if (signal.aborted || !fault.passing) throw fault;
			if (streams && fault.code !== "stalled" && last > began) continue;
			if (streams) {
				streams = false;
				continue;
			}
			lostSince ??= wire.now();
			if (fault.code === "stalled" || wire.now() - lostSince >= GIVE_UP_MS) throw fault;
			wire.heard("lost");
			await wire.sleep(PAUSES_MS[Math.min(tries++, PAUSES_MS.length - 1)] ?? 0);
			if (signal.aborted) throw new Fault("cancelled", "Stopped.");
		}
	}
}
