/** An incremental parser of text/event-stream (WHATWG HTML, 9.2.6): line ends of any kind, comments, data of several lines. */

export interface RawEvent {
	id: string;
	event: string;
	data: string;
}

export class SseParser {
	private rest = "";
	private data: string[] = [];
	private name = "";
	private id = "";

	/** The events that are complete with this piece; what is left waits for the next. */
	push(piece: string): RawEvent[] {
		this.rest += piece;
		const events: RawEvent[] = [];
		let from = 0;
		for (;;) {
			// A CR at the very end may be half of a CRLF.
			const end = /\r\n|\n|\r(?!$)/g;
			end.lastIndex = from;
			const match = end.exec(this.rest);
			if (!match) break;
			const line = this.rest.slice(from, match.index);
			from = match.index + match[0].length;
			const event = this.line(line);
			if (event) events.push(event);
		}
		this.rest = this.rest.slice(from);
		return events;
	}

	private line(line: string): RawEvent | null {
		if (line === "") {
			const event = this.data.length ? { id: this.id, event: this.name || "message", data: this.data.join("\n") } : null;
			this.data = [];
			this.name = "";
			return event;
		}
		const colon = line.indexOf(":");
		const field = colon < 0 ? line : line.slice(0, colon);
		const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
		if (field === "data") this.data.push(value);
		else if (field === "event") this.name = value;
		else if (field === "id") this.id = value;
		return null;
	}
}
