/** What happens when the person types, clicks or chooses: brings runs, notes, the panel and the service together. */
import { normalizePath, Notice, type Editor, type EditorPosition, type Menu } from "obsidian";
import type { Asking, Command } from "./api/client";
import { Fault, faultOf } from "./api/errors";
import type { Change, Edit } from "./api/events";
import { canStream } from "./api/stream";
import type { Applied, Desk } from "./edits/desk";
import { NoteChanged, type Written } from "./edits/writer";
import { Attention } from "./editor/attention";
import { insertAtCursor, lastNote, replaceSelection, takeOut } from "./editor/insert";
import { spoken } from "./editor/slash";
import type KnowledgeOsPlugin from "./main";
import type { History } from "./runs/history";
import { degradedWords, isOver, proposals, typed, withStatus, type RunRecord } from "./runs/run";
import { allHunks, type Runs } from "./runs/runs";
import { baseOf, isHidden } from "./settings/settings";
import { check, probe } from "./setup/check";
import { SetupModal } from "./setup/setup-modal";
import { condition, type StatusBar } from "./status/status-bar";
import { AnswerView, VIEW_TYPE, type Deed, type Panel } from "./views/answer-view";
import { noteName } from "./views/links";
import { confirmed, ConflictModal, copyText, MapModal, ReceiptModal } from "./views/modals";

/** What a command is asked with, beside its words: the open note, what is selected there, the run it follows. */
type From = Pick<Asking, "note" | "selection" | "follows">;
const NOWHERE: From = { note: null, selection: null, follows: null };

export class Conductor implements Panel {
	bar!: StatusBar;
	private readonly attention = new Attention();
	/** Whether the person is being asked about an undo. */
	private asked = false;

	constructor(
		private readonly plugin: KnowledgeOsPlugin,
		private readonly runs: Runs,
		private readonly history: History,
		private readonly desk: Desk,
	) {
		runs.onChange((record) => this.changed(record));
	}

	// -- ways to begin

	/** A command typed in a note: it leaves the note when it is sent, and comes back when it cannot be. */
	async typed(command: Command, words: string, editor: Editor, start: EditorPosition, end: EditorPosition): Promise<void> {
		const putBack = takeOut(editor, start, end);
		const record = await this.run(command.name, words, { ...this.here(), selection: null }, true);
		const lost = isUnsent(record) || (record.state !== "done" && this.captures(command.name) && !record.kept);
		if (lost && !putBack()) (await this.view())?.compose(typed(record), false);
	}

	/** A command chosen from the palette or the menu: words it needs are asked for in the panel. */
	async chosen(name: string): Promise<void> {
		const command = this.plugin.commandsKnown().find((one) => one.name === name);
		const from = this.here();
		if (command?.text === "required") await this.open(true, `/${name} ${from.selection ?? ""}`);
		else await this.run(name, "", from);
	}

	/** A command from the app's own command line; what it gives back is printed there. */
	async fromShell(name: string, words: string): Promise<string> {
		const record = await this.runs.run(name, this.asking(name, words, NOWHERE));
		const waiting = proposals(record, this.captures(name)).filter((edit) => edit.status === "proposed").length;
		const lines = [record.fault ? `${record.fault.message} ${record.fault.hint}`.trim() : record.answer, ...degradedWords(record)];
		if (record.kept) lines.push(`Kept in ${record.kept}.`);
		if (waiting) lines.push("Proposed changes wait in the panel.");
		return lines.filter(Boolean).join("\n\n");
	}

	/** What was typed at the foot of the panel. */
	send(text: string, shown: RunRecord | null): string {
		const said = spoken(text, this.plugin.commandsKnown());
		if (!said) return `There is no command ${text.split(/\s/)[0] ?? text}.`;
		const command = this.plugin.commandsKnown().find((one) => one.name === said.command);
		if (command?.text === "required" && !said.text) return `Add ${command.argument_hint.replace(/[<>[\]]/g, "") || "words"} behind /${said.command}.`;
		const follows = said.command === "ask" && shown?.state === "done" && shown.run ? shown.run : null;
		void this.run(said.command, said.text, { ...this.here(), follows }).then(async (record) => {
			if (isUnsent(record)) (await this.view())?.compose(text, false);
		});
		return "";
	}

