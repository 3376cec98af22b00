/** The panel: one run from sources to answer and proposals, and the line to ask the next. It draws; it decides nothing. */
import { ItemView, type HoverParent, type HoverPopover, type WorkspaceLeaf } from "obsidian";
import { sentence } from "../api/errors";
import type { Edit, Finding } from "../api/events";
import { degradedWords, isOver, phaseWords, proposals, typed, type RunRecord } from "../runs/run";
import { AnswerBody } from "./answer-body";
import { Composer } from "./composer";
import { drawHistory } from "./history-list";
import { linkTo, noteName, wireLinks } from "./links";
import { iconButton, ProposalView, type Decide } from "./proposal-view";
import { SourceList } from "./source-list";

export const VIEW_TYPE = "knowledge-os-answer";
export const PRODUCT = "Knowledge OS";

/** What can be done with an answer. */
export type Deed = "insert" | "replace" | "copy" | "new-note" | "receipt" | "again" | "stop" | "setup" | "mode";

/** What the panel needs of the plugin. */
export interface Panel extends Decide {
	records(): readonly RunRecord[];
	clearHistory(): void;
	captures(command: string): boolean;
	/** Whether a selection was sent along and can be replaced. */
	canReplace(record: RunRecord): boolean;
	paired(): boolean;
	/** The mode of the nodes that have one, "" where none has. */
	mode(): string;
	act(deed: Deed, record: RunRecord | null): void;
	/** Send what was typed; why not, when it was not taken. */
	send(text: string, shown: RunRecord | null): string;
}

interface Parts {
	title: HTMLElement;
	chip: HTMLElement;
	mode: HTMLElement;
	stop: HTMLElement;
	decision: HTMLElement;
	phase: HTMLElement;
	scroll: HTMLElement;
	welcome: HTMLElement;
	notices: HTMLElement;
	kept: HTMLElement;
	sources: SourceList;
	body: AnswerBody;
	doubts: HTMLElement;
	findings: HTMLElement;
	proposals: HTMLElement;
	actions: HTMLElement;
	history: HTMLElement;
	composer: Composer;
}

export class AnswerView extends ItemView implements HoverParent {
	hoverPopover: HoverPopover | null = null;
	private parts: Parts | null = null;
	private record: RunRecord | null = null;
	private proposalViews = new Map<string, { view: ProposalView; status: Edit["status"] }>();
	private readonly dismissed = new Set<string>();

	constructor(
		leaf: WorkspaceLeaf,
		private readonly panel: Panel,
	) {
		super(leaf);
		this.navigation = false;
	}

	override getViewType(): string {
		return VIEW_TYPE;
	}

	override getDisplayText(): string {
		return PRODUCT;
	}

	override getIcon(): string {
		return "compass";
	}

	protected override async onOpen(): Promise<void> {
		this.parts = this.build();
		this.refresh();
		const [last] = this.panel.records();
		if (last) this.show(last);
	}

	protected override async onClose(): Promise<void> {
		this.parts = null;
	}

	/** The run that is shown. */
	get shown(): RunRecord | null {
		return this.record;
	}

	/** Show a run, or the next state of the one that is shown. */
	show(record: RunRecord): void {
		const { parts } = this;
		const before = this.record?.key === record.key ? this.record : null;
		this.record = record;
		if (!parts) return;
		if (!before) {
			parts.body.clear();
			parts.proposals.empty();
			this.proposalViews.clear();
			parts.scroll.scrollTop = 0;
			this.toggle(parts.decision, false);
			this.toggle(parts.history, false);
		}
		this.contentEl.dataset["state"] = record.state;
		parts.welcome.empty();
		setText(parts.title, typed(record));
		setText(parts.phase, phaseWords(record));
		this.drawChip(parts, record);
		this.toggle(parts.stop, !isOver(record));
		if (changed(before, record, ["degraded", "findings", "fault", "state"])) this.drawNotices(parts, record);
		if (changed(before, record, ["kept", "edits"])) this.drawKept(parts, record);
		parts.sources.show(record);
		if (isOver(record)) {
			if (changed(before, record, ["state", "answer", "unsupported"])) void parts.body.finish(record.answer, record.unsupported);
		} else parts.body.show(record.answer);
		if (changed(before, record, ["unsupported", "state"])) this.drawDoubts(parts, record);
		if (changed(before, record, ["edits", "state"])) this.drawProposals(parts, record);
		if (changed(before, record, ["state", "answer"])) this.drawActions(parts, record);
		parts.composer.hint(this.hint(record));
	}

