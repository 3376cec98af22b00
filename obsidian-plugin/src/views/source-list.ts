/** The passages an answer is made of, each with the reason it was taken; there before the first word of the answer. */
import { setIcon } from "obsidian";
import type { RunRecord } from "../runs/run";
import { linkTo, placeName, viaName } from "./links";

// More would push the answer out of sight; the rest is one click away.
const SHOWN = 4;

export class SourceList {
	private drawn: RunRecord["passages"] | null = null;
	private all = false;

	constructor(private readonly el: HTMLElement) {
		el.addClass("kos-sources");
	}

	show({ passages, tokens, budget }: RunRecord): void {
		if (passages === this.drawn) return;
		this.drawn = passages;
		this.all = false;
		this.draw(tokens, budget);
	}

	private draw(tokens: number, budget: number): void {
		// The service sends them as the model reads them, from the general to the particular; a person wants the particular first.
		const passages = [...(this.drawn ?? [])].reverse();
		this.el.empty();
		if (!passages.length) return;
		const head = this.el.createDiv({ cls: "kos-section" });
		head.createSpan({ text: `${passages.length} ${passages.length === 1 ? "source" : "sources"}` });
		if (budget) head.createSpan({ cls: "kos-faint", text: `${tokens} of ${budget} tokens` });
		const list = this.el.createEl("ol", { cls: "kos-source-list" });
		for (const passage of this.all ? passages : passages.slice(0, SHOWN)) {
			const row = list.createEl("li", { cls: "kos-source" });
			linkTo(row, passage.path, passage.heading, placeName(passage.path, passage.heading));
			const via = passage.via ? `, via ${viaName(passage.via)}` : "";
			row.createSpan({ cls: "kos-why", text: `${passage.why}${via}` });
		}
		if (passages.length <= SHOWN) return;
		const more = this.el.createEl("button", { cls: "kos-more kos-quiet", attr: { "aria-expanded": String(this.all) } });
		setIcon(more.createSpan(), this.all ? "chevron-up" : "chevron-down");
		more.createSpan({ text: this.all ? "Fewer" : `${passages.length - SHOWN} more` });
		more.addEventListener("click", () => {
			this.all = !this.all;
			this.draw(tokens, budget);
			this.el.find(".kos-more")?.focus();
		});
	}
}
