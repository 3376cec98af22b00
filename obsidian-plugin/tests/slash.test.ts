import { describe, expect, it } from "vitest";
import { slashIn, spoken } from "../src/editor/slash";
import { COMMANDS } from "../src/settings/settings";

const names = (line: string, trigger = "/") => slashIn(line, trigger, COMMANDS)?.commands.map(({ name }) => name) ?? null;

describe("a command in a line", () => {
	it.each([
		["/", ["orient", "update", "plan", "research", "validate", "ask"]],
		["/or", ["orient"]],
		["/OR", ["orient"]],
		["text /pl", ["plan"]],
		["\t/ask", ["ask"]],
	])("opens on %j", (line, expected) => expect(names(line)).toEqual(expected));

	it.each(["and/or", "and/or ", "https://x/or", "~/plan", "/orx", "/ or", "", "text", "a/", "see /plan later", "1/2", "[[a/plan"])("stays shut on %j", (line) =>
		expect(names(line)).toBeNull(),
	);

	it.each([
		["/plan next week", 0, "plan", "next week"],
		["- /update Met Ana / Ben", 2, "update", "Met Ana / Ben"],
		["  > /ask why and/or how?", 4, "ask", "why and/or how?"],
		["- [ ] /update done", 6, "update", "done"],
		["/Plan ", 0, "plan", ""],
	])("takes the words of %j", (line, ch, name, words) => {
		const slash = slashIn(line, "/", COMMANDS);
		expect([slash?.ch, slash?.commands[0]?.name, slash?.words]).toEqual([ch, name, words]);
	});

	it("may begin with another sign", () => {
		expect(names(";;or", ";;")).toEqual(["orient"]);
		expect(names("/or", ";;")).toBeNull();
		expect(slashIn(";;plan x", ";;", COMMANDS)?.words).toBe("x");
	});
});

describe("what is typed into a box of its own", () => {
	it.each([
		["/plan next\nweek", { command: "plan", text: "next\nweek" }],
		["/orient", { command: "orient", text: "" }],
		["Why is the riser late?", { command: "ask", text: "Why is the riser late?" }],
		["and/or?", { command: "ask", text: "and/or?" }],
		["/dance", null],
	])("%j", (text, expected) => expect(spoken(text, COMMANDS)).toEqual(expected));
});
