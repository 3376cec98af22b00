/** The answer as it is written: Markdown drawn at a calm rate, each finished block once. */
import { Component, MarkdownRenderer, type App } from "obsidian";
import type { Unsupported } from "../api/events";
import { blockStarts, markSentences, MARKS } from "./blocks";
import { markUnresolved } from "./links";

// Eight times a second reads as flowing and leaves the editor its time.
const EVERY_MS = 120;

export class AnswerBody {
	private text = "";
	/** Length of the text whose blocks are drawn for good. */
	private settled = 0;
	private timer = 0;
	private tail: { el: HTMLElement; component: Component } | null = null;
	private drawing: Promise<void> = Promise.resolve();
	/** Owns what the drawn Markdown brings along. */
	private component: Component;

	constructor(
		private readonly app: App,
		private readonly el: HTMLElement,
		private readonly owner: Component,
	) {
		el.addClass("kos-body", "markdown-rendered");
		this.component = owner.addChild(new Component());
	}

	clear(): void {
		this.text = "";
		this.settled = 0;
		this.owner.removeChild(this.component);
		this.component = this.owner.addChild(new Component());
		this.tail = null;
		this.el.empty();
	}

	/** The answer so far. It is drawn within a moment; a text that does not continue the last is drawn anew. */
	show(text: string): void {
		if (!text.startsWith(this.text)) this.clear();
		if (text === this.text) return;
		this.text = text;
		this.timer ||= this.el.win.setTimeout(() => {
			this.timer = 0;
			this.enqueue(() => this.grow());
		}, EVERY_MS);
	}

	/** The answer as it ended, with its unsupported sentences marked. */
	async finish(text: string, unsupported: readonly Unsupported[]): Promise<void> {
		this.el.win.clearTimeout(this.timer);
		this.timer = 0;
		// Footnotes and link definitions reach over blocks; marks go into the text: both are drawn as a whole.
		const whole = unsupported.length > 0 || /^ {0,3}\[[^\]]+\]:|\[\^/m.test(text) || !text.startsWith(this.text);
		this.text = text;
		this.enqueue(() => (whole ? this.redraw(unsupported) : this.grow()));
		await this.drawing;
	}

	private enqueue(work: () => Promise<void>): void {
		this.drawing = this.drawing.then(work, work);
	}

	private async grow(): Promise<void> {
		const { text } = this;
		const end = this.settled + (blockStarts(text.slice(this.settled)).pop() ?? 0);
		if (this.tail) this.drop(this.tail);
		this.tail = null;
		if (end > this.settled) await this.draw(text.slice(this.settled, end));
		this.settled = end;
		this.tail = await this.draw(text.slice(end));
	}

	private async redraw(unsupported: readonly Unsupported[]): Promise<void> {
		const { text } = this;
		this.clear();
		this.text = text;
		this.settled = text.length;
		const { el } = await this.draw(markSentences(text, unsupported));
		wrapMarked(el, unsupported);
	}

	private async draw(markdown: string): Promise<{ el: HTMLElement; component: Component }> {
		const component = this.component.addChild(new Component());
		const el = this.el.createDiv({ cls: "kos-block" });
		await MarkdownRenderer.render(this.app, markdown, el, "", component);
		markUnresolved(this.app, el);
		return { el, component };
	}

	private drop({ el, component }: { el: HTMLElement; component: Component }): void {
		el.remove();
		this.component.removeChild(component);
	}
}

/** Turn the marks in rendered text into elements around what stands between them. */
function wrapMarked(root: HTMLElement, unsupported: readonly Unsupported[]): void {
	const walker = root.doc.createTreeWalker(root, NodeFilter.SHOW_TEXT);
	const texts: Text[] = [];
	while (walker.nextNode()) texts.push(walker.currentNode as Text);
	let inside = false;
	let count = 0;
	for (const node of texts) {
		const pieces = node.data.split(/([\uE000\uE001])/);
		if (pieces.length === 1 && !inside) continue;
		const made = createFragment();
		for (const piece of pieces) {
			if (piece === MARKS.open) {
				inside = true;
				count++;
			} else if (piece === MARKS.close) {
				inside = false;
				const why = unsupported[count - 1]?.why ?? "";
				made.createEl("sup", { cls: "kos-unsupported-sign", text: "?", attr: { "aria-label": `Not supported: ${why}`, tabindex: "0", role: "note" } });
			} else if (piece && inside) made.createSpan({ cls: "kos-unsupported", text: piece });
			else if (piece) made.append(piece);
		}
		node.replaceWith(made);
	}
}
