/** The runs that are kept, to be looked at again. */
import type { RunRecord } from "../runs/run";
import { typed } from "../runs/run";

const STATES: Record<RunRecord["state"], string> = { sending: "sending", running: "running", done: "", failed: "failed", stopped: "stopped" };

/** Draw the list; `pick` is given the run that was chosen. */
export function drawHistory(el: HTMLElement, records: readonly RunRecord[], pick: (record: RunRecord) => void, clear: () => void): void {
	el.empty();
	const head = el.createDiv({ cls: "kos-section" });
	head.createSpan({ text: "Earlier answers" });
	if (!records.length) {
		el.createDiv({ cls: "kos-faint", text: "None yet. They stay on this device." });
		return;
	}
	const button = head.createEl("button", { cls: "kos-clear kos-quiet", text: "Clear" });
	button.addEventListener("click", clear);
	for (const record of records) {
		const item = el.createEl("button", { cls: "kos-history-item" });
		item.createDiv({ cls: "kos-history-title", text: typed(record) });
		const parts = [when(record.begun), record.decision?.model ?? "", STATES[record.state]].filter(Boolean);
		item.createDiv({ cls: "kos-faint", text: parts.join(" · ") });
		item.addEventListener("click", () => pick(record));
	}
}

/** A time as people say it: the hour of today, else the day. */
export function when(instant: number, now = Date.now()): string {
	const then = new Date(instant);
	const today = then.toDateString() === new Date(now).toDateString();
	const form: Intl.DateTimeFormatOptions = today ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
	return then.toLocaleString(undefined, form);
}
