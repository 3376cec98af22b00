import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Client } from "../src/api/client";
import { Fault, offline } from "../src/api/errors";
import type { Edit, KosEvent } from "../src/api/events";
import { Desk } from "../src/edits/desk";
import { Writer } from "../src/edits/writer";
import { History } from "../src/runs/history";
import { newRun, type RunRecord } from "../src/runs/run";
import { Runs } from "../src/runs/runs";
import { change, notes, store, type Notes } from "./app";

const DAY = "# Day\n";
const asking = (text: string, follows: string | null = null) => ({ text, note: null, selection: null, tier: null, follows });
const done = (id: number, edits: Edit[] = []): KosEvent => ({
	event: "done",
	id,
	data: { answer: "ok", sources: [], edits, findings: [], decision: null, usage: { prompt_tokens: 0, prompt_eval_count: null, num_ctx: 0, completion_tokens: null }, timings: {}, degraded: [], cached: false },
});

/** A service of which each run gives the same events, and that tells what it was asked. */
class Service {
	readonly asked: string[] = [];
	starts: (() => Promise<string>)[] = [];
	events: () => AsyncGenerator<KosEvent> = async function* () {
		yield done(1);
	};
	start = (command: string, { text, follows }: { text: string; follows: string | null }): Promise<string> => {
		this.asked.push(`start ${command} ${text}${follows ? ` after ${follows}` : ""}`);
		return this.starts.shift()?.() ?? Promise.resolve("r1");
	};
	follow = (): AsyncGenerator<KosEvent> => this.events();
	cancel = (run: string): Promise<void> => {
		this.asked.push(`cancel ${run}`);
		return Promise.resolve();
	};
	applied = (id: string): Promise<void> => {
		this.asked.push(`applied ${id}`);
		return Promise.resolve();
	};
	undo = (id: string): Promise<void> => {
		this.asked.push(`undo ${id}`);
		return Promise.resolve();
	};
}

let vault: Notes;
let service: Service;
let device: ReturnType<typeof store>;
let keys: number;

function runs(): { runs: Runs; history: History; desk: Desk; seen: RunRecord[] } {
	const client = service as unknown as Client;
	const history = new History(device);
	const desk = new Desk(device, new Writer(vault.app, () => Promise.resolve(true)), client);
	const all = new Runs(client, history, desk, { captures: (name) => name === "update", now: () => 5, newKey: () => `k${++keys}` });
	const seen: RunRecord[] = [];
	all.onChange((record) => seen.push(record));
	return { runs: all, history, desk, seen };
}

beforeEach(() => {
	vault = notes({ "Day.md": DAY });
	service = new Service();
	device = store();
	keys = 0;
});

async function words(id = "e1", before = DAY): Promise<Edit> {
	return { id, title: "your words", status: "proposed", changes: [await change("Day.md", before, [before.length, "- met Ana\n"])] };
}

