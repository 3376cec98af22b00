/** One edit that waits for a yes: what it does to each note, hunk by hunk, each of which can be left out. */
import { setIcon, type App } from "obsidian";
import type { Change, Edit, Hunk } from "../api/events";
import { headingAt, hunkRows, lineRows, together, type Row } from "../edits/diff";
import type { Applied } from "../edits/desk";
import { chosen, digest, textOf } from "../edits/patch";
import { linkTo, noteName } from "./links";

/** What the person can do with an edit. */
export interface Decide {
	apply(edit: Edit, hunks: ReadonlySet<string>): Promise<void>;
	dismiss(edit: Edit): void;
	undo(edit: Edit): Promise<void>;
	/** A proposed edit as it fits the notes of now, null when the service does not tell. */
	current(edit: Edit): Promise<Edit | null>;
	/** What was written of an edit that was applied here, null when that is no longer known. */
	applied(edit: Edit): Applied | null;
	/** Give the focus back to the note. */
	leave(): void;
	/** Show the note as it is beside what was wanted. */
	compare(change: Change, theirs: string | null): void;
}

// Enter that was meant for the editor must not apply what has just taken the focus.
const GUARD_MS = 400;
// What stays here while the focus is lent; any other key is of a person who writes on.
const OWN_KEYS = ["Tab", "Shift", "Control", "Alt", "Meta", "PageUp", "PageDown", "ArrowUp", "ArrowDown", "Home", "End"];

export class ProposalView {
	/** Each box, and the hunks it stands for. */
	private readonly boxes = new Map<HTMLInputElement, Hunk[]>();
	private applyButton: HTMLButtonElement | null = null;
	private guardedUntil = 0;
	private working = false;
	private wantsFocus: "lent" | "apply" | null = null;
	private lent = false;
	private edit: Edit | null = null;

	constructor(
		private readonly app: App,
		private readonly el: HTMLElement,
		private readonly decide: Decide,
	) {
		el.addClass("kos-proposal");
		el.setAttribute("role", "group");
		el.tabIndex = -1;
		el.addEventListener("keydown", (event) => this.keyed(event));
	}

	/** Draw it; the notes are read, so that the lines around each hunk can be shown. */
	async draw(given: Edit): Promise<void> {
		const { el } = this;
		this.edit = given;
		const applied = given.status === "proposed" ? null : this.decide.applied(given);
		let edit = given;
		let changes = applied ? chosen(edit, new Set(applied.hunks)) : edit.changes;
		let texts = await Promise.all(changes.map((change) => this.read(change, applied)));
		if (edit.status === "proposed" && texts.some(({ fits }) => !fits)) {
			edit = (await this.decide.current(edit)) ?? edit;
			changes = edit.changes;
			texts = await Promise.all(changes.map((change) => this.read(change, null)));
		}
		if (this.edit !== given) return;
		const focused = el.contains(el.doc.activeElement);
		el.empty();
		el.setAttribute("aria-label", `Proposed: ${edit.title}`);
		this.boxes.clear();
		this.applyButton = null;
		el.dataset["status"] = edit.status;
		const head = el.createDiv({ cls: "kos-section" });
		head.createSpan({ text: edit.status === "applied" ? "Applied" : edit.status === "undone" ? "Taken back" : "Proposed changes" });
		head.createSpan({ cls: "kos-faint", text: edit.title });
		changes.forEach((change, i) => this.drawChange(edit, change, texts[i] ?? null));
		const bar = this.drawButtons(edit);
		// Not to Undo: a key too many would take back what was just applied.
		if (focused) (edit.status === "proposed" ? bar.find("button") : el)?.focus({ preventScroll: true });
		this.takeFocus();
	}

	/** While the focus is lent, Enter applies, and whoever writes on is back in the note with the very key they pressed. */
	private keyed(event: KeyboardEvent): void {
		if (event.target !== this.el || !this.lent || OWN_KEYS.includes(event.key)) return;
		if (event.key === "Enter") {
			event.preventDefault();
			if (Date.now() >= this.guardedUntil) this.applyButton?.click();
			return;
		}
		if (event.key === "Escape") event.preventDefault();
		this.lent = false;
		this.decide.leave();
	}

	/** Take the focus, once there is something to apply, and bring the beginning of it into sight. */
	private takeFocus(): void {
		if (!this.wantsFocus || !this.applyButton) return;
		this.lent = this.wantsFocus === "lent";
		(this.lent ? this.el : this.applyButton).focus({ preventScroll: true });
		this.wantsFocus = null;
		this.el.scrollIntoView({ block: "nearest" });
		if (this.el.offsetHeight > (this.el.parentElement?.parentElement?.clientHeight ?? 0)) this.el.scrollIntoView({ block: "start" });
	}

	remove(): void {
		this.el.remove();
	}

	/**
	 * Move the focus here.
	 * @param lent it is the note's, and goes back with the next key that is not for here; an Enter in the next moment is taken
	 *   for one that was meant for the note
	 */
	focus(lent: boolean): void {
		this.guardedUntil = Date.now() + (lent ? GUARD_MS : 0);
		this.wantsFocus = lent ? "lent" : "apply";
		this.takeFocus();
	}

