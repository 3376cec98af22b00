// The app's additions to the DOM, in the main window and in every popout, from obsidian-test-mocks and mended where it is not real.
import { setup } from "obsidian-test-mocks/setup";

const CLASSES = ["Node", "Element", "HTMLElement", "SVGElement", "Document", "DocumentFragment", "UIEvent"] as const;
const own = (name: string) => Object.getOwnPropertyNames((window as any)[name].prototype);
const before = new Map(CLASSES.map(name => [name, new Set(own(name))]));

setup();

const define = (name: string, members: PropertyDescriptorMap) =>
  Object.defineProperties((window as any)[name].prototype, members);

function value(f: (this: any, ...args: any[]) => unknown): PropertyDescriptor {
  return { configurable: true, writable: true, value: f };
}

/** A class of another window is another class: the one of the same name in the node's own window counts as well. */
function instanceOf(this: Node, type: any): boolean {
  return this instanceof type || this instanceof ((this as any).win[type.name] ?? type);
}

type Wrapped = (event: Event) => void;
const delegated = new WeakMap<object, Map<string, Wrapped>>();
const listenerIds = new WeakMap<object, number>();
let nextListener = 0;

function keyOf(type: string, selector: string, listener: object): string {
  if (!listenerIds.has(listener)) listenerIds.set(listener, nextListener++);
  return [type, selector, listenerIds.get(listener)].join(" ");
}

/** Delegated events: the listener is called for the nearest matching element, if there is one. */
function on(this: any, type: string, selector: string, listener: any, options?: any): void {
  const wrapped = (event: Event) => {
    const from = event.target as Element | null;
    const found = from?.closest ? from.closest(selector) : null;
    if (found && this.contains(found)) listener.call(this, event, found);
  };
  if (!delegated.has(this)) delegated.set(this, new Map());
  delegated.get(this)!.set(keyOf(type, selector, listener), wrapped);
  this.addEventListener(type, wrapped, options);
}

function off(this: any, type: string, selector: string, listener: any, options?: any): void {
  const wrapped = delegated.get(this)?.get(keyOf(type, selector, listener));
  if (wrapped) this.removeEventListener(type, wrapped, options);
}

/** Elements that want to know when they move to another window; asked by `migrated`. */
const migrations = new Map<HTMLElement, Set<(win: Window) => void>>();

define("Node", {
  instanceOf: value(instanceOf),
  doc: { configurable: true, get: function (this: Node) { return this.ownerDocument ?? this; } },
  win: { configurable: true, get: function (this: any) { return this.doc.defaultView ?? window; } },
});
define("Element", {
  isActiveElement: value(function () {
    return this.ownerDocument.activeElement === this;
  }),
});
define("HTMLElement", {
  find: value(function (selector: string) {
    return this.querySelector(selector);
  }),
  on: value(on),
  off: value(off),
  onWindowMigrated: value(function (listener: (win: Window) => void) {
    if (!migrations.has(this)) migrations.set(this, new Set());
    migrations.get(this)!.add(listener);
    return () => migrations.get(this)?.delete(listener);
  }),
  onNodeInserted: value(function (listener: () => void, once?: boolean) {
    const look = () => {
      if (!this.isConnected) return;
      if (once) watcher.disconnect();
      listener();
    };
    const watcher = new MutationObserver(look);
    watcher.observe(document, { childList: true, subtree: true });
    look();
    return () => watcher.disconnect();
  }),
});
define("Document", { on: value(on), off: value(off) });
define("UIEvent", {
  win: { configurable: true, get: function (this: UIEvent) { return this.view ?? window; } },
  doc: { configurable: true, get: function (this: any) { return this.win.document; } },
});

const added = CLASSES.map(name => [name, own(name).filter(member => !before.get(name)!.has(member))] as const);

/** Give a popout's window the same additions, as the app does. */
export function furnish(win: Window): void {
  for (const [name, members] of added)
    for (const member of members)
      Object.defineProperty(
        (win as any)[name].prototype,
        member,
        Object.getOwnPropertyDescriptor((window as any)[name].prototype, member)!,
      );
}

/** Tell the elements inside `root` that their window is another one now. */
export function migrated(root: HTMLElement): void {
  for (const [el, listeners] of migrations) if (root.contains(el)) for (const listener of listeners) listener(el.win);
}

/** The window in front: what `activeWindow` and `activeDocument` mean. */
export function activate(win: Window): void {
  Object.assign(window, { activeWindow: win, activeDocument: win.document });
}

activate(window);