describe("a run", () => {
	it("is kept from the moment it is sent, to its end", async () => {
		const { runs: all, history, seen } = runs();
		service.starts = [
			async () => {
				expect(new History(device).all()[0]).toMatchObject({ command: "plan", state: "sending" });
				return "r7";
			},
		];
		const record = await all.run("plan", asking("next week"));
		expect(record).toMatchObject({ state: "done", run: "r7", answer: "ok" });
		expect(history.all()).toEqual([record]);
		expect(new History(device).all()).toEqual([record]);
		expect(seen.map(({ state }) => state)).toEqual(["sending", "running", "done", "done"]);
		expect(all.busy()).toBeNull();
	});

	it("is kept before the note is saved, and not sent when that fails", async () => {
		const { runs: all, history } = runs();
		const record = await all.run("update", asking("met Ana"), async ({ key }) => {
			expect(new History(device).get(key)).toMatchObject({ state: "sending", asking: { text: "met Ana" } });
			throw new Error("the disk is full");
		});
		expect(record).toMatchObject({ state: "failed", run: "", fault: { message: "the disk is full" } });
		expect(history.get(record.key)?.asking.text).toBe("met Ana");
		expect(service.asked).toEqual([]);
	});

	it("that cannot begin fails with the reason, and keeps what was typed", async () => {
		service.starts = [() => Promise.reject(offline())];
		const record = await runs().runs.run("plan", asking("next week"));
		expect(record).toMatchObject({ state: "failed", run: "", fault: { code: "offline" }, asking: { text: "next week" } });
		expect(record.fault?.hint).toContain("kos serve");
	});

	it("is stopped on the service, and keeps what was written", async () => {
		const { runs: all, seen } = runs();
		let stop: () => void = () => undefined;
		const stopped = new Promise<void>((resolve) => (stop = resolve));
		service.cancel = (run) => {
			service.asked.push(`cancel ${run}`);
			stop();
			return Promise.resolve();
		};
		service.events = async function* () {
			yield { event: "token", id: 1, data: { stage: "answer", text: "so far" } };
			await stopped;
			yield { event: "failed", id: 2, data: { code: "cancelled", message: "", hint: "" } };
		};
		const end = all.run("plan", asking(""));
		await vi.waitFor(() => expect(seen[seen.length - 1]?.answer).toBe("so far"));
		await all.stop(seen[0]!.key);
		expect(await end).toMatchObject({ state: "stopped", answer: "so far", fault: null });
		expect(service.asked).toContain("cancel r1");
	});

	it("goes on after the app was closed: it is followed again by its id", async () => {
		service.events = async function* () {
			yield { event: "token", id: 1, data: { stage: "answer", text: "half" } };
			await new Promise(() => undefined);
		};
		const first = runs();
		void first.runs.run("plan", asking("x"));
		await vi.waitFor(() => expect(first.seen[first.seen.length - 1]?.answer).toBe("half"));
		first.runs.close();

		service.events = async function* () {
			yield { event: "token", id: 1, data: { stage: "answer", text: "half and more" } };
			yield done(2);
		};
		const second = runs();
		const [open] = second.history.open();
		expect(open).toMatchObject({ run: "r1", command: "plan" });
		await second.runs.resume(open!);
		expect(second.history.all()).toMatchObject([{ state: "done", answer: "ok" }]);
		expect(service.asked.filter((one) => one.startsWith("start"))).toHaveLength(1);
	});

	it("that was never sent is said to be so after a restart", async () => {
		service.starts = [() => new Promise(() => undefined)];
		void runs().runs.run("update", asking("met Ana"));
		const later = runs();
		await later.runs.resume(later.history.open()[0]!);
		expect(later.history.all()).toMatchObject([{ state: "failed", asking: { text: "met Ana" }, fault: { hint: "Run it again." } }]);
	});

	it("stands alone when the earlier answer is no longer known, and says so", async () => {
		service.starts = [() => Promise.reject(new Fault("not_found", "no such run")), () => Promise.resolve("r2")];
		const record = await runs().runs.run("ask", asking("and then?", "r0"));
		expect(service.asked).toEqual(["start ask and then? after r0", "start ask and then?"]);
		expect(record).toMatchObject({ state: "done", degraded: ["rerun"] });
	});

	it("whose service was started anew says that, not that an address is wrong", async () => {
		service.events = async function* () {
			yield { event: "started", id: 1, data: { run: "r1", command: "plan" } };
			throw new Fault("not_found", "there is no such run");
		};
		expect((await runs().runs.run("plan", asking(""))).fault?.message).toContain("started anew");
	});
});

describe("the words of /update", () => {
	it("are written as soon as it is known where, once, before anything else", async () => {
		const edit = await words();
		service.events = async function* () {
			yield { event: "proposed", id: 1, data: { edits: [edit] } };
			expect(await vault.read("Day.md")).toBe("# Day\n- met Ana\n");
			yield { event: "proposed", id: 2, data: { edits: [{ ...edit, id: "e2", title: "the rest" }] } };
			yield done(3, [edit]);
		};
		const record = await runs().runs.run("update", asking("met Ana"));
		expect(record).toMatchObject({ state: "done", kept: "Day.md" });
		expect(record.edits.map(({ id, status }) => `${id} ${status}`)).toEqual(["e1 applied", "e2 proposed"]);
		expect(service.asked).toEqual(["start update met Ana", "applied e1"]);
	});

	it("are not written twice when the run is followed again", async () => {
		const edit = await words();
		service.events = async function* () {
			yield { event: "proposed", id: 1, data: { edits: [edit] } };
			await new Promise(() => undefined);
		};
		const first = runs();
		void first.runs.run("update", asking("met Ana"));
		await vi.waitFor(() => expect(first.seen[first.seen.length - 1]?.kept).toBe("Day.md"));
		first.runs.close();
		service.events = async function* () {
			yield { event: "proposed", id: 1, data: { edits: [edit] } };
			yield done(2, [edit]);
		};
		const second = runs();
		await second.runs.resume(second.history.open()[0]!);
		expect(await vault.read("Day.md")).toBe("# Day\n- met Ana\n");
		expect(second.history.all()).toMatchObject([{ state: "done", kept: "Day.md" }]);
	});

	it("are not written twice when the app was closed right after writing them", async () => {
		const edit = await words();
		const first = runs();
		await first.desk.apply(edit, new Set(["1.1"]));
		service.events = async function* () {
			yield { event: "proposed", id: 1, data: { edits: [edit] } };
			yield done(2, [edit]);
		};
		const second = runs();
		await second.runs.resume({ ...newRun("k", "update", asking("met Ana"), 0), run: "r1" });
		expect(await vault.read("Day.md")).toBe("# Day\n- met Ana\n");
		expect(second.history.all()).toMatchObject([{ state: "done", kept: "Day.md" }]);
	});

	it("are sent anew when the note is saved in that very moment", async () => {
		let tries = 0;
		service.events = async function* () {
			tries++;
			const before = (await vault.read("Day.md")) ?? "";
			const edit = await words(`e${tries}`, before);
			if (tries === 1) await vault.write("Day.md", "# Day\ntyped\n");
			yield { event: "proposed", id: 1, data: { edits: [edit] } };
			yield done(2, [edit]);
		};
		const record = await runs().runs.run("update", asking("met Ana"));
		expect(record).toMatchObject({ state: "done", kept: "Day.md" });
		expect(await vault.read("Day.md")).toBe("# Day\ntyped\n- met Ana\n");
		expect(service.asked).toEqual(["start update met Ana", "cancel r1", "start update met Ana", "applied e2"]);
	});

	it("are told to be unwritten when a note cannot be written", async () => {
		const edit = await words();
		vi.spyOn(vault.app.vault, "process").mockRejectedValue(new Error("read-only"));
		service.events = async function* () {
			yield { event: "proposed", id: 1, data: { edits: [edit] } };
		};
		const record = await runs().runs.run("update", asking("met Ana"));
		expect(record).toMatchObject({ state: "failed", kept: "", fault: { message: "read-only" } });
		expect(service.asked).toContain("cancel r1");
	});
});

