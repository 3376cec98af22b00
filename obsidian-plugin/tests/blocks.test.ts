import { describe, expect, it } from "vitest";
import { blockStarts, markSentences, MARKS } from "../src/views/blocks";

const blocks = (text: string) => {
	const starts = blockStarts(text);
	return starts.map((start, i) => text.slice(start, starts[i + 1] ?? text.length));
};
const shown = (text: string, ...ranges: [number, number][]) =>
	markSentences(
		text,
		ranges.map(([start, end]) => ({ start, end })),
	)
		.replaceAll(MARKS.open, "«")
		.replaceAll(MARKS.close, "»");

describe("blocks of Markdown", () => {
	it("end at blank lines", () => expect(blocks("# A\n\none\ntwo\n\nthree")).toEqual(["# A\n\n", "one\ntwo\n\n", "three"]));
	it("hold a fence together", () => expect(blocks("```\na\n\nb\n```\n\nc")).toEqual(["```\na\n\nb\n```\n\n", "c"]));
	it("hold a longer fence together", () => expect(blocks("````\n```\n\nx\n````\n\ny")).toEqual(["````\n```\n\nx\n````\n\n", "y"]));
	it("hold math together", () => expect(blocks("$$\na\n\nb\n$$\n\nc")).toEqual(["$$\na\n\nb\n$$\n\n", "c"]));
	it("hold a loose list together", () => expect(blocks("- a\n\n- b\n\n  more\n\nc")).toEqual(["- a\n\n- b\n\n  more\n\n", "c"]));

	it("stay as they are when the text goes on", () => {
		const text = "# A\n\n- a\n\n- b\n\ntext [[x]] **bold**\n\n```js\nlet a\n\nlet b\n```\n\n| a |\n|---|\n| b |\n\nend\n\n1. x\n\n2. y\n\nz";
		for (let cut = 0; cut <= text.length; cut++) {
			const part = blockStarts(text.slice(0, cut));
			// All blocks but the last are for good.
			expect(blockStarts(text).slice(0, part.length - 1)).toEqual(part.slice(0, -1));
		}
	});
});

describe("marks of unsupported sentences", () => {
	it("stand around the sentence", () => expect(shown("One. Two. Three.", [5, 9])).toBe("One. «Two.» Three."));
	it("leave signs of lists, quotes, tasks and tables what they are", () => {
		expect(shown("- One.", [0, 6])).toBe("- «One.»");
		expect(shown("- [ ] One.", [0, 10])).toBe("- [ ] «One.»");
		expect(shown("> 1. One.", [0, 9])).toBe("> 1. «One.»");
		expect(shown("| One. |", [0, 8])).toBe("| «One.» |");
	});
	it("count letters beyond U+FFFF as one", () => expect(shown("🙂🙂. Two.", [4, 8])).toBe("🙂🙂. «Two.»"));
	it("pass over ranges that cannot be", () => expect(shown("One.", [3, 2], [2, 99])).toBe("One."));
});
