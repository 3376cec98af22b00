import { describe, expect, it } from "vitest";
import { blocked, broken, Fault, offline, stalled } from "../src/api/errors";
import type { KosEvent } from "../src/api/events";
import { follow, type Link, type Wire } from "../src/api/follow";

const LAST = 6;
const event = (id: number): KosEvent =>
	id === LAST
		? { event: "failed", id, data: { code: "cancelled", message: "", hint: "" } }
		: { event: "token", id, data: { stage: "answer", text: String(id) } };

/** A source that gives events up to one, and then ends, or throws. */
type Part = { to: number; then?: Fault; from?: number };

function wire(parts: { stream?: Part[]; poll?: Part[] }): Wire & { links: Link[]; calls: string[] } {
	let clock = 0;
	const calls: string[] = [];
	const links: Link[] = [];
	const source = (name: "stream" | "poll") =>
		async function* (after: number): AsyncGenerator<KosEvent> {
			calls.push(`${name} ${after}`);
			const part = parts[name]?.shift() ?? { to: 0, then: offline() };
			for (let id = part.from ?? after + 1; id <= part.to; id++) yield event(id);
			if (part.then) throw part.then;
		};
	return {
		stream: source("stream"),
		poll: source("poll"),
		now: () => clock,
		sleep: async (milliseconds) => {
			clock += milliseconds;
		},
		heard: (link) => links.push(link),
		links,
		calls,
	};
}

async function ids(from: Wire, streams = true): Promise<number[]> {
	const seen: number[] = [];
	for await (const one of follow(from, streams, new AbortController().signal)) seen.push(one.id);
	return seen;
}

const ALL = [1, 2, 3, 4, 5, 6];

describe("following a run", () => {
	it("streams it to its end", async () => {
		const one = wire({ stream: [{ to: LAST }] });
		expect(await ids(one)).toEqual(ALL);
		expect(one.calls).toEqual(["stream 0"]);
	});

	it("takes up a stream that broke where it stopped, each event once", async () => {
		for (const then of [blocked(), undefined]) {
			const one = wire({ stream: [then ? { to: 3, then } : { to: 3 }, { to: LAST }] });
			expect(await ids(one)).toEqual(ALL);
			expect(one.calls).toEqual(["stream 0", "stream 3"]);
		}
	});

	it("passes over what it has already, should the service tell it again", async () => {
		const one = wire({ stream: [{ to: 3, then: blocked() }, { to: LAST, from: 1 }] });
		expect(await ids(one)).toEqual(ALL);
	});

	it("polls where it may not stream", async () => {
		const one = wire({ stream: [{ to: 0, then: blocked() }], poll: [{ to: LAST }] });
		expect(await ids(one)).toEqual(ALL);
		expect(one.calls).toEqual(["stream 0", "poll 0"]);
		expect(await ids(wire({ poll: [{ to: LAST }] }), false)).toEqual(ALL);
	});

	it("polls on after silence, instead of trying the same stream again", async () => {
		const one = wire({ stream: [{ to: 3, then: stalled(30) }], poll: [{ to: LAST }] });
		expect(await ids(one)).toEqual(ALL);
		expect(one.calls).toEqual(["stream 0", "poll 3"]);
	});

	it("outlives a service that is away for a while, and says that it is lost", async () => {
		const away = { to: 3, then: offline() };
		const one = wire({ stream: [{ to: 3, then: blocked() }, away], poll: [away, away, away, { to: LAST }] });
		expect(await ids(one)).toEqual(ALL);
		expect(one.links).toContain("lost");
		expect(one.links[one.links.length - 1]).toBe("poll");
	});

	it.each([
		["a service that stays away", offline()],
		["silence on both ways", stalled(30)],
		["an end without a final event", broken()],
	])("ends in bounded time with %s", async (_, fault) => {
		const many = Array.from({ length: 100 }, () => ({ to: 2, then: fault }));
		const one = wire({ stream: [{ to: 2, then: fault }, { to: 2, then: fault }], poll: many });
		await expect(ids(one)).rejects.toMatchObject({ code: fault.code });
		expect(one.now()).toBeLessThanOrEqual(17_000);
	});

	it("does not wait where waiting does not help", async () => {
		const one = wire({ stream: [{ to: 2, then: new Fault("unauthorized", "no") }] });
		await expect(ids(one)).rejects.toMatchObject({ code: "unauthorized" });
		expect(one.calls).toHaveLength(1);
	});
});
