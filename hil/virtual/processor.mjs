// The virtual board's processor: the official MicroPython WebAssembly build on Node.
// It knows no hardware. Its one line to the outside is a pair of pipes to hil/virtual/processor.py, on which
// messages (4-byte length, JSON) go back and forth: the host sends a command {do: …}, this side answers {done: …};
// while it works on one it may ask the hardware ({ask: …}, answered by one {value: …}) or print ({console: …}).
// Everything here is synchronous on purpose, as a processor is.
import fs from "node:fs";
import path from "node:path";

const FLASH = "/flash"; // where the board's files live inside the interpreter; the board sees it as /

// Emscripten has its own error numbers; a board has these (MicroPython py/mperrno.h).
const ERRNO = { 2: 13, 6: 11, 8: 9, 10: 16, 20: 17, 28: 22, 29: 5, 31: 21, 37: 36, 44: 2, 51: 28, 54: 20, 55: 39, 63: 1, 69: 30, 75: 18 };
const EMSCRIPTEN_ENOSPC = 51, EMSCRIPTEN_EROFS = 69, EMSCRIPTEN_ENOENT = 44;

let clockMs = null; // null: real time; else the stepped clock, moved by the host alone
let start = performance.now();
const nowMs = () => (clockMs ?? Math.floor(performance.now() - start)) & 0x3fffffff;

// The only way to the build's system calls without rebuilding it: wrap them as they are handed to the module.
const instantiate = WebAssembly.instantiate;
WebAssembly.instantiate = (binary, imports) => {
  const calls = imports.env;
  for (const name of Object.keys(calls)) {
    const call = calls[name];
    if (name.startsWith("__syscall_")) calls[name] = (...a) => { const r = call(...a); return r < 0 ? -(ERRNO[-r] ?? -r) : r; };
    if (name.startsWith("fd_")) calls[name] = (...a) => { const r = call(...a); return ERRNO[r] ?? r; };
  }
  calls.mp_js_ticks_ms = nowMs;
  return instantiate(binary, imports);
};
const { loadMicroPython } = await import("@micropython/micropython-webassembly-pyscript");

// ---- the line to the host
function readExactly(length) {
  const buffer = Buffer.alloc(length);
  for (let got = 0; got < length;) {
    const n = fs.readSync(0, buffer, got, length - got);
    if (n === 0) process.exit(0); // the host is gone
    got += n;
  }
  return buffer;
}
const receive = () => JSON.parse(readExactly(readExactly(4).readUInt32LE()).toString());
function send(message) {
  const body = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(4);
  head.writeUInt32LE(body.length);
  const whole = Buffer.concat([head, body]);
  for (let sent = 0; sent < whole.length;) sent += fs.writeSync(1, whole, sent);
}
let printed = [];
function flush() {
  if (printed.length) send({ console: Buffer.from(printed).toString("latin1") });
  printed = [];
}
const stdout = (data) => { printed.push(...data); if (printed.length >= 1024) flush(); };
function ask(what, ...args) {
  flush();
  send({ ask: what, args });
  const reply = receive();
  clockMs = reply.clock_ms; // it may have slept
  return reply.value;
}