	/** Draw anew what depends on the service rather than on the run: pairing and modes. */
	refresh(): void {
		if (!this.parts) return;
		this.drawMode(this.parts);
		if (!this.record) this.drawIdle(this.parts);
	}

	/** Put words into the line at the foot, and the cursor behind them. */
	compose(text: string, focus: boolean): void {
		const composer = this.parts?.composer;
		if (!composer || (!focus && composer.input.value)) return;
		composer.fill(text);
		if (focus) composer.input.focus();
	}

	/** Move the focus to the first proposal that waits, for good or lent by the note; whether there is one. */
	focusProposal(lent: boolean): boolean {
		for (const { view, status } of this.proposalViews.values()) {
			if (status !== "proposed") continue;
			view.focus(lent);
			return true;
		}
		return false;
	}

	/** Take a proposal out of sight; it stays with the service. */
	dismiss(edit: Edit): void {
		this.dismissed.add(edit.id);
		const { parts } = this;
		if (!parts || !this.record) return;
		const focused = parts.proposals.contains(parts.proposals.doc.activeElement);
		this.drawProposals(parts, this.record);
		if (focused) parts.composer.input.focus();
	}

	private build(): Parts {
		const root = this.contentEl;
		root.empty();
		root.addClass("kos-view");
		const header = root.createDiv({ cls: "kos-header" });
		const title = header.createDiv({ cls: "kos-title" });
		const chip = header.createEl("button", { cls: "kos-chip", attr: { "aria-expanded": "false" } });
		const mode = header.createDiv({ cls: "kos-mode-place" });
		iconButton(header, "kos-history-toggle", "history", "Earlier answers", () => this.toggleHistory());
		const decision = root.createDiv({ cls: "kos-decision" });
		chip.addEventListener("click", () => {
			this.toggle(decision, decision.hasClass("is-hidden"));
			chip.setAttribute("aria-expanded", String(!decision.hasClass("is-hidden")));
		});
		const line = root.createDiv({ cls: "kos-phase-line" });
		const phase = line.createDiv({ cls: "kos-phase", attr: { role: "status", "aria-live": "polite" } });
		const stop = line.createEl("button", { cls: "kos-stop", text: "Stop" });
		stop.addEventListener("click", () => this.panel.act("stop", this.record));
		const scroll = root.createDiv({ cls: "kos-scroll", attr: { tabindex: "-1" } });
		wireLinks(this.app, scroll, this, this);
		const part = (cls: string): HTMLElement => scroll.createDiv({ cls });
		const parts: Parts = {
			title,
			chip,
			mode,
			stop,
			decision,
			phase,
			scroll,
			welcome: part("kos-welcome"),
			notices: part("kos-notices"),
			kept: part("kos-kept"),
			sources: new SourceList(part("kos-sources")),
			body: new AnswerBody(this.app, part("kos-body"), this),
			doubts: part("kos-doubts"),
			findings: part("kos-findings"),
			actions: part("kos-actions kos-answer-actions"),
			proposals: part("kos-proposals"),
			history: root.createDiv({ cls: "kos-history", attr: { role: "region", "aria-label": "Earlier answers" } }),
			composer: new Composer(root.createDiv(), (text) => this.panel.send(text, this.record)),
		};
		for (const hidden of [decision, parts.history, stop, chip]) this.toggle(hidden, false);
		return parts;
	}