	/** The entries of the menu of a note. */
	menu(menu: Menu, editor: Editor): void {
		const selected = editor.somethingSelected();
		for (const { name, text } of this.plugin.commandsKnown()) {
			if (selected !== (text === "required")) continue;
			menu.addItem((item) =>
				item
					.setSection("knowledge-os")
					.setIcon("compass")
					.setTitle(selected ? `${capital(name)} with the selection` : capital(name))
					.onClick(() => void this.chosen(name)),
			);
		}
	}

	/** Follow what was under way when the app was closed. */
	resume(): void {
		for (const record of this.history.open()) void this.runs.resume(record).then(() => void this.bar.refresh());
	}

	// -- the panel

	/** Open the panel, with words to go on with. The cursor stays where it is unless the panel is to have it. */
	async open(focus: boolean, text = ""): Promise<AnswerView | null> {
		const view = await this.view();
		if (focus) view?.compose(text, true);
		return view;
	}

	refresh(): void {
		this.panels().forEach((view) => view.refresh());
	}

	records(): readonly RunRecord[] {
		return this.history.all();
	}

	clearHistory(): void {
		this.history.clear();
	}

	captures(command: string): boolean {
		return this.plugin.captures(command);
	}

	paired(): boolean {
		return this.plugin.token() !== null;
	}

	canReplace(record: RunRecord): boolean {
		return Boolean(record.asking.selection);
	}

	mode(): string {
		return this.bar.known.status?.nodes.find((node) => node.mode)?.mode ?? "";
	}

	act(deed: Deed, record: RunRecord | null): void {
		void this.acted(deed, record).catch((error: unknown) => this.say(error));
	}

	private async acted(deed: Deed, record: RunRecord | null): Promise<void> {
		if (deed === "setup") this.setUp();
		else if (deed === "mode") await this.switchMode();
		else if (!record) return;
		else if (deed === "stop") this.runs.stop(record.key);
		else if (deed === "copy") await copyText(record.answer);
		else if (deed === "insert") this.insert(record.answer);
		else if (deed === "replace") this.replace(record);
		else if (deed === "new-note") await this.newNote(record);
		else if (deed === "receipt") await this.receipt(record);
		else await this.again(record);
	}

	private insert(text: string): void {
		const note = lastNote(this.app);
		if (!note) throw new Error("Open a note first: there is none to insert into.");
		insertAtCursor(note.editor, text);
		note.editor.focus();
	}

	private replace(record: RunRecord): void {
		const note = lastNote(this.app);
		const done = note !== null && replaceSelection(note.editor, record.asking.selection ?? "", record.answer);
		if (!done) throw new Error("The selection is another one now. Select the text again, or insert at the cursor.");
		note?.editor.focus();
	}

