// What opens above the workspace: modals, suggest modals, notices, menus; with the keys and the focus of the app.
import { setIcon } from "./icons";
import { Scope } from "./keys";
import { record } from "./record";
import { ButtonComponent } from "./controls";

const g = window as any;
const FOCUSABLE = "input:not([disabled]), button:not([disabled]), select, textarea, a[href], [tabindex='0'], summary";

function fill(el: HTMLElement, content: string | DocumentFragment): void {
  if (typeof content === "string") el.textContent = content;
  else el.replaceChildren(content);
}

export class Modal {
  readonly scope = new Scope();
  readonly containerEl: any = g.createDiv("modal-container mod-dim");
  readonly modalEl: any;
  readonly headerEl: any;
  readonly titleEl: any;
  readonly contentEl: any;
  shouldRestoreSelection = true;
  private isOpen = false;
  private before: HTMLElement | null = null;
  private closed: (() => unknown) | null = null;

  constructor(readonly app: any) {
    const dim = this.containerEl.createDiv("modal-bg");
    this.modalEl = this.containerEl.createDiv({ cls: "modal", attr: { role: "dialog", "aria-modal": "true", tabindex: "-1" } });
    const cross = this.modalEl.createDiv({ cls: "modal-close-button", attr: { "aria-label": "Close" } });
    setIcon(cross, "x");
    this.headerEl = this.modalEl.createDiv("modal-header");
    this.titleEl = this.headerEl.createDiv("modal-title");
    this.contentEl = this.modalEl.createDiv("modal-content");
    dim.addEventListener("click", () => this.close());
    cross.addEventListener("click", () => this.close());
    this.scope.register([], "Escape", () => {
      this.close();
      return false;
    });
    this.scope.register(null, "Tab", e => this.goRound(e));
  }

  open(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    const doc: Document = g.activeDocument;
    this.before = doc.activeElement as HTMLElement | null;
    this.before?.blur();
    this.app.keymap.pushScope(this.scope);
    doc.body.appendChild(this.containerEl);
    void this.onOpen();
    if (!this.containerEl.contains(doc.activeElement)) this.modalEl.focus();
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.app.keymap.popScope(this.scope);
    this.containerEl.remove();
    if (this.shouldRestoreSelection && this.before?.isConnected) this.before.focus();
    this.onClose();
    this.closed?.();
  }

  onOpen(): Promise<void> | void {}
  onClose(): void {}

  setTitle(title: string): this {
    this.titleEl.textContent = title;
    return this;
  }

  setContent(content: string | DocumentFragment): this {
    fill(this.contentEl, content);
    return this;
  }

  setCloseCallback(callback: () => unknown): this {
    this.closed = callback;
    return this;
  }

  /** Tab stays inside the modal. */
  private goRound(e: KeyboardEvent): unknown {
    const doc: Document = this.modalEl.ownerDocument;
    const stops = [...this.modalEl.querySelectorAll(FOCUSABLE)].filter((el: any) => el.getClientRects().length);
    if (!stops.length) return false;
    const at = stops.indexOf(doc.activeElement as HTMLElement);
    const next = e.shiftKey ? (at <= 0 ? stops.length - 1 : null) : at === stops.length - 1 ? 0 : null;
    if (next === null) return undefined;
    stops[next].focus();
    return false;
  }
}

export class ConfirmationButton extends ButtonComponent {
  private handler: ((e: MouseEvent) => unknown) | null = null;
  constructor(containerEl: HTMLElement, private readonly modal: ConfirmationModal) {
    super(containerEl);
    this.buttonEl.addEventListener("click", async (e: MouseEvent) => {
      if (!(await this.handler?.(e))) this.modal.close();
    });
  }
  override onClick(handler: (e: MouseEvent) => unknown): this {
    this.handler = handler;
    return this;
  }
  setInitialFocus(): this {
    this.modal.first = this.buttonEl;
    return this;
  }
  setSecondary(): this {
    this.buttonEl.addClass("mod-secondary");
    return this;
  }
  setCancel(): this {
    this.buttonEl.addClass("mod-cancel");
    return this;
  }
}

