// MarkdownRenderer.render: Markdown with wikilinks, embeds, tags, tasks, tables and code, in the markup of the app.
import * as M from "obsidian-test-mocks/obsidian";
import MarkdownIt from "markdown-it";
import { record } from "./record";

const md = new MarkdownIt({ html: false, linkify: true, breaks: false });

md.inline.ruler.before("link", "wikilink", (state: any, silent: boolean) => {
  const found = /^(!?)\[\[([^\]|]+)(?:\|([^\]]+))?\]\]/.exec(state.src.slice(state.pos));
  if (!found) return false;
  const [all, embed, link, alias] = found;
  if (!silent) {
    const open = state.push("link_open", embed ? "span" : "a", 1);
    open.attrs = embed
      ? [["class", "internal-embed"], ["src", link]]
      : [["data-href", link], ["href", link], ["class", "internal-link"], ["target", "_blank"], ["rel", "noopener nofollow"]];
    state.push("text", "", 0).content = alias ?? link.replace(/^#/, "").replace(/#/g, " > ");
    state.push("link_close", embed ? "span" : "a", -1);
  }
  state.pos += all.length;
  return true;
});
md.inline.ruler.before("wikilink", "tag", (state: any, silent: boolean) => {
  const found = /^#([\p{L}\p{N}_/-]*[\p{L}_/-][\p{L}\p{N}_/-]*)/u.exec(state.src.slice(state.pos));
  if (!found || /\S/.test(state.src[state.pos - 1] ?? " ")) return false;
  if (!silent) {
    const open = state.push("link_open", "a", 1);
    open.attrs = [["href", found[0]], ["class", "tag"], ["target", "_blank"], ["rel", "noopener nofollow"]];
    state.push("text", "", 0).content = found[0];
    state.push("link_close", "a", -1);
  }
  state.pos += found[0].length;
  return true;
});

function tasks(root: DocumentFragment): void {
  for (const item of root.querySelectorAll("li")) {
    const first = item.firstElementChild?.tagName === "P" ? item.firstElementChild.firstChild : item.firstChild;
    const found = first?.nodeType === 3 ? /^\[(.)\] /.exec(first.textContent!) : null;
    if (!found) continue;
    const box = document.createElement("input");
    box.type = "checkbox";
    box.className = "task-list-item-checkbox";
    box.checked = found[1] !== " ";
    first!.textContent = first!.textContent!.slice(found[0].length);
    item.prepend(box);
    item.classList.add("task-list-item");
    item.classList.toggle("is-checked", box.checked);
    item.dataset.task = found[1] === " " ? "" : found[1];
    item.parentElement!.classList.add("contains-task-list");
  }
}

export class MarkdownRenderer extends (M.MarkdownRenderer as any) {
  static async render(app: unknown, text: string, el: HTMLElement, source: string, component: any): Promise<void> {
    if (!(component instanceof M.Component)) throw new Error("MarkdownRenderer.render needs a Component");
    if (component instanceof M.Plugin) throw new Error("MarkdownRenderer.render: the plugin as Component leaks");
    if (typeof source !== "string") throw new Error("MarkdownRenderer.render needs the path of the source");
    const template = document.createElement("template");
    template.innerHTML = md.render(text);
    tasks(template.content);
    for (const a of template.content.querySelectorAll<HTMLAnchorElement>("a:not(.internal-link):not(.tag)")) {
      a.className = "external-link";
      a.target = "_blank";
      a.rel = "noopener nofollow";
    }
    for (const block of template.content.querySelectorAll(":scope > *")) block.setAttribute("dir", "auto");
    el.appendChild(template.content);
    record.renders.push(performance.now());
  }

  static renderMarkdown(text: string, el: HTMLElement, source: string, component: unknown): Promise<void> {
    return MarkdownRenderer.render(null, text, el, source, component);
  }
}
