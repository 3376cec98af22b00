import { describe, expect, it } from "vitest";
import { headingAt, hunkRows, lineRows, together, type Row } from "../src/edits/diff";
import { bare, chosen, digest, grave, marked, patched, textOf } from "../src/edits/patch";
import { allHunks } from "../src/runs/runs";
import { edits } from "./contract";

const bytes = (text: string): ArrayBuffer => new Uint8Array(new TextEncoder().encode(text)).buffer;

describe("an edit", () => {
	it.each(edits.cases.map((one) => [one.name, one] as const))("does what the service says: %s", async (_, one) => {
		const hunks = one.hunks ? new Set(one.hunks) : allHunks(one.edit);
		const after: Record<string, string> = { ...one.notes };
		for (const change of chosen(one.edit, hunks)) {
			const before = one.notes[change.path];
			expect(before === undefined ? "" : await digest(bytes(before))).toBe(change.base);
			const how = textOf(bytes(before ?? "")) ?? { text: "", marked: false };
			for (const hunk of change.hunks) expect(how.text.slice(hunk.start16, hunk.end16)).toBe(hunk.old);
			after[change.path] = marked(patched(how.text, change.hunks), how);
		}
		expect(after).toEqual(one.after);
	});

	it("refuses bytes that are no text, and knows a byte order mark", () => {
		expect(textOf(new Uint8Array([0x61, 0xff]).buffer)).toBeNull();
		expect(textOf(bytes("\uFEFFa"))).toEqual({ text: "a", marked: true });
		expect([bare("\uFEFFa"), bare("a")]).toEqual(["a", "a"]);
	});

	it("wants a second yes when it is grave", () => {
		const note = (before: string | null, after: string, path = "a.md") => ({ path, before, after });
		expect(grave([note("x".repeat(1000), "x".repeat(400))])).toContain("a.md");
		expect(grave([note("x".repeat(1000), "x".repeat(600)), note(null, "new"), note("short", "")])).toBe("");
		expect(grave(Array.from({ length: 11 }, () => note("a", "b")))).toContain("11 notes");
	});
});

const flat = (rows: Row[]) => rows.map(({ kind, parts }) => `${{ same: " ", del: "-", add: "+" }[kind]}${parts.map((part) => (part.changed ? `{${part.text}}` : part.text)).join("")}`);

describe("the rows of a difference", () => {
	it("show the lines around an insertion, and the heading above", () => {
		const text = "# Day\n## Log\n- one\n## Later\n";
		const at = text.indexOf("- one") + 5;
		const hunk = { id: "1.1", start16: at, end16: at, old: "", new: "\n- two", why: "" };
		expect(flat(hunkRows(text, [hunk]))).toEqual([" - one", "+- two"]);
		expect(headingAt(text, at)).toBe("Log");
		expect(headingAt("text", 2)).toBe("");
	});

	it("show hunks of one line as one change", () => {
		const text = "- [ ] brew\n- [ ] drink\n";
		const hunk = (id: string, start16: number, end16: number, fresh: string) => ({ id, start16, end16, old: text.slice(start16, end16), new: fresh, why: "" });
		const hunks = [hunk("1.1", 3, 4, "x"), hunk("1.2", 10, 10, " ✅"), hunk("1.3", 14, 15, "x")];
		expect(together(text, hunks).map((group) => group.map(({ id }) => id))).toEqual([["1.1", "1.2"], ["1.3"]]);
		expect(flat(hunkRows(text, hunks.slice(0, 2)))).toEqual(["-- [{ }] brew", "+- [{x}] brew{ ✅}"]);
		expect(flat(hunkRows(text, hunks.slice(2)))).toEqual(["-- [{ }] drink", "+- [{x}] drink"]);
	});

	it("show where within a line it changed, and never cut a letter in two", () => {
		expect(flat(lineRows("- [ ] brew 🙂", "- [x] brew 🙃"))).toEqual(["-- [{ }] brew {🙂}", "+- [{x}] brew {🙃}"]);
		expect(flat(lineRows("due: 2025-09-14", "due: 2025-09-21"))).toEqual(["-due: 2025-09-{14}", "+due: 2025-09-{21}"]);
	});

	it("turn one text into the other", () => {
		const texts = ["", "a", "a\nb\nc", "a\nx\nc\nd", "c\nb\na", "a\r\nb", "\n\n"];
		for (const before of texts)
			for (const after of texts) {
				const rows = lineRows(before, after);
				const side = (drop: Row["kind"]) =>
					rows
						.filter((row) => row.kind !== drop)
						.map((row) => row.parts.map((part) => part.text).join(""))
						.join("\n");
				expect(side("add")).toBe(before.replace(/\r/g, ""));
				expect(side("del")).toBe(after.replace(/\r/g, ""));
			}
	});

	it("stay quick for texts that are long and have nothing in common", () => {
		const long = (word: string) => Array.from({ length: 3000 }, (_, i) => `${word} ${i}`).join("\n");
		expect(lineRows(long("a"), long("b"))).toHaveLength(6000);
	});
});
