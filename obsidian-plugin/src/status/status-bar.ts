/** The word in the status bar: how the service is, at a glance. */
import type { Client, Status } from "../api/client";
import { faultOf, type Fault } from "../api/errors";
import type { RunRecord } from "../runs/run";

export type Condition = "ready" | "busy" | "degraded" | "offline" | "unpaired";

/** What is known of the service: its own word, or why there is none. */
export interface Known {
	status: Status | null;
	fault: Fault | null;
	paired: boolean;
}

/** The condition and its words, short and in full. */
export function condition({ status, fault, paired }: Known, busy: RunRecord | null): { state: Condition; text: string; title: string } {
	if (!paired) return { state: "unpaired", text: "not paired", title: "Set the token of the service." };
	if (fault?.code === "unauthorized") return { state: "unpaired", text: "not paired", title: fault.words };
	if (fault) return { state: "offline", text: "offline", title: fault.words };
	if (busy) return { state: "busy", text: busyWords(busy), title: `Running /${busy.command}` };
	if (!status) return { state: "ready", text: "…", title: "Asking the service" };
	if (!status.ready) return { state: "busy", text: "reading the vault", title: "The service reads the vault for the first time." };
	const lacks = lacking(status);
	if (lacks.length) return { state: "degraded", text: lacks[0]?.[0] ?? "", title: lacks.map(([, words]) => words).join(" ") };
	const others = status.runs.running;
	if (others) return { state: "busy", text: others === 1 ? "1 running" : `${others} running`, title: "Another client of the service is answered." };
	return { state: "ready", text: "ready", title: `${status.vault?.notes ?? 0} notes, ${status.nodes.map((node) => node.name).join(", ")}` };
}

function busyWords({ phase }: RunRecord): string {
	if (phase?.name === "queued" && phase.total) return `${phase.n} of ${phase.total} in line`;
	return phase?.name ?? "sending";
}

function lacking(status: Status): [string, string][] {
	const found: [string, string][] = [];
	if (!status.nodes.some((node) => node.reachable)) {
		const [node] = status.nodes;
		found.push(["no model", node ? `${node.error} ${node.hint}`.trim() : "No node is set up."]);
	}
	if (status.cache?.breaker === "open") found.push(["no cache", `The cache is away: ${status.cache.last_error}`]);
	return found;
}

const EVERY_MS = 30_000;
const SOON_MS = 1500;

/** Asks the service how it is, now and then, and shows it. */
export class StatusBar {
	known: Known = { status: null, fault: null, paired: false };
	private timer = 0;
	private closed = false;

	/**
	 * @param paired whether there is a token
	 * @param busy the run that is being answered now
	 * @param heard told after each answer
	 */
	constructor(
		readonly el: HTMLElement,
		private readonly client: Client,
		private readonly paired: () => boolean,
		private readonly busy: () => RunRecord | null,
		private readonly heard: () => void,
	) {
		el.addClass("kos-status", "mod-clickable");
		el.setAttribute("role", "status");
		this.draw();
	}

	/** Ask now; the next time is a while from now. */
	async refresh(): Promise<Known> {
		this.known = await this.ask();
		if (this.closed) return this.known;
		window.clearTimeout(this.timer);
		const { status } = this.known;
		const soon = status !== null && !status.ready;
		this.timer = window.setTimeout(() => void this.refresh(), soon ? SOON_MS : EVERY_MS);
		this.draw();
		this.heard();
		return this.known;
	}

	/** Show what is known; to be called when a run goes on. */
	draw(): void {
		const { state, text, title } = condition(this.known, this.busy());
		this.el.dataset["state"] = state;
		const words = `KOS: ${text}`;
		if (this.el.textContent !== words) this.el.setText(words);
		this.el.setAttribute("aria-label", title);
	}

	close(): void {
		this.closed = true;
		window.clearTimeout(this.timer);
	}

	private async ask(): Promise<Known> {
		if (!this.paired()) return { status: null, fault: null, paired: false };
		try {
			return { status: await this.client.status(), fault: null, paired: true };
		} catch (error) {
			return { status: null, fault: faultOf(error), paired: true };
		}
	}
}
