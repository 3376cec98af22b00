// Hosts the production main.js in a page: makes the app, loads the bundle as the app does, opens a note; the checks
// talk to it through `window.host`.
import "./app/dom";
import { record } from "./app/record";
import * as obsidian from "./shim";
import * as M from "obsidian-test-mocks/obsidian";
import * as cmCommands from "@codemirror/commands";
import * as cmLanguage from "@codemirror/language";
import * as cmState from "@codemirror/state";
import * as cmView from "@codemirror/view";
import { SettingsWindow } from "./app/settings";
import { Adapter, connect } from "./app/vault";
import { furnishWorkspace } from "./app/workspace";

const g = window as any;
const query = new URLSearchParams(location.search);
const MODULES: Record<string, unknown> = {
  obsidian,
  "@codemirror/commands": cmCommands,
  "@codemirror/language": cmLanguage,
  "@codemirror/state": cmState,
  "@codemirror/view": cmView,
};

function look(): void {
  const { classList } = document.body;
  const dark = query.get("theme") === "dark";
  classList.add(dark ? "theme-dark" : "theme-light", "obsidian-app", "mod-linux");
  const mobile = query.get("mobile");
  classList.add(...(mobile ? ["is-mobile", "is-phone"] : []), ...(query.get("width") === "phone" ? ["is-narrow"] : []));
  Object.assign(M.Platform, { isWin: false, isLinux: !mobile, isMacOS: false });
  if (!mobile) return;
  Object.assign(M.Platform, { isMobile: true, isMobileApp: true, isDesktop: false, isDesktopApp: false, isPhone: true });
  Object.assign(M.Platform, { isIosApp: mobile === "ios", isAndroidApp: mobile === "android", isMacOS: mobile === "ios" });
}

/** Kept over a reload, apart for each vault. */
function keep(app: any, vault: string): void {
  const local = (key: string) => `${vault}-${key}`;
  Object.assign(app, {
    isDarkMode: () => document.body.classList.contains("theme-dark"),
    loadLocalStorage: (key: string) => JSON.parse(localStorage.getItem(local(key)) ?? "null"),
    saveLocalStorage: (key: string, data: unknown) => {
      if (data === null || data === undefined) localStorage.removeItem(local(key));
      else localStorage.setItem(local(key), JSON.stringify(data));
    },
  });
  const secrets = (): Record<string, string> => JSON.parse(localStorage.getItem(local("secrets")) ?? "{}");
  Object.assign(app.secretStorage, {
    getSecret: (id: string) => secrets()[id] ?? null,
    listSecrets: () => Object.keys(secrets()),
    setSecret: (id: string, secret: string) => {
      if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(id)) throw new Error("Invalid secret ID");
      localStorage.setItem(local("secrets"), JSON.stringify({ ...secrets(), [id]: secret }));
    },
  });
}

/** What a plugin registers goes where the app would put it. */
function registry(app: any, places: { ribbon: any; status: any }): void {
  const proto = M.Plugin.prototype as any;
  const { workspace } = app;
  const folder = (plugin: any) => `${app.vault.configDir}/plugins/${plugin.manifest.id}`;
  proto.addStatusBarItem = function (this: any) {
    const el = places.status.createDiv(`status-bar-item plugin-${this.manifest.id}`);
    this.register(() => el.remove());
    return el;
  };
  proto.addRibbonIcon = function (this: any, icon: string, title: string, callback: any) {
    const el = places.ribbon.createDiv({ cls: "clickable-icon side-dock-ribbon-action", attr: { "aria-label": title } });
    obsidian.setIcon(el, icon);
    el.addEventListener("click", callback);
    this.register(() => el.remove());
    return el;
  };
  proto.registerView = function (this: any, type: string, creator: any) {
    if (workspace.viewCreators.has(type)) throw new Error(`Attempting to register an existing view type "${type}"`);
    workspace.viewCreators.set(type, creator);
    this.register(() => workspace.viewCreators.delete(type));
  };
  proto.registerEditorSuggest = function (this: any, suggest: any) {
    workspace.suggestManager.suggests.push(suggest);
  };
  proto.registerEditorExtension = function (this: any, extension: any) {
    workspace.editorExtensions.push(extension);
  };
  proto.addSettingTab = function (this: any, tab: any) {
    app.setting.pluginTabs.push(tab);
    tab.update();
  };
  proto.loadData = async function (this: any) {
    const path = `${folder(this)}/data.json`;
    return (await app.vault.adapter.exists(path)) ? JSON.parse(await app.vault.adapter.read(path)) : null;
  };
  proto.saveData = async function (this: any, data: unknown) {
    await app.vault.adapter.write(`${folder(this)}/data.json`, JSON.stringify(data, null, 2));
  };
}