describe("what was applied", () => {
	it("is taken back by the service, or here when the service never heard of it", async () => {
		const { desk } = runs();
		await desk.apply(await words(), new Set(["1.1"]));
		await desk.undo(desk.last()!);
		expect(service.asked).toEqual(["applied e1", "undo e1"]);
		expect(desk.last()).toBeNull();

		await vault.write("Day.md", DAY);
		service.applied = () => Promise.reject(offline());
		await desk.apply(await words(), new Set(["1.1"]));
		expect(new Desk(device, new Writer(vault.app, () => Promise.resolve(true)), service as unknown as Client).last()).toMatchObject({ id: "e1", told: false });
		await desk.undo(desk.last()!);
		expect(await vault.read("Day.md")).toBe(DAY);
	});

	it("shows both texts when it cannot be taken back", async () => {
		const { desk } = runs();
		await desk.apply(await words(), new Set(["1.1"]));
		service.undo = () => Promise.reject(new Fault("conflict", "changed", "", { conflict: { path: "Day.md", theirs: "a", ours: "b" } }));
		await expect(desk.undo(desk.last()!)).rejects.toMatchObject({ name: "NoteChanged", theirs: "a", ours: "b" });
		expect(desk.last()).not.toBeNull();
	});
});

describe("the history", () => {
	it("keeps within its bounds, newest first, and clears what is over", async () => {
		const { runs: all, history } = runs();
		for (let i = 0; i < 60; i++) await all.run("plan", asking(String(i)));
		expect(history.all()).toHaveLength(50);
		expect(history.all()[0]?.asking.text).toBe("59");
		await all.run("plan", asking("x".repeat(900_000)));
		await all.run("plan", asking("y".repeat(900_000)));
		expect(history.all()).toHaveLength(1);
		history.clear();
		expect(new History(device).all()).toEqual([]);
	});

	it("keeps less where the device has no room, and never fails for it", async () => {
		const { runs: all, history } = runs();
		const save = device.saveLocalStorage;
		device.saveLocalStorage = (key, data) => {
			if (JSON.stringify(data).length > 3000) throw new DOMException("full", "QuotaExceededError");
			save(key, data);
		};
		for (let i = 0; i < 9; i++) expect(await all.run("plan", asking(String(i)))).toMatchObject({ state: "done" });
		expect(history.all().length).toBeLessThan(9);
		expect(history.all()[0]?.asking.text).toBe("8");
		device.saveLocalStorage = () => {
			throw new DOMException("full", "QuotaExceededError");
		};
		expect(await all.run("plan", asking("last"))).toMatchObject({ state: "done" });
	});

	it("begins anew from what it cannot read", () => {
		for (const value of ['"text"', "[]", '{"schema":99,"runs":[1]}', '{"schema":1}']) {
			device.kept.set("knowledge-os-runs", value);
			expect(new History(device).all()).toEqual([]);
		}
	});
});
