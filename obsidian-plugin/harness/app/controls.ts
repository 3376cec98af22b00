// Settings rows and their components, bound to real inputs.
import { setIcon, setTooltip } from "./icons";

const g = window as any;

export class BaseComponent {
  disabled = false;
  setDisabled(disabled: boolean): this {
    this.disabled = disabled;
    return this;
  }
  then(cb: (component: this) => unknown): this {
    cb(this);
    return this;
  }
}

export abstract class ValueComponent<T> extends BaseComponent {
  registerOptionListener(listeners: Record<string, (value?: T) => T>, key: string): this {
    listeners[key] = value => {
      if (value !== undefined) this.setValue(value);
      return this.getValue();
    };
    return this;
  }
  abstract getValue(): T;
  abstract setValue(value: T): this;
}

export class AbstractTextComponent extends ValueComponent<string> {
  private changed: ((value: string) => unknown) | null = null;
  constructor(readonly inputEl: any) {
    super();
    inputEl.addEventListener("input", () => this.onChanged());
  }
  override setDisabled(disabled: boolean): this {
    this.inputEl.disabled = disabled;
    return super.setDisabled(disabled);
  }
  getValue(): string {
    return this.inputEl.value;
  }
  setValue(value: string): this {
    this.inputEl.value = value;
    return this;
  }
  setPlaceholder(text: string): this {
    this.inputEl.placeholder = text;
    return this;
  }
  onChanged(): void {
    this.changed?.(this.getValue());
  }
  onChange(cb: (value: string) => unknown): this {
    this.changed = cb;
    return this;
  }
}

export class TextComponent extends AbstractTextComponent {
  constructor(containerEl: any) {
    super(containerEl.createEl("input", { type: "text", attr: { spellcheck: "false" } }));
  }
}

export class TextAreaComponent extends AbstractTextComponent {
  constructor(containerEl: any) {
    super(containerEl.createEl("textarea", { attr: { spellcheck: "false" } }));
  }
}

export class SearchComponent extends AbstractTextComponent {
  readonly containerEl: any;
  readonly clearButtonEl: any;
  constructor(parent: any) {
    const box = parent.createDiv("search-input-container");
    super(box.createEl("input", { type: "search", attr: { enterkeyhint: "search", spellcheck: "false" } }));
    this.containerEl = box;
    this.clearButtonEl = box.createDiv("search-input-clear-button");
    this.clearButtonEl.addEventListener("click", () => {
      this.setValue("");
      this.onChanged();
    });
  }
}

export class ToggleComponent extends ValueComponent<boolean> {
  readonly toggleEl: any;
  private readonly box: any;
  private changed: ((value: boolean) => unknown) | null = null;
  constructor(containerEl: any) {
    super();
    this.toggleEl = containerEl.createDiv("checkbox-container");
    this.box = this.toggleEl.createEl("input", { type: "checkbox", attr: { tabindex: "0" } });
    this.box.addEventListener("change", () => {
      this.draw();
      this.changed?.(this.getValue());
    });
    this.toggleEl.addEventListener("click", (e: Event) => {
      if (e.target !== this.box) this.onClick();
    });
  }
  private draw(): void {
    this.toggleEl.toggleClass("is-enabled", this.box.checked);
  }
  override setDisabled(disabled: boolean): this {
    this.box.disabled = disabled;
    this.toggleEl.toggleClass("is-disabled", disabled);
    return super.setDisabled(disabled);
  }
  getValue(): boolean {
    return this.box.checked;
  }
  setValue(on: boolean): this {
    this.box.checked = on;
    this.draw();
    return this;
  }
  setTooltip(text: string): this {
    setTooltip(this.toggleEl, text);
    return this;
  }
  onClick(): void {
    if (!this.disabled) this.box.click();
  }
  onChange(cb: (value: boolean) => unknown): this {
    this.changed = cb;
    return this;
  }
}

export class DropdownComponent extends ValueComponent<string> {
  readonly selectEl: any;
  private changed: ((value: string) => unknown) | null = null;
  constructor(containerEl: any) {
    super();
    this.selectEl = containerEl.createEl("select", { cls: "dropdown" });
    this.selectEl.addEventListener("change", () => this.changed?.(this.getValue()));
  }
  override setDisabled(disabled: boolean): this {
    this.selectEl.disabled = disabled;
    return super.setDisabled(disabled);
  }
  addOption(value: string, text: string): this {
    this.selectEl.createEl("option", { value, text });
    return this;
  }
  addOptions(options: Record<string, string>): this {
    for (const [value, text] of Object.entries(options)) this.addOption(value, text);
    return this;
  }
  getValue(): string {
    return this.selectEl.value;
  }
  setValue(value: string): this {
    this.selectEl.value = value;
    return this;
  }
  onChange(cb: (value: string) => unknown): this {
    this.changed = cb;
    return this;
  }
}