export class ConfirmationModal extends Modal {
  readonly buttonContainerEl: any;
  first: HTMLElement | null = null;

  constructor(app: any) {
    super(app);
    this.containerEl.addClass("mod-confirmation");
    this.buttonContainerEl = this.modalEl.createDiv("modal-button-container");
  }
  override open(): void {
    super.open();
    this.first?.focus();
  }
  addClass(cls: string): this {
    this.modalEl.addClass(cls);
    return this;
  }
  addCheckbox(label: string, cb: (value: boolean) => unknown): this {
    const row = this.buttonContainerEl.createEl("label", { cls: "mod-checkbox" });
    const box = row.createEl("input", { type: "checkbox" });
    row.appendText(label);
    box.addEventListener("change", () => cb(box.checked));
    return this;
  }
  addButton(cb: (button: ConfirmationButton) => unknown): this {
    cb(new ConfirmationButton(this.buttonContainerEl, this));
    return this;
  }
  addCancelButton(text = "Cancel"): this {
    return this.addButton(button => button.setButtonText(text).setCancel());
  }
}

/** A list of which one item is selected, by keys or mouse; the inside of every popup. */
export class Chooser<T> {
  items: T[] = [];
  selected = 0;
  constructor(
    readonly el: any,
    private readonly draw: (item: T, el: HTMLElement) => void,
    private readonly choose: (item: T, e: MouseEvent | KeyboardEvent) => void,
  ) {
    el.on("mousemove", ".suggestion-item", (_: Event, row: HTMLElement) => this.select(this.rows().indexOf(row)));
    el.on("mousedown", ".suggestion-item", (e: Event) => e.preventDefault());
    el.on("click", ".suggestion-item", (e: MouseEvent, row: HTMLElement) => this.choose(this.items[this.rows().indexOf(row)]!, e));
  }
  private rows = (): HTMLElement[] => [...this.el.querySelectorAll(".suggestion-item")];

  show(items: T[]): void {
    this.items = items;
    this.el.empty();
    for (const item of items) this.draw(item, this.el.createDiv("suggestion-item"));
    this.select(0);
  }
  select(at: number): void {
    this.selected = this.items.length ? (at + this.items.length) % this.items.length : 0;
    this.rows().forEach((row, n) => row.classList.toggle("is-selected", n === this.selected));
    this.rows()[this.selected]?.scrollIntoView({ block: "nearest" });
  }
  use(e: MouseEvent | KeyboardEvent): void {
    if (this.items.length) this.choose(this.items[this.selected]!, e);
  }
  bind(scope: Scope): void {
    const stop = (f: (e: KeyboardEvent) => void) => (e: KeyboardEvent) => (f(e), false);
    scope.register([], "ArrowDown", stop(() => this.select(this.selected + 1)));
    scope.register([], "ArrowUp", stop(() => this.select(this.selected - 1)));
    scope.register([], "Home", stop(() => this.select(0)));
    scope.register([], "End", stop(() => this.select(this.items.length - 1)));
    scope.register([], "Enter", stop(e => this.use(e)));
  }
}

export function instructionsInto(parent: any, instructions: { command: string; purpose: string }[]): void {
  parent.querySelector(":scope > .prompt-instructions")?.remove();
  const bar = parent.createDiv("prompt-instructions");
  for (const { command, purpose } of instructions) {
    const one = bar.createDiv("prompt-instruction");
    one.createSpan({ cls: "prompt-instruction-command", text: command });
    one.createSpan({ text: purpose });
  }
}

export abstract class SuggestModal<T> extends Modal {
  limit = 100;
  emptyStateText = "No results found.";
  readonly inputEl: any;
  readonly resultContainerEl: any;
  private readonly chooser: Chooser<T>;

