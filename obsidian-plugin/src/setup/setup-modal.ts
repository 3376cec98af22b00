/** The first meeting: where the service is, the token it asks for, and whether everything between here and there works. */
import { Modal, Setting, type App } from "obsidian";
import { addressFault } from "../settings/settings";
import type { Step } from "./check";

/** What is set up. */
export interface Pairing {
	address: string;
	token: string;
}

/** What the window needs of the plugin. */
export interface SetUp {
	pairing(): Pairing;
	keep(pairing: Pairing): Promise<void>;
	check(): Promise<Step[]>;
}

// Typed as they stand, so no sentence case.
const COMMANDS = ["kos serve", "kos token"].join("\n");
const SIGNS: Record<Step["result"], string> = { ok: "✓", failed: "✗", skipped: "–" };
const HEARD: Record<Step["result"], string> = { ok: "works", failed: "fails", skipped: "not tried" };

export class SetupModal extends Modal {
	private first: HTMLInputElement | null = null;

	constructor(
		app: App,
		private readonly setUp: SetUp,
	) {
		super(app);
	}

	override onOpen(): void {
		const { contentEl } = this;
		this.setTitle("Connect to your service");
		this.modalEl.addClass("kos-setup");
		contentEl.createEl("p", { text: "Start it on your machine with the first command; the second prints the token." });
		contentEl.createEl("pre", { text: COMMANDS });
		const pairing = { ...this.setUp.pairing() };
		const fault = createDiv({ cls: "kos-error" });
		new Setting(contentEl).setName("Address").addText((text) => {
			text.inputEl.addClass("kos-address");
			text.setValue(pairing.address).onChange((value) => {
				pairing.address = value;
				fault.setText(addressFault(value));
			});
		});
		contentEl.append(fault);
		new Setting(contentEl).setName("Token").setDesc("Kept in the secret storage of this device.").addText((text) => {
			text.inputEl.type = "password";
			text.inputEl.autocomplete = "off";
			text.inputEl.addClass("kos-token");
			this.first = text.inputEl;
			text.setValue(pairing.token).onChange((value) => {
				pairing.token = value.trim();
			});
		});
		const steps = createDiv({ cls: "kos-steps", attr: { role: "status", "aria-live": "polite" } });
		const bar = contentEl.createDiv({ cls: "kos-actions" });
		const test = bar.createEl("button", { cls: "kos-test mod-cta", text: "Save and test connection" });
		test.addEventListener("click", () => void this.test(pairing, test, steps));
		const done = bar.createEl("button", { cls: "kos-done", text: "Close" });
		done.addEventListener("click", () => this.close());
		contentEl.append(steps);
		this.first?.focus();
	}

	override onClose(): void {
		this.contentEl.empty();
	}

	private async test(pairing: Pairing, button: HTMLButtonElement, el: HTMLElement): Promise<void> {
		if (addressFault(pairing.address)) return;
		button.disabled = true;
		el.setText("Trying…");
		try {
			await this.setUp.keep(pairing);
			drawSteps(el, await this.setUp.check());
		} finally {
			button.disabled = false;
		}
	}
}

/** The steps of a check, one a line. */
export function drawSteps(el: HTMLElement, steps: readonly Step[]): void {
	el.empty();
	for (const { name, result, words } of steps) {
		const row = el.createDiv({ cls: "kos-step", attr: { "data-result": result } });
		row.createSpan({ cls: "kos-step-sign", text: SIGNS[result], attr: { "aria-label": HEARD[result] } });
		row.createSpan({ cls: "kos-step-name", text: name });
		row.createSpan({ cls: "kos-step-words", text: words });
	}
}
