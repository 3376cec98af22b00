// A world for the checks: a vault in a temporary folder, the real service over it, doubles of Ollama behind it, a proxy
// before it, and the page's server. Everything is a process or a port of its own and ends with the world.
import fs from "node:fs";
import path from "node:path";
import { freePort, python, redisServer, repository, sleep, start, temporary } from "./env.mjs";
import { Proxy, serve } from "./serve.mjs";

let marker = 1;
export const NOW = "2025-09-14";
export const MODELS = ["llama3.2:3b", "qwen2.5:7b", "qwen3:8b"];
const run = (args, options = {}) =>
  start(python(), args, { cwd: repository, ...options, env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", ...options.env } });

/** A double of Ollama. `options` are those of `python -m tests.ollama_double`, without the dashes. */
export async function double(options = {}) {
  const { models = MODELS, port = 0, ...more } = options;
  const args = ["-m", "tests.ollama_double", "--port", String(port)];
  for (const model of models) args.push("--model", model);
  for (const [name, value] of Object.entries(more)) args.push(`--${name}`, String(value));
  const process_ = run(args);
  const url = await process_.line;
  const ask = async (route, method = "GET", body) => {
    const answer = await fetch(url + route, { method, body: body && JSON.stringify(body) });
    const text = await answer.text();
    return text ? JSON.parse(text) : null;
  };
  return {
    url,
    port: Number(new URL(url).port),
    stop: signal => process_.stop(signal),
    record: () => ask("/double"),
    // One without messages only loads a model.
    chats: async () => (await ask("/double")).requests.filter(r => r.path === "/api/chat" && r.body?.messages?.length),
    say: (...answers) => ask("/double/answers", "POST", { answers }),
    fault: (kind, o = {}) => ask("/double/fault", "POST", { kind, ...o }),
    clear: () => ask("/double/fault", "DELETE"),
  };
}

export async function redis() {
  const folder = await temporary("redis");
  const port = await freePort();
  const process_ = start(redisServer(), ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]);
  for (let i = 0; !(await answers(port)); i++) {
    if (i > 100) throw new Error(`redis-server does not answer\n${process_.told}`);
    await sleep(50);
  }
  const stop = async signal => {
    await process_.stop(signal);
    await fs.promises.rm(folder, { recursive: true, force: true });
  };
  return { url: `redis://127.0.0.1:${port}/0`, port, stop };
}

async function answers(port) {
  const net = await import("node:net");
  return new Promise(done => {
    const socket = net.connect(port, "127.0.0.1", () => (socket.destroy(), done(true))).on("error", () => done(false));
  });
}

/** A copy of the example vault, or one of so many made-up notes. */
async function makeVault(folder, notes) {
  const vault = path.join(folder, "vault");
  if (!notes) {
    await fs.promises.cp(path.join(repository, "examples", "vault"), vault, { recursive: true });
    // The checkout may be one that cannot be written.
    for (const name of ["", ...fs.readdirSync(vault, { recursive: true })]) {
      const file = path.join(vault, name);
      fs.chmodSync(file, fs.statSync(file).isDirectory() ? 0o755 : 0o644);
    }
    return vault;
  }
  const made = run(["benchmarks/make_vault.py", vault, String(notes)]);
  if ((await made.ended) !== 0) throw new Error(made.told);
  await fs.promises.mkdir(path.join(vault, ".obsidian"), { recursive: true });
  return vault;
}

/** Every file of a small vault; nothing of a large one, whose notes the checks leave alone. */
function photograph(vault) {
  const names = fs.readdirSync(vault, { recursive: true }).filter(name => fs.statSync(path.join(vault, name)).isFile());
  return names.length > 1000 ? null : new Map(names.map(name => [name, fs.readFileSync(path.join(vault, name))]));
}

function restore(vault, pristine) {
  if (!pristine) return false;
  const now = photograph(vault);
  let changed = false;
  for (const name of now.keys())
    if (!pristine.has(name)) {
      fs.rmSync(path.join(vault, name));
      changed = true;
    }
  for (const [name, data] of pristine)
    if (!now.get(name)?.equals(data)) {
      fs.mkdirSync(path.dirname(path.join(vault, name)), { recursive: true });
      fs.writeFileSync(path.join(vault, name), data);
      changed = true;
    }
  return changed;
}

/**
 * @param o.notes a made vault of so many notes instead of the example
 * @param o.ollama options of the double; o.cache an address of Redis; o.profile; o.bundle folder of the plugin's build
 */
export async function world(o = {}) {
  const folder = await temporary("world");
  const ends = [() => fs.promises.rm(folder, { recursive: true, force: true, maxRetries: 5 })];
  const made = { folder };
  try {
    made.vault = await makeVault(folder, o.notes);
    made.double = await double(o.ollama);
    ends.push(() => made.double.stop("SIGKILL"));
    made.service = new Service(made, o);
    ends.push(() => made.service.kill());
    await made.service.start();
    made.proxy = new Proxy(made.service.url);
    await made.proxy.open();
    ends.push(() => made.proxy.close());
    made.page = await serve({ vault: made.vault, bundle: o.bundle });
    made.pristine = photograph(made.vault);
    ends.push(() => made.page.close());
  } catch (error) {
    for (const end of ends.reverse()) await end();
    throw error;
  }
  return Object.assign(made, {
    token: made.service.token,
    file: note => path.join(made.vault, note),
    read: note => fs.readFileSync(path.join(made.vault, note), "utf8"),
    bytes: note => fs.readFileSync(path.join(made.vault, note)),
    write: (note, text) => fs.writeFileSync(path.join(made.vault, note), text),
    remove: note => fs.rmSync(path.join(made.vault, note)),
    exists: note => fs.existsSync(path.join(made.vault, note)),
    /** As new: the vault as it was, no faults, the service running. */
    async fresh() {
      made.proxy.reset();
      await made.service.quiet();
      await made.double.clear();
      await made.double.say();
      if (restore(made.vault, made.pristine)) await this.seen();
    },
    /** Until the service knows every change of the vault: it sees a note that comes, and goes, after all the others. */
    async seen() {
      const name = `Marker ${marker++}`;
      const told = async hint => {
        const { error } = await made.service.ask(`/v1/maps/${encodeURIComponent(name)}`);
        return hint.test(error.message);
      };
      const until = async hint => {
        for (let tries = 0; !(await told(hint)); tries++) {
          if (tries > 400) throw new Error("the service does not see what changes in the vault");
          await sleep(20);
        }
      };
      fs.writeFileSync(path.join(made.vault, `${name}.md`), "A note like any other.\n");
      await until(/this is a note/);
      fs.rmSync(path.join(made.vault, `${name}.md`));
      await until(/no note of this/);
    },
    async stop() {
      for (const end of ends.reverse()) await end();
    },
  });
}

/** The service as a process. It keeps its port and its state when it is started again. */
class Service {
  #made;
  #options;
  #process = null;
  #port = 0;
  url = "";
  token = "";

  constructor(made, options) {
    this.#made = made;
    this.#options = options;
  }
  async start() {
    const { vault, folder, double: ollama } = this.#made;
    const args = ["-m", "knowledge_os", "serve", "--json", "--vault", vault, "--port", String(this.#port)];
    const env = {
      KOS_STATE_DIR: path.join(folder, "state"),
      KOS_OLLAMA_URL: ollama.url,
      KOS_NOW: this.#options.now ?? NOW,
      KOS_CONFIG: path.join(folder, "no-config.toml"),
      ...(this.#options.cache ? { KOS_CACHE: this.#options.cache } : {}),
      ...(this.#options.profile ? { KOS_PROFILE: this.#options.profile } : {}),
    };
    if (this.#options.config) await fs.promises.writeFile(env.KOS_CONFIG, this.#options.config);
    else delete env.KOS_CONFIG;
    this.#process = run(args, { env });
    const said = JSON.parse(await this.#process.line);
    this.url = said.url;
    this.#port = Number(new URL(said.url).port);
    this.token = fs.readFileSync(said.token_file, "utf8").trim();
    for (let i = 0; (await fetch(`${this.url}/readyz`)).status !== 200; i++) {
      if (i > 600) throw new Error("the service does not become ready");
      await sleep(50);
    }
  }
  get told() {
    return this.#process?.told ?? "";
  }
  async kill(signal = "SIGKILL") {
    await this.#process?.stop(signal);
    this.#process = null;
  }
  async ask(route, { method = "GET", body, ...more } = {}) {
    const answer = await fetch(this.url + route, {
      method,
      headers: { authorization: `Bearer ${this.token}`, ...(body ? { "content-type": "application/json" } : {}) },
      body: body && JSON.stringify(body),
      ...more,
    });
    return answer.json();
  }
  /** End what is under way: an earlier check's run would take the answers meant for the next. */
  async quiet() {
    for (const { run, state } of await this.runs())
      if (!["done", "failed"].includes(state)) await this.ask(`/v1/runs/${run}`, { method: "DELETE" });
  }
  async runs() {
    return (await this.ask("/v1/runs")).runs;
  }
  async edits() {
    return (await this.ask("/v1/edits")).edits;
  }
}