  constructor(app: any) {
    super(app);
    this.modalEl.className = "prompt";
    this.modalEl.empty();
    this.inputEl = this.modalEl.createDiv("prompt-input-container").createEl("input", { cls: "prompt-input", type: "text" });
    this.resultContainerEl = this.modalEl.createDiv("prompt-results");
    this.chooser = new Chooser<T>(
      this.resultContainerEl,
      (item, el) => this.renderSuggestion(item, el),
      (item, e) => this.selectSuggestion(item, e),
    );
    this.chooser.bind(this.scope);
    this.inputEl.addEventListener("input", () => void this.refresh());
  }
  override open(): void {
    super.open();
    this.inputEl.focus();
    void this.refresh();
  }
  setPlaceholder(text: string): void {
    this.inputEl.placeholder = text;
  }
  setInstructions(instructions: { command: string; purpose: string }[]): void {
    instructionsInto(this.modalEl, instructions);
  }
  onNoSuggestion(): void {
    this.resultContainerEl.empty();
    this.resultContainerEl.createDiv({ cls: "suggestion-empty", text: this.emptyStateText });
  }
  selectSuggestion(item: T, e: MouseEvent | KeyboardEvent): void {
    this.close();
    this.onChooseSuggestion(item, e);
  }
  selectActiveSuggestion(e: MouseEvent | KeyboardEvent): void {
    this.chooser.use(e);
  }
  private async refresh(): Promise<void> {
    const query = this.inputEl.value;
    const found = (await this.getSuggestions(query)).slice(0, this.limit);
    if (query !== this.inputEl.value) return;
    this.chooser.show(found);
    if (!found.length) this.onNoSuggestion();
  }
  abstract getSuggestions(query: string): T[] | Promise<T[]>;
  abstract renderSuggestion(item: T, el: HTMLElement): void;
  abstract onChooseSuggestion(item: T, e: MouseEvent | KeyboardEvent): void;
}

interface Match<T> {
  item: T;
  match: { score: number; matches: [number, number][] };
}

export abstract class FuzzySuggestModal<T> extends SuggestModal<Match<T>> {
  getSuggestions(query: string): Match<T>[] {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    return this.getItems()
      .filter(item => words.every(word => this.getItemText(item).toLowerCase().includes(word)))
      .map(item => ({ item, match: { score: 0, matches: [] } }));
  }
  renderSuggestion({ item }: Match<T>, el: HTMLElement): void {
    el.textContent = this.getItemText(item);
  }
  onChooseSuggestion({ item }: Match<T>, e: MouseEvent | KeyboardEvent): void {
    this.onChooseItem(item, e);
  }
  abstract getItems(): T[];
  abstract getItemText(item: T): string;
  abstract onChooseItem(item: T, e: MouseEvent | KeyboardEvent): void;
}

export class Notice {
  readonly containerEl: any;
  readonly messageEl: any;
  readonly noticeEl: any;

  constructor(message: string | DocumentFragment, duration = 5000) {
    const doc: any = g.activeDocument;
    const stack = doc.querySelector(".notice-container") ?? doc.body.createDiv("notice-container");
    this.containerEl = stack.createDiv("notice");
    this.noticeEl = this.containerEl;
    this.messageEl = this.containerEl.createDiv({ cls: "notice-message", attr: { role: "alert" } });
    this.setMessage(message);
    this.containerEl.addEventListener("click", () => this.hide());
    if (duration > 0) window.setTimeout(() => this.hide(), duration);
  }
  setMessage(message: string | DocumentFragment): this {
    fill(this.messageEl, message);
    record.notices.push(this.messageEl.textContent);
    return this;
  }
  hide(): void {
    this.containerEl.remove();
  }
}

export class MenuItem {
  readonly dom: any = g.createDiv("menu-item tappable");
  section = "";
  disabled = false;
  private readonly iconEl: any = this.dom.createDiv("menu-item-icon");
  private readonly titleEl: any = this.dom.createDiv("menu-item-title");
  private callback: ((e: MouseEvent | KeyboardEvent) => unknown) | null = null;