	/** The note as it is, or was before it was changed: its text, and whether it is the one that the change was made for. */
	private async read(change: Change, applied: Applied | null): Promise<{ text: string | null; fits: boolean }> {
		const written = applied?.notes.find((note) => note.path === change.path);
		if (written) return { text: written.before ?? "", fits: true };
		const file = this.app.vault.getFileByPath(change.path);
		if (!file) return { text: null, fits: !change.base };
		const bytes = await this.app.vault.readBinary(file);
		const text = textOf(bytes)?.text ?? null;
		return { text, fits: change.base !== "" && (await digest(bytes)) === change.base };
	}

	private drawChange(edit: Edit, change: Change, note: { text: string | null; fits: boolean } | null): void {
		const box = this.el.createDiv({ cls: "kos-change" });
		const head = box.createDiv({ cls: "kos-change-head" });
		linkTo(head, change.path, "", noteName(change.path));
		const folder = change.path.slice(0, Math.max(0, change.path.lastIndexOf("/")));
		if (folder) head.createSpan({ cls: "kos-faint", text: folder });
		if (!change.base) head.createSpan({ cls: "kos-badge", text: "New note" });
		const waits = edit.status === "proposed";
		if (waits && note && !note.fits) {
			const changed = head.createEl("button", { cls: "kos-badge mod-warning kos-changed", text: "The note changed: compare" });
			changed.addEventListener("click", () => this.decide.compare(change, note.text));
		}
		const text = note?.fits ? (note.text ?? "") : null;
		const groups = text === null ? change.hunks.map((hunk) => [hunk]) : together(text, change.hunks);
		for (const hunks of groups) this.drawHunks(box, hunks, text, waits);
	}

	private drawHunks(parent: HTMLElement, hunks: Hunk[], text: string | null, waits: boolean): void {
		const box = parent.createDiv({ cls: "kos-hunk" });
		const label = box.createEl("label", { cls: "kos-hunk-head" });
		if (waits) {
			const check = label.createEl("input", { type: "checkbox" });
			check.checked = true;
			check.addEventListener("change", () => {
				box.toggleClass("is-left-out", !check.checked);
				this.count();
			});
			this.boxes.set(check, hunks);
		}
		const whys = new Set(hunks.map((hunk) => hunk.why).filter(Boolean));
		const place = text === null ? "" : headingAt(text, hunks[0]?.start16 ?? 0);
		label.createSpan({ text: [...whys].join("; ") || "Change" });
		if (place) label.createSpan({ cls: "kos-faint", text: `below ${place}` });
		const rows = text === null ? hunks.flatMap((hunk) => lineRows(hunk.old, hunk.new.replace(/^\n/, ""))) : hunkRows(text, hunks);
		drawRows(box, rows);
	}

	private drawButtons(edit: Edit): HTMLElement {
		const bar = this.el.createDiv({ cls: "kos-actions" });
		if (edit.status === "applied") {
			const undo = bar.createEl("button", { cls: "kos-undo", text: "Undo" });
			undo.addEventListener("click", () => void this.once(() => this.decide.undo(edit)));
		}
		if (edit.status !== "proposed") return bar;
		const apply = bar.createEl("button", { cls: "kos-apply mod-cta" });
		apply.addEventListener("click", () => void this.once(() => this.decide.apply(edit, new Set(this.wanted().flatMap((hunks) => hunks.map((hunk) => hunk.id))))));
		this.applyButton = apply;
		this.count();
		const dismiss = bar.createEl("button", { cls: "kos-dismiss", text: "Dismiss" });
		dismiss.addEventListener("click", () => this.decide.dismiss(edit));
		bar.createSpan({ cls: "kos-lent-hint kos-faint", text: "Enter applies, writing on goes back to the note" });
		return bar;
	}

	private wanted(): Hunk[][] {
		return [...this.boxes].filter(([check]) => check.checked).map(([, hunks]) => hunks);
	}

	private count(): void {
		const wanted = this.wanted().length;
		if (!this.applyButton) return;
		this.applyButton.setText(wanted === 1 ? "Apply 1 change" : `Apply ${wanted} changes`);
		this.applyButton.disabled = wanted === 0;
	}

	private async once(work: () => Promise<void>): Promise<void> {
		if (this.working) return;
		this.working = true;
		const { lent } = this;
		try {
			await work();
		} finally {
			this.working = false;
			this.lent = false;
			if (lent && this.edit?.status !== "proposed") this.decide.leave();
		}
	}
}

/** Lines with a sign, a colour, and a word for those who hear them. */
function drawRows(parent: HTMLElement, rows: readonly Row[]): void {
	const diff = parent.createDiv({ cls: "kos-diff" });
	for (const { kind, parts } of rows) {
		const line = diff.createDiv({ cls: `kos-line kos-${kind}` });
		const sign = line.createSpan({ cls: "kos-sign", text: kind === "add" ? "+" : kind === "del" ? "−" : " " });
		if (kind !== "same") sign.setAttribute("aria-label", kind === "add" ? "added" : "removed");
		const text = line.createSpan({ cls: "kos-line-text" });
		for (const part of parts) {
			if (part.changed) text.createEl("mark", { text: part.text });
			else text.appendText(part.text);
		}
	}
}

/** A button that shows an icon, and says its name to those who cannot see it. */
export function iconButton(parent: HTMLElement, cls: string, icon: string, name: string, act: () => void): HTMLElement {
	const button = parent.createEl("button", { cls: `clickable-icon ${cls}`, attr: { "aria-label": name } });
	setIcon(button, icon);
	button.addEventListener("click", act);
	return button;
}
