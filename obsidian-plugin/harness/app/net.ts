// requestUrl: the native side of the app. No CORS, no Origin header, no streaming, no abort; errors in the words of each platform.
import { Platform } from "obsidian-test-mocks/obsidian";
import { record } from "./record";

interface Param {
  url: string;
  method?: string;
  contentType?: string;
  headers?: Record<string, string>;
  body?: string | ArrayBuffer;
  throw?: boolean;
}

const fromBase64 = (text: string) => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const toBase64 = (bytes: Uint8Array) => btoa(Array.from(bytes, b => String.fromCharCode(b)).join(""));

function words(error: string, url: string): string {
  if (Platform.isIosApp)
    return /REFUSED/.test(error) ? "Could not connect to the server." : "The network connection was lost.";
  if (Platform.isAndroidApp)
    return /REFUSED/.test(error) ? `Failed to connect to /${new URL(url).host}` : "unexpected end of stream";
  return error;
}

async function ask(p: Param) {
  const binary = p.body instanceof ArrayBuffer;
  const relayed = await window.fetch("/__native", {
    method: "POST",
    body: JSON.stringify({ ...p, binary, body: binary ? toBase64(new Uint8Array(p.body as ArrayBuffer)) : p.body }),
  });
  const answer = await relayed.json();
  if (answer.error) throw new Error(words(answer.error, p.url));
  const bytes = fromBase64(answer.body);
  const text = new TextDecoder().decode(bytes);
  const out = {
    status: answer.status as number,
    headers: answer.headers as Record<string, string>,
    arrayBuffer: bytes.buffer,
    text,
    get json() {
      return JSON.parse(text);
    },
  };
  if (out.status >= 400 && p.throw !== false)
    throw Object.assign(new Error(`Request failed, status ${out.status}`), { status: out.status, headers: out.headers });
  return out;
}

export function requestUrl(request: string | Param): any {
  const p = typeof request === "string" ? { url: request } : request;
  record.requestUrl.push({ url: p.url, method: p.method ?? "GET", at: performance.now() });
  const answer = ask(p);
  const part = (name: "json" | "text" | "arrayBuffer") => ({
    get: () => answer.then(found => found[name]),
  });
  return Object.defineProperties(answer, { json: part("json"), text: part("text"), arrayBuffer: part("arrayBuffer") });
}

export const request = async (p: string | Param) => (await requestUrl(p)).text;
