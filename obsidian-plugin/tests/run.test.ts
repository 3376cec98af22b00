import { describe, expect, it } from "vitest";
import type { Edit, KosEvent } from "../src/api/events";
import { advance, degradedWords, failed, isOver, newRun, phaseWords, proposals, typed, withStatus } from "../src/runs/run";
import { events } from "./contract";

const asking = (text = "") => ({ text, note: null, selection: null, tier: null, follows: null });
const fresh = () => newRun("k", "orient", asking(), 0);
const edit = (id: string, status: Edit["status"] = "proposed"): Edit => ({ id, title: id, changes: [], status });
const proposed = (id: number, ...edits: Edit[]): KosEvent => ({ event: "proposed", id, data: { edits } });

describe("a run", () => {
	it("is what the service's own example says", () => {
		const record = events.run.events.reduce(advance, fresh());
		const last = events.run.events[events.run.events.length - 1];
		expect(record.state).toBe("done");
		expect(last?.event === "done" && record.answer).toBe(last?.event === "done" && last.data.answer);
		expect(record.passages.length).toBeGreaterThan(0);
		expect(record.decision?.model).toBe("small:4b");
		expect(record.unsupported.length).toBeGreaterThan(0);
	});

	it("knows its passages and its model before the first word", () => {
		const before = events.run.events.slice(0, events.run.events.findIndex((one) => one.event === "token"));
		const record = before.reduce(advance, fresh());
		expect(record.answer).toBe("");
		expect(record.passages[0]?.why).toBeTruthy();
		expect(record.decision?.why).toBeTruthy();
	});

	it("grows with each token", () => {
		const token = (id: number, text: string): KosEvent => ({ event: "token", id, data: { stage: "answer", text } });
		expect([token(1, "a"), token(2, "b")].reduce(advance, fresh()).answer).toBe("ab");
	});

	it("keeps what was applied here, whatever a later event says of it", () => {
		let record = advance(fresh(), proposed(1, edit("a")));
		record = withStatus(record, "a", "applied");
		record = advance(record, proposed(2, edit("a"), edit("b")));
		expect(record.edits.map(({ id, status }) => [id, status])).toEqual([
			["a", "applied"],
			["b", "proposed"],
		]);
		expect(proposals(record, true).map(({ id }) => id)).toEqual(["b"]);
		expect(proposals(record, false).map(({ id }) => id)).toEqual(["a", "b"]);
	});

	it("is stopped by a cancel and failed by anything else; what was written stays", () => {
		const begun = { ...fresh(), answer: "so far" };
		const stopped = failed(begun, { code: "cancelled", message: "", hint: "" });
		expect([stopped.state, stopped.answer, stopped.fault]).toEqual(["stopped", "so far", null]);
		expect(phaseWords(stopped)).toContain("kept");
		const broken = failed(begun, { code: "busy", message: "the queue is full", hint: "" });
		expect([broken.state, broken.answer, isOver(broken)]).toEqual(["failed", "so far", true]);
	});

	it("passes over an event it does not know", () => {
		const odd = { event: "later", id: 1, data: {} } as unknown as KosEvent;
		expect(advance(fresh(), odd)).toEqual(fresh());
	});
});

describe("its words", () => {
	const at = (name: string, detail = "", n = 0, total = 0) => phaseWords({ ...fresh(), state: "running", phase: { name, detail, n, total } });

	it("name the phase with its numbers", () => {
		expect(at("reading", "231 notes")).toBe("Reading the vault: 231 notes…");
		expect(at("queued", "desk", 2, 3)).toBe("Waiting in line 2 of 3: desk…");
		expect(at("musing")).toBe("Musing…");
		expect(phaseWords(fresh())).toBe("Sending…");
		expect(phaseWords({ ...fresh(), state: "running", link: "lost" })).toContain("lost");
	});

	it("say what was missing, known or not", () => {
		expect(degradedWords({ ...fresh(), degraded: ["model", "sundial"] })).toEqual(["No model answered: this is from your notes alone.", "Missing: sundial."]);
	});

	it("say what was asked as one would type it", () => {
		expect(typed(newRun("k", "plan", asking("next week"), 0))).toBe("/plan next week");
		expect(typed(newRun("k", "orient", asking(), 0))).toBe("/orient");
		expect(typed(newRun("k", "ask", asking("Why?"), 0))).toBe("Why?");
	});
});