export class SliderComponent extends ValueComponent<number> {
  readonly sliderEl: any;
  private format = (value: number) => String(value);
  private changed: ((value: number) => unknown) | null = null;
  constructor(containerEl: any) {
    super();
    this.sliderEl = containerEl.createEl("input", { cls: "slider", type: "range" });
    this.sliderEl.addEventListener("change", () => this.changed?.(this.getValue()));
  }
  override setDisabled(disabled: boolean): this {
    this.sliderEl.disabled = disabled;
    return super.setDisabled(disabled);
  }
  setInstant(_: boolean): this {
    return this;
  }
  setLimits(min: number | null, max: number | null, step: number | "any"): this {
    Object.assign(this.sliderEl, { min: min ?? "", max: max ?? "", step });
    return this;
  }
  getValue(): number {
    return Number(this.sliderEl.value);
  }
  setValue(value: number): this {
    this.sliderEl.value = value;
    return this;
  }
  getValuePretty(): string {
    return this.format(this.getValue());
  }
  setDisplayFormat(format: (value: number) => string): this {
    this.format = format;
    return this;
  }
  setDynamicTooltip(): this {
    return this;
  }
  onChange(cb: (value: number) => unknown): this {
    this.changed = cb;
    return this;
  }
}

export class ColorComponent extends AbstractTextComponent {
  constructor(containerEl: any) {
    super(containerEl.createEl("input", { type: "color" }));
  }
}

export class ProgressBarComponent extends ValueComponent<number> {
  private readonly bar: any;
  private value = 0;
  constructor(containerEl: any) {
    super();
    this.bar = containerEl.createDiv("setting-progress-bar").createDiv("setting-progress-bar-inner");
  }
  getValue(): number {
    return this.value;
  }
  setValue(value: number): this {
    this.value = value;
    this.bar.style.width = `${value}%`;
    return this;
  }
}

export class ButtonComponent extends BaseComponent {
  readonly buttonEl: any;
  constructor(containerEl: any) {
    super();
    this.buttonEl = containerEl.createEl("button");
  }
  override setDisabled(disabled: boolean): this {
    this.buttonEl.disabled = disabled;
    return super.setDisabled(disabled);
  }
  private mark(cls: string, on = true): this {
    this.buttonEl.toggleClass(cls, on);
    return this;
  }
  setCta(): this {
    return this.mark("mod-cta");
  }
  removeCta(): this {
    return this.mark("mod-cta", false);
  }
  setWarning(): this {
    return this.mark("mod-warning");
  }
  setDestructive(): this {
    return this.mark("mod-destructive");
  }
  removeDestructive(): this {
    return this.mark("mod-destructive", false);
  }
  setClass(cls: string): this {
    return this.mark(cls);
  }
  setTooltip(text: string, options?: object): this {
    setTooltip(this.buttonEl, text, options);
    return this;
  }
  setButtonText(text: string): this {
    this.buttonEl.setText(text);
    return this;
  }
  setIcon(icon: string): this {
    setIcon(this.buttonEl, icon);
    return this;
  }
  onClick(cb: (e: MouseEvent) => unknown): this {
    this.buttonEl.addEventListener("click", cb);
    return this;
  }
}

export class ExtraButtonComponent extends BaseComponent {
  readonly extraSettingsEl: any;
  constructor(containerEl: any) {
    super();
    this.extraSettingsEl = containerEl.createDiv({ cls: "clickable-icon extra-setting-button", attr: { tabindex: "0", role: "button" } });
    this.setIcon("settings");
  }
  override setDisabled(disabled: boolean): this {
    this.extraSettingsEl.toggleClass("is-disabled", disabled);
    return super.setDisabled(disabled);
  }
  setTooltip(text: string, options?: object): this {
    setTooltip(this.extraSettingsEl, text, options);
    return this;
  }
  setIcon(icon: string): this {
    setIcon(this.extraSettingsEl, icon);
    return this;
  }
  onClick(cb: () => unknown): this {
    this.extraSettingsEl.addEventListener("click", () => {
      if (!this.disabled) cb();
    });
    return this;
  }
}

export class DisplayValueComponent {
  readonly valueEl: any;
  constructor(containerEl: any) {
    this.valueEl = containerEl.createSpan("setting-display-value");
  }
  setValue(value: string | null): this {
    this.valueEl.setText(value ?? "");
    return this;
  }
  setStatus(status: "warning" | null): this {
    this.valueEl.toggleClass("mod-warning", status === "warning");
    return this;
  }
}

function fill(el: any, content: string | DocumentFragment): void {
  if (typeof content === "string") el.textContent = content;
  else el.replaceChildren(content);
}