async function loadPlugin(app: any): Promise<any> {
  const code = await (await fetch("/plugin/main.js")).text();
  const manifest = await (await fetch("/plugin/manifest.json")).json();
  const began = performance.now();
  const module = { exports: {} as any };
  const load = (id: string) => {
    if (!(id in MODULES)) throw new Error(`Cannot find module '${id}'`);
    return MODULES[id];
  };
  new Function("require", "module", "exports", `${code}\n//# sourceURL=plugin:${manifest.id}`)(load, module, module.exports);
  record.evaluationMs = performance.now() - began;
  const plugin = new module.exports.default(app, { ...manifest, dir: `${app.vault.configDir}/plugins/${manifest.id}` });
  const starts = performance.now();
  const onload = plugin.onload.bind(plugin);
  let result: unknown;
  plugin.onload = () => (result = onload());
  plugin.load();
  await result;
  record.onloadMs = performance.now() - starts;
  return plugin;
}

/** Runs a command as the palette does; whether it could be run. */
function run(app: any, plugin: any, id: string): boolean {
  const command = plugin.commands__.get(id);
  if (!command) throw new Error(`no command is called ${id}`);
  const info = app.workspace.activeEditor;
  const { editor = null } = info ?? {};
  if (command.editorCheckCallback || command.editorCallback) {
    if (!editor || (command.editorCheckCallback && !command.editorCheckCallback(true, editor, info))) return false;
    (command.editorCheckCallback?.bind(command, false) ?? command.editorCallback)(editor, info);
    return true;
  }
  if (command.checkCallback && !command.checkCallback(true)) return false;
  (command.checkCallback?.bind(command, false) ?? command.callback)();
  return true;
}

function menus(app: any, view: any): object {
  const opened = (fill: (menu: any) => void) => {
    const menu = new obsidian.Menu();
    fill(menu);
    menu.showAtPosition({ x: 240, y: 160 });
    return menu.items.filter(i => i instanceof obsidian.MenuItem).map((i: any) => i.title);
  };
  return {
    editorMenu: () => opened(menu => app.workspace.trigger("editor-menu", menu, view.editor, view)),
    fileMenu: (path: string) => opened(menu => app.workspace.trigger("file-menu", menu, app.vault.getFileByPath(path), "file-explorer")),
  };
}

async function main(): Promise<void> {
  look();
  const name = query.get("vault") ?? "vault";
  const app = (M.App as any).create__(new Adapter(name), name);
  g.app = app;
  app.keymap = new obsidian.Keymap();
  app.scope = new obsidian.Scope();
  const places = furnishWorkspace(app);
  app.keymap.listen(window, () => app.workspace.scopeOfView());
  keep(app, name);
  await connect(app, file => {
    for (const leaf of app.workspace.leaves)
      if (leaf.view instanceof obsidian.MarkdownView && leaf.view.file === file) void leaf.view.changedOnDisk();
  });
  app.setting = new SettingsWindow(app);
  registry(app, places);
  for (const kind of ["keydown", "pointerdown"] as const)
    window.addEventListener(kind, e => (app.lastEvent = e), { capture: true });
  document.addEventListener("focusin", e => record.focusMoves.push((e.target as HTMLElement).className || (e.target as HTMLElement).tagName));

  for (const [id, secret] of new URLSearchParams(query.get("secrets") ?? "")) app.secretStorage.setSecret(id, secret);
  const plugin = query.get("plugin") === "none" ? null : await loadPlugin(app);
  const leaf = app.workspace.mainLeaf;
  await leaf.setViewState({ type: "markdown" });
  const path = query.get("note");
  const first = path ? app.vault.getFileByPath(path) : app.vault.getMarkdownFiles()[0];
  if (!first) throw new Error(`the vault has no note ${path}`);
  await leaf.openFile(first);
  leaf.view.editor.setCursor(leaf.view.editor.lastLine(), leaf.view.editor.getLine(leaf.view.editor.lastLine()).length);
  const restored = query.get("restore");
  if (restored) await app.workspace.getRightLeaf(false).defer(restored);

  g.host = {
    app,
    plugin,
    record,
    get view() {
      return leaf.view;
    },
    get editor() {
      return leaf.view.editor;
    },
    run: (id: string) => run(app, plugin, id),
    cli: (command: string, params: Record<string, string> = {}) => plugin.cliHandlers__.get(command)(params),
    protocol: (action: string, params: Record<string, string> = {}) =>
      plugin.obsidianProtocolHandlers__.get(action)({ action, ...params }),
    openSettings: () => app.setting.open(),
    open: async (note: string) => leaf.openFile(app.vault.getFileByPath(note)),
    unload: () => plugin.unload(),
    popout: () => app.workspace.moveLeafToPopout(app.workspace.leaves.find((l: any) => l.side === "right")),
    ...menus(app, leaf.view),
  };
  app.workspace.setLayoutReady__();
  document.body.dataset.ready = "yes";
}

main().catch(e => {
  record.errors.push(String(e?.stack ?? e));
  g.host = { record };
  document.body.dataset.ready = "error";
});