	private async newNote(record: RunRecord): Promise<void> {
		const { vault, workspace, fileManager } = this.app;
		const folder = fileManager.getNewFileParent(record.asking.note ?? "").path;
		const title = typed(record).replace(/[\\/:*?"<>|#^[\]\n]+/g, " ").replace(/\s+/g, " ").trim().slice(0, 80) || "Answer";
		let path = "";
		for (let n = 1; n === 1 || vault.getAbstractFileByPath(path); n++) path = normalizePath(`${folder}/${title}${n > 1 ? ` ${n}` : ""}.md`);
		const file = await vault.create(path, record.answer);
		await workspace.getLeaf("tab").openFile(file);
	}

	private async receipt(record: RunRecord): Promise<void> {
		const { client } = this.plugin;
		const receipt = await client.receipt(record.run);
		const replay = async (): Promise<string> => {
			const { identical, changed } = await client.replay(record.run);
			return identical ? "All read the same today." : `Changed since: ${changed.map(noteName).join(", ")}`;
		};
		new ReceiptModal(this.app, record, receipt, () => replay().catch((error: unknown) => faultOf(error).words)).open();
	}

	private async again({ command, asking }: RunRecord): Promise<void> {
		await this.run(command, asking.text, asking);
	}

	private async switchMode(): Promise<void> {
		const node = this.bar.known.status?.nodes.find((one) => one.mode);
		if (!node) return;
		await this.plugin.client.setMode(node.name, node.mode === "GAMING" ? "NORMAL" : "GAMING");
		await this.bar.refresh();
	}

	// -- proposals

	async apply(edit: Edit, hunks: ReadonlySet<string>): Promise<void> {
		try {
			const notes = await this.written(edit, hunks);
			if (!notes) return;
			this.setStatus(edit, "applied");
			new Notice(`Changed ${notes.map((note) => noteName(note.path)).join(", ")}.`);
		} catch (error) {
			this.say(error);
		}
	}

	/** Write an edit; one of whose notes was written in since, as it fits them now. */
	private async written(edit: Edit, hunks: ReadonlySet<string>): Promise<Written[] | null> {
		try {
			return await this.desk.apply(edit, hunks);
		} catch (error) {
			if (!(error instanceof NoteChanged)) throw error;
			const now = await this.current(edit);
			if (!now || now.changes.every(({ base }, i) => base === edit.changes[i]?.base)) throw error;
			return this.desk.apply(now, hunks);
		}
	}

	leave(): void {
		lastNote(this.app)?.editor.focus();
	}

	dismiss(edit: Edit): void {
		this.panels().forEach((view) => view.dismiss(edit));
	}

	async undo(edit: Edit): Promise<void> {
		try {
			const one = this.desk.find(edit.id);
			if (!one) throw new Error('This is no longer kept here. "kos undo" takes it back.');
			await this.desk.undo(one);
			this.setStatus(edit, "undone");
			this.dropRest(edit);
			new Notice(`Taken back: ${one.notes.map((note) => noteName(note.path)).join(", ")}.`);
		} catch (error) {
			this.say(error);
		}
	}

	async current(edit: Edit): Promise<Edit | null> {
		return this.plugin.client.edit(edit.id).catch(() => null);
	}

	applied(edit: Edit): Applied | null {
		return this.desk.find(edit.id);
	}

	/** Words that are taken back mean nothing for other notes any more. */
	private dropRest(edit: Edit): void {
		const record = this.history.all().find(({ edits, kept }) => kept && edits[0]?.id === edit.id);
		for (const other of record?.edits.slice(1) ?? []) if (other.status === "proposed") this.dismiss(other);
	}

	async undoLast(): Promise<void> {
		if (this.asked) return;
		const last = this.desk.last();
		if (!last) {
			new Notice("Nothing that was applied here is left to take back.");
			return;
		}
		const names = last.notes.map((note) => noteName(note.path)).join(", ");
		this.asked = true;
		const sure = await confirmed(this.app, "Undo the last applied changes?", `${capital(last.title)}: ${names}`, "Undo");
		this.asked = false;
		if (sure) await this.undo({ id: last.id, title: last.title, changes: [], status: "applied" });
	}

	compare(change: Change, theirs: string | null): void {
		const ours = change.hunks.map((hunk) => hunk.new.replace(/^\n+/, "")).join("\n");
		new ConflictModal(this.app, change.path, theirs, ours).open();
	}

	/** Move the focus to the changes that wait. */
	async review(): Promise<void> {
		const view = await this.view();
		if (!view?.focusProposal(false)) new Notice("No proposed changes wait.");
	}

	private setStatus(edit: Edit, status: Edit["status"]): void {
		const record = this.history.all().find((one) => one.edits.some((other) => other.id === edit.id));
		const now = record ? this.runs.get(record.key) : null;
		if (now) this.runs.put(withStatus(now, edit.id, status));
	}

	// -- the service

	setUp(): void {
		const { plugin } = this;
		new SetupModal(this.app, {
			pairing: () => ({ address: plugin.settings.address, token: plugin.token() ?? "" }),
			keep: async ({ address, token }) => {
				plugin.settings.address = baseOf(address);
				this.app.secretStorage.setSecret(plugin.settings.tokenName, token);
				await plugin.keepSettings();
			},
			check: async () => {
				const address = { url: baseOf(plugin.settings.address), token: plugin.token(), patience: 10 };
				void this.bar.refresh();
				return check(probe(address, this.app.vault.getName(), () => canStream(address)));
			},
		}).open();
	}

	async statusClicked(): Promise<void> {
		const { state, title } = condition(await this.bar.refresh(), this.runs.busy());
		if (state === "unpaired") this.setUp();
		else if (state === "offline") new Notice(title);
		else {
			if (state === "degraded") new Notice(title);
			await this.open(true);
		}
	}

	async showMap(path: string): Promise<void> {
		try {
			new MapModal(this.app, await this.plugin.client.map(path)).open();
		} catch (error) {
			this.say(error);
		}
	}

	// -- what they share

	private get app(): KnowledgeOsPlugin["app"] {
		return this.plugin.app;
	}

	/** Where the person is: the note they worked in last, and what is selected in it. */
	private here(): From {
		const note = lastNote(this.app);
		return { note: note?.file?.path ?? null, selection: note?.editor.getSelection() || null, follows: null };
	}

	private asking(name: string, text: string, { note, selection, follows }: From): Asking {
		const seen = note !== null && !isHidden(note, this.plugin.settings.hidden);
		const tier = this.plugin.settings.tiers[name] || null;
		return { text, tier, note: seen ? note : null, selection: seen ? selection : null, follows };
	}

	/**
	 * Run a command and show it. What is typed but not saved yet is saved first: the service reads files.
	 * @param typed whether it was typed in a note, which then lends the focus to the changes that are proposed
	 */
	private async run(name: string, text: string, from: From, typed = false): Promise<RunRecord> {
		if (typed) this.attention.watch(activeDocument);
		const opening = this.view();
		const record = await this.runs.run(name, this.asking(name, text, from), async (fresh) => {
			void opening.then((view) => view?.show(this.runs.get(fresh.key) ?? fresh));
			await lastNote(this.app)?.save();
		});
		void this.bar.refresh();
		const untouched = typed && this.attention.take();
		if (record.state === "done") await this.deliver(record, untouched).catch((error: unknown) => this.say(error));
		return record;
	}

	/** Bring a finished answer where the person wants answers, and its proposals to their eyes. */
	private async deliver(record: RunRecord, untouched: boolean): Promise<void> {
		const waiting = proposals(record, this.captures(record.command)).filter((edit) => edit.status === "proposed");
		if (record.answer && !record.kept) {
			if (this.plugin.settings.delivery === "cursor") this.insert(record.answer);
			if (this.plugin.settings.delivery === "note") await this.newNote(record);
		}
		if (!waiting.length) return;
		if (!this.plugin.settings.confirm) {
			for (const edit of waiting) await this.apply(edit, allHunks(edit));
			return;
		}
		const view = this.panels().find(({ shown }) => shown?.key === record.key);
		if (!(untouched && view?.focusProposal(true))) new Notice("Proposed changes wait in the panel.");
	}

	private changed(record: RunRecord): void {
		for (const view of this.panels()) if (!view.shown || view.shown.key === record.key) view.show(record);
		this.bar.draw();
		if (isOver(record)) void this.bar.refresh();
	}

	private panels(): AnswerView[] {
		return this.app.workspace.getLeavesOfType(VIEW_TYPE).flatMap(({ view }) => (view instanceof AnswerView ? [view] : []));
	}

	private async view(): Promise<AnswerView | null> {
		const { workspace } = this.app;
		const leaf = await workspace.ensureSideLeaf(VIEW_TYPE, "right", { active: false, reveal: true });
		// A leaf of a closed side bar has its view only once it is shown.
		if (!(leaf.view instanceof AnswerView)) await workspace.revealLeaf(leaf);
		return leaf.view instanceof AnswerView ? leaf.view : null;
	}

	/** Tell what went wrong; a note that changed shows both texts. */
	private say(error: unknown): void {
		if (error instanceof NoteChanged) new ConflictModal(this.app, error.path, error.theirs, error.ours).open();
		else new Notice(error instanceof Fault ? error.words : String(error instanceof Error ? error.message : error));
	}
}

/** Whether the service never took a run, so that its words are nowhere but here. */
function isUnsent(record: RunRecord): boolean {
	return record.state !== "done" && !record.run;
}

function capital(text: string): string {
	return text.charAt(0).toUpperCase() + text.slice(1);
}
