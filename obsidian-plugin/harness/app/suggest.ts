// EditorSuggest and its popup: suggesters are asked in the order they were registered, the first trigger wins.
import { Chooser, instructionsInto } from "./surfaces";
import { Scope } from "./keys";
import { record } from "./record";

const g = window as any;

export abstract class PopoverSuggest<T> {
  readonly scope: Scope;
  readonly suggestEl: any = g.createDiv("suggestion-container");
  protected readonly chooser: Chooser<T>;
  protected isOpen = false;

  constructor(readonly app: any, scope?: Scope) {
    this.scope = scope ?? new Scope(app.scope);
    this.chooser = new Chooser<T>(
      this.suggestEl.createDiv("suggestion"),
      (item, el) => this.renderSuggestion(item, el),
      (item, e) => this.selectSuggestion(item, e),
    );
    this.chooser.bind(this.scope);
    this.scope.register([], "Escape", () => (this.close(), false));
  }
  open(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    this.app.keymap.pushScope(this.scope);
    g.activeDocument.body.appendChild(this.suggestEl);
  }
  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.app.keymap.popScope(this.scope);
    this.suggestEl.remove();
  }
  protected place(box: { left: number; top: number; bottom: number }): void {
    const { width, height } = this.suggestEl.getBoundingClientRect();
    const win: Window = this.suggestEl.win;
    const below = box.bottom + 4 + height <= win.innerHeight;
    this.suggestEl.style.left = `${Math.max(4, Math.min(box.left, win.innerWidth - width - 4))}px`;
    this.suggestEl.style.top = `${below ? box.bottom + 4 : Math.max(4, box.top - height - 4)}px`;
  }
  abstract renderSuggestion(item: T, el: HTMLElement): void;
  abstract selectSuggestion(item: T, e: MouseEvent | KeyboardEvent): void;
}

export abstract class EditorSuggest<T> extends PopoverSuggest<T> {
  context: any = null;
  limit = 100;

  setInstructions(instructions: { command: string; purpose: string }[]): void {
    instructionsInto(this.suggestEl, instructions);
  }
  override close(): void {
    super.close();
    this.context = null;
  }
  /** Whether this suggester answers here; it shows what it finds. */
  trigger(editor: any, file: any): boolean {
    const found = this.onTrigger(editor.getCursor(), editor, file);
    if (!found) {
      this.close();
      return false;
    }
    const context = { ...found, editor, file };
    this.context = context;
    const items = this.getSuggestions(context);
    const show = (all: T[]) => {
      if (this.context !== context) return;
      if (!all.length) {
        this.close();
        return;
      }
      this.open();
      this.chooser.show(all.slice(0, this.limit));
      const box = editor.cm.coordsAtPos(editor.posToOffset(found.start));
      if (box) this.place(box);
      record.popups.push(performance.now());
    };
    if (Array.isArray(items)) show(items);
    else void items.then(show);
    return true;
  }
  abstract onTrigger(cursor: any, editor: any, file: any): any;
  abstract getSuggestions(context: any): T[] | Promise<T[]>;
}

/** Asks the suggesters whenever an editor changes. */
export class SuggestManager {
  readonly suggests: EditorSuggest<unknown>[] = [];
  private current: EditorSuggest<unknown> | null = null;

  update(editor: any, file: any, typed: boolean): void {
    if (this.current?.context && this.current.trigger(editor, file)) return;
    if (this.current?.context) this.current.close();
    this.current = null;
    if (!typed) return;
    for (const suggest of this.suggests)
      if (suggest.trigger(editor, file)) {
        this.current = suggest;
        return;
      }
  }
  close(): void {
    this.current?.close();
    this.current = null;
  }
}

export abstract class AbstractInputSuggest<T> extends PopoverSuggest<T> {
  limit = 100;
  private chosen: ((item: T, e: MouseEvent | KeyboardEvent) => unknown) | null = null;

  constructor(app: any, private readonly textInputEl: any) {
    super(app);
    textInputEl.addEventListener("input", () => void this.refresh());
    textInputEl.addEventListener("focus", () => void this.refresh());
    textInputEl.addEventListener("blur", () => this.close());
  }
  private async refresh(): Promise<void> {
    const query = this.getValue();
    const items = (await this.getSuggestions(query)).slice(0, this.limit || undefined);
    if (query !== this.getValue() || !this.textInputEl.isActiveElement()) return;
    if (!items.length) {
      this.close();
      return;
    }
    this.open();
    this.chooser.show(items);
    this.place(this.textInputEl.getBoundingClientRect());
  }
  getValue(): string {
    return this.textInputEl.value ?? this.textInputEl.textContent;
  }
  setValue(value: string): void {
    if ("value" in this.textInputEl) this.textInputEl.value = value;
    else this.textInputEl.textContent = value;
  }
  selectSuggestion(item: T, e: MouseEvent | KeyboardEvent): void {
    this.chosen?.(item, e);
  }
  onSelect(callback: (item: T, e: MouseEvent | KeyboardEvent) => unknown): this {
    this.chosen = callback;
    return this;
  }
  abstract getSuggestions(query: string): T[] | Promise<T[]>;
}
