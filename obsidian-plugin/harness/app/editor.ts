// The editor and the Markdown view: CodeMirror 6 under the app's Editor, saving two seconds after the last key.
import * as M from "obsidian-test-mocks/obsidian";
import { history, defaultKeymap, historyKeymap, isolateHistory, redo, undo } from "@codemirror/commands";
import { markdown } from "@codemirror/lang-markdown";
import { ChangeSet, EditorSelection, EditorState } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";

const SAVE_AFTER = 2000;
interface Position {
  line: number;
  ch: number;
}

export class Editor {
  constructor(readonly cm: EditorView) {}
  private get doc() {
    return this.cm.state.doc;
  }
  /** `origin` names the change for the history: only what is typed and deleted joins the step before. */
  private send(from: number, to: number, insert: string, origin?: string): void {
    this.cm.dispatch({ changes: { from, to, insert }, scrollIntoView: true, ...(origin ? { userEvent: origin } : {}) });
  }
  getDoc(): this {
    return this;
  }
  refresh(): void {
    this.cm.requestMeasure();
  }
  posToOffset({ line, ch }: Position): number {
    const found = this.doc.line(Math.max(1, Math.min(line + 1, this.doc.lines)));
    return Math.min(found.from + ch, found.to);
  }
  offsetToPos(offset: number): Position {
    const line = this.doc.lineAt(Math.max(0, Math.min(offset, this.doc.length)));
    return { line: line.number - 1, ch: offset - line.from };
  }
  getValue(): string {
    return this.doc.toString();
  }
  setValue(text: string): void {
    this.send(0, this.doc.length, text);
  }
  getLine(n: number): string {
    return this.doc.line(n + 1).text;
  }
  setLine(n: number, text: string): void {
    const line = this.doc.line(n + 1);
    this.send(line.from, line.to, text);
  }
  lineCount(): number {
    return this.doc.lines;
  }
  lastLine(): number {
    return this.doc.lines - 1;
  }
  getSelection(): string {
    const { from, to } = this.cm.state.selection.main;
    return this.cm.state.sliceDoc(from, to);
  }
  somethingSelected(): boolean {
    return !this.cm.state.selection.main.empty;
  }
  getRange(from: Position, to: Position): string {
    return this.cm.state.sliceDoc(this.posToOffset(from), this.posToOffset(to));
  }
  replaceSelection(text: string, origin?: string): void {
    const { from, to } = this.cm.state.selection.main;
    this.send(from, to, text, origin);
    this.cm.dispatch({ selection: EditorSelection.cursor(from + text.length) });
  }
  replaceRange(text: string, from: Position, to: Position = from, origin?: string): void {
    this.send(this.posToOffset(from), this.posToOffset(to), text, origin);
  }
  getCursor(side: "from" | "to" | "head" | "anchor" = "head"): Position {
    return this.offsetToPos(this.cm.state.selection.main[side]);
  }
  listSelections(): { anchor: Position; head: Position }[] {
    return this.cm.state.selection.ranges.map(r => ({ anchor: this.offsetToPos(r.anchor), head: this.offsetToPos(r.head) }));
  }
  setCursor(at: Position | number, ch = 0): void {
    this.setSelection(typeof at === "number" ? { line: at, ch } : at);
  }
  setSelection(anchor: Position, head: Position = anchor): void {
    this.cm.dispatch({ selection: EditorSelection.range(this.posToOffset(anchor), this.posToOffset(head)), scrollIntoView: true });
  }
  setSelections(ranges: { anchor: Position; head?: Position }[], main = 0): void {
    const made = ranges.map(r => EditorSelection.range(this.posToOffset(r.anchor), this.posToOffset(r.head ?? r.anchor)));
    this.cm.dispatch({ selection: EditorSelection.create(made, main) });
  }
  focus(): void {
    this.cm.focus();
  }
  blur(): void {
    this.cm.contentDOM.blur();
  }
  hasFocus(): boolean {
    return this.cm.hasFocus;
  }
  getScrollInfo(): { top: number; left: number } {
    return { top: this.cm.scrollDOM.scrollTop, left: this.cm.scrollDOM.scrollLeft };
  }
  scrollTo(x?: number | null, y?: number | null): void {
    this.cm.scrollDOM.scrollTo({ left: x ?? undefined, top: y ?? undefined });
  }
  scrollIntoView({ from, to }: { from: Position; to: Position }, center = false): void {
    const range = EditorSelection.range(this.posToOffset(from), this.posToOffset(to));
    this.cm.dispatch({ effects: EditorView.scrollIntoView(range, { y: center ? "center" : "nearest" }) });
  }
  undo(): void {
    undo(this.cm);
  }
  redo(): void {
    redo(this.cm);
  }
  exec(command: string): void {
    throw new Error(`the harness has no editor command ${command}`);
  }
  transaction(tx: any, origin?: string): void {
    const range = (r: any) => EditorSelection.range(this.posToOffset(r.from), this.posToOffset(r.to ?? r.from));
    const changes = (tx.changes ?? []).map((c: any) => ({
      from: this.posToOffset(c.from),
      to: this.posToOffset(c.to ?? c.from),
      insert: c.text,
    }));
    const selection = tx.selections ? EditorSelection.create(tx.selections.map(range)) : tx.selection && range(tx.selection);
    if (tx.replaceSelection !== undefined) this.replaceSelection(tx.replaceSelection);
    // Positions of the selection are those after the changes.
    if (changes.length) this.cm.dispatch({ changes, scrollIntoView: true, ...(origin ? { userEvent: origin } : {}) });
    if (selection) this.cm.dispatch({ selection });
  }
  wordAt(at: Position): { from: Position; to: Position } | null {
    const word = this.cm.state.wordAt(this.posToOffset(at));
    return word && { from: this.offsetToPos(word.from), to: this.offsetToPos(word.to) };
  }
  processLines<T>(read: (n: number, text: string) => T | null, write: (n: number, text: string, value: T | null) => any): void {
    const all = Array.from({ length: this.lineCount() }, (_, n) => [n, this.getLine(n)] as const);
    const changes = all.map(([n, text]) => write(n, text, read(n, text))).filter(Boolean);
    this.transaction({ changes });
  }
}

