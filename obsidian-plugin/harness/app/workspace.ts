// The workspace: one main leaf with a Markdown view, one right leaf, popouts; what is active follows focus, as in the app.
import * as M from "obsidian-test-mocks/obsidian";
import { activate, furnish, migrated } from "./dom";
import { ItemView, MarkdownView } from "./editor";
import { record } from "./record";
import { SuggestManager } from "./suggest";

const g = window as any;

class DeferredView extends (M.View as any) {
  constructor(leaf: any, private readonly type: string) {
    super(leaf);
  }
  getViewType(): string {
    return this.type;
  }
  getDisplayText(): string {
    return this.type;
  }
}

export class WorkspaceLeaf extends (M.WorkspaceLeaf as any) {
  readonly containerEl: any;
  readonly headerEl: any;
  state: any = { type: "empty" };
  window: Window = window;

  constructor(app: any, readonly side: "main" | "right", private readonly home: any) {
    super(app);
    const self = this as any;
    self.containerEl = home.createDiv("workspace-leaf");
    const active = () => {
      if (self.view) app.workspace.setActiveLeaf(this);
    };
    self.containerEl.addEventListener("mousedown", active);
    self.containerEl.addEventListener("focusin", active);
  }
  getRoot(): any {
    const { workspace } = (this as any).app__;
    return this.side === "main" ? workspace.rootSplit : workspace.rightSplit;
  }
  getContainer(): any {
    return { win: this.window, doc: this.window.document };
  }
  getViewState(): any {
    return { ...this.state, type: (this as any).view?.getViewType() ?? "empty" };
  }
  async setViewState(state: any): Promise<void> {
    const self = this as any;
    const { workspace } = self.app__;
    await this.close_();
    const creator = workspace.viewCreators.get(state.type);
    if (!creator && state.type !== "empty") throw new Error(`no view is called ${state.type}`);
    this.state = state;
    self.isDeferred = false;
    if (creator) {
      const view = creator(this);
      self.view = view;
      view.containerEl.dataset.type = view.getViewType();
      this.containerEl.replaceChildren(view.containerEl);
      if ("headerEl" in view) view.headerEl.createDiv({ cls: "view-header-title", text: view.getDisplayText() });
      view.load();
      await view.onOpen();
      if (state.state) await view.setState(state.state, { history: false });
    }
    workspace.trigger("layout-change");
    if (state.active) workspace.setActiveLeaf(this, { focus: true });
  }
  async defer(type: string): Promise<void> {
    const self = this as any;
    this.state = { type };
    self.view = new DeferredView(this, type);
    self.isDeferred = true;
  }
  async loadIfDeferred(): Promise<void> {
    if ((this as any).isDeferred) await this.setViewState(this.state);
  }
  async openFile(file: any, openState: any = {}): Promise<void> {
    const self = this as any;
    const { workspace } = self.app__;
    if (!(self.view instanceof MarkdownView)) await this.setViewState({ type: "markdown" });
    await self.view.load_(file);
    self.view.headerEl.querySelector(".view-header-title")?.setText(file.basename);
    workspace.lastFiles = [file.path, ...workspace.lastFiles.filter((p: string) => p !== file.path)].slice(0, 10);
    workspace.trigger("file-open", file);
    if (openState.active !== false) workspace.setActiveLeaf(this, { focus: true });
  }
  private async close_(): Promise<void> {
    const self = this as any;
    const { view } = self;
    self.view = null;
    if (!view) return;
    await view.onClose();
    view.unload();
    view.containerEl.remove();
  }
  detach(): void {
    const { workspace } = (this as any).app__;
    workspace.leaves = workspace.leaves.filter((l: unknown) => l !== this);
    void this.close_().then(() => workspace.trigger("layout-change"));
    this.containerEl.remove();
    if (workspace.activeLeaf === this) workspace.setActiveLeaf(workspace.mainLeaf);
  }
  /** Into a window of its own, or back. */
  move(win: Window): void {
    this.window = win;
    (win === window ? this.home : win.document.body).appendChild(this.containerEl);
    migrated(this.containerEl);
  }
}

function frame(): Record<"main" | "right" | "ribbon" | "status", any> {
  const body: any = document.body;
  const app = body.createDiv("app-container");
  const row = app.createDiv("horizontal-main-container").createDiv("workspace");
  const ribbon = row.createDiv("workspace-ribbon side-dock-ribbon mod-left").createDiv("side-dock-actions");
  const main = row.createDiv("workspace-split mod-vertical mod-root").createDiv("workspace-tab-container");
  const right = row
    .createDiv("workspace-split mod-horizontal mod-sidedock mod-right-split is-sidedock-collapsed")
    .createDiv("workspace-tab-container");
  return { main, right, ribbon, status: app.createDiv("status-bar") };
}

