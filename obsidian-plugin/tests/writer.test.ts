import { describe, expect, it, vi } from "vitest";
import { Writer } from "../src/edits/writer";
import { change, notes } from "./app";

const yes = () => Promise.resolve(true);
const two = { "A.md": "# A\n", "Daily/B.md": "# B\n" };

async function edit() {
	return [await change("A.md", two["A.md"], [4, "- a\n"]), await change("Daily/B.md", two["Daily/B.md"], [4, "- b\n"])];
}

describe("writing what was accepted", () => {
	it("changes all notes, makes new ones with their folders, and says what was there", async () => {
		const vault = notes(two);
		const made = await new Writer(vault.app, yes).apply([...(await edit()), await change("New/Deep/C.md", null, [0, "# C\n"])]);
		expect(made).toEqual([
			{ path: "A.md", before: "# A\n", after: "# A\n- a\n" },
			{ path: "Daily/B.md", before: "# B\n", after: "# B\n- b\n" },
			{ path: "New/Deep/C.md", before: null, after: "# C\n" },
		]);
		for (const one of made ?? []) expect(await vault.read(one.path)).toBe(one.after);
	});

	it.each([
		["changed", async (vault: ReturnType<typeof notes>) => vault.write("Daily/B.md", "# B, but other\n"), "# B, but other\n"],
		["is gone", async (vault: ReturnType<typeof notes>) => vault.app.fileManager.trashFile(vault.app.vault.getFileByPath("Daily/B.md")!), null],
	])("writes nothing at all when one note %s", async (_, meddle, theirs) => {
		const vault = notes(two);
		const changes = await edit();
		await meddle(vault);
		await expect(new Writer(vault.app, yes).apply(changes)).rejects.toMatchObject({ name: "NoteChanged", path: "Daily/B.md", theirs, ours: "- b\n" });
		expect(await vault.read("A.md")).toBe("# A\n");
	});

	it("does not make a note that is there by now", async () => {
		const vault = notes({ "New.md": "mine" });
		await expect(new Writer(vault.app, yes).apply([await change("New.md", null, [0, "theirs"])])).rejects.toMatchObject({ theirs: "mine", ours: "theirs" });
		expect(await vault.read("New.md")).toBe("mine");
	});

	it("takes back the first note when the second changes in the very moment", async () => {
		const vault = notes(two);
		const process = vault.app.vault.process.bind(vault.app.vault);
		vi.spyOn(vault.app.vault, "process").mockImplementation(async (file, fn, options) => {
			if (file.path === "Daily/B.md") await vault.write(file.path, "typed just now\n");
			return process(file, fn, options);
		});
		await expect(new Writer(vault.app, yes).apply(await edit())).rejects.toMatchObject({ name: "NoteChanged", theirs: "typed just now\n" });
		expect([await vault.read("A.md"), await vault.read("Daily/B.md")]).toEqual(["# A\n", "typed just now\n"]);
	});

	it("takes back what it wrote when the disk gives out", async () => {
		const vault = notes(two);
		vi.spyOn(vault.app.vault, "create").mockRejectedValue(new Error("no space left"));
		const changes = [...(await edit()), await change("C.md", null, [0, "c"])];
		await expect(new Writer(vault.app, yes).apply(changes)).rejects.toThrow("no space left");
		expect([await vault.read("A.md"), await vault.read("Daily/B.md"), await vault.read("C.md")]).toEqual(["# A\n", "# B\n", null]);
	});

	it("leaves alone a file whose bytes are no text", async () => {
		const vault = notes(two);
		await vault.app.vault.modifyBinary(vault.app.vault.getFileByPath("A.md")!, new Uint8Array([0x61, 0xff]).buffer);
		await expect(new Writer(vault.app, yes).apply(await edit())).rejects.toMatchObject({ name: "NotText", path: "A.md" });
		expect(await vault.read("Daily/B.md")).toBe("# B\n");
	});

	it("asks before it takes away most of a note", async () => {
		const long = "x".repeat(1000);
		const vault = notes({ "Long.md": long });
		const cut = await change("Long.md", long);
		cut.hunks = [{ id: "1.1", start16: 10, end16: 1000, old: long.slice(10), new: "", why: "" }];
		const asked = vi.fn(() => Promise.resolve(false));
		expect(await new Writer(vault.app, asked).apply([cut])).toBeNull();
		expect(asked).toHaveBeenCalledWith("This removes most of Long.md.");
		expect(await vault.read("Long.md")).toBe(long);
		await new Writer(vault.app, yes).apply([cut]);
		expect(await vault.read("Long.md")).toBe("x".repeat(10));
	});
});

describe("taking it back", () => {
	it("brings every note back, and removes those that were made", async () => {
		const vault = notes(two);
		const writer = new Writer(vault.app, yes);
		const made = (await writer.apply([...(await edit()), await change("C.md", null, [0, "c"])])) ?? [];
		await writer.revert(made);
		expect([await vault.read("A.md"), await vault.read("Daily/B.md"), await vault.read("C.md")]).toEqual(["# A\n", "# B\n", null]);
	});

	it("touches nothing when a note was written in since", async () => {
		const vault = notes(two);
		const writer = new Writer(vault.app, yes);
		const made = (await writer.apply(await edit())) ?? [];
		await vault.write("Daily/B.md", "# B\n- b\n- and more\n");
		await expect(writer.revert(made)).rejects.toMatchObject({ path: "Daily/B.md", theirs: "# B\n- b\n- and more\n", ours: "# B\n" });
		expect(await vault.read("A.md")).toBe("# A\n- a\n");
	});
});