/** A text as CodeMirror holds it. */
const plain = (text: string) => text.replace(/\r\n?/g, "\n");

/** Where two texts differ, line by line: what has to change in the old one. */
function differences(old: string, now: string): ChangeSet {
  const [a, b] = [old, now].map(text => text.split(/(?<=\n)/)) as [string[], string[]];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < Math.min(a.length, b.length) - head && a.at(-1 - tail) === b.at(-1 - tail)) tail++;
  const [mine, theirs] = [a, b].map(lines => lines.slice(head, lines.length - tail)) as [string[], string[]];
  // Lengths of the longest common subsequences of what is left, from the end.
  const rows = mine.length * theirs.length < 4_000_000 ? mine.length : 0;
  const common = Array.from({ length: rows + 1 }, () => new Uint32Array(theirs.length + 1));
  for (let i = rows - 1; i >= 0; i--)
    for (let j = theirs.length - 1; j >= 0; j--)
      common[i]![j] = mine[i] === theirs[j] ? common[i + 1]![j + 1]! + 1 : Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
  const changes: { from: number; to: number; insert: string }[] = [];
  let at = a.slice(0, head).join("").length;
  for (let i = 0, j = 0; i < mine.length || j < theirs.length; ) {
    const from = at;
    let insert = "";
    while ((i < mine.length || j < theirs.length) && !(rows && i < mine.length && j < theirs.length && mine[i] === theirs[j])) {
      const drop = i < mine.length && (j === theirs.length || !rows || common[i + 1]![j]! >= common[i]![j + 1]!);
      if (drop) at += mine[i++]!.length;
      else insert += theirs[j++]!;
    }
    if (at > from || insert) changes.push({ from, to: at, insert });
    for (; i < mine.length && j < theirs.length && mine[i] === theirs[j]; i++, j++) at += mine[i]!.length;
  }
  return ChangeSet.of(changes, old.length);
}

