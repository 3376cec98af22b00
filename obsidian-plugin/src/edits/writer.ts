/** Writes what the person accepted, through the app: all notes of an edit or none, and takes it back. */
import { MarkdownView, type App, type TFile } from "obsidian";
import type { Change } from "../api/events";
import { bare, digest, grave, marked, patched, textOf, type Text } from "./patch";

/** One note before and after; `before` is null for a note that was made. */
export interface Written {
	path: string;
	before: string | null;
	after: string;
}

/** A note is not the one that a change was made for. Nothing was written. */
export class NoteChanged extends Error {
	/**
	 * @param theirs the note now, null when it is gone
	 * @param ours what was wanted: the texts to come in, or the text from before
	 */
	constructor(
		readonly path: string,
		readonly theirs: string | null,
		readonly ours: string,
	) {
		super(`${path} changed since`);
		this.name = "NoteChanged";
	}
}

/** A note whose bytes are no text: writing it would change more than is wanted. */
export class NotText extends Error {
	constructor(readonly path: string) {
		super(`${path} is not UTF-8 text, so it cannot be changed here.`);
		this.name = "NotText";
	}
}

/** What writing has to know of one note. */
interface Step extends Written {
	file: TFile | null;
	/** How the file has its text. */
	how: Text;
}

export class Writer {
	/** @param confirm asks the person once more, for a grave change; false ends it without writing */
	constructor(
		private readonly app: App,
		private readonly confirm: (why: string) => Promise<boolean>,
	) {}

	/**
	 * Carry out changes of several notes, together or not at all.
	 * @returns what was written; null when the person said no to a grave change
	 * @throws NoteChanged, NotText when nothing was written; whatever the app throws when it cannot write, after taking back
	 */
	async apply(changes: readonly Change[]): Promise<Written[] | null> {
		await this.flush(changes.map((change) => change.path));
		const steps: Step[] = [];
		for (const change of changes) steps.push(await this.step(change));
		const why = grave(steps);
		if (why && !(await this.confirm(why))) return null;
		await this.carryOut(steps, (step) => wanted(changes, step.path));
		return steps.map(({ path, before, after }) => ({ path, before, after }));
	}

	/**
	 * Take back what `apply` wrote, together or not at all.
	 * @throws NoteChanged when a note was written in since
	 */
	async revert(written: readonly Written[]): Promise<void> {
		await this.flush(written.map((one) => one.path));
		const steps: Step[] = [];
		for (const { path, before, after } of written) {
			const file = this.app.vault.getFileByPath(path);
			const how = file ? textOf(await this.app.vault.readBinary(file)) : null;
			if (!file || how?.text !== after) throw new NoteChanged(path, how?.text ?? null, before ?? "");
			steps.push({ path, file, how, before: after, after: before ?? "" });
		}
		const made = new Set(written.filter((one) => one.before === null).map((one) => one.path));
		await this.carryOut(
			steps.filter((step) => !made.has(step.path)),
			(step) => step.after,
		);
		for (const { path, file } of steps) if (file && made.has(path)) await this.app.fileManager.trashFile(file);
	}

	/** The note of a change as it is, and as it will be. */
	private async step(change: Change): Promise<Step> {
		const { vault } = this.app;
		const file = vault.getFileByPath(change.path);
		const ours = wanted([change], change.path);
		if (!change.base) {
			if (file) throw new NoteChanged(change.path, await vault.read(file), ours);
			return { path: change.path, file: null, how: { text: "", marked: false }, before: null, after: patched("", change.hunks) };
		}
		if (!file) throw new NoteChanged(change.path, null, ours);
		const bytes = await vault.readBinary(file);
		const how = textOf(bytes);
		if (!how) throw new NotText(change.path);
		if ((await digest(bytes)) !== change.base) throw new NoteChanged(change.path, how.text, ours);
		return { path: change.path, file, how, before: how.text, after: patched(how.text, change.hunks) };
	}

	private async carryOut(steps: readonly Step[], ours: (step: Step) => string): Promise<void> {
		const done: Step[] = [];
		try {
			for (const step of steps) {
				await this.write(step, ours(step));
				done.push(step);
			}
		} catch (error) {
			for (const step of done.reverse()) await this.takeBack(step);
			throw error;
		}
	}

	private async write(step: Step, ours: string): Promise<void> {
		const { vault } = this.app;
		if (!step.file) {
			const folder = step.path.slice(0, Math.max(0, step.path.lastIndexOf("/")));
			if (folder && !vault.getFolderByPath(folder)) await vault.createFolder(folder);
			step.file = await vault.create(step.path, step.after);
			return;
		}
		let clash: string | null = null;
		await vault.process(step.file, (now) => {
			clash = bare(now) === step.before ? null : bare(now);
			return clash === null ? marked(step.after, step.how) : now;
		});
		if (clash !== null) throw new NoteChanged(step.path, clash, ours);
	}

	/** Undo one write of an edit that cannot be finished; what somebody wrote over it in that moment stays. */
	private async takeBack({ file, before, after, how }: Step): Promise<void> {
		if (!file) return;
		if (before === null) await this.app.fileManager.trashFile(file);
		else await this.app.vault.process(file, (now) => (bare(now) === after ? marked(before, how) : now));
	}

	/** Save what was typed in these notes and is only in the editor yet: it counts as the note's text. */
	async flush(paths: readonly string[]): Promise<void> {
		const views: MarkdownView[] = [];
		this.app.workspace.iterateAllLeaves(({ view }) => {
			if (view instanceof MarkdownView && view.file && paths.includes(view.file.path)) views.push(view);
		});
		for (const view of views) await view.save();
	}
}

/** The texts that changes want to put into a note. */
function wanted(changes: readonly Change[], path: string): string {
	const change = changes.find((one) => one.path === path);
	return (change?.hunks ?? []).map((hunk) => hunk.new.replace(/^\n+/, "")).join("\n");
}
