/** Whether the person has done anything since a moment: only then may the focus be moved for them. */

const SIGNS = ["keydown", "mousedown", "touchstart", "wheel"] as const;

export class Attention {
	private idle = false;
	private end: () => void = () => undefined;

	/** Begin to watch a document. */
	watch(doc: Document): void {
		this.end();
		this.idle = true;
		const seen = (): void => {
			this.idle = false;
			this.end();
		};
		// The key press that began it is not over yet: it must not count.
		const timer = doc.win.setTimeout(() => {
			for (const sign of SIGNS) doc.addEventListener(sign, seen, { capture: true, passive: true });
		}, 0);
		this.end = () => {
			doc.win.clearTimeout(timer);
			for (const sign of SIGNS) doc.removeEventListener(sign, seen, { capture: true });
		};
	}

	/** Whether nothing was done since; it watches no longer. */
	take(): boolean {
		const { idle } = this;
		this.idle = false;
		this.end();
		return idle;
	}
}