export class ItemView extends (M.View as any) {
  readonly headerEl: any;
  readonly contentEl: any;
  constructor(leaf: any) {
    super(leaf);
    const self = this as any;
    self.containerEl.addClass("workspace-leaf-content");
    self.headerEl = self.containerEl.createDiv("view-header");
    self.contentEl = self.containerEl.createDiv("view-content");
  }
  addAction(icon: string, title: string, callback: (e: MouseEvent) => unknown): HTMLElement {
    const el = (this as any).headerEl.createDiv({ cls: "clickable-icon view-action", attr: { "aria-label": title } });
    el.setText(icon);
    el.addEventListener("click", callback);
    return el;
  }
}

export class FileView extends ItemView {
  allowNoFile = false;
  file: any = null;
  override getDisplayText(): string {
    return this.file?.basename ?? "No file";
  }
  override getState(): Record<string, unknown> {
    return { file: this.file?.path ?? null };
  }
  canAcceptExtension(_: string): boolean {
    return false;
  }
}
export class EditableFileView extends FileView {}
export class TextFileView extends EditableFileView {
  data = "";
}

export class MarkdownView extends TextFileView {
  readonly editor: Editor;
  readonly hoverPopover = null;
  private base = "";
  private timer = 0;
  private saving: Promise<void> = Promise.resolve();
  private loading = false;

  constructor(leaf: any) {
    super(leaf);
    const source = (this as any).contentEl.createDiv("markdown-source-view cm-s-obsidian mod-cm6 is-live-preview");
    this.editor = new Editor(new EditorView({ parent: source }));
  }
  getViewType(): string {
    return "markdown";
  }
  override getIcon(): string {
    return "lucide-file";
  }
  getMode(): "source" | "preview" {
    return "source";
  }
  override getState(): Record<string, unknown> {
    return { file: this.file?.path ?? null, mode: "source", source: false };
  }
  override canAcceptExtension(extension: string): boolean {
    return extension === "md";
  }
  getViewData(): string {
    return this.editor.getValue();
  }
  setViewData(text: string, clear: boolean): void {
    if (clear) this.fresh(text);
    else this.editor.setValue(text);
  }
  clear(): void {
    this.fresh("");
  }
  get dirty(): boolean {
    return this.editor.getValue() !== this.base;
  }
  private fresh(doc: string): void {
    const { app } = this as any;
    const state = EditorState.create({
      doc,
      extensions: [
        history(),
        keymap.of([...defaultKeymap, ...historyKeymap]),
        markdown(),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ spellcheck: "true", autocapitalize: "on", "aria-label": "Note" }),
        ...app.workspace.editorExtensions,
        EditorView.updateListener.of(update => {
          if (this.loading) return;
          if (update.docChanged) {
            app.workspace.trigger("editor-change", this.editor, this);
            this.requestSave();
          }
          if (update.docChanged || update.selectionSet)
            queueMicrotask(() => app.workspace.suggestManager.update(this.editor, this.file, update.docChanged));
        }),
      ],
    });
    this.editor.cm.setState(state);
  }
  async load_(file: any): Promise<void> {
    await this.save();
    const text = await (this as any).app.vault.read(file);
    this.file = file;
    this.data = text;
    this.base = plain(text);
    this.fresh(text);
  }
  requestSave(): void {
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.save(), SAVE_AFTER);
  }
  async save(): Promise<void> {
    window.clearTimeout(this.timer);
    if (!this.file || !this.dirty) return;
    const text = this.editor.getValue();
    this.data = this.base = text;
    this.saving = (this as any).app.vault.modify(this.file, text);
    await this.saving;
  }
  /** The file changed under the view: take it over; what was typed meanwhile stays. */
  async changedOnDisk(): Promise<void> {
    const file = this.file;
    await this.saving; // what is read before it is done is older than what is typed
    const disk = plain(await (this as any).app.vault.read(file));
    if (file !== this.file || disk === this.base) return;
    const mine = differences(this.base, this.editor.getValue());
    const theirs = differences(this.base, disk);
    this.base = disk;
    this.take(theirs.map(mine));
    if (mine.empty) return;
    this.requestSave();
  }
  private take(changes: ChangeSet): void {
    this.loading = true;
    this.editor.cm.dispatch({ changes, annotations: isolateHistory.of("full") });
    this.loading = false;
    this.data = this.editor.getValue();
  }
}
