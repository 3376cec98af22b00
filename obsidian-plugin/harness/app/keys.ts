// Keys: scopes on a stack; the topmost one and its parents are asked before the page sees a key, as in the app.
import * as M from "obsidian-test-mocks/obsidian";

type Listener = (event: KeyboardEvent, context: object) => unknown;
interface Handler {
  scope: Scope;
  modifiers: string | null;
  key: string | null;
  func: Listener;
}

const pressed = (e: KeyboardEvent) =>
  [e.altKey && "Alt", (e.ctrlKey || e.metaKey) && "Mod", e.shiftKey && "Shift"].filter(Boolean).join(",");

const named = (modifiers: string[]) =>
  modifiers.map(m => (m === "Ctrl" || m === "Meta" ? "Mod" : m)).sort().join(",");

export class Scope {
  /** In the order of registration: the first that fits is the one that is asked. */
  keys: Handler[] = [];
  constructor(private readonly parent?: Scope) {}

  register(modifiers: string[] | null, key: string | null, func: Listener): Handler {
    const handler = { scope: this, modifiers: modifiers && named(modifiers), key, func };
    this.keys.push(handler);
    return handler;
  }

  unregister(handler: Handler): void {
    this.keys = this.keys.filter(h => h !== handler);
  }

  /** What the first handler that fits says; `undefined` when none does. */
  handle(e: KeyboardEvent): unknown {
    const modifiers = pressed(e);
    const found = this.keys.find(
      h =>
        (h.modifiers === null || h.modifiers === modifiers) &&
        (h.key === null || h.key.toLowerCase() === e.key.toLowerCase()),
    );
    if (found) return found.func(e, { modifiers, key: e.key, vkey: e.code });
    return this.parent?.handle(e);
  }
}

export class Keymap extends (M.Keymap as any) {
  stack: Scope[] = [];

  pushScope(scope: Scope): void {
    this.popScope(scope);
    this.stack.push(scope);
  }

  popScope(scope: Scope): void {
    this.stack = this.stack.filter(s => s !== scope);
  }

  /** Listen in a window. `base` is the scope when none is pushed: the active view's, or the app's. */
  listen(win: Window, base: () => Scope): void {
    win.addEventListener(
      "keydown",
      e => {
        if (e.isComposing) return;
        if ((this.stack.at(-1) ?? base()).handle(e) !== false) return;
        e.preventDefault();
        e.stopImmediatePropagation();
      },
      { capture: true },
    );
  }
}
