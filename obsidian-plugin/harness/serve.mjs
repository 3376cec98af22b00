// The server of the harness: the page, the vault over HTTP, the native relay of requestUrl, and a proxy before the
// service that decides which Origin and Host it sees, and what goes wrong on the way. It listens on 127.0.0.1 only.
import { createHash } from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { here, plugin } from "./env.mjs";

const TYPES = { ".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".json": "application/json" };
const listen = (server, port = 0) =>
  new Promise((done, fail) => {
    server.once("error", fail);
    server.listen(port, "127.0.0.1", () => done(server.address().port));
  });
const bodyOf = async request => {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
};
const json = (response, value) => {
  response.writeHead(200, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(value));
};
const etag = bytes => createHash("sha256").update(bytes).digest("hex");

/** The files of a vault, and the changes that come from elsewhere. */
class Disk {
  changes = [];
  #known = new Map();
  #watchers = new Map();

  constructor(root) {
    this.root = root;
    this.#walk("");
  }
  #walk(folder) {
    if (this.#watchers.has(folder)) return;
    const full = path.join(this.root, folder);
    this.#watchers.set(folder, fs.watch(full, (_, name) => name && this.#look(path.join(folder, name))));
    for (const entry of fs.readdirSync(full, { withFileTypes: true })) {
      if (entry.name.startsWith(".")) continue;
      const one = path.join(folder, entry.name);
      if (entry.isDirectory()) this.#walk(one);
      else this.#known.set(one, this.#stat(one));
    }
  }
  #stat(file) {
    const { mtimeMs, size } = fs.statSync(path.join(this.root, file));
    return [mtimeMs, size];
  }
  #look(file) {
    if (file.split(path.sep).some(part => part.startsWith("."))) return;
    let found;
    try {
      if (fs.statSync(path.join(this.root, file)).isDirectory()) {
        const before = new Set(this.#known.keys());
        this.#walk(file);
        for (const [one, stat] of this.#known) if (!before.has(one)) this.changes.push([one, ...stat]);
        return;
      }
      found = this.#stat(file);
    } catch {
      found = [0, -1];
      if (!this.#known.has(file)) return;
    }
    const old = this.#known.get(file);
    if (old?.[0] === found[0] && old?.[1] === found[1]) return;
    if (found[1] < 0) this.#known.delete(file);
    else this.#known.set(file, found);
    this.changes.push([file, ...found]);
  }
  full(file) {
    const found = path.join(this.root, file);
    if (found !== this.root && !found.startsWith(this.root + path.sep)) throw new Error("outside the vault");
    return found;
  }
  list() {
    return {
      seq: this.changes.length,
      folders: [...this.#watchers.keys()].filter(Boolean),
      files: [...this.#known].map(([file, stat]) => [file, ...stat]),
    };
  }
  close() {
    for (const watcher of this.#watchers.values()) watcher.close();
  }

  async answer(route, url, request, response) {
    const file = url.searchParams.get("path") ?? "";
    const full = this.full(file);
    if (route === "list") return json(response, this.list());
    if (route === "changes") {
      const since = Number(url.searchParams.get("since"));
      return json(response, { seq: this.changes.length, changes: this.changes.slice(since) });
    }
    if (route === "stat") {
      const found = fs.statSync(full, { throwIfNoEntry: false });
      const type = found?.isDirectory() ? "folder" : "file";
      return json(response, found ? { type, ctime: found.ctimeMs, mtime: found.mtimeMs, size: found.size } : null);
    }
    if (route === "folder" && request.method === "PUT") {
      fs.mkdirSync(full, { recursive: true });
      return json(response, {});
    }
    if (route === "folder") {
      const all = fs.readdirSync(full, { withFileTypes: true });
      const named = wanted => all.filter(e => e.isDirectory() === wanted).map(e => path.posix.join(file, e.name));
      return json(response, { files: named(false), folders: named(true) });
    }
    if (route === "rename") {
      fs.renameSync(full, this.full(url.searchParams.get("to")));
      return json(response, {});
    }
    if (request.method === "DELETE") {
      fs.rmSync(full, { recursive: true });
      return json(response, {});
    }
    if (request.method === "PUT") {
      const data = await bodyOf(request);
      const match = request.headers["if-match"];
      if (match && etag(fs.readFileSync(full)) !== match) {
        response.writeHead(412);
        return response.end();
      }
      fs.mkdirSync(path.dirname(full), { recursive: true });
      // In one moment, so that no reader meets half a note: a check must not hang on when it looks.
      const aside = path.join(path.dirname(full), `.${path.basename(full)}.part`);
      fs.writeFileSync(aside, data);
      fs.renameSync(aside, full);
      return json(response, this.#stat(file));
    }
    const data = fs.readFileSync(full);
    response.writeHead(200, { "content-type": "application/octet-stream", etag: etag(data), "cache-control": "no-store" });
    response.end(data);
  }
}

const NATIVE_ERRORS = {
  ECONNREFUSED: "net::ERR_CONNECTION_REFUSED",
  ECONNRESET: "net::ERR_CONNECTION_RESET",
  ENOTFOUND: "net::ERR_NAME_NOT_RESOLVED",
  EAI_AGAIN: "net::ERR_NAME_NOT_RESOLVED",
  ETIMEDOUT: "net::ERR_CONNECTION_TIMED_OUT",
  EHOSTUNREACH: "net::ERR_ADDRESS_UNREACHABLE",
  ENETUNREACH: "net::ERR_INTERNET_DISCONNECTED",
};

/** What requestUrl does outside the page: no Origin, the whole answer or an error. */
function native(p, abandoned) {
  return new Promise(done => {
    const failed = error => done({ error: NATIVE_ERRORS[error.code] ?? "net::ERR_FAILED" });
    let request;
    try {
      const body = p.body === undefined ? undefined : Buffer.from(p.body, p.binary ? "base64" : "utf8");
      const type = p.contentType ? { "content-type": p.contentType } : {};
      const length = body ? { "content-length": body.length } : {};
      request = http.request(p.url, { method: p.method ?? "GET", headers: { ...p.headers, ...type, ...length } });
      request.end(body);
    } catch {
      done({ error: "net::ERR_INVALID_URL" });
      return;
    }
    abandoned(() => request.destroy());
    request.on("error", failed);
    request.on("response", async response => {
      try {
        const data = await bodyOf(response);
        done({ status: response.statusCode, headers: response.headers, body: data.toString("base64") });
      } catch {
        done({ error: "net::ERR_INCOMPLETE_CHUNKED_ENCODING" });
      }
    });
  });
}

/**
 * The proxy before the service.
 *
 * `origin` is what the service sees instead of the page's own; an answer that allows it is handed back as one that allows
 * the page, and nothing else is changed: preflights and refusals stay the service's. `host` likewise, or null for the true one.
 */
export class Proxy {
  origin = "app://obsidian.md";
  host = null;
  /** Every request: {at, method, path, side: "fetch" or "native", origin, headers, body, status, bytes, first, ended}. */
  seen = [];
  #faults = [];
  #routes = [];
  #server = null;
  port = 0;

  constructor(target) {
    this.target = target;
  }
  async open() {
    this.#server = http.createServer((request, response) => void this.#answer(request, response));
    this.port = await listen(this.#server, this.port);
  }
  async close() {
    const server = this.#server;
    this.#server = null;
    if (!server) return;
    server.closeAllConnections();
    await new Promise(done => server.close(done));
  }
  get url() {
    return `http://127.0.0.1:${this.port}`;
  }
  reset() {
    Object.assign(this, { origin: "app://obsidian.md", host: null });
    this.#faults = [];
    this.#routes = [];
    this.seen.length = 0;
  }

  /**
   * Let requests go wrong.
   *
   * @param kind "block" (the connection breaks unanswered), "stall" (after so many bytes nothing more, and no end),
   *   "cut" (after so many bytes the connection breaks), "delay" (it is only late),
   *   "status" (answered with this status as the service would), "hold" (it is never answered).
   * @param o.path prefix of the path; o.method; o.side "fetch" or "native"; o.times how often, else always;
   *   o.after bytes; o.ms so much later; o.status; o.code, o.message, o.hint
   * @returns what takes the fault away
   */
  fault(kind, o = {}) {
    const fault = { kind, path: "/", times: Infinity, after: 0, ms: 0, ...o };
    this.#faults.push(fault);
    return () => {
      this.#faults = this.#faults.filter(f => f !== fault);
    };
  }
  /** Answers a route itself: `make(request, body, pass)` gives {status, headers, body} or, with `pass`, the service's to change. */
  respond(prefix, make) {
    this.#routes.unshift([prefix, make]);
    return () => {
      this.#routes = this.#routes.filter(r => r[1] !== make);
    };
  }
  /** Requests whose method and path match. */
  find(method, pattern) {
    return this.seen.filter(s => s.method === method && pattern.test(s.path));
  }

  #take(entry) {
    const found = this.#faults.find(
      f =>
        f.times > 0 &&
        entry.path.startsWith(f.path) &&
        (!f.method || f.method === entry.method) &&
        (!f.side || f.side === entry.side) &&
        (!f.match || f.match.test(entry.path)),
    );
    if (found) found.times--;
    return found;
  }
  async #answer(request, response) {
    const mine = request.headers.origin;
    const headers = { ...request.headers, host: this.host ?? new URL(this.target).host };
    if (mine) headers.origin = this.origin;
    const entry = {
      at: Date.now(), method: request.method, path: request.url, side: mine ? "fetch" : "native", origin: headers.origin ?? null,
      headers, body: "", status: 0, bytes: 0, first: 0, ended: 0,
    };
    this.seen.push(entry);
    response.on("close", () => (entry.ended = Date.now()));
    try {
      const body = await bodyOf(request);
      entry.body = body.toString();
      const fault = this.#take(entry);
      if (fault?.ms) await new Promise(done => setTimeout(done, fault.ms));
      if (fault?.kind === "block") return void request.socket.destroy();
      if (fault?.kind === "hold") return;
      const allow = mine ? { "access-control-allow-origin": mine, vary: "origin" } : {};
      if (fault?.kind === "status") {
        const error = { code: fault.code ?? "internal", message: fault.message ?? "It went wrong.", hint: fault.hint ?? "", run: null };
        entry.status = fault.status;
        response.writeHead(fault.status, { "content-type": "application/json", ...allow, ...fault.headers });
        return void response.end(JSON.stringify({ error }));
      }
      const route = request.method !== "OPTIONS" && this.#routes.find(([prefix]) => request.url.startsWith(prefix));
      if (route) {
        const pass = () => this.#whole(request, headers, body);
        const made = await route[1]({ method: request.method, path: request.url, body: entry.body }, pass);
        entry.status = made.status ?? 200;
        response.writeHead(entry.status, { "content-type": "application/json", ...allow, ...made.headers });
        return void response.end(typeof made.body === "string" ? made.body : JSON.stringify(made.body));
      }
      this.#pass(request, headers, body, response, entry, fault, mine);
    } catch {
      response.destroy();
    }
  }
  #whole(request, headers, body) {
    return new Promise((done, fail) => {
      const up = http.request(this.target + request.url, { method: request.method, headers }, async answer => {
        const text = (await bodyOf(answer)).toString();
        done({ status: answer.statusCode, body: answer.headers["content-type"]?.includes("json") ? JSON.parse(text) : text });
      });
      up.on("error", fail);
      up.end(body);
    });
  }
  #pass(request, headers, body, response, entry, fault, mine) {
    const up = http.request(this.target + request.url, { method: request.method, headers }, answer => {
      const back = { ...answer.headers };
      if (mine && back["access-control-allow-origin"] === this.origin) back["access-control-allow-origin"] = mine;
      entry.status = answer.statusCode;
      response.writeHead(answer.statusCode, back);
      response.flushHeaders();
      const limit = ["stall", "cut"].includes(fault?.kind) ? fault.after : Infinity;
      answer.on("data", part => {
        if (entry.bytes >= limit) return;
        const piece = part.subarray(0, limit - entry.bytes);
        entry.first ||= Date.now();
        entry.bytes += piece.length;
        response.write(piece);
        if (entry.bytes >= limit && fault.kind === "cut") response.socket?.destroy();
      });
      answer.on("end", () => {
        if (entry.bytes < limit) response.end();
      });
      answer.on("close", () => {
        if (!answer.complete && entry.bytes < limit) response.destroy();
      });
    });
    up.on("error", () => response.destroy());
    response.on("close", () => up.destroy());
    up.end(body);
  }
}

/** The page's server for one vault, with an origin of its own. KOS_PLUGIN_DIST names another build of the plugin. */
export async function serve({ vault, bundle = process.env.KOS_PLUGIN_DIST ?? path.join(plugin, "dist"), built = path.join(here, "out") }) {
  const disk = new Disk(vault);
  const files = {
    "/": path.join(here, "index.html"),
    "/app.css": path.join(here, "app.css"),
    "/host.js": path.join(built, "host.js"),
  };
  const server = http.createServer(async (request, response) => {
    const url = new URL(request.url, "http://x");
    try {
      if (url.pathname === "/__native") {
        const body = JSON.parse((await bodyOf(request)).toString());
        return json(response, await native(body, stop => response.on("close", stop)));
      }
      const route = /^\/__vault\/(\w+)$/.exec(url.pathname)?.[1];
      if (route) return await disk.answer(route, url, request, response);
      const inBundle = /^\/plugin\/(main\.js|manifest\.json|styles\.css)$/.exec(url.pathname)?.[1];
      const file = files[url.pathname] ?? (inBundle && path.join(bundle, inBundle));
      if (!file) {
        response.writeHead(404);
        return response.end();
      }
      response.writeHead(200, { "content-type": TYPES[path.extname(file)], "cache-control": "no-store" });
      response.end(fs.readFileSync(file));
    } catch (error) {
      if (response.headersSent) return response.destroy();
      response.writeHead(error.code === "ENOENT" ? 404 : 500);
      response.end(String(error));
    }
  });
  const port = await listen(server);
  return {
    url: `http://localhost:${port}`,
    disk,
    async close() {
      disk.close();
      server.closeAllConnections();
      await new Promise(done => server.close(done));
    },
  };
}