// ---- the flash file system: kept in memory, every change written through to a folder of the host
function mountFlash(FS, { folder, capacity, readonly }) {
  const host = (name) => (name === FLASH || name.startsWith(FLASH + "/")) ? folder + name.slice(FLASH.length) : null;
  let used = 0;
  const fill = (from, to) => {
    FS.mkdir(to);
    for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
      const source = path.join(from, entry.name), target = to + "/" + entry.name;
      if (entry.isDirectory()) fill(source, target);
      else { const data = fs.readFileSync(source); FS.writeFile(target, data); used += data.length; }
    }
  };
  const resolve = (name) => path.posix.resolve(FS.cwd(), name);
  const fail = (errno) => { throw new FS.ErrnoError(errno); };
  const size = (name) => { try { return FS.stat(name).size; } catch { return 0; } };
  const original = { ...FS };
  const changing = (names, mirror) => {
    for (const name of names) FS[name] = (...args) => {
      const where = args.filter((a) => typeof a === "string").map(resolve);
      if (readonly && host(where[0])) fail(EMSCRIPTEN_EROFS);
      const lost = name === "unlink" ? size(where[0]) : name === "rename" ? size(where[1]) : 0;
      const result = original[name](...args);
      used -= lost;
      if (folder && host(where[0])) mirror(...where.map(host));
      return result;
    };
  };
  if (folder) fill(folder, FLASH); else FS.mkdir(FLASH);
  changing(["rename"], (from, to) => fs.renameSync(from, to));
  changing(["unlink"], (name) => fs.unlinkSync(name));
  changing(["mkdir"], (name) => fs.mkdirSync(name));
  changing(["rmdir"], (name) => fs.rmdirSync(name));
  FS.open = (name, flags, mode) => {
    const writes = typeof flags === "number" && (flags & 3) !== 0; // O_WRONLY, O_RDWR
    const mine = typeof name === "string" && host(resolve(name));
    if (writes && mine && readonly) fail(EMSCRIPTEN_EROFS);
    const truncated = writes && mine && flags & 0o1000 ? size(name) : 0;
    const stream = original.open(name, flags, mode);
    used -= truncated;
    stream.dirty = Boolean(writes && mine);
    return stream;
  };
  FS.write = (stream, buffer, offset, length, position) => {
    const grows = stream.dirty ? Math.max(0, (position ?? stream.position) + length - stream.node.usedBytes) : 0;
    if (grows && used + grows > capacity) fail(EMSCRIPTEN_ENOSPC);
    const written = original.write(stream, buffer, offset, length, position);
    used += grows;
    return written;
  };
  FS.close = (stream) => {
    const name = stream.dirty && folder ? host(original.getPath(stream.node)) : null;
    if (name) fs.writeFileSync(name, stream.node.contents.subarray(0, stream.node.usedBytes));
    return original.close(stream);
  };
  const blocks = Math.floor(capacity / 4096);
  FS.statfs = FS.statfsNode = FS.statfsStream = () => {
    const free = Math.max(0, Math.floor((capacity - used) / 4096));
    return { bsize: 4096, frsize: 4096, blocks, bfree: free, bavail: free, files: 1024, ffree: 512, fsid: 0, flags: readonly ? 1 : 0, namelen: 255 };
  };
}

// ---- the interpreter
let mp = null, step = null, safe = null; // step and safe: the loop that main.py hands over (boards/virtual.py)
async function boot({ files, machine, heap }) {
  step = null;
  start = performance.now();
  mp = await loadMicroPython({ stdin: () => null, stdout, stderr: stdout, linebuffer: false, heapsize: heap });
  mp.registerJsModule("_host", { ask, now_ms: nowMs, forever: (turn, makeSafe) => { step = turn; safe = makeSafe; } });
  if (machine) {
    mp.FS.writeFile("/machine.py", machine);
    mp.runPython("import machine\ndel machine"); // stays in sys.modules when / becomes the flash
  }
  mountFlash(mp.FS, files);
  mp.runPython(`import os, vfs\nvfs.umount("/")\nvfs.mount(vfs.VfsPosix("${FLASH}"), "/")\nos.chdir("/")\ndel os, vfs`);
}
function guarded(work) {
  try {
    return { value: work() ?? null };
  } catch (error) {
    if (error.name !== "PythonError") throw error;
    return { error: error.type, traceback: error.message };
  }
}
function leave() { // what `finally: board.safe()` does on a board whose loop runs inside main.py
  step = null;
  return guarded(() => safe());
}
const commands = {
  boot: async (c) => { await boot(c); return {}; },
  exec: (c) => guarded(() => { mp.runPython(c.code); }),
  step: () => { const result = guarded(() => step()); return "error" in result ? { ...leave(), ...result } : result; },
  stop: () => leave(),
  repl: () => { mp.replInit(); return {}; },
  type: (c) => {
    const keys = Buffer.from(c.keys, "latin1");
    for (let i = 0; i < keys.length; i++) if (mp.replProcessChar(keys[i])) return { exited: true, rest: keys.subarray(i + 1).toString("latin1") };
    return { exited: false, rest: "" };
  },
  put: (c) => { mp.FS.writeFile(c.path, Buffer.from(c.data, "base64")); return {}; },
  get: (c) => ({ value: Buffer.from(mp.FS.readFile(c.path)).toString("base64") }),
};
for (;;) {
  const command = receive();
  clockMs = command.clock_ms;
  const result = await commands[command.do](command);
  flush();
  send({ done: { ...result, looping: step !== null } });
}
