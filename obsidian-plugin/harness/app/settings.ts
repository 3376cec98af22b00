// Declarative settings as the app renders them: controls bound to the plugin's settings, validation inline, groups and pages.
import { BaseComponent, Setting, SettingGroup } from "./controls";
import { Modal } from "./surfaces";

const g = window as any;
type Definition = any;

function asked<T>(value: T | (() => T) | undefined, otherwise: T): T {
  return value === undefined ? otherwise : typeof value === "function" ? (value as () => T)() : value;
}

/** Names a secret of the app's storage: one that is there, or a new one whose text is asked for. */
export class SecretComponent extends BaseComponent {
  private readonly select: any;
  private changed: ((id: string) => unknown) | null = null;
  constructor(private readonly app: any, containerEl: any) {
    super();
    const box = containerEl.createDiv("secret-component");
    this.select = box.createEl("select", { cls: "dropdown", attr: { "aria-label": "Secret" } });
    const add = box.createEl("button", { text: "Add secret" });
    this.list("");
    this.select.addEventListener("change", () => this.changed?.(this.select.value));
    add.addEventListener("click", () => this.ask());
  }
  override setDisabled(disabled: boolean): this {
    this.select.disabled = disabled;
    return super.setDisabled(disabled);
  }
  private list(id: string): void {
    this.select.empty();
    const ids = new Set<string>(["", ...(id ? [id] : []), ...this.app.secretStorage.listSecrets()]);
    for (const known of ids) this.select.createEl("option", { value: known, text: known || "None" });
    this.select.value = id;
  }
  private ask(): void {
    const modal = new Modal(this.app);
    modal.setTitle("Add secret");
    let id = this.select.value;
    let secret = "";
    new Setting(modal.contentEl).setName("ID").addText(text => text.setValue(id).onChange(value => (id = value)));
    new Setting(modal.contentEl).setName("Secret").addText(text => {
      text.inputEl.type = "password";
      text.onChange(value => (secret = value));
    });
    new Setting(modal.contentEl).addButton(button =>
      button
        .setButtonText("Save")
        .setCta()
        .onClick(() => {
          this.app.secretStorage.setSecret(id, secret);
          modal.close();
          this.list(id);
          this.changed?.(id);
        }),
    );
    modal.open();
  }
  setValue(id: string): this {
    this.list(id);
    return this;
  }
  onChange(cb: (id: string) => unknown): this {
    this.changed = cb;
    return this;
  }
}

/** One rendered row or group, and how it follows its predicates. */
interface Rendered {
  refresh(): void;
  remove(): void;
}

function control(tab: SettingTab, setting: Setting, c: Definition): void {
  const stored = () => tab.getControlValue(c.key) ?? c.defaultValue;
  let asking = 0;
  const check = async (value: unknown): Promise<boolean> => {
    const mine = ++asking;
    const told = await c.validate?.(value);
    if (mine !== asking) return false;
    setting.setErrorMessage(told || null);
    return !told;
  };
  const changed = async (value: unknown) => {
    if (!(await check(value))) return;
    await tab.setControlValue(c.key, value);
    tab.refreshDomState();
  };
  const seed = stored();
  if (c.validate && seed !== undefined) void check(seed);
  if (c.type === "toggle") setting.addToggle(t => t.setValue(Boolean(seed)).onChange(changed));
  else if (c.type === "dropdown")
    setting.addDropdown(d => d.addOptions(c.options).setValue(String(seed ?? "")).onChange(changed));
  else if (c.type === "slider")
    setting.addSlider(s => s.setLimits(c.min, c.max, c.step).setValue(Number(seed ?? c.min)).onChange(changed));
  else if (c.type === "color") setting.addColorPicker(p => p.setValue(String(seed ?? "#000000")).onChange(changed));
  else if (c.type === "textarea")
    setting.addTextArea(t => {
      t.setPlaceholder(c.placeholder ?? "").setValue(String(seed ?? "")).onChange(changed);
      if (c.rows) t.inputEl.rows = c.rows;
    });
  else if (c.type === "number")
    setting.addText(t => {
      Object.assign(t.inputEl, { type: "number", min: c.min ?? "", max: c.max ?? "", step: c.step ?? "any" });
      t.setPlaceholder(c.placeholder ?? "").setValue(String(seed ?? "")).onChange(text => {
        const value = Number.parseFloat(text);
        return changed(Number.isNaN(value) ? (c.defaultValue ?? 0) : value);
      });
    });
  else if (["text", "file", "folder"].includes(c.type))
    setting.addText(t => t.setPlaceholder(c.placeholder ?? "").setValue(String(seed ?? "")).onChange(changed));
  else throw new Error(`no control is called ${c.type}`);
}

function row(tab: SettingTab, group: SettingGroup, definition: Definition, index: number): Rendered {
  const setting = new Setting(group.listEl).setName(definition.name ?? "").setDesc(definition.desc ?? "");
  let cleanup: (() => void) | void;
  if (definition.type === "page") {
    setting.settingEl.addClass("mod-navigable", "tappable");
    const value = asked(definition.displayValue, "");
    setting.addDisplayValue(d => d.setValue(value).setStatus(asked(definition.status, null)));
    setting.addExtraButton(b => b.setIcon("chevron-right"));
    setting.settingEl.addEventListener("click", () => tab.openPage(definition));
  } else if (definition.action) {
    setting.settingEl.addClass("mod-action", "tappable");
    Object.assign(setting.settingEl, { tabIndex: 0 });
    setting.settingEl.addEventListener("click", () => definition.action(setting.settingEl, index));
  } else if (definition.render) cleanup = definition.render(setting, group);
  else if (definition.control) control(tab, setting, definition.control);
  const disabled = definition.disabled ?? definition.control?.disabled;
  return {
    refresh: () => {
      setting.settingEl.toggle(asked(definition.visible, true));
      if (disabled !== undefined) setting.setDisabled(asked(disabled, false));
    },
    remove: () => cleanup?.(),
  };
}

