/** The settings as the app shows them. */
import { PluginSettingTab, SecretComponent, type App, type Plugin, type SettingDefinitionItem } from "obsidian";
import type { Command } from "../api/client";
import { ADDRESS, addressFault, type Settings } from "./settings";

/** What the settings need of the plugin. */
export interface SettingsOwner extends Plugin {
	settings: Settings;
	keepSettings(): Promise<void>;
	commandsKnown(): readonly Command[];
	testConnection(): void;
}

const TIER = "tier.";

export class KnowledgeOsTab extends PluginSettingTab {
	constructor(
		app: App,
		private readonly owner: SettingsOwner,
	) {
		super(app, owner);
	}

	override getSettingDefinitions(): SettingDefinitionItem[] {
		const { owner } = this;
		return [
			{
				name: "Service address",
				desc: 'As "kos serve" prints it.',
				control: { type: "text", key: "address", placeholder: ADDRESS, validate: (value: string) => addressFault(value) || undefined },
			},
			{
				name: "Token",
				desc: 'What "kos token" prints. It is kept in the secret storage of this device and does not sync.',
				render: (setting) => {
					setting.addComponent((el) =>
						new SecretComponent(this.app, el).setValue(owner.settings.tokenName).onChange((name) => {
							owner.settings.tokenName = name;
							return owner.keepSettings();
						}),
					);
				},
			},
			{ name: "Test connection", desc: "Names the step that fails, and what to do about it.", action: () => owner.testConnection() },
			{
				type: "group",
				heading: "In notes",
				items: [
					{ name: "List commands while typing", control: { type: "toggle", key: "slash" } },
					{
						name: "Begin a command with",
						desc: "Another sign leaves the slash to the app's own list.",
						visible: () => owner.settings.slash,
						control: {
							type: "text",
							key: "trigger",
							placeholder: "/",
							validate: (value: string) => (/^[^\s\w[\]#|^]{1,3}$/.test(value) ? undefined : "Use one to three signs, such as / or ;;"),
						},
					},
					{
						name: "A finished answer",
						control: {
							type: "dropdown",
							key: "delivery",
							options: { panel: "Stays in the panel", cursor: "Is inserted at the cursor too", note: "Becomes a new note too" },
						},
					},
				],
			},
			{
				type: "group",
				heading: "Safety",
				items: [
					{
						name: "Confirm every change",
						desc: "Changes to notes wait for your yes. Words you send with update are kept at once either way.",
						control: { type: "toggle", key: "confirm" },
					},
					{
						name: "Folders never sent",
						desc: "One a line. The open note and its selection are not sent when it lies in one of them. What the service may read is set there.",
						control: { type: "textarea", key: "hidden", rows: 3 },
					},
					{
						name: "Patience",
						desc: "Seconds of silence after which the service counts as hanging.",
						control: { type: "number", key: "patience", min: 10, max: 300 },
					},
				],
			},
			{
				type: "group",
				heading: "Tier of each command",
				items: owner.commandsKnown().map(({ name, tier }) => ({
					name,
					control: {
						type: "dropdown" as const,
						key: TIER + name,
						defaultValue: "",
						options: { "": `As the service says (${tier})`, fast: "Fast", balanced: "Balanced", deep: "Deep" },
					},
				})),
			},
		];
	}

	override getControlValue(key: string): unknown {
		const { settings } = this.owner;
		if (key.startsWith(TIER)) return settings.tiers[key.slice(TIER.length)] ?? "";
		return settings[key as keyof Settings];
	}

	override async setControlValue(key: string, value: unknown): Promise<void> {
		const { settings } = this.owner;
		if (key.startsWith(TIER)) settings.tiers = { ...settings.tiers, [key.slice(TIER.length)]: String(value) };
		else Object.assign(settings, { [key]: typeof value === "string" && key !== "hidden" ? value.trim() : value });
		await this.owner.keepSettings();
		this.refreshDomState();
	}
}
