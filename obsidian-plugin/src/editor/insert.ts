/** Puts text into the open note, each time as one step that Undo takes back. */
import { MarkdownView, type App, type Editor, type EditorPosition } from "obsidian";

/** The note the person worked in last, also while the side panel has the focus; null for none. */
export function lastNote(app: App): MarkdownView | null {
	const active = app.workspace.getActiveViewOfType(MarkdownView);
	if (active) return active;
	const view = app.workspace.getMostRecentLeaf()?.view;
	return view instanceof MarkdownView ? view : null;
}

/** Put a text at the cursor; a selection stays. */
export function insertAtCursor(editor: Editor, text: string): void {
	const at = editor.getCursor("to");
	editor.replaceRange(text, at, at);
	editor.setCursor(editor.offsetToPos(editor.posToOffset(at) + text.length));
}

/** Put a text in the place of the selection, if it still is the one meant; whether it was. */
export function replaceSelection(editor: Editor, meant: string, text: string): boolean {
	if (!meant || editor.getSelection() !== meant) return false;
	editor.replaceSelection(text);
	return true;
}

/**
 * Take a typed command out of a note.
 * @returns puts it back where it stood, unless the note was written in since; whether it did
 */
export function takeOut(editor: Editor, start: EditorPosition, end: EditorPosition): () => boolean {
	const typed = editor.getRange(start, end);
	editor.replaceRange("", start, end);
	const without = editor.getValue();
	return () => {
		if (editor.getValue() !== without) return false;
		editor.replaceRange(typed, start, start);
		return true;
	};
}
