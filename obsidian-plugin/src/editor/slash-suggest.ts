/** The list of commands that opens while one is typed in a note. */
import { EditorSuggest, type App, type Editor, type EditorPosition, type EditorSuggestContext, type EditorSuggestTriggerInfo, type TFile } from "obsidian";
import type { Command } from "../api/client";
import { slashIn } from "./slash";

interface Offer {
	command: Command;
	words: string;
}

/** What the list needs of the plugin. */
export interface Slashes {
	/** What begins a command, "" when the list is switched off. */
	trigger(): string;
	commands(): readonly Command[];
	/** Run a command whose typed text stands between two places. */
	run(command: Command, words: string, editor: Editor, start: EditorPosition, end: EditorPosition): void;
}

export class SlashSuggest extends EditorSuggest<Offer> {
	/** Where the person closed the list with Escape: it stays closed there. */
	private dismissed = "";
	private drawn: { offer: Offer; el: HTMLElement }[] = [];

	constructor(
		app: App,
		private readonly slashes: Slashes,
	) {
		super(app);
		this.setInstructions([
			{ command: "↵", purpose: "run" },
			{ command: "tab", purpose: "add words" },
			{ command: "esc", purpose: "dismiss" },
		]);
		this.scope.register([], "Tab", () => {
			const selected = this.drawn.find(({ el }) => el.hasClass("is-selected")) ?? this.drawn[0];
			if (selected) this.complete(selected.offer);
			return false;
		});
	}

	override onTrigger(cursor: EditorPosition, editor: Editor, _file: TFile | null): EditorSuggestTriggerInfo | null {
		const trigger = this.slashes.trigger();
		if (!trigger) return null;
		const before = editor.getLine(cursor.line).slice(0, cursor.ch);
		// Null as early as can be: a list that is open starves every other one, that of the app's own commands included.
		const slash = slashIn(before, trigger, this.slashes.commands());
		if (!slash) {
			this.dismissed = "";
			return null;
		}
		const start = { line: cursor.line, ch: slash.ch };
		if (this.dismissed === place(start)) return null;
		return { start, end: cursor, query: before.slice(slash.ch) };
	}

	/** Closed over an unchanged line with the cursor in it, it was the person who closed it: Escape is the app's own key. */
	override close(): void {
		const { context } = this;
		if (context?.editor.hasFocus()) {
			const { line, ch } = context.editor.getCursor();
			const unchanged = line === context.end.line && ch === context.end.ch && context.editor.getRange(context.start, context.end) === context.query;
			if (unchanged) this.dismissed = place(context.start);
		}
		super.close();
	}

	override getSuggestions(context: EditorSuggestContext): Offer[] {
		this.drawn = [];
		const slash = slashIn(context.query, this.slashes.trigger(), this.slashes.commands());
		return slash ? slash.commands.map((command) => ({ command, words: slash.words })) : [];
	}

	override renderSuggestion(offer: Offer, el: HTMLElement): void {
		const { command, words } = offer;
		this.drawn.push({ offer, el });
		el.addClass("kos-offer");
		const title = el.createDiv({ cls: "kos-offer-title", text: `${this.slashes.trigger()}${command.name}` });
		if (words) title.createSpan({ cls: "kos-offer-words", text: ` ${words}` });
		else if (command.argument_hint) title.createSpan({ cls: "kos-offer-hint", text: ` ${command.argument_hint}` });
		el.createDiv({ cls: "kos-offer-note", text: command.description });
	}

	override selectSuggestion(offer: Offer): void {
		const context = this.context;
		if (!context) return;
		if (offer.command.text === "required" && !offer.words) {
			this.complete(offer);
			return;
		}
		this.close();
		this.slashes.run(offer.command, offer.words, context.editor, context.start, context.end);
	}

	/** Write the name out, so that words can follow. */
	private complete({ command, words }: Offer): void {
		const context = this.context;
		if (!context) return;
		const text = `${this.slashes.trigger()}${command.name} ${words}`;
		context.editor.replaceRange(text, context.start, context.end);
		context.editor.setCursor({ line: context.start.line, ch: context.start.ch + text.length });
	}
}

function place({ line, ch }: EditorPosition): string {
	return `${line}:${ch}`;
}
