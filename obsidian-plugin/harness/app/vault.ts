// The vault over HTTP: paths at the start, texts when they are asked for; what changes on disk is noticed and told.
import * as M from "obsidian-test-mocks/obsidian";
import { record } from "./record";

const POLL = 120;
type Stat = [mtime: number, size: number];

const at = (route: string, path: string) => `/__vault/${route}?path=${encodeURIComponent(path)}`;
const lookup = (name: string) => name.normalize("NFC").toLowerCase();

async function call(url: string, init?: RequestInit): Promise<Response> {
  const answer = await window.fetch(url, init);
  if (answer.status === 404) throw Object.assign(new Error(`ENOENT: no such file or directory, open '${url}'`), { code: "ENOENT" });
  if (!answer.ok && answer.status !== 412) throw new Error(await answer.text());
  return answer;
}

/** The files themselves, by path. */
export class Adapter {
  private queue = new Map<string, Promise<unknown>>();
  constructor(readonly name: string) {}
  getName = () => this.name;
  getResourcePath = (path: string) => at("file", path);

  /** One at a time for each path, as the app does. */
  private inTurn<T>(path: string, work: () => Promise<T>): Promise<T> {
    const next = (this.queue.get(path) ?? Promise.resolve()).then(work, work);
    this.queue.set(path, next);
    return next;
  }
  async stat(path: string): Promise<any> {
    return (await call(at("stat", path))).json();
  }
  async exists(path: string): Promise<boolean> {
    return (await this.stat(path)) !== null;
  }
  async list(path: string): Promise<any> {
    return (await call(at("folder", path))).json();
  }
  async readBinary(path: string): Promise<ArrayBuffer> {
    return (await call(at("file", path))).arrayBuffer();
  }
  async read(path: string): Promise<string> {
    return new TextDecoder().decode(await this.readBinary(path));
  }
  async put(path: string, data: string | ArrayBuffer, match?: string): Promise<Stat | null> {
    const answer = await call(at("file", path), { method: "PUT", body: data, headers: match ? { "if-match": match } : {} });
    if (answer.status === 412) return null;
    record.written.push(path);
    return answer.json();
  }
  write = (path: string, data: string) => this.inTurn(path, () => this.put(path, data));
  writeBinary = (path: string, data: ArrayBuffer) => this.inTurn(path, () => this.put(path, data));
  append = (path: string, data: string) => this.process(path, old => old + data);
  process(path: string, change: (text: string) => string): Promise<string> {
    return this.inTurn(path, async () => {
      for (;;) {
        const answer = await call(at("file", path));
        const old = new TextDecoder().decode(await answer.arrayBuffer());
        const now = change(old);
        if (now === old || (await this.put(path, now, answer.headers.get("etag")!))) return now;
      }
    });
  }
  async mkdir(path: string): Promise<void> {
    await call(at("folder", path), { method: "PUT" });
  }
  async remove(path: string): Promise<void> {
    await call(at("file", path), { method: "DELETE" });
  }
  rmdir = (path: string) => this.remove(path);
  trashLocal = (path: string) => this.remove(path);
  async trashSystem(path: string): Promise<boolean> {
    await this.remove(path);
    return true;
  }
  async rename(path: string, to: string): Promise<void> {
    await call(`${at("rename", path)}&to=${encodeURIComponent(to)}`, { method: "POST" });
  }
  async copy(path: string, to: string): Promise<void> {
    await this.put(to, await this.readBinary(path));
  }
}