	/** What is shown before anything was asked. */
	private drawIdle(parts: Parts): void {
		this.contentEl.dataset["state"] = "idle";
		setText(parts.title, PRODUCT);
		setText(parts.phase, "");
		parts.welcome.empty();
		parts.composer.hint("Ask your vault, or /command");
		if (this.panel.paired()) {
			parts.welcome.createEl("p", { text: "Type a command such as /orient in a note, or ask below." });
			return;
		}
		parts.welcome.createEl("p", { text: "Your notes are answered by models on your own machine. Connect to the service that runs there." });
		const button = parts.welcome.createEl("button", { cls: "mod-cta kos-set-up", text: "Set up" });
		button.addEventListener("click", () => this.panel.act("setup", null));
	}

	private hint(record: RunRecord): string {
		if (!isOver(record)) return "Ask something else, or /command";
		return record.state === "done" ? "Ask a follow-up, or /command" : "Ask your vault, or /command";
	}

	private drawChip(parts: Parts, { decision }: RunRecord): void {
		this.toggle(parts.chip, decision !== null);
		if (!decision) return;
		setText(parts.chip, `${decision.tier} · ${decision.model}`);
		parts.chip.setAttribute("aria-label", decision.why);
		parts.decision.empty();
		parts.decision.createDiv({ cls: "kos-decision-why", text: sentence(decision.why) });
		const facts = [`on ${decision.node}`, `window of ${decision.num_ctx} tokens`, `rule ${decision.rule}`];
		parts.decision.createDiv({ cls: "kos-faint", text: facts.join(" · ") });
		for (const { runner, reason } of decision.rejected) parts.decision.createDiv({ cls: "kos-faint", text: `Not ${runner}: ${reason}` });
	}

	private drawMode(parts: Parts): void {
		const mode = this.panel.mode();
		parts.mode.empty();
		if (!mode) return;
		const gaming = mode === "GAMING";
		const name = gaming ? "Gaming mode: the graphics card is kept free" : "Gaming mode: keep the graphics card free";
		const button = iconButton(parts.mode, "kos-mode", "gamepad-2", name, () => this.panel.act("mode", null));
		button.setAttribute("role", "switch");
		button.setAttribute("aria-checked", String(gaming));
	}

	private drawNotices(parts: Parts, record: RunRecord): void {
		parts.notices.empty();
		if (record.fault) {
			const box = parts.notices.createDiv({ cls: "kos-error", attr: { role: "alert" } });
			box.createDiv({ text: record.fault.message });
			if (record.fault.hint) box.createDiv({ cls: "kos-faint", text: record.fault.hint });
			if (["unauthorized", "offline", "unknown_host", "wrong_host", "strange"].includes(record.fault.code)) {
				const setUp = box.createEl("button", { cls: "kos-set-up", text: "Set up" });
				setUp.addEventListener("click", () => this.panel.act("setup", null));
			}
		}
		const grave = record.findings.filter((one) => one.weight === "error" && !one.path);
		for (const words of degradedWords(record)) {
			const box = parts.notices.createDiv({ cls: "kos-degraded" });
			box.createDiv({ text: words });
			for (const finding of grave.splice(0)) drawWhy(box, finding);
		}
		for (const finding of grave) drawWhy(parts.notices.createDiv({ cls: "kos-degraded" }), finding);
		this.drawFindings(parts, record.findings.filter((one) => one.weight !== "error" || one.path));
	}

	private drawFindings(parts: Parts, findings: readonly Finding[]): void {
		parts.findings.empty();
		if (!findings.length) return;
		const box = parts.findings.createEl("details");
		box.createEl("summary", { text: findings.length === 1 ? "1 finding" : `${findings.length} findings` });
		for (const { path, message, hint } of findings) {
			const row = box.createDiv({ cls: "kos-finding" });
			if (path) linkTo(row, path, "", noteName(path));
			row.createSpan({ text: message });
			if (hint) row.createDiv({ cls: "kos-faint", text: hint });
		}
	}

