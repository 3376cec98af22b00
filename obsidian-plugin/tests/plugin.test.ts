import { App } from "obsidian-test-mocks/obsidian";
import { describe, expect, it } from "vitest";
import manifest from "../manifest.json";
import type { SlashSuggest } from "../src/editor/slash-suggest";
import KnowledgeOsPlugin from "../src/main";

/** What the mock tells of a plugin beside what the app would. */
interface Told {
	commands__: Map<string, { name: string; hotkeys?: unknown }>;
	cliHandlers__: Map<string, unknown>;
	editorSuggests__: SlashSuggest[];
}

async function boot() {
	const app = App.createConfigured__({ files: { "A.md": "# A\n" } });
	const plugin = new KnowledgeOsPlugin(app.asOriginalType__(), manifest as never);
	await plugin.onload();
	return plugin as unknown as KnowledgeOsPlugin & Told;
}

describe("the plugin", () => {
	it("offers each command in the palette and on the app's command line, without a hotkey", async () => {
		const plugin = await boot();
		const ids = [...plugin.commands__.keys()];
		const own = ["orient", "update", "plan", "research", "validate", "ask"];
		expect(ids).toEqual([...own, "open-panel", "stop", "review-proposal", "undo-last-apply", "show-map", "check-connection"]);
		for (const [id, { name, hotkeys }] of plugin.commands__) {
			expect(hotkeys).toBeUndefined();
			expect(id).not.toMatch(/command|knowledge/);
			expect(name).not.toMatch(/knowledge/i);
		}
		expect([...plugin.cliHandlers__.keys()]).toEqual(own.map((name) => `knowledge-os:${name}`));
	});

	it("names its palette commands so that the app's own slash list leads to the same", async () => {
		const plugin = await boot();
		expect(plugin.commands__.get("plan")?.name).toMatch(/^Plan: /);
	});

	it("keeps the token out of its settings", async () => {
		const plugin = await boot();
		plugin.app.secretStorage.setSecret(plugin.settings.tokenName, "secret-token");
		expect(plugin.token()).toBe("secret-token");
		await plugin.keepSettings();
		expect(JSON.stringify(await plugin.loadData())).not.toContain("secret-token");
	});

	it("lists nothing in notes when that is switched off", async () => {
		const plugin = await boot();
		const [suggest] = plugin.editorSuggests__;
		const at = (line: string) => suggest?.onTrigger({ line: 0, ch: line.length }, { getLine: () => line } as never, null);
		expect(at("/or")).toMatchObject({ query: "/or", start: { line: 0, ch: 0 } });
		expect(at("text /pl")?.start.ch).toBe(5);
		expect(at("and/or")).toBeNull();
		plugin.settings.slash = false;
		expect(at("/or")).toBeNull();
	});
});