/** Makes the mock workspace of an app a real one; returns the places of ribbon and status bar. */
export function furnishWorkspace(app: any): { ribbon: any; status: any } {
  const ws = app.workspace;
  const { main, right, ribbon, status } = frame();
  const rightSplit = right.parentElement;
  const collapse = (hide: boolean) => {
    rightSplit.classList.toggle("is-sidedock-collapsed", hide);
    ws.trigger("resize");
  };
  const viewOf = (leaf: any) => leaf?.view ?? null;
  const trigger = ws.trigger.bind(ws);

  ws.containerEl = document.querySelector(".workspace");
  ws.leaves = [];
  Object.assign(ws, {
    viewCreators: new Map<string, (leaf: any) => any>([["markdown", leaf => new MarkdownView(leaf)]]),
    editorExtensions: [],
    suggestManager: new SuggestManager(),
    lastFiles: [],
    mainLeaf: null,
    recent: null,
    trigger(name: string, ...data: any[]) {
      record.events.push(name);
      if (name === "hover-link") {
        const { linktext, source, sourcePath } = data[0];
        record.hovers.push({ linktext, source, sourcePath });
      }
      trigger(name, ...data);
    },
    setActiveLeaf(leaf: any, options: { focus?: boolean } = {}) {
      const same = ws.activeLeaf === leaf;
      ws.activeLeaf = leaf;
      if (leaf?.side === "main") ws.recent = leaf;
      const view = viewOf(leaf);
      ws.activeEditor = view instanceof MarkdownView ? view : null;
      if (options.focus && view instanceof MarkdownView) view.editor.focus();
      else if (options.focus && !same) (leaf.window.document.activeElement as HTMLElement | null)?.blur();
      if (!same) ws.trigger("active-leaf-change", leaf);
    },
    getActiveViewOfType: (type: any) => (viewOf(ws.activeLeaf) instanceof type ? ws.activeLeaf.view : null),
    getActiveFile: () => viewOf(ws.activeLeaf)?.file ?? viewOf(ws.recent)?.file ?? null,
    getMostRecentLeaf: (root: any = ws.rootSplit) => (root === ws.rightSplit ? ws.leaves.find((l: any) => l.side === "right") : ws.recent) ?? null,
    getLastOpenFiles: () => ws.lastFiles,
    getLeaf: () => ws.mainLeaf,
    getUnpinnedLeaf: () => ws.mainLeaf,
    getRightLeaf() {
      const leaf = new WorkspaceLeaf(app, "right", right);
      ws.leaves.push(leaf);
      return leaf;
    },
    getLeavesOfType: (type: string) => ws.leaves.filter((l: any) => viewOf(l)?.getViewType() === type),
    async ensureSideLeaf(type: string, _: string, options: any = {}) {
      const { active, reveal = true, state } = options;
      const leaf = ws.getLeavesOfType(type)[0] ?? ws.getRightLeaf(false);
      if (viewOf(leaf)?.getViewType() !== type || leaf.isDeferred) await leaf.setViewState({ type, state, active });
      else if (active) ws.setActiveLeaf(leaf, { focus: true });
      if (reveal) await ws.revealLeaf(leaf);
      return leaf;
    },
    async revealLeaf(leaf: any) {
      if (leaf.side === "right" && leaf.window === window) collapse(false);
      for (const other of ws.leaves)
        if (other.side === leaf.side) other.containerEl.classList.toggle("mod-hidden", other !== leaf && other.window === window);
      await leaf.loadIfDeferred();
    },
    detachLeavesOfType(type: string) {
      for (const leaf of ws.getLeavesOfType(type)) leaf.detach();
    },
    iterateAllLeaves: (cb: (leaf: any) => unknown) => ws.leaves.forEach((l: any) => cb(l)),
    iterateRootLeaves: (cb: (leaf: any) => unknown) => ws.leaves.filter((l: any) => l.side === "main").forEach((l: any) => cb(l)),
    async openLinkText(linktext: string, source: string, _: unknown, openState: any = {}) {
      record.opened.push(linktext);
      const [path, ...sub] = linktext.split("#");
      const file =
        app.metadataCache.getFirstLinkpathDest(path, source) ??
        (await app.vault.create(path!.endsWith(".md") ? path : `${path}.md`, ""));
      if (file !== ws.mainLeaf.view?.file) await ws.mainLeaf.openFile(file, openState);
      else ws.setActiveLeaf(ws.mainLeaf, { focus: true });
      const wanted = sub.at(-1)?.toLowerCase();
      const heading = app.metadataCache.getFileCache(file)?.headings.find((h: any) => h.heading.toLowerCase() === wanted);
      if (!heading) return;
      const { editor } = ws.mainLeaf.view;
      editor.setCursor({ line: heading.position.start.line, ch: 0 });
      editor.scrollIntoView({ from: editor.getCursor(), to: editor.getCursor() }, true);
    },
    moveLeafToPopout(leaf: any) {
      const win: any = g.open("", "_blank", "width=480,height=640");
      furnish(win);
      for (const sheet of document.querySelectorAll("style, link[rel=stylesheet]")) win.document.head.appendChild(sheet.cloneNode(true));
      win.document.body.className = `${document.body.className} is-popout-window`;
      win.addEventListener("focus", () => activate(win));
      window.addEventListener("focus", () => activate(window));
      app.keymap.listen(win, () => ws.scopeOfView());
      leaf.move(win);
      activate(win);
      const container = { win, doc: win.document };
      ws.trigger("window-open", container, win);
      win.addEventListener("pagehide", () => {
        leaf.move(window);
        activate(window);
        ws.trigger("window-close", container, win);
      });
      return container;
    },
    scopeOfView: () => viewOf(ws.activeLeaf)?.scope ?? app.scope,
    updateOptions() {},
    requestSaveLayout: Object.assign(() => {}, { cancel: () => {}, run: () => {} }),
  });
  Object.assign(ws.rightSplit, {
    get collapsed() {
      return rightSplit.classList.contains("is-sidedock-collapsed");
    },
    collapse: () => collapse(true),
    expand: () => collapse(false),
    toggle: () => collapse(!rightSplit.classList.contains("is-sidedock-collapsed")),
  });
  ws.mainLeaf = new WorkspaceLeaf(app, "main", main);
  ws.leaves.push(ws.mainLeaf);
  return { ribbon, status };
}

export { ItemView, MarkdownView };