export class Setting {
  readonly settingEl: any;
  readonly infoEl: any;
  readonly nameEl: any;
  readonly descEl: any;
  readonly controlEl: any;
  errorEl: any = null;
  components: any[] = [];

  constructor(containerEl: any) {
    this.settingEl = containerEl.createDiv("setting-item");
    this.infoEl = this.settingEl.createDiv("setting-item-info");
    this.nameEl = this.infoEl.createDiv("setting-item-name");
    this.descEl = this.infoEl.createDiv("setting-item-description");
    this.controlEl = this.settingEl.createDiv("setting-item-control");
  }
  private add<T>(component: T, cb: (component: T) => unknown): this {
    this.components.push(component);
    cb(component);
    return this;
  }
  setName(name: string | DocumentFragment): this {
    fill(this.nameEl, name);
    return this;
  }
  setDesc(desc: string | DocumentFragment): this {
    fill(this.descEl, desc);
    return this;
  }
  setClass(cls: string): this {
    this.settingEl.addClass(cls);
    return this;
  }
  setTooltip(text: string): this {
    setTooltip(this.nameEl, text);
    return this;
  }
  setHeading(): this {
    this.settingEl.addClass("setting-item-heading");
    return this;
  }
  setDisabled(disabled: boolean): this {
    this.settingEl.toggleClass("is-disabled", disabled);
    for (const component of this.components) component.setDisabled?.(disabled);
    return this;
  }
  setErrorMessage(message: string | null): this {
    this.settingEl.toggleClass("is-invalid", Boolean(message));
    if (message) {
      this.errorEl ??= this.settingEl.createDiv({ cls: "setting-item-error", attr: { role: "alert" } });
      this.errorEl.setText(message);
    } else {
      this.errorEl?.remove();
      this.errorEl = null;
    }
    return this;
  }
  addButton = (cb: (c: ButtonComponent) => unknown) => this.add(new ButtonComponent(this.controlEl), cb);
  addExtraButton = (cb: (c: ExtraButtonComponent) => unknown) => this.add(new ExtraButtonComponent(this.controlEl), cb);
  addToggle = (cb: (c: ToggleComponent) => unknown) => this.add(new ToggleComponent(this.controlEl), cb);
  addText = (cb: (c: TextComponent) => unknown) => this.add(new TextComponent(this.controlEl), cb);
  addTextArea = (cb: (c: TextAreaComponent) => unknown) => this.add(new TextAreaComponent(this.controlEl), cb);
  addSearch = (cb: (c: SearchComponent) => unknown) => this.add(new SearchComponent(this.controlEl), cb);
  addDropdown = (cb: (c: DropdownComponent) => unknown) => this.add(new DropdownComponent(this.controlEl), cb);
  addSlider = (cb: (c: SliderComponent) => unknown) => this.add(new SliderComponent(this.controlEl), cb);
  addColorPicker = (cb: (c: ColorComponent) => unknown) => this.add(new ColorComponent(this.controlEl), cb);
  addProgressBar = (cb: (c: ProgressBarComponent) => unknown) => this.add(new ProgressBarComponent(this.controlEl), cb);
  addDisplayValue = (cb: (c: DisplayValueComponent) => unknown) => this.add(new DisplayValueComponent(this.controlEl), cb);
  addComponent(cb: (el: HTMLElement) => unknown): this {
    this.components.push(cb(this.controlEl));
    return this;
  }
  then(cb: (setting: this) => unknown): this {
    cb(this);
    return this;
  }
  clear(): this {
    this.controlEl.empty();
    this.components = [];
    return this;
  }
}

export class SettingGroup {
  readonly groupEl: any;
  readonly listEl: any;
  private readonly headerEl: any;
  constructor(containerEl: any) {
    this.groupEl = containerEl.createDiv("setting-group");
    this.headerEl = g.createDiv("setting-item setting-item-heading");
    this.listEl = this.groupEl.createDiv("setting-items");
  }
  setHeading(text: string | DocumentFragment): this {
    this.headerEl.empty();
    fill(this.headerEl.createDiv("setting-item-name"), text);
    this.groupEl.prepend(this.headerEl);
    return this;
  }
  addClass(...classes: string[]): this {
    this.groupEl.addClass(...classes);
    return this;
  }
  addSetting(cb: (setting: Setting) => void): this {
    cb(new Setting(this.listEl));
    return this;
  }
  addSearch(cb: (c: SearchComponent) => unknown): this {
    cb(new SearchComponent(this.headerEl));
    return this;
  }
  addExtraButton(cb: (c: ExtraButtonComponent) => unknown): this {
    cb(new ExtraButtonComponent(this.headerEl));
    return this;
  }
}
