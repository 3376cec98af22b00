// Icons: a small drawing for the names in use, a plain ring for any other; real classes, so that styles apply.
const DRAWINGS: Record<string, string> = {
  x: "M6 6L18 18M18 6L6 18",
  check: "M5 12L10 17L19 7",
  plus: "M12 5V19M5 12H19",
  play: "M8 5L19 12L8 19Z",
  square: "M6 6H18V18H6Z",
  "circle-stop": "M9 9H15V15H9ZM12 3A9 9 0 1 1 11.9 3",
  copy: "M9 9H20V20H9ZM15 9V4H4V15H9",
  "arrow-up": "M12 20V4M5 11L12 4L19 11",
  "chevron-up": "M5 15L12 8L19 15",
  compass: "M12 3A9 9 0 1 1 11.9 3M15.5 8.5L13.5 13.5L8.5 15.5L10.5 10.5Z",
  "chevron-right": "M9 5L16 12L9 19",
  "chevron-down": "M5 9L12 16L19 9",
  "rotate-ccw": "M5 9A8 8 0 1 1 4 14M4 4V9H9",
  undo: "M8 5L4 9L8 13M4 9H15A5 5 0 0 1 15 19H8",
  history: "M5 9A8 8 0 1 1 4 14M4 4V9H9M12 8V13L15 15",
  "file-plus": "M6 3H14L19 8V21H6ZM14 3V8H19M9 15H15M12 12V18",
  "file-text": "M6 3H14L19 8V21H6ZM14 3V8H19M9 13H15M9 17H15",
  send: "M4 12L20 4L14 20L11 13Z",
  settings: "M12 8A4 4 0 1 1 11.9 8M12 3V6M12 18V21M3 12H6M18 12H21",
  "triangle-alert": "M12 4L21 20H3ZM12 10V14M12 17V17.5",
  "gamepad-2": "M7 8H17A4 4 0 0 1 21 12V15A2 2 0 0 1 17 16L15 14H9L7 16A2 2 0 0 1 3 15V12A4 4 0 0 1 7 8ZM7 11H9M8 10V12M15 11V11.5M17 10V10.5",
  search: "M10 4A6 6 0 1 1 9.9 4M15 15L20 20",
  map: "M4 6L9 4L15 6L20 4V18L15 20L9 18L4 20ZM9 4V18M15 6V20",
};
const RING = "M12 5A7 7 0 1 1 11.9 5";
const SVG = "http://www.w3.org/2000/svg";

export function getIcon(id: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  const name = id.replace(/^lucide-/, "");
  for (const [key, text] of Object.entries({
    class: `svg-icon lucide-${name}`, width: "24", height: "24", viewBox: "0 0 24 24", fill: "none",
    stroke: "currentColor", "stroke-width": "2", "stroke-linecap": "round", "stroke-linejoin": "round",
  }))
    svg.setAttribute(key, text);
  svg.appendChild(document.createElementNS(SVG, "path")).setAttribute("d", DRAWINGS[name] ?? RING);
  return svg;
}

export function setIcon(parent: HTMLElement, id: string): void {
  parent.replaceChildren(...(id ? [getIcon(id)] : []));
}

export function setTooltip(el: HTMLElement, tooltip: string, options: { placement?: string } = {}): void {
  el.setAttribute("aria-label", tooltip);
  if (options.placement) el.setAttribute("data-tooltip-position", options.placement);
}

export const displayTooltip = (el: HTMLElement, content: string | DocumentFragment) =>
  setTooltip(el, typeof content === "string" ? content : (content.textContent ?? ""));
