/** The line at the foot of the panel: a command with its words, a question, or a follow-up. */
import { setIcon } from "obsidian";

export class Composer {
	readonly input: HTMLTextAreaElement;
	private readonly note: HTMLElement;

	/** @param send whether what was typed was taken; otherwise it stays */
	constructor(
		el: HTMLElement,
		private readonly send: (text: string) => string,
	) {
		el.addClass("kos-composer");
		this.note = el.createDiv({ cls: "kos-composer-note", attr: { role: "status" } });
		const row = el.createDiv({ cls: "kos-composer-row" });
		this.input = row.createEl("textarea", { attr: { rows: "1", "aria-label": "Question or command" } });
		const button = row.createEl("button", { cls: "kos-send mod-cta", attr: { "aria-label": "Send" } });
		setIcon(button, "arrow-up");
		button.addEventListener("click", () => this.submit());
		this.input.addEventListener("input", () => this.fit());
		this.input.addEventListener("keydown", (event) => {
			// While an input method composes, Enter takes what it offers.
			if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
			event.preventDefault();
			this.submit();
		});
	}

	/** What it asks for, when it is empty. */
	hint(text: string): void {
		this.input.placeholder = text;
	}

	/** Put words in for the person to go on with. */
	fill(text: string): void {
		this.input.value = text;
		this.fit();
		this.input.setSelectionRange(text.length, text.length);
	}

	private submit(): void {
		const text = this.input.value.trim();
		if (!text) return;
		const refused = this.send(text);
		this.note.setText(refused);
		if (!refused) this.fill("");
	}

	/** As tall as its text, up to a bound the styles set. */
	private fit(): void {
		this.input.setCssProps({ "--kos-rows": String(Math.min(8, this.input.value.split("\n").length)) });
		this.note.setText("");
	}
}
