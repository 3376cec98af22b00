// The `obsidian` module of the harness: obsidian-test-mocks, and real behaviour where a plugin can notice.
// What is not faithful stands in harness/README.md.
export * from "obsidian-test-mocks/obsidian";
export { getIcon, setIcon, setTooltip, displayTooltip } from "./app/icons";
export { Keymap, Scope } from "./app/keys";
export { request, requestUrl } from "./app/net";
export { MarkdownRenderer } from "./app/markdown";
export {
  AbstractTextComponent,
  BaseComponent,
  ButtonComponent,
  ColorComponent,
  DisplayValueComponent,
  DropdownComponent,
  ExtraButtonComponent,
  ProgressBarComponent,
  SearchComponent,
  Setting,
  SettingGroup,
  SliderComponent,
  TextAreaComponent,
  TextComponent,
  ToggleComponent,
  ValueComponent,
} from "./app/controls";
export { PluginSettingTab, SecretComponent, SettingPage, SettingTab } from "./app/settings";
export {
  ConfirmationButton,
  ConfirmationModal,
  FuzzySuggestModal,
  Menu,
  MenuItem,
  MenuSeparator,
  Modal,
  Notice,
  SuggestModal,
} from "./app/surfaces";
export { AbstractInputSuggest, EditorSuggest, PopoverSuggest } from "./app/suggest";
export { EditableFileView, Editor, FileView, ItemView, MarkdownView, TextFileView } from "./app/editor";
export { WorkspaceLeaf } from "./app/workspace";
