/** The plugin: what the app is told of at the start, and let go of at the end. */
import { Notice, Plugin, type ObsidianProtocolData } from "obsidian";
import { Client, type Command } from "./api/client";
import { Conductor } from "./conductor";
import { Desk } from "./edits/desk";
import { Writer } from "./edits/writer";
import { SlashSuggest } from "./editor/slash-suggest";
import { History } from "./runs/history";
import { Runs } from "./runs/runs";
import { baseOf, settingsFrom, type Settings } from "./settings/settings";
import { KnowledgeOsTab } from "./settings/tab";
import { StatusBar } from "./status/status-bar";
import { AnswerView, PRODUCT, VIEW_TYPE } from "./views/answer-view";
import { HOVER_SOURCE } from "./views/links";
import { confirmed } from "./views/modals";

export default class KnowledgeOsPlugin extends Plugin {
	override settings: Settings = settingsFrom(null);
	client!: Client;
	private conductor!: Conductor;
	private bar!: StatusBar;
	private runs!: Runs;
	private learned = false;
	private readonly spoken = new Set<string>();

	override async onload(): Promise<void> {
		this.settings = settingsFrom(await this.loadData());
		this.client = new Client(() => ({ url: baseOf(this.settings.address), token: this.token(), patience: this.settings.patience }));
		const history = new History(this.app);
		const writer = new Writer(this.app, (why) => confirmed(this.app, "Apply this?", `${why} Apply it only if that is meant.`, "Apply"));
		const desk = new Desk(this.app, writer, this.client);
		this.runs = new Runs(this.client, history, desk, {
			captures: (name) => this.captures(name),
			now: () => Date.now(),
			newKey: () => crypto.randomUUID(),
		});
		this.conductor = new Conductor(this, this.runs, history, desk);
		this.bar = new StatusBar(
			this.addStatusBarItem(),
			this.client,
			() => this.token() !== null,
			() => this.runs.busy(),
			() => this.heard(),
		);
		this.conductor.bar = this.bar;
		this.register(() => {
			this.bar.close();
			this.runs.close();
		});
		this.registerDomEvent(this.bar.el, "click", () => void this.conductor.statusClicked());
		// After sleep, or a change of network, what is known is old.
		for (const sign of ["online", "focus"] as const) this.registerDomEvent(window, sign, () => void this.bar.refresh());

		this.registerView(VIEW_TYPE, (leaf) => new AnswerView(leaf, this.conductor));
		this.registerHoverLinkSource(HOVER_SOURCE, { display: this.manifest.name, defaultMod: true });
		this.registerEditorSuggest(
			new SlashSuggest(this.app, {
				trigger: () => (this.settings.slash ? this.settings.trigger : ""),
				commands: () => this.settings.commands,
				run: (command, words, editor, start, end) => void this.conductor.typed(command, words, editor, start, end),
			}),
		);
		this.addRibbonIcon("compass", `Open ${PRODUCT}`, () => void this.conductor.open(true));
		this.addSettingTab(new KnowledgeOsTab(this.app, this));
		this.addCommands();
		this.registerEvent(this.app.workspace.on("editor-menu", (menu, editor) => this.conductor.menu(menu, editor)));
		this.registerObsidianProtocolHandler("knowledge-os", (data) => this.asked(data));
		this.app.workspace.onLayoutReady(() => void this.begin());
	}

	override async onExternalSettingsChange(): Promise<void> {
		this.settings = settingsFrom(await this.loadData());
		this.learned = false;
		await this.bar.refresh();
	}

	async keepSettings(): Promise<void> {
		await this.saveData(this.settings);
		this.learned = false;
		void this.bar.refresh();
	}

	/** The token, null when none is set on this device. */
	token(): string | null {
		const { tokenName } = this.settings;
		return tokenName ? this.app.secretStorage.getSecret(tokenName) || null : null;
	}

	captures(name: string): boolean {
		return this.settings.commands.find((one) => one.name === name)?.writes.includes("capture") ?? false;
	}

	commandsKnown(): readonly Command[] {
		return this.settings.commands;
	}

	testConnection(): void {
		this.conductor.setUp();
	}

	/** What waits until the app has drawn itself: the service is asked, and runs that were under way are followed. */
	private async begin(): Promise<void> {
		this.conductor.resume();
		await this.bar.refresh();
	}

	/** The service told how it is. The first time it is ready, it is asked for its commands too. */
	private heard(): void {
		this.conductor.refresh();
		if (this.learned || !this.bar.known.status?.ready) return;
		this.learned = true;
		void this.learnCommands();
	}

	/** Offer what the service lists, now and at the next start. */
	private async learnCommands(): Promise<void> {
		const commands = await this.client.commands().catch(() => []);
		if (!commands.length || JSON.stringify(commands) === JSON.stringify(this.settings.commands)) return;
		for (const { name } of this.settings.commands) if (!commands.some((one) => one.name === name)) this.removeCommand(name);
		this.settings.commands = commands;
		await this.saveData(this.settings);
		this.addSpoken();
	}

	private addCommands(): void {
		this.addSpoken();
		this.addCommand({ id: "open-panel", name: "Open the panel", callback: () => void this.conductor.open(true) });
		this.addCommand({
			id: "stop",
			name: "Stop the answer",
			checkCallback: (checking) => {
				const busy = this.runs.busy();
				if (busy && !checking) this.runs.stop(busy.key);
				return busy !== null;
			},
		});
		this.addCommand({ id: "review-proposal", name: "Review the proposed changes", callback: () => void this.conductor.review() });
		this.addCommand({ id: "undo-last-apply", name: "Undo the last applied changes", callback: () => void this.conductor.undoLast() });
		this.addCommand({
			id: "show-map",
			name: "Show what this map gathers",
			checkCallback: (checking) => {
				const file = this.app.workspace.getActiveFile();
				if (file && !checking) void this.conductor.showMap(file.path);
				return file !== null;
			},
		});
		this.addCommand({ id: "check-connection", name: "Test the connection", callback: () => this.conductor.setUp() });
	}

	/** The commands of the service, in the palette and on the app's own command line. */
	private addSpoken(): void {
		for (const { name, description } of this.settings.commands) {
			this.addCommand({
				id: name,
				name: `${name.charAt(0).toUpperCase()}${name.slice(1)}: ${description}`,
				callback: () => void this.conductor.chosen(name),
			});
			if (this.spoken.has(name)) continue;
			this.spoken.add(name);
			const flags = { text: { value: "<words>", description: "What it is about" } };
			this.registerCliHandler(`${this.manifest.id}:${name}`, description, flags, (data) => this.conductor.fromShell(name, data["text"] ?? ""));
		}
	}

	/** A link of the app's own kind only opens and fills in: a page must not make anything run. */
	private asked({ run, text }: ObsidianProtocolData): void {
		const command = this.settings.commands.find((one) => one.name === run);
		if (!command) {
			new Notice("The link names no command that is known here.");
			return;
		}
		void this.conductor.open(true, `/${command.name} ${text ?? ""}`);
	}
}

