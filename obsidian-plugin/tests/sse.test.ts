import { describe, expect, it } from "vitest";
import { SseParser } from "../src/api/sse";
import { events } from "./contract";

const WIRE = ': hi\r\nevent: a\r\nid: 1\r\ndata: {"a":1}\r\n\r\nid: 2\nevent: b\ndata: line1\ndata:línea2 ✓\n\ndata\n\n: ping\n\nevent: c\rdata: {}\r\r';
const parse = (pieces: string[]) => {
	const parser = new SseParser();
	return pieces.flatMap((piece) => parser.push(piece));
};

describe("the parser of event streams", () => {
	it("knows ids, names, several lines of data, comments and every line end", () => {
		expect(parse([`${WIRE}\n`])).toEqual([
			{ id: "1", event: "a", data: '{"a":1}' },
			{ id: "2", event: "b", data: "line1\nlínea2 ✓" },
			{ id: "2", event: "message", data: "" },
			{ id: "2", event: "c", data: "{}" },
		]);
	});

	it("gives the same at every place the network may cut", () => {
		const wire = events.run.sse;
		const whole = parse([wire]);
		for (let cut = 0; cut <= wire.length; cut++) expect(parse([wire.slice(0, cut), wire.slice(cut)])).toEqual(whole);
		expect(parse(Array.from(WIRE))).toEqual(parse([WIRE]));
	});

	it("reads the stream that the service writes", () => {
		const read = parse([events.run.sse]).map((raw) => ({ event: raw.event, id: Number(raw.id), data: JSON.parse(raw.data) as unknown }));
		expect(read).toEqual(events.run.events);
	});

	it("waits for the rest of an event", () => {
		const parser = new SseParser();
		expect(parser.push("event: a\ndata: 1\n")).toEqual([]);
		expect(parser.push("\n")).toEqual([{ id: "", event: "a", data: "1" }]);
	});
});
