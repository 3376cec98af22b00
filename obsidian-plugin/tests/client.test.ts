import { requestUrl, type RequestUrlParam } from "obsidian";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Client } from "../src/api/client";
import { faultOf, refused, sentence } from "../src/api/errors";
import { poll } from "../src/api/poll";
import { stream } from "../src/api/stream";
import { check, type Probe } from "../src/setup/check";
import { errors, edits, events } from "./contract";

vi.mock("obsidian", async (original) => ({ ...(await original<object>()), requestUrl: vi.fn() }));
const native = vi.mocked(requestUrl);
const address = { url: "http://127.0.0.1:8765", token: "t", patience: 0.2 };
const client = () => new Client(() => address);

/** What the app's own request gives for each of these answers, in turn; an Error is thrown. */
function answers(...given: (Error | { status: number; body: unknown } | Promise<never>)[]): RequestUrlParam[] {
	const asked: RequestUrlParam[] = [];
	native.mockImplementation(((request: RequestUrlParam) => {
		asked.push(request);
		const one = given.length > 1 ? given.shift() : given[0];
		if (one instanceof Promise) return one;
		if (one instanceof Error) return Promise.reject(one);
		const text = typeof one?.body === "string" ? one.body : JSON.stringify(one?.body ?? null);
		return Promise.resolve({ status: one?.status ?? 200, headers: {}, text, arrayBuffer: new ArrayBuffer(0), get json(): unknown { return JSON.parse(text); } });
	}) as unknown as typeof requestUrl);
	return asked;
}

beforeEach(() => {
	native.mockReset();
	vi.unstubAllGlobals();
});

describe("a short request", () => {
	it("carries the token and the body, and throws nothing of its own", async () => {
		const asked = answers({ status: 202, body: { run: "r1" } });
		const run = await client().start("plan", { text: "week", note: null, selection: "", tier: null, follows: null }, "key");
		expect(run).toBe("r1");
		expect(asked[0]).toMatchObject({ url: "http://127.0.0.1:8765/v1/commands/plan", method: "POST", headers: { Authorization: "Bearer t" }, throw: false });
		expect(JSON.parse(String(asked[0]?.body))).toEqual({ text: "week", detach: true, apply: "none", idempotency_key: "key" });
	});

	it.each(Object.entries(errors))("knows the service's refusal %s", async (code, { status, body }) => {
		answers({ status, body });
		const fault = await client().status().catch(faultOf);
		expect(fault).toMatchObject({ code });
		expect((fault as { message: string }).message).toMatch(/^[A-Z0-9].*[.!?…]$/);
	});

	it.each(edits.errors)("keeps both texts of a conflict: $name", ({ status, body }) => {
		expect(refused(status, body).extra.conflict).toEqual(body.conflict);
	});

	it.each([
		["net::ERR_CONNECTION_REFUSED", "offline"],
		["net::ERR_NAME_NOT_RESOLVED", "unknown_host"],
		["A server with the specified hostname could not be found.", "unknown_host"],
	])("tells %s from the other", async (message, code) => {
		answers(new Error(message));
		await expect(client().status()).rejects.toMatchObject({ code });
	});

	it.each([
		[{ status: 200, body: "<html>" }, "strange"],
		[{ status: 404, body: "<html>" }, "strange"],
		[{ status: 200, body: { other: 1 } }, "strange"],
		[{ status: 401, body: "" }, "unauthorized"],
	])("knows an answer that is not the service's: %j", async (answer, code) => {
		answers(answer);
		await expect(client().status()).rejects.toMatchObject({ code });
	});

	it("is not taken in by an answer of something else", async () => {
		answers({ status: 200, body: { hello: "world" } });
		const asking = { text: "", note: null, selection: null, tier: null, follows: null };
		const one = client();
		for (const asked of [one.start("plan", asking, "k"), one.commands(), one.receipt("r"), one.map("a"), all(poll(address, "r", 0, signal()))])
			await expect(asked).rejects.toMatchObject({ code: "strange" });
	});

	it("can be given up by the person", async () => {
		answers(new Promise<never>(() => undefined));
		const stop = new AbortController();
		const end = client().start("plan", { text: "", note: null, selection: null, tier: null, follows: null }, "k", stop.signal);
		stop.abort();
		await expect(end).rejects.toMatchObject({ code: "cancelled" });
	});

	it("gives up on silence", async () => {
		answers(new Promise<never>(() => undefined));
		await expect(client().status()).rejects.toMatchObject({ code: "stalled" });
	});

	it("begins a run once, also when the answer to it got lost", async () => {
		const asked = answers(new Error("net::ERR_EMPTY_RESPONSE"), { status: 202, body: { run: "r1" } });
		await client().start("plan", { text: "", note: null, selection: null, tier: null, follows: null }, "same");
		expect(asked.map(({ body }) => (JSON.parse(String(body)) as { idempotency_key: string }).idempotency_key)).toEqual(["same", "same"]);
	});

	it("writes the path of a note so that any name arrives", async () => {
		const asked = answers({ status: 200, body: { members: [], places: [], unsupported: [] } });
		await client().map("Maps/Ünï & co?#.md");
		expect(asked[0]?.url).toBe("http://127.0.0.1:8765/v1/maps/Maps/%C3%9Cn%C3%AF%20%26%20co%3F%23.md");
	});
});