/** Gives the mock vault of an app its files, and a live connection to the disk. */
export async function connect(app: any, changed: (file: any) => void): Promise<void> {
  const { vault, metadataCache } = app;
  const adapter: Adapter = vault.adapter;
  const texts = new Map<string, { text: string; mtime: number }>();
  const byName = new Map<string, Set<any>>();
  const byPath = new Map<string, any>();
  const listing = await (await call("/__vault/list")).json();

  const index = (file: any, there: boolean) => {
    for (const name of new Set([lookup(file.name), lookup(file.basename)])) {
      if (!byName.has(name)) byName.set(name, new Set());
      byName.get(name)![there ? "add" : "delete"](file);
    }
    if (there) byPath.set(lookup(file.path), file);
    else byPath.delete(lookup(file.path));
  };
  const addFolder = (path: string): any => {
    const known = vault.getFolderByPath(path || "/");
    if (known) return known;
    addFolder(path.split("/").slice(0, -1).join("/"));
    const folder = new M.TFolder(vault, path);
    vault.setVaultAbstractFile__(path, folder);
    return folder;
  };
  const addFile = (path: string, [mtime, size]: Stat): any => {
    addFolder(path.split("/").slice(0, -1).join("/"));
    const file = new M.TFile(vault, path);
    file.stat = { ctime: mtime, mtime, size };
    vault.setVaultAbstractFile__(path, file);
    index(file, true);
    return file;
  };
  const drop = (file: any) => {
    index(file, false);
    texts.delete(file.path);
    vault.deleteVaultAbstractFile__(file.path);
    vault.trigger("delete", file);
  };
  const wrote = (file: any, stat: Stat | null, text?: string) => {
    if (stat) Object.assign(file.stat, { mtime: stat[0], size: stat[1] });
    if (text === undefined) texts.delete(file.path);
    else texts.set(file.path, { text, mtime: file.stat.mtime });
    vault.trigger("modify", file);
    changed(file);
  };
  const taken = (path: string) => {
    if (byPath.has(lookup(path)) || vault.getFolderByPath(path)) throw new Error("File already exists.");
  };
  const create = async (path: string, data: string | ArrayBuffer) => {
    taken(path);
    const stat = (await adapter.put(path, data))!;
    const file = vault.getFileByPath(path) ?? addFile(path, stat);
    vault.trigger("create", file);
    return file;
  };

  for (const folder of listing.folders) addFolder(folder);
  for (const [path, mtime, size] of listing.files) addFile(path, [mtime, size]);

  Object.assign(vault, {
    getName: () => adapter.name,
    getResourcePath: (file: any) => adapter.getResourcePath(file.path),
    create,
    createBinary: create,
    createFolder: async (path: string) => {
      if (vault.getFolderByPath(path)) throw new Error("Folder already exists.");
      await adapter.mkdir(path);
      const folder = addFolder(path);
      vault.trigger("create", folder);
      return folder;
    },
    read: async (file: any) => {
      const text = await adapter.read(file.path);
      texts.set(file.path, { text, mtime: file.stat.mtime });
      return text;
    },
    cachedRead: async (file: any) => {
      const known = texts.get(file.path);
      return known && known.mtime === file.stat.mtime ? known.text : vault.read(file);
    },
    readBinary: (file: any) => adapter.readBinary(file.path),
    modify: async (file: any, text: string) => wrote(file, await adapter.write(file.path, text), text),
    modifyBinary: async (file: any, data: ArrayBuffer) => wrote(file, await adapter.writeBinary(file.path, data)),
    append: async (file: any, text: string) => void (await vault.process(file, (old: string) => old + text)),
    process: async (file: any, change: (text: string) => string) => {
      const text = await adapter.process(file.path, change);
      const { mtime, size } = await adapter.stat(file.path);
      wrote(file, [mtime, size], text);
      return text;
    },
    delete: async (file: any) => {
      await adapter.remove(file.path);
      drop(file);
    },
    trash: (file: any) => vault.delete(file),
  });
  Object.assign(app.fileManager, {
    trashFile: (file: any) => vault.delete(file),
    getNewFileParent: (source: string) => vault.getFileByPath(source)?.parent ?? vault.getRoot(),
    generateMarkdownLink: (file: any, source: string, subpath = "", alias = "") =>
      `[[${metadataCache.fileToLinktext(file, source, true)}${subpath}${alias ? `|${alias}` : ""}]]`,
  });
  Object.assign(metadataCache, {
    getFirstLinkpathDest: (linkpath: string, source: string) => {
      const name = lookup(linkpath.replace(/^\//, ""));
      if (!name) return vault.getFileByPath(source);
      const exact = byPath.get(name) ?? byPath.get(`${name}.md`);
      if (exact) return exact;
      const last = name.split("/").at(-1)!;
      const found = [...(byName.get(last) ?? []), ...(byName.get(`${last}.md`) ?? [])].filter(
        file => lookup(file.path).endsWith(name) || lookup(file.path).endsWith(`${name}.md`),
      );
      const folder = source.split("/").slice(0, -1).join("/");
      return found.find(f => f.parent.path === folder) ?? found.sort((a, b) => a.path.length - b.path.length)[0] ?? null;
    },
    fileToLinktext: (file: any, _: string, omitMd = true) => {
      const bare = (text: string) => (omitMd && file.extension === "md" ? text.replace(/\.md$/, "") : text);
      return (byName.get(lookup(file.name))?.size ?? 0) > 1 ? bare(file.path) : bare(file.name);
    },
    getFileCache: (file: any) => {
      const text = texts.get(file.path)?.text;
      if (text === undefined) return null;
      const headings: object[] = [];
      let fenced = false;
      let offset = 0;
      text.split("\n").forEach((line: string, n: number) => {
        if (/^\s*(```|~~~)/.test(line)) fenced = !fenced;
        const found = fenced ? null : /^(#{1,6})\s+(.+?)\s*#*\s*$/.exec(line);
        const place = (ch: number) => ({ line: n, col: ch, offset: offset + ch });
        if (found)
          headings.push({
            heading: found[2],
            level: found[1]!.length,
            position: { start: place(0), end: place(line.length) },
          });
        offset += line.length + 1;
      });
      return { headings };
    },
    getCache: (path: string) => {
      const file = vault.getFileByPath(path);
      return file && metadataCache.getFileCache(file);
    },
  });

  let seen: number = listing.seq;
  const poll = async () => {
    try {
      const { seq, changes } = await (await window.fetch(`/__vault/changes?since=${seen}`)).json();
      seen = seq;
      for (const [path, mtime, size] of changes as [string, number, number][]) {
        const file = vault.getFileByPath(path);
        if (size < 0) {
          if (file) drop(file);
        } else if (!file) {
          vault.trigger("create", addFile(path, [mtime, size]));
        } else if (file.stat.mtime !== mtime || file.stat.size !== size) {
          wrote(file, [mtime, size]);
        }
      }
    } catch {
      // The page is going away, or its server is.
    }
    window.setTimeout(poll, POLL);
  };
  void poll();
}
