import { describe, expect, it } from "vitest";
import { offline, refused } from "../src/api/errors";
import { newRun } from "../src/runs/run";
import { addressFault, baseOf, COMMANDS, defaults, isHidden, settingsFrom } from "../src/settings/settings";
import { condition } from "../src/status/status-bar";
import { errors } from "./contract";

describe("settings", () => {
	it("take their default for whatever is missing or of another kind", () => {
		for (const data of [null, undefined, "x", 7, [], { address: 5, slash: "yes", commands: {}, patience: null }, { commands: [] }]) expect(settingsFrom(data)).toEqual(defaults());
	});
	it("keep what was set, within bounds", () => {
		expect(settingsFrom({ address: "http://box:9/", slash: false, patience: 1, tiers: { plan: "deep" } })).toMatchObject({ address: "http://box:9/", slash: false, patience: 10, tiers: { plan: "deep" } });
		expect(settingsFrom({ address: "not an address" }).address).toBe(defaults().address);
	});
	it("hold no token", () => expect(JSON.stringify(defaults())).not.toMatch(/"token"/));
});

describe("an address", () => {
	it.each(["http://127.0.0.1:8765", "https://box.tail.net", " http://[::1]:8765/ "])("%j is one", (address) => expect(addressFault(address)).toBe(""));
	it.each(["", "127.0.0.1:8765", "ftp://x", "http://x/path", "http://u:p@x", "http://x?y"])("%j is none", (address) => expect(addressFault(address)).not.toBe(""));
	it("is used without its last slash", () => expect(baseOf(" http://x:1// ")).toBe("http://x:1"));
});

describe("folders never sent", () => {
	it.each([
		["Private/a.md", true],
		["Private notes/a.md", false],
		["Work/Secret/deep/a.md", true],
		["a.md", false],
	])("%j: %j", (path, hidden) => expect(isHidden(path, "Private\n/Work/Secret/\n\n")).toBe(hidden));
});

describe("the status bar", () => {
	const status = { version: "1", ready: true, vault: { name: "v", notes: 9 }, cache: { name: "redis", last_error: "gone", breaker: "closed" }, nodes: [{ name: "desk", reachable: true, models: [], error: "", hint: "" }], runs: { running: 0 } };
	const asking = { text: "", note: null, selection: null, tier: null, follows: null };
	const busy = { ...newRun("k", "plan", asking, 0), phase: { name: "queued", detail: "desk", n: 2, total: 3 } };
	const told = (known: Partial<Parameters<typeof condition>[0]>, run: typeof busy | null = null) => {
		const { state, text } = condition({ status, fault: null, paired: true, ...known }, run);
		return [state, text];
	};

	it("says in a word how the service is", () => {
		expect(told({})).toEqual(["ready", "ready"]);
		expect(told({ paired: false })).toEqual(["unpaired", "not paired"]);
		expect(told({ status: null, fault: refused(401, errors["unauthorized"]!.body) })).toEqual(["unpaired", "not paired"]);
		expect(told({ status: null, fault: offline() })).toEqual(["offline", "offline"]);
		expect(told({}, busy)).toEqual(["busy", "2 of 3 in line"]);
		expect(told({ status: { ...status, runs: { running: 2 } } })).toEqual(["busy", "2 running"]);
		expect(told({ status: { ...status, ready: false } })).toEqual(["busy", "reading the vault"]);
		expect(told({ status: { ...status, nodes: [{ ...status.nodes[0]!, reachable: false }] } })).toEqual(["degraded", "no model"]);
		expect(told({ status: { ...status, cache: { ...status.cache, breaker: "open" } } })).toEqual(["degraded", "no cache"]);
	});
});

describe("the commands known before the service answers", () => {
	it("are those it ships", () => expect(COMMANDS.map(({ name }) => name)).toEqual(["orient", "update", "plan", "research", "validate", "ask"]));
});
