/** What the app keeps on this device for this vault: it does not sync, and has room for some megabytes in all. */

/** The app, as far as keeping goes. */
export interface Store {
	loadLocalStorage(key: string): unknown;
	saveLocalStorage(key: string, data: unknown): void;
}

/** How much of a list is kept. */
export interface Bounds {
	count: number;
	/** Of the list as JSON; one entry alone may have more. */
	characters: number;
}

/**
 * Keep a list, newest first, as far as it fits; the oldest entries go. Never throws: a full store keeps less.
 * @param form what is stored for a list
 * @returns what is left of the list
 */
export function keepNewest<T>(store: Store, key: string, list: readonly T[], bounds: Bounds, form: (list: T[]) => unknown): T[] {
	for (let count = Math.min(list.length, bounds.count); ; count--) {
		const kept = list.slice(0, count);
		const value = form(kept);
		if (count > 1 && JSON.stringify(value).length > bounds.characters) continue;
		try {
			store.saveLocalStorage(key, value);
			return kept;
		} catch {
			if (count <= 0) return [];
		}
	}
}
