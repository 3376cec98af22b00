// Where things are, and what every part of the harness needs: free ports, programs, processes that end with it.
import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

export const here = import.meta.dirname;
export const plugin = path.resolve(here, "..");
export const repository = path.resolve(plugin, "..");
export const out = path.join(here, "out");

export const sleep = ms => new Promise(done => setTimeout(done, ms));

export const freePort = () =>
  new Promise(done => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });

/** A program of an environment variable, or the first of these names on PATH. */
function program(variable, ...names) {
  if (process.env[variable]) return process.env[variable];
  for (const folder of (process.env.PATH ?? "").split(path.delimiter))
    for (const name of names) {
      const found = path.join(folder, name);
      if (fs.existsSync(found)) return found;
    }
  throw new Error(`${names.join(", ")}: not found; ${variable} may name one`);
}

export const chromium = () => program("KOS_CHROMIUM", "chromium", "chromium-browser", "google-chrome");
export const redisServer = () => program("KOS_REDIS_SERVER", "redis-server");

/** The Python that runs the service: KOS_PYTHON, or the one of the checkout. */
export function python() {
  const own = [".venv-dev", ".venv"].map(name => path.join(repository, name, "bin", "python")).find(p => fs.existsSync(p));
  return process.env.KOS_PYTHON ?? own ?? program("KOS_PYTHON", "python3");
}

/** Nothing of a browser leaves the machine. */
export const launchOptions = () => ({
  executablePath: chromium(),
  headless: true,
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
  ],
});

const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

/**
 * Start a process that is gone when the harness is.
 * `line` is the first line it prints; `told` what it said on stderr so far.
 */
export function start(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  running.add(child);
  const ended = new Promise(done => child.once("exit", code => (running.delete(child), done(code))));
  let told = "";
  child.stderr.on("data", data => (told = (told + data).slice(-8000)));
  const line = new Promise((done, fail) => {
    let text = "";
    const timer = setTimeout(() => fail(new Error(`${command} ${args.join(" ")}: not ready\n${told}`)), 60_000);
    const settle = f => (clearTimeout(timer), f());
    child.stdout.on("data", data => {
      text += data;
      if (text.includes("\n")) settle(() => done(text.split("\n")[0]));
    });
    void ended.then(code => settle(() => fail(new Error(`${command} ${args.join(" ")}: ended with ${code}\n${told}`))));
  });
  line.catch(() => {});
  return {
    child,
    line,
    ended,
    get told() {
      return told;
    },
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      const late = setTimeout(() => child.kill("SIGKILL"), 5000);
      await ended;
      clearTimeout(late);
    },
  };
}

export const temporary = name => fs.promises.mkdtemp(path.join(os.tmpdir(), `kos-harness-${name}-`));