const all = async (source: AsyncGenerator<unknown>): Promise<unknown[]> => {
	const seen: unknown[] = [];
	for await (const one of source) seen.push(one);
	return seen;
};
const signal = () => new AbortController().signal;

describe("polling", () => {
	it("asks on behind the last event, to the end", async () => {
		const [first, ...rest] = events.run.events;
		const asked = answers({ status: 200, body: { events: [first], done: false } }, { status: 200, body: { events: [], done: false } }, { status: 200, body: { events: rest, done: true } });
		expect(await all(poll(address, "r1", 0, signal()))).toEqual(events.run.events);
		expect(asked.map(({ url }) => new URL(url).searchParams.get("after"))).toEqual(["0", "1", "1"]);
	});
});

/** A web view whose fetch gives these pieces, then ends, hangs or breaks. */
function fetches(pieces: string[], then: "end" | "hang" | "break" = "end"): void {
	vi.stubGlobal("fetch", (_: string, { signal: ended }: RequestInit) => {
		const body = new ReadableStream<Uint8Array>({
			start(controller) {
				for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
				if (then === "end") controller.close();
				if (then === "break") controller.error(new TypeError("network error"));
				ended?.addEventListener("abort", () => controller.error(new DOMException("aborted", "AbortError")));
			},
		});
		return Promise.resolve(new Response(body, { status: 200 }));
	});
}

describe("streaming", () => {
	it("gives the events as they come", async () => {
		const { sse } = events.run;
		fetches([sse.slice(0, 100), sse.slice(100)]);
		expect(await all(stream(address, "r1", 0, signal()))).toEqual(events.run.events);
	});

	it("keeps what came before a break, and ends a silence", async () => {
		const source = (): Promise<unknown> => {
			const seen: unknown[] = [];
			return (async () => {
				for await (const one of stream(address, "r1", 0, signal())) seen.push(one);
			})().catch((error: unknown) => [faultOf(error).code, seen.length]);
		};
		fetches([events.run.sse.slice(0, 200)], "break");
		expect(await source()).toEqual(["blocked", 0]);
		fetches([events.run.sse.slice(0, 200)], "hang");
		expect(await source()).toEqual(["stalled", 2]);
	});

	it("says that it was blocked when the web view may not read", async () => {
		vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
		await expect(all(stream(address, "r1", 0, signal()))).rejects.toMatchObject({ code: "blocked" });
	});

	it("is not tried again for a while where it was blocked", async () => {
		const fetch = vi.fn(() => Promise.reject(new TypeError("Failed to fetch")));
		vi.stubGlobal("fetch", fetch);
		answers({ status: 200, body: { events: events.run.events, done: true } });
		const one = client();
		for (let i = 0; i < 3; i++) expect(await all(one.follow("r1", signal(), () => undefined))).toHaveLength(events.run.events.length);
		expect(fetch).toHaveBeenCalledTimes(1);
	});
});

describe("the test of the connection", () => {
	const status = { version: "0.1.0", ready: true, vault: { name: "Notes", notes: 9 }, nodes: [{ name: "desk", reachable: true }], runs: { running: 0 } };
	const probe = (given: Record<string, unknown>, streams = true): Probe => ({
		vault: "Notes",
		streams: () => Promise.resolve(streams),
		ask: (_, path) => (given[path] instanceof Error ? Promise.reject(given[path]) : Promise.resolve(given[path])),
	});
	const failing = async (one: Probe) => {
		const steps = await check(one);
		expect(steps.map(({ name }) => name)).toEqual(["Service", "Name", "Token", "Vault", "Streaming", "Models"]);
		return steps.filter(({ result }) => result === "failed").map(({ name }) => name);
	};
	const refusal = (code: string) => refused(errors[code]!.status, errors[code]!.body);

	it("is content when all works", async () => expect(await failing(probe({ "/v1/status": status }))).toEqual([]));
	it("names a service that is away", async () => expect(await failing(probe({ "/healthz": new Error("x") }))).toEqual(["Service"]));
	it("names a wrong name", async () => expect(await failing(probe({ "/healthz": refusal("wrong_host") }))).toEqual(["Name"]));
	it("names a wrong token", async () => expect(await failing(probe({ "/v1/status": refusal("unauthorized") }))).toEqual(["Token"]));
	it("names something else behind the address", async () => expect(await failing(probe({ "/v1/status": { hello: 1 } }))).toEqual(["Token"]));
	it("names a vault that is another", async () => expect(await failing(probe({ "/v1/status": { ...status, vault: { name: "Work", notes: 1 } } }))).toEqual(["Vault"]));
	it("names an origin that is not allowed, and goes on", async () => expect(await failing(probe({ "/v1/status": status }, false))).toEqual(["Streaming"]));
	it("names models that are away", async () => {
		const away = { ...status, nodes: [{ name: "desk", reachable: false, error: "It does not answer.", hint: "Start Ollama." }] };
		expect(await failing(probe({ "/v1/status": away }))).toEqual(["Models"]);
	});
});

describe("a message", () => {
	it("is a sentence", () => expect(["the token is missing", "Done.", "", "why?"].map(sentence)).toEqual(["The token is missing.", "Done.", "", "Why?"]));
});