  constructor(private readonly menu: Menu) {
    this.dom.addEventListener("click", (e: MouseEvent) => this.use(e));
    this.dom.addEventListener("mousemove", () => menu.select(this));
  }
  get title(): string {
    return this.titleEl.textContent;
  }
  setTitle(title: string | DocumentFragment): this {
    fill(this.titleEl, title);
    return this;
  }
  setIcon(icon: string | null): this {
    setIcon(this.iconEl, icon ?? "");
    return this;
  }
  setChecked(checked: boolean | null): this {
    this.dom.toggleClass("mod-checked", Boolean(checked));
    return this;
  }
  setDisabled(disabled: boolean): this {
    this.disabled = disabled;
    this.dom.toggleClass("is-disabled", disabled);
    return this;
  }
  setWarning(warning: boolean): this {
    this.dom.toggleClass("is-warning", warning);
    return this;
  }
  setIsLabel(label: boolean): this {
    this.dom.toggleClass("is-label", label);
    this.disabled = label;
    return this;
  }
  setSection(section: string): this {
    this.section = section;
    return this;
  }
  onClick(callback: (e: MouseEvent | KeyboardEvent) => unknown): this {
    this.callback = callback;
    return this;
  }
  use(e: MouseEvent | KeyboardEvent): void {
    if (this.disabled) return;
    this.menu.hide();
    this.callback?.(e);
  }
}

export class MenuSeparator {}

export class Menu {
  readonly items: (MenuItem | MenuSeparator)[] = [];
  readonly dom: any = g.createDiv("menu");
  private readonly scope = new Scope();
  private hidden: (() => unknown) | null = null;
  private selected: MenuItem | null = null;
  private away: ((e: Event) => void) | null = null;

  constructor() {
    const move = (by: number) => () => {
      const all = this.items.filter((i): i is MenuItem => i instanceof MenuItem && !i.disabled);
      const at = this.selected ? all.indexOf(this.selected) : by > 0 ? -1 : 0;
      if (all.length) this.select(all[(at + by + all.length) % all.length]!);
      return false;
    };
    this.scope.register([], "ArrowDown", move(1));
    this.scope.register([], "ArrowUp", move(-1));
    this.scope.register([], "Enter", e => (this.selected?.use(e), false));
    this.scope.register([], "Escape", () => (this.hide(), false));
  }
  static forEvent(e: MouseEvent): Menu {
    const menu = new Menu();
    queueMicrotask(() => menu.showAtMouseEvent(e));
    return menu;
  }
  addItem(cb: (item: MenuItem) => unknown): this {
    const item = new MenuItem(this);
    this.items.push(item);
    cb(item);
    return this;
  }
  addSeparator(): this {
    this.items.push(new MenuSeparator());
    return this;
  }
  setNoIcon(): this {
    this.dom.addClass("mod-no-icon");
    return this;
  }
  setUseNativeMenu(_: boolean): this {
    return this;
  }
  setParentElement(_: HTMLElement): this {
    return this;
  }
  onHide(callback: () => unknown): void {
    this.hidden = callback;
  }
  select(item: MenuItem): void {
    this.selected?.dom.removeClass("selected");
    this.selected = item;
    if (!item.disabled) item.dom.addClass("selected");
  }
  showAtMouseEvent(e: MouseEvent): this {
    return this.showAtPosition({ x: e.clientX, y: e.clientY }, (e as any).doc ?? document);
  }
  showAtPosition({ x, y }: { x: number; y: number }, doc: Document = g.activeDocument): this {
    let section: string | null = null;
    for (const item of this.items) {
      if (!(item instanceof MenuItem)) {
        this.dom.createDiv("menu-separator");
        continue;
      }
      if (section !== null && section !== item.section) this.dom.createDiv("menu-separator");
      section = item.section;
      this.dom.appendChild(item.dom);
    }
    doc.body.appendChild(this.dom);
    const { width, height } = this.dom.getBoundingClientRect();
    const win = doc.defaultView!;
    this.dom.style.left = `${Math.max(4, Math.min(x, win.innerWidth - width - 4))}px`;
    this.dom.style.top = `${Math.max(4, Math.min(y, win.innerHeight - height - 4))}px`;
    g.app.keymap.pushScope(this.scope);
    this.away = (e: Event) => {
      if (!this.dom.contains(e.target as Node)) this.hide();
    };
    doc.addEventListener("mousedown", this.away, true);
    return this;
  }
  hide(): this {
    if (!this.dom.isConnected) return this;
    this.dom.ownerDocument.removeEventListener("mousedown", this.away!, true);
    g.app.keymap.popScope(this.scope);
    this.dom.remove();
    this.hidden?.();
    return this;
  }
  close(): void {
    this.hide();
  }
}