function grouped(items: Definition[]): Definition[] {
  const groups: Definition[] = [];
  for (const item of items)
    if (item.type === "group" || item.type === "list") groups.push(item);
    else if (groups.at(-1)?.loose) groups.at(-1).items.push(item);
    else groups.push({ type: "group", loose: true, items: [item] });
  return groups;
}

export abstract class SettingTab {
  readonly containerEl: any = g.createDiv("vertical-tab-content");
  icon = "";
  name = "";
  settingItems: Definition[] = [];
  private rendered: Rendered[] = [];
  private shown = false;

  constructor(readonly app: any, _setting?: unknown) {}

  getSettingDefinitions(): Definition[] {
    return [];
  }
  abstract getControlValue(key: string): unknown;
  abstract setControlValue(key: string, value: unknown): void | Promise<void>;
  display(): void {}
  hide(): void {}

  update(): void {
    this.settingItems = this.getSettingDefinitions();
    if (this.shown) this.draw(this.settingItems);
  }
  refreshDomState(): void {
    for (const one of this.rendered) one.refresh();
  }
  /** What the settings window calls. */
  show(): void {
    this.shown = true;
    this.settingItems = this.getSettingDefinitions();
    if (this.settingItems.length) this.draw(this.settingItems);
    else this.display();
  }
  leave(): void {
    this.shown = false;
    this.clear();
    this.hide();
  }
  openPage(definition: Definition): void {
    if (definition.page) {
      const page: SettingPage = definition.page();
      page.title ||= definition.name;
      this.clear();
      this.containerEl.appendChild(page.rootEl);
      page.display();
      return;
    }
    this.draw(definition.items ?? [], definition.name);
  }
  private clear(): void {
    for (const one of this.rendered) one.remove();
    this.rendered = [];
    this.containerEl.empty();
  }
  private draw(items: Definition[], title = ""): void {
    this.clear();
    if (title) {
      const bar = this.containerEl.createDiv("setting-page-titlebar");
      bar.createEl("button", { text: "Back" }).addEventListener("click", () => this.draw(this.settingItems));
      bar.createSpan({ text: title });
    }
    for (const definition of grouped(items)) {
      const group = new SettingGroup(this.containerEl);
      if (definition.heading) group.setHeading(definition.heading);
      if (definition.cls) group.addClass(...definition.cls.split(" ").filter(Boolean));
      for (const extra of definition.extraButtons ?? []) group.addExtraButton(extra);
      const rows = (definition.items ?? []).map((item: Definition, n: number) => row(this, group, item, n));
      if (definition.type === "list" && !rows.length && definition.emptyState)
        group.listEl.createDiv("setting-item").append(definition.emptyState);
      this.rendered.push(...rows, { refresh: () => group.groupEl.toggle(asked(definition.visible, true)), remove: () => {} });
    }
    this.refreshDomState();
  }
}

export abstract class PluginSettingTab extends SettingTab {
  constructor(app: any, readonly plugin: any) {
    super(app);
    this.name = plugin.manifest.name;
  }
  getControlValue(key: string): unknown {
    return this.plugin.settings?.[key];
  }
  async setControlValue(key: string, value: unknown): Promise<void> {
    this.plugin.settings[key] = value;
    await this.plugin.saveData(this.plugin.settings);
  }
}

export abstract class SettingPage {
  readonly rootEl: any = g.createDiv("setting-page");
  readonly titlebarEl: any = this.rootEl.createDiv("setting-page-titlebar");
  readonly containerEl: any = this.rootEl.createDiv("setting-page-content");
  title = "";
  abstract display(): void;
  hide(): void {}
}

/** The settings window: one tab per plugin that has one. */
export class SettingsWindow extends Modal {
  readonly pluginTabs: SettingTab[] = [];
  activeTab: SettingTab | null = null;
  private readonly pane: any;

  constructor(app: any) {
    super(app);
    this.modalEl.addClass("mod-settings", "mod-sidebar-layout");
    const side = this.contentEl.createDiv("vertical-tab-header");
    side.createDiv({ cls: "vertical-tab-header-group-title", text: "Community plugins" });
    this.pane = this.contentEl.createDiv("vertical-tab-content-container");
    this.contentEl.addClass("vertical-tabs-container");
  }
  override onOpen(): void {
    const side = this.contentEl.querySelector(".vertical-tab-header");
    for (const item of side.querySelectorAll(".vertical-tab-nav-item")) item.remove();
    for (const tab of this.pluginTabs) {
      const item = side.createDiv({ cls: "vertical-tab-nav-item", text: tab.name });
      item.addEventListener("click", () => this.openTab(tab));
    }
    if (this.activeTab ?? this.pluginTabs[0]) this.openTab(this.activeTab ?? this.pluginTabs[0]!);
  }
  override onClose(): void {
    this.activeTab?.leave();
  }
  openTabById(id: string): SettingTab | null {
    const tab = this.pluginTabs.find(t => (t as any).plugin?.manifest.id === id) ?? null;
    if (tab) this.openTab(tab);
    return tab;
  }
  private openTab(tab: SettingTab): void {
    if (this.activeTab && this.activeTab !== tab) this.activeTab.leave();
    this.activeTab = tab;
    this.pane.replaceChildren(tab.containerEl);
    tab.show();
  }
}
