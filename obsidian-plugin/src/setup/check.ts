/** Looks at the connection step by step, and names the first thing that is not right. */
import { ask, within, type Address } from "../api/ask";
import { statusOf, type Status } from "../api/client";
import { faultOf } from "../api/errors";

/** One step, done: `words` says what was found, or what is wrong and what to do. */
export interface Step {
	name: string;
	result: "ok" | "failed" | "skipped";
	words: string;
}

/** What a check needs of the world; tests give their own. */
export interface Probe {
	ask(method: string, path: string): Promise<unknown>;
	/** Whether the web view may read what the service sends. */
	streams(): Promise<boolean>;
	/** Name of the vault that is open. */
	vault: string;
}

export function probe(address: Address, vault: string, streams: () => Promise<boolean>): Probe {
	return { ask: (method, path) => ask(address, method, path), streams: () => within(address.patience, streams()), vault };
}

const NAMES = ["Service", "Name", "Token", "Vault", "Streaming", "Models"] as const;

/** All steps; those behind one that fails are skipped, but for streaming, without which everything works more slowly. */
export async function check(probe: Probe): Promise<Step[]> {
	const steps: Step[] = [];
	const add = (name: (typeof NAMES)[number], result: Step["result"], words: string): void => {
		steps.push({ name, result, words });
	};
	const rest = (): Step[] => [...steps, ...NAMES.slice(steps.length).map((name): Step => ({ name, result: "skipped", words: "" }))];

	try {
		await probe.ask("GET", "/healthz");
	} catch (error) {
		const fault = faultOf(error);
		if (fault.code !== "wrong_host") {
			add("Service", "failed", fault.words);
			return rest();
		}
		add("Service", "ok", "It answers.");
		add("Name", "failed", fault.words);
		return rest();
	}
	add("Service", "ok", "It answers.");
	add("Name", "ok", "It goes by this name.");
	let status: Status;
	try {
		status = statusOf(await probe.ask("GET", "/v1/status"));
	} catch (error) {
		add("Token", "failed", faultOf(error).words);
		return rest();
	}
	add("Token", "ok", `Knowledge-OS ${status.version} takes it.`);
	vaultStep(status, probe.vault, add);
	const streams = await probe.streams().catch(() => false);
	if (streams) add("Streaming", "ok", "Answers come word by word.");
	else add("Streaming", "failed", "The service does not allow this app's origin, so answers come in larger pieces. Its option `origins` allows further ones.");
	const up = status.nodes.filter((node) => node.reachable);
	const down = status.nodes.find((node) => !node.reachable);
	if (up.length) add("Models", "ok", `${up.map((node) => node.name).join(", ")} ${up.length === 1 ? "answers" : "answer"}.`);
	else add("Models", "failed", down ? `${down.error} ${down.hint}`.trim() : "No node is set up: your notes alone answer.");
	return steps;
}

function vaultStep(status: Status, open: string, add: (name: "Vault", result: Step["result"], words: string) => void): void {
	if (!status.ready || !status.vault) add("Vault", "failed", "The service is still reading the vault. Try again in a moment.");
	else if (status.vault.name !== open) add("Vault", "failed", `The service reads the vault ${status.vault.name}, and this one is ${open}. Start it with this vault.`);
	else add("Vault", "ok", `${status.vault.name}, ${status.vault.notes} notes.`);
}
