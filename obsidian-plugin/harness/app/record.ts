// What happened in the page, for the checks: every list grows only.
export const record = {
  evaluationMs: 0,
  onloadMs: 0,
  errors: [] as string[],
  consoleErrors: [] as string[],
  notices: [] as string[],
  requestUrl: [] as { url: string; method: string; at: number }[],
  renders: [] as number[],
  hovers: [] as { linktext: string; source: string; sourcePath: string }[],
  opened: [] as string[],
  written: [] as string[],
  events: [] as string[],
  popups: [] as number[],
  focusMoves: [] as string[],
};

window.addEventListener("error", e => record.errors.push(String(e.error?.stack ?? e.message)));
window.addEventListener("unhandledrejection", e => record.errors.push(`unhandled: ${e.reason?.stack ?? e.reason}`));
const tell = console.error.bind(console);
console.error = (...args: unknown[]) => {
  record.consoleErrors.push(args.map(a => (a instanceof Error ? (a.stack ?? a.message) : String(a))).join(" "));
  tell(...args);
};
