/** The windows that open over the panel: two texts of a note, why an answer is as it is, what a map gathers. */
import { Component, ConfirmationModal, Modal, Notice, type App } from "obsidian";
import type { MapMembers, Receipt } from "../api/client";
import { sentence } from "../api/errors";
import type { RunRecord } from "../runs/run";
import { linkTo, noteName, placeName, viaName, wireLinks } from "./links";

/** A window whose links work and close it. */
abstract class LinkedModal extends Modal {
	private readonly owner = new Component();

	protected wire(): void {
		this.owner.load();
		wireLinks(this.app, this.contentEl, this.owner, { hoverPopover: null });
		this.owner.registerDomEvent(this.contentEl, "click", (event) => {
			const node = event.target as Node | null;
			if (node?.instanceOf(Element) && node.closest("a.internal-link")) this.close();
		});
	}

	override onClose(): void {
		this.owner.unload();
		this.contentEl.empty();
	}
}

/** A note that changed: its text now beside what was wanted in it. Nothing was written. */
export class ConflictModal extends LinkedModal {
	constructor(
		app: App,
		private readonly path: string,
		private readonly theirs: string | null,
		private readonly ours: string,
	) {
		super(app);
	}

	override onOpen(): void {
		const { contentEl } = this;
		this.setTitle(`${noteName(this.path)} changed since`);
		this.modalEl.addClass("kos-conflict");
		this.wire();
		const said = this.theirs === null ? "The note is gone." : "The note was written in since the change was proposed.";
		contentEl.createEl("p", { text: `${said} Nothing was written, in other notes neither: leave out the changes of this note to apply the rest, and take over by hand what is still wanted.` });
		linkTo(contentEl.createEl("p"), this.path, "", "Open the note");
		const texts = contentEl.createDiv({ cls: "kos-texts" });
		this.text(texts, "kos-ours", "What was wanted", this.ours);
		if (this.theirs !== null) this.text(texts, "kos-theirs", "The note now", this.theirs);
	}

	private text(parent: HTMLElement, cls: string, title: string, text: string): void {
		const box = parent.createDiv({ cls });
		const head = box.createDiv({ cls: "kos-section" });
		head.createSpan({ text: title });
		const copy = head.createEl("button", { text: "Copy" });
		copy.addEventListener("click", () => void copyText(text));
		box.createEl("pre", { text, attr: { tabindex: "0" } });
	}
}

/** Everything an answer was made of, and what was cut. */
export class ReceiptModal extends LinkedModal {
	constructor(
		app: App,
		private readonly record: RunRecord,
		private readonly receipt: Receipt,
		private readonly replay: () => Promise<string>,
	) {
		super(app);
	}

	override onOpen(): void {
		const { contentEl, receipt, record } = this;
		this.setTitle("Why this answer");
		this.modalEl.addClass("kos-receipt-modal");
		this.wire();
		const { decision, usage } = record;
		if (decision) {
			contentEl.createEl("p", { text: `${decision.model} on ${decision.node}. ${sentence(decision.why)}` });
			for (const { runner, reason } of decision.rejected) contentEl.createDiv({ cls: "kos-faint", text: `Not ${runner}: ${reason}` });
		} else contentEl.createEl("p", { text: "No model answered." });
		if (usage?.num_ctx) contentEl.createDiv({ cls: "kos-faint", text: usageWords(usage.prompt_tokens, usage.prompt_eval_count, usage.num_ctx) });
		this.passages(`Used: ${receipt.passages.length} passages, ${receipt.tokens} of ${receipt.budget_tokens} tokens`, receipt.passages);
		if (receipt.cut.length) this.passages(`Left out: ${receipt.cut.length}`, receipt.cut);
		const bar = contentEl.createDiv({ cls: "kos-actions" });
		const again = bar.createEl("button", { cls: "kos-replay", text: "Read the passages again" });
		const said = bar.createSpan({ cls: "kos-faint", attr: { role: "status" } });
		again.addEventListener("click", () => void this.replay().then((words) => said.setText(words)));
	}

	private passages(title: string, passages: readonly { path: string; heading: string; tokens: number; why: string; via?: string }[]): void {
		const box = this.contentEl.createEl("details", { attr: { open: "" } });
		box.createEl("summary", { text: title });
		for (const { path, heading, tokens, why, via } of passages) {
			const row = box.createDiv({ cls: "kos-receipt-row" });
			linkTo(row, path, heading, placeName(path, heading));
			row.createSpan({ cls: "kos-why", text: `${why}${via ? `, via ${viaName(via)}` : ""} · ${tokens} tokens` });
		}
	}
}

function usageWords(sent: number, read: number | null, window: number): string {
	return `About ${sent} tokens sent${read === null ? "" : `, ${read} read by the model`}, of a window of ${window}.`;
}

/** What a map of content gathers, by its sections, and how each member was found. */
export class MapModal extends LinkedModal {
	constructor(
		app: App,
		private readonly map: MapMembers,
	) {
		super(app);
	}

	override onOpen(): void {
		const { contentEl, map } = this;
		this.setTitle(noteName(map.path));
		this.modalEl.addClass("kos-map-modal");
		this.wire();
		const count = map.members.length === 1 ? "1 member" : `${map.members.length} members`;
		contentEl.createEl("p", { text: `A map (${map.why}) with ${count}.${map.unresolved ? ` ${map.unresolved} ${map.unresolved === 1 ? "link leads" : "links lead"} nowhere.` : ""}` });
		let section = "";
		for (const member of map.places) {
			if (member.section !== section) contentEl.createDiv({ cls: "kos-section", text: member.section.split(" > ").join(" › ") });
			section = member.section;
			const row = contentEl.createDiv({ cls: "kos-member" });
			linkTo(row, member.path, "", noteName(member.path));
			row.createSpan({ cls: "kos-how", text: member.how });
		}
		for (const { section: place, kind, why } of map.unsupported) {
			const below = place ? ` below ${place.split(" > ").join(" › ")}` : "";
			contentEl.createDiv({ cls: "kos-degraded", text: `A query (${kind})${below} is not evaluated: ${why}.` });
		}
	}
}

/** Ask for a second yes; whether it was given. */
export function confirmed(app: App, title: string, why: string, yes: string): Promise<boolean> {
	return new Promise((resolve) => {
		const modal = new ConfirmationModal(app);
		modal.setTitle(title);
		modal.setContent(why);
		modal.addButton((button) => {
			button.setButtonText(yes).setDestructive();
			button.onClick(() => resolve(true));
		});
		modal.addCancelButton();
		modal.setCloseCallback(() => resolve(false));
		modal.open();
	});
}

/** Put a text on the clipboard, and say so. */
export async function copyText(text: string): Promise<void> {
	await navigator.clipboard.writeText(text);
	new Notice("Copied.");
}
