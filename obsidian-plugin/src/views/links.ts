/** Wikilinks drawn outside of a note: where they lead, whether they lead anywhere, and what a click and a hover do. */
import { getLinkpath, Keymap, stripHeadingForLink, type App, type Component, type HoverParent } from "obsidian";

export const HOVER_SOURCE = "knowledge-os";

/** The target of a passage, as a link has it: "Projects/Riser#Next#Order". */
export function target(path: string, heading: string): string {
	const parts = heading ? heading.split(" > ").map(stripHeadingForLink) : [];
	return [path.replace(/\.md$/, ""), ...parts].join("#");
}

/** The name of a note, without folder and ending. */
export function noteName(path: string): string {
	return path.slice(path.lastIndexOf("/") + 1).replace(/\.md$/, "");
}

/** A place in a note as people say it: its name and the headings below, without one that only repeats the name. */
export function placeName(path: string, heading: string): string {
	const name = noteName(path);
	const parts = heading ? heading.split(" > ") : [];
	if (parts[0] === name) parts.shift();
	return [name, ...parts].join(" › ");
}

/** Where a map led from, as "path" or "path#section". */
export function viaName(via: string): string {
	const at = via.indexOf("#");
	return at < 0 ? noteName(via) : placeName(via.slice(0, at), via.slice(at + 1));
}

/** A link to a place in a note. */
export function linkTo(parent: HTMLElement, path: string, heading: string, text: string): HTMLElement {
	const href = target(path, heading);
	return parent.createEl("a", { cls: "internal-link", text, href, attr: { "data-href": href } });
}

/** Mark the links below an element that lead nowhere. */
export function markUnresolved(app: App, el: HTMLElement): void {
	for (const link of Array.from(el.querySelectorAll("a.internal-link"))) {
		const href = link.getAttribute("data-href") ?? link.getAttribute("href") ?? "";
		const gone = !app.metadataCache.getFirstLinkpathDest(getLinkpath(href), "");
		link.toggleClass("is-unresolved", gone);
		if (gone) link.setAttribute("aria-label", "No note has this name");
	}
}

/** Make the links below an element live: outside of a note view they are not. */
export function wireLinks(app: App, el: HTMLElement, component: Component, parent: HoverParent): void {
	const at = (event: MouseEvent): { el: Element; href: string } | null => {
		const node = event.target as Node | null;
		const link = node?.instanceOf(Element) ? node.closest("a.internal-link") : null;
		const href = link?.getAttribute("data-href") ?? "";
		return link && href ? { el: link, href } : null;
	};
	const open = (event: MouseEvent): void => {
		const link = at(event);
		if (!link) return;
		event.preventDefault();
		void app.workspace.openLinkText(link.href, "", Keymap.isModEvent(event));
	};
	component.registerDomEvent(el, "click", open);
	component.registerDomEvent(el, "auxclick", (event) => {
		if (event.button === 1) open(event);
	});
	component.registerDomEvent(el, "mouseover", (event) => {
		const link = at(event);
		if (link)
			app.workspace.trigger("hover-link", { event, source: HOVER_SOURCE, hoverParent: parent, targetEl: link.el, linktext: link.href, sourcePath: "" });
	});
}