	private drawKept(parts: Parts, { kept, edits }: RunRecord): void {
		parts.kept.empty();
		const [words] = edits;
		if (!kept || !words) return;
		const undone = words.status === "undone";
		parts.kept.createSpan({ cls: "kos-kept-sign", text: undone ? "↶ " : "✓ " });
		parts.kept.createSpan({ text: undone ? "Your words are taken back from " : "Your words are kept in " });
		linkTo(parts.kept, kept, "", noteName(kept));
		if (undone) return;
		const undo = parts.kept.createEl("button", { cls: "kos-undo-words kos-quiet", text: "Undo" });
		undo.addEventListener("click", () => void this.panel.undo(words));
	}

	private drawDoubts(parts: Parts, { unsupported, state }: RunRecord): void {
		const count = state === "done" ? unsupported.length : 0;
		const words = count === 1 ? "1 sentence is" : `${count} sentences are`;
		parts.doubts.setText(count ? `${words} not supported by the notes cited, and marked.` : "");
	}

	private drawProposals(parts: Parts, record: RunRecord): void {
		const edits = proposals(record, this.panel.captures(record.command)).filter((edit) => !this.dismissed.has(edit.id));
		for (const [id, { view }] of this.proposalViews) {
			if (edits.some((edit) => edit.id === id)) continue;
			view.remove();
			this.proposalViews.delete(id);
		}
		for (const edit of edits) {
			const known = this.proposalViews.get(edit.id);
			if (known?.status === edit.status) continue;
			const view = known?.view ?? new ProposalView(this.app, parts.proposals.createDiv(), this.panel);
			this.proposalViews.set(edit.id, { view, status: edit.status });
			void view.draw(edit);
		}
	}

	private drawActions(parts: Parts, record: RunRecord): void {
		parts.actions.empty();
		if (!isOver(record)) return;
		const button = (deed: Deed, cls: string, text: string): void => {
			const el = parts.actions.createEl("button", { cls, text });
			el.addEventListener("click", () => this.panel.act(deed, this.record));
		};
		if (record.answer) {
			button("insert", "kos-insert", "Insert at cursor");
			if (this.panel.canReplace(record)) button("replace", "kos-replace", "Replace selection");
			button("copy", "kos-copy", "Copy");
			button("new-note", "kos-new-note", "New note");
		}
		if (record.passages.length && record.run) button("receipt", "kos-receipt", "Why this answer");
		button("again", "kos-again", "Run again");
	}

	private toggleHistory(): void {
		const { parts } = this;
		if (!parts) return;
		const open = parts.history.hasClass("is-hidden");
		this.toggle(parts.history, open);
		if (!open) return;
		const pick = (record: RunRecord): void => {
			this.toggle(parts.history, false);
			this.show(record);
			parts.scroll.focus();
		};
		const clear = (): void => {
			this.panel.clearHistory();
			this.toggle(parts.history, false);
		};
		drawHistory(parts.history, this.panel.records(), pick, clear);
		parts.history.find("button")?.focus();
	}

	private toggle(el: HTMLElement, shown: boolean): void {
		el.toggleClass("is-hidden", !shown);
	}
}

/** Whether any of these parts of a run is another than before. */
function changed(before: RunRecord | null, now: RunRecord, names: (keyof RunRecord)[]): boolean {
	return !before || names.some((name) => before[name] !== now[name]);
}

/** Set a text only when it is another: those who listen hear each change. */
function setText(el: HTMLElement, text: string): void {
	if (el.textContent !== text) el.setText(text);
}

function drawWhy(parent: HTMLElement, { message, hint }: Finding): void {
	parent.createDiv({ cls: "kos-faint", text: `${sentence(message)} ${hint}`.trim() });
}
