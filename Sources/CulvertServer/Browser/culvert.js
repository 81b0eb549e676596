// CulvertSocket: a WebSocket that gets through where WebSockets are blocked, and that outlives the connections which
// carry it. docs/client.md tells what it promises, docs/protocol.md what it says on the wire.
//
// The parts, from the page down: CulvertSocket is the WHATWG interface; a Core is the session behind one, with what is
// numbered and unacknowledged; lanes carry it, one at a time. Who serves the file strips lines that are comments, and
// indentation, so there is no comment behind code and no text over several lines.

// Taken now, so that the page may put CulvertSocket in the place of WebSocket.
const natives = { WebSocket: globalThis.WebSocket, fetch: globalThis.fetch };
const [CONNECTING, OPEN, CLOSING, CLOSED] = [0, 1, 2, 3];
const MARK = "application/vnd.culvert.batch";
const encoder = new TextEncoder();
// A BOM is a character of the message like any other.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const cores = new WeakMap();

// Events are tasks of their own, as with a browser's WebSocket: between two messages promises go on, and nothing is
// dispatched from within send(). A timer would be held back in a page that is hidden.
const tasks = [];
const channel = new MessageChannel();
channel.port1.onmessage = () => tasks.shift()();
const task = (run) => {
  tasks.push(run);
  channel.port2.postMessage(0);
};

const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));
const isHidden = () => globalThis.document?.visibilityState === "hidden";
const isOffline = () => globalThis.navigator?.onLine === false;
const fault = (message, name) => new DOMException(message, name);

// Why a lane or a request came to nothing. One with a `code` is the end of the socket.
class Failure extends Error {
  constructor(message, more) {
    super(message);
    Object.assign(this, more);
  }
}

// --- Batches (docs/protocol.md, section 3) ---------------------------------------------------------------------------

const encode = (ack, first, items) => {
  const bytes = new Uint8Array(items.reduce((sum, item) => sum + item.size + 10, 16));
  const view = new DataView(bytes.buffer);
  const put64 = (at, value) => view.setBigUint64(at, BigInt(value));
  put64(0, ack);
  put64(8, first);
  let at = 16;
  for (const { opcode, payload, size } of items) {
    view.setUint8(at, 128 | opcode);
    view.setUint8(at + 1, size < 126 ? size : size < 65536 ? 126 : 127);
    at += 2;
    if (size > 65535) {
      put64(at, size);
      at += 8;
    } else if (size > 125) {
      view.setUint16(at, size);
      at += 2;
    }
    bytes.set(payload, at);
    at += size;
  }
  return bytes.subarray(0, at);
};

// What is no batch throws: by these checks, by reading beyond the end, or by text that is not UTF-8.
const decode = (buffer) => {
  const view = new DataView(buffer);
  const get64 = (at) => {
    const value = Number(view.getBigUint64(at));
    if (value > Number.MAX_SAFE_INTEGER) throw new RangeError("not a number of a message");
    return value;
  };
  const batch = { ack: get64(0), first: get64(8), messages: [] };
  for (let at = 16; at < buffer.byteLength; ) {
    const head = view.getUint16(at);
    const opcode = (head >> 8) & 15;
    if ((head & 0xf080) !== 0x8000 || ![1, 2, 8].includes(opcode) || batch.close) throw new RangeError("not a batch");
    let size = head & 127;
    at += 2;
    if (size === 126) {
      size = view.getUint16(at);
      at += 2;
    } else if (size === 127) {
      size = get64(at);
      at += 8;
    }
    const payload = new Uint8Array(buffer, at, size);
    at += size;
    if (opcode === 8) {
      batch.close = size < 2 ? [1005, ""] : [(payload[0] << 8) | payload[1], decoder.decode(payload.subarray(2))];
    } else batch.messages.push(opcode === 1 ? decoder.decode(payload) : payload.slice().buffer);
  }
  return batch;
};

// --- What worked, by origin ------------------------------------------------------------------------------------------

const memory = new Map();
const recall = (origin) => {
  let text = memory.get(origin);
  try {
    text = localStorage.getItem("culvert:" + origin);
  } catch {
    // A worker, or a page that may keep nothing.
  }
  try {
    const { transport, until } = JSON.parse(text);
    return until > Date.now() && transport;
  } catch {
    // Nothing, or not ours.
  }
};
const remember = (origin, transport, time) => {
  const text = JSON.stringify({ transport, until: Date.now() + time });
  memory.set(origin, text);
  try {
    localStorage.setItem("culvert:" + origin, text);
  } catch {
    // As above.
  }
};

// --- Lanes -----------------------------------------------------------------------------------------------------------

// `kind` is the transport, `name` what is shown of it. `opened` resolves when the lane has been heard on, and rejects
// when it is dropped before. `given` is how much of what is unacknowledged has been handed over to the browser.
class Lane {
  given = 0;
  aborter = new AbortController();

  constructor(core, kind, name) {
    Object.assign(this, { core, kind, name });
    this.opened = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    core.life.signal.addEventListener("abort", () => this.drop(), { signal: this.aborter.signal });
  }

  ready() {
    if (this.isReady || this.isGone) return;
    this.isReady = true;
    this.core.adopt(this);
    this.resolve();
  }

  drop(error = new Failure("replaced")) {
    if (this.isGone) return;
    this.isGone = true;
    this.aborter.abort();
    const { ws } = this;
    clearInterval(this.watch);
    clearTimeout(this.due);
    clearTimeout(this.question);
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      ws.close();
    }
    this.reject(error);
    this.core.lost(this, error);
  }

  connect(address, protocols) {
    const { core } = this;
    const { WebSocket } = core.options;
    const token = core.isTokenInQuery || !core.token ? [] : ["culvert.auth", "bearer." + core.token];
    this.ws = new WebSocket(core.withToken(address).replace(/^http/, "ws"), [...protocols, ...token]);
    this.ws.binaryType = "arraybuffer";
    return this.ws;
  }
}

// A WebSocket whose messages are batches. Its first, which the edge answers at once, is empty: it has then been seen to
// work both ways, and the answer says from where to go on.
class SocketLane extends Lane {
  constructor(core) {
    super(core, "websocket", "websocket");
  }

  start() {
    const { core } = this;
    const { session } = core;
    const ws = this.connect(
      session ? core.at("/socket") : core.base + core.search,
      session ? ["culvert.v1"] : ["culvert.v1", ...core.protocols]
    );
    ws.onopen = () => session && this.ask();
    ws.onmessage = ({ data }) => {
      try {
        if (typeof data === "string") {
          this.info = JSON.parse(data);
          this.ask();
        } else this.take(data);
      } catch (error) {
        this.drop(new Failure(error.message, { code: core.session && 1006 }));
      }
    };
    ws.onclose = ({ code, reason }) => {
      let more;
      if (session || this.isReady) {
        if ([1002, 1003, 1007, 1009, 4404].includes(code)) more = { code: 1006 };
        else if (code > 3999 && code !== 4408 && code !== 4409) more = { code, status: 401, isClean: true };
      }
      this.drop(new Failure(reason || "WebSocket closed with " + code, more));
    };
  }

  take(data) {
    const { core } = this;
    this.isHeard = true;
    if (this.question) {
      clearTimeout(this.question);
      this.question = 0;
      core.latency = Date.now() - this.asked;
    }
    if (!this.isReady) {
      if (!core.session) core.begin(this.info, this);
      this.watch = setInterval(() => {
        if (!this.isHeard) this.ask();
        this.isHeard = false;
      }, core.info.hold * 1000);
    }
    core.take(decode(data), this);
    this.ready();
    if (this.isGone) return;
    this.flush();
    if (core.received === this.told) return;
    // The edge waits when a batch's worth is unacknowledged.
    this.untold += data.byteLength;
    if (this.untold >= Math.min(65536, core.info.max_batch / 2)) this.say([]);
    else this.due ||= setTimeout(() => this.say([]), 100);
  }

  say(items) {
    const { core } = this;
    clearTimeout(this.due);
    this.due = this.untold = 0;
    this.told = core.received;
    this.ws.send(encode(core.received, this.next || core.acked + 1, items));
  }

  // No new acknowledgement may be in it, or it is no question.
  ask() {
    if (this.question || this.isGone) return;
    if (this.told < this.core.received) this.say([]);
    this.asked = Date.now();
    this.question = setTimeout(() => this.drop(new Failure("no answer")), this.core.options.timeout);
    this.say([]);
  }

  acknowledge() {
    this.ws.send(encode(this.core.received + 1, this.core.acked + 1, []));
  }

  // What the browser has not sent yet is bounded; more follows with the next acknowledgement.
  flush() {
    const { core, ws } = this;
    while (ws.bufferedAmount < 1048576) {
      this.next = Math.max(this.next || 0, core.acked + 1);
      const items = core.batch(this.next);
      if (!items.length) return;
      this.say(items);
      this.next += items.length;
      for (const item of items) {
        item.lane = this;
        this.given += item.size;
      }
    }
  }
}

// Requests: one GET that waits for messages, one POST at a time.
class PollLane extends Lane {
  constructor(core) {
    super(core, "polling", "polling");
  }

  async start() {
    const { core } = this;
    try {
      if (core.session) await this.post([]);
      else {
        const body = JSON.stringify({ protocols: core.protocols });
        const answer = await core.request(core.base + core.search, { method: "POST", body }, this.aborter.signal);
        const info = JSON.parse(decoder.decode(answer));
        if (this.isGone || !info.session) throw new Failure("no session");
        core.begin(info, this);
      }
      this.ready();
      this.receive();
    } catch (error) {
      this.drop(error);
    }
  }

  // The edge may ask to come back later.
  async request(suffix, init) {
    for (;;) {
      try {
        return await this.core.request(this.core.at(suffix), init, this.aborter.signal);
      } catch (error) {
        if (!error.wait || this.isGone) throw error;
        this.ready();
        await sleep(error.wait);
      }
    }
  }

  async receive() {
    const turn = (this.turn = {});
    try {
      while (!this.isGone && turn === this.turn) {
        const { core } = this;
        const began = Date.now();
        const body = await this.request("?ack=" + core.received);
        if (this.isGone) return;
        if (body.byteLength) core.take(decode(body), this);
        else if (Date.now() - began < 100) await sleep(1000);
      }
    } catch (error) {
      if (turn === this.turn) this.drop(error);
    }
  }

  async post(items) {
    const { core } = this;
    const began = Date.now();
    const first = core.acked + 1;
    const body = encode(core.received, first, items);
    const answer = await this.request("", { method: "POST", body, headers: { "Content-Type": MARK } });
    if (this.isGone) return;
    core.latency = Date.now() - began;
    core.take(decode(answer), this);
    // A Close has no number. The parked GET is answered with it.
    if (core.queue[0]?.opcode === 8 && items.includes(core.queue[0])) core.queue = [];
    if (items.includes(core.queue[0])) throw new Failure("not taken");
  }

  async flush(isQuestion) {
    if (this.isPosting) return;
    this.isPosting = true;
    try {
      for (let items; !this.isGone && ((items = this.core.batch(this.core.acked + 1)).length || isQuestion); ) {
        isQuestion = false;
        await this.post(items);
      }
    } catch (error) {
      this.drop(error);
    }
    this.isPosting = false;
  }

  // The GET that waits may wait on a network that is gone.
  ask() {
    this.receive();
    this.flush(true);
  }

  // To acknowledge a Close would be answered with an error, which consoles show.
  acknowledge() {
    const { core } = this;
    if (core.state === OPEN) core.request(core.at(""), { method: "DELETE" }).catch(() => {});
  }
}

// The browser's own WebSocket to the URL itself, for `resume: false`. It cannot be asked whether a box on the way lets
// its frames through, so another is, before.
class PlainLane extends Lane {
  constructor(core) {
    super(core, "websocket", "plain");
  }

  async start() {
    const { core } = this;
    try {
      if (core.transports.length > 1 && core.known() !== this.kind) {
        await new Promise((resolve, reject) => {
          const ws = this.connect(core.base + "/probe", ["culvert.v1"]);
          ws.onopen = () => ws.send("?");
          ws.onmessage = resolve;
          ws.onclose = () => reject(new Failure("no WebSocket got through"));
        });
        this.ws.onclose = null;
        this.ws.close();
        if (this.isGone) return;
      }
      const ws = this.connect(core.url.href, core.protocols);
      ws.onopen = () => {
        const { protocol, extensions } = ws;
        core.extensions = extensions;
        core.begin({ protocol: protocol === "culvert.auth" ? "" : protocol }, this);
        this.ready();
      };
      ws.onmessage = ({ data }) => core.deliver(data);
      ws.onclose = ({ code, reason, wasClean }) =>
        this.isReady ? core.end(code, reason, wasClean) : this.drop(new Failure("no WebSocket got through"));
    } catch (error) {
      this.drop(error);
    }
  }

  flush() {}
}

// --- The session -----------------------------------------------------------------------------------------------------

class Core {
  state = CONNECTING;
  binaryType = "blob";
  protocol = "";
  extensions = "";
  handlers = {};
  life = new AbortController();
  // What is unacknowledged; the first is number `acked` + 1. `bytes` are theirs, `excess` of what will never be sent.
  queue = [];
  acked = 0;
  received = 0;
  bytes = 0;
  excess = 0;
  reconnects = 0;
  latency = null;
  lane = null;

  constructor(socket, url, protocols, options) {
    const { transports, tokenIn, resume } = options;
    Object.assign(this, { socket, url, protocols, options, transports });
    this.isTokenInQuery = tokenIn === "query";
    this.isResumable = resume;
    this.search = url.search;
    this.base = (url.origin + url.pathname).replace(/^ws/, "http").replace(/\/$/, "") + "/_poll";
    this.listen();
    this.open();
  }

  listen() {
    const { signal } = this.life;
    const on = (type, run, target = globalThis) => target?.addEventListener?.(type, run, { signal });
    const awake = () => {
      if (isHidden()) return;
      this.wake?.();
      this.lane?.ask?.();
    };
    on("online", awake);
    on("visibilitychange", awake, globalThis.document);
    on("pageshow", ({ persisted }) => {
      this.isAway = false;
      if (persisted) awake();
    });
    on("pagehide", ({ persisted }) => {
      // A page that may come back keeps its session, but no connection: with one it could not be kept.
      this.isAway = persisted;
      if (persisted) this.lane?.drop(new Failure("page hidden"));
      else if (this.session) {
        const form = new URLSearchParams(this.token ? { access_token: this.token } : {});
        navigator.sendBeacon(this.at("/close?code=1001"), form);
        this.end(1001, "page left");
      }
    });
  }

  // --- addresses and requests

  at(suffix) {
    return this.base + "/" + this.session + suffix;
  }

  withToken(address) {
    if (!this.isTokenInQuery || !this.token) return address;
    return address + (address.includes("?") ? "&" : "?") + "access_token=" + encodeURIComponent(this.token);
  }

  // The body of an answer that is a success; else a Failure. Within a session only the edge's own words count: what
  // else answers is a box on the way.
  async request(address, init, signal) {
    const { session, token } = this;
    const { fetch } = this.options;
    const headers = { Accept: MARK, ...init?.headers };
    if (token && !this.isTokenInQuery) headers.Authorization = "Bearer " + token;
    const aborter = new AbortController();
    const abort = () => aborter.abort();
    const timer = setTimeout(abort, session ? this.info.hold * 1000 + 10000 : 30000);
    signal?.addEventListener("abort", abort);
    try {
      const more = { cache: "no-store", credentials: "include", headers, signal: aborter.signal };
      const response = await fetch(this.withToken(address), { ...init, ...more });
      const { status, statusText } = response;
      const body = await response.arrayBuffer();
      const type = response.headers.get("Content-Type");
      if (response.ok && (!body.byteLength || !session || type === MARK || init.method === "PUT")) return body;
      let problem = {};
      try {
        problem = JSON.parse(decoder.decode(body));
      } catch {
        // A page for people.
      }
      const isOurs = type === "application/problem+json";
      const failure = new Failure(problem.reason || problem.detail || statusText || "HTTP " + status, { status });
      if (session ? isOurs : status > 399) {
        if (session && [408, 429, 503].includes(status)) {
          failure.wait = Math.max(1, response.headers.get("Retry-After")) * 1000;
        } else failure.code = session && status === 404 ? 1006 : Number(problem.code) || 4000 + status;
        failure.isClean = session && problem.code > 0;
      }
      throw failure;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  // --- the token

  async renewToken() {
    const { token } = this.options;
    this.token = typeof token === "function" ? await token() : token;
    try {
      const claims = this.token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
      this.expire(JSON.parse(atob(claims)).exp - Date.now() / 1000);
    } catch {
      // Not a JWT.
    }
  }

  // Plans the next token, for which a fifth of the time, or at least a second, is left.
  expire(seconds) {
    if (seconds > 0) this.expiry = Date.now() + seconds * 1000;
    clearTimeout(this.renewer);
    const left = this.expiry - Date.now();
    if (!(left > 0) || typeof this.options.token !== "function" || this.isEnded) return;
    const time = Math.max(1000, Math.min(left * 0.8, left - 1000, 2e9));
    this.renewer = setTimeout(() => this.refresh(), time);
  }

  async refresh() {
    try {
      if (this.session && this.lane) {
        await this.renewToken();
        try {
          const answer = await this.request(this.at("/token"), { method: "PUT" }, this.life.signal);
          this.expire(answer.byteLength && JSON.parse(decoder.decode(answer)).expires);
        } catch (error) {
          // Requests do not get through: a new lane brings the token along.
          if (!error.status && this.lane) await this.attempt(this.lane.kind, this.options.timeout);
        }
      }
    } catch {
      // Asked again in time.
    }
    this.expire();
  }

  // --- lanes come and go

  known() {
    return this.options.remember > 0 && recall(this.url.origin);
  }

  // Resolves when a lane of that kind has taken over.
  async attempt(kind, patience) {
    await this.renewToken();
    if (this.isEnded) throw new Failure("closed");
    const lane = new (kind === "polling" ? PollLane : this.isResumable ? SocketLane : PlainLane)(this);
    const timer = setTimeout(() => lane.drop(new Failure("timed out")), patience);
    try {
      lane.start();
      await lane.opened;
    } catch (error) {
      lane.drop(error);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  // Each transport once, what is known to work first.
  async round() {
    const known = this.known();
    const order = [...this.transports].sort((a, b) => (b === known) - (a === known));
    for (;;) {
      const kind = order.shift();
      try {
        return await this.attempt(kind, order.length ? this.options.timeout : 15000);
      } catch (error) {
        if (error.code || !order.length || this.isEnded) throw error;
      }
    }
  }

  async open() {
    try {
      await this.round();
    } catch (error) {
      this.end(error.code || 1006, error.code ? error.message : "no transport got through: " + error.message);
    }
  }

  begin(info, lane) {
    const { session, protocol, expires } = info;
    Object.assign(this, { info, session, protocol: protocol || "" });
    if (!this.isResumable) this.transports = [lane.kind];
    this.expire(expires);
    task(() => {
      if (this.state !== CONNECTING) return;
      this.state = OPEN;
      this.socket.dispatchEvent(new Event("open"));
    });
  }

  adopt(lane) {
    const before = this.lane;
    this.lane = lane;
    this.denial = null;
    this.since = Date.now();
    before?.drop();
    if (this.options.remember > 0) remember(this.url.origin, lane.kind, this.options.remember);
    this.showLane("open");
    this.climb(5000);
    lane.flush();
  }

  showLane(reason) {
    const detail = { lane: this.lane && this.lane.name, reason };
    task(() => this.socket.dispatchEvent(new CustomEvent("lane", { detail })));
  }

  // While polled: tries from time to time whether a WebSocket has become possible. The polls go on meanwhile.
  climb(time) {
    clearTimeout(this.climber);
    if (this.lane?.kind !== "polling" || !this.isResumable || this.transports[0] !== "websocket") return;
    this.climber = setTimeout(async () => {
      if (isHidden() || !this.lane) return this.climb(time);
      try {
        await this.attempt("websocket", this.options.timeout);
      } catch {
        this.climb(Math.min(time * 2, 300000));
      }
    }, time);
  }

  async lost(lane, error) {
    if (lane !== this.lane || this.isEnded) return;
    this.lane = null;
    this.showLane(error.message);
    if (!this.session) return this.end(1006, error.message);
    const deadline = Date.now() + this.info.resume * 1000;
    // One that was lost at once is not replaced at once, lest it goes round and round.
    for (let tries = Date.now() - this.since < 1000 ? 2 : 0; ; tries += 1) {
      // A dead token may be followed by a better one, once.
      const mayRenew = [401, 403].includes(error.status) && typeof this.options.token === "function";
      const end = this.denial || (error.code && !mayRenew && error);
      if (end) return this.end(end.code, end.code === 1006 ? "session lost: " + end.message : end.message, end.isClean);
      if (error.code) this.denial = error;
      if (Date.now() > deadline && !this.isAway) return this.end(1006, "session lost: " + error.message);
      if (tries || isOffline() || this.isAway) {
        await new Promise((resolve) => {
          this.wake = resolve;
          const longest = isHidden() ? 10000 : Math.min(10000, 250 * 2 ** tries);
          const time = isHidden() ? longest : Math.random() * longest;
          if (!this.isAway) setTimeout(resolve, isOffline() ? Math.max(0, deadline - Date.now()) : time);
        });
      }
      if (this.isEnded || this.lane) return;
      try {
        await this.round();
        this.reconnects += 1;
        return;
      } catch (failure) {
        error = failure;
      }
      if (this.isEnded || this.lane) return;
    }
  }

  // --- messages

  get bufferedAmount() {
    const { lane } = this;
    return this.bytes + this.excess + (lane ? (lane.ws?.bufferedAmount || 0) - lane.given : 0);
  }

  send(opcode, payload, size, data) {
    if (this.state !== OPEN) {
      this.excess += size;
      return;
    }
    if (this.lane?.name === "plain") return this.lane.ws.send(data);
    if (size > this.info.max_message) return this.close(1009, encoder.encode("message too long"));
    const item = { opcode, payload, size };
    this.queue.push(item);
    this.bytes += size;
    if (!this.lane && this.bytes > this.options.maxBuffered) return this.end(1006, "send buffer full");
    const flush = () => this.lane?.flush();
    if (payload) return queueMicrotask(flush);
    // A Blob is read while others wait behind it.
    data.arrayBuffer().then(
      (buffer) => {
        item.payload = new Uint8Array(buffer);
        flush();
      },
      (error) => this.end(1006, error.message)
    );
  }

  close(code, reason) {
    const { state } = this;
    if (state > OPEN) return;
    this.state = CLOSING;
    if (state === CONNECTING) return this.end(1006, "closed before it was open");
    if (!code && reason.length) code = 1000;
    if (this.lane?.name === "plain") return this.lane.ws.close(...(code ? [code, decoder.decode(reason)] : []));
    const payload = new Uint8Array(code ? [code >> 8, code & 255, ...reason] : []);
    this.queue.push({ opcode: 8, payload, size: payload.length });
    this.lane?.flush();
  }

  // The batch that begins with that number; what follows a Blob that is being read has to wait.
  batch(next) {
    const items = [];
    let size = 0;
    for (const item of this.queue.slice(next - this.acked - 1)) {
      size += item.size + 16;
      if (!item.payload || (items.length && size > this.info.max_batch)) break;
      items.push(item);
    }
    return items;
  }

  take({ ack, first, messages, close }, lane) {
    while (this.acked < ack && this.queue[0]?.opcode < 8) {
      const item = this.queue.shift();
      this.acked += 1;
      this.bytes -= item.size;
      if (item.lane) item.lane.given -= item.size;
    }
    for (const data of messages) {
      if (first > this.received + 1) throw new Failure("messages are missing", { code: 1006 });
      if (first > this.received) {
        this.received = first;
        this.deliver(data);
      }
      first += 1;
    }
    // The Close of a session that ended long ago has the number 0.
    if (!close || (first && first !== this.received + 1) || this.isEnded) return;
    lane.acknowledge();
    this.end(...close, true);
  }

  deliver(data) {
    task(() => {
      if (this.state !== OPEN) return;
      if (typeof data !== "string" && this.binaryType === "blob") data = new Blob([data]);
      this.socket.dispatchEvent(new MessageEvent("message", { data, origin: this.url.origin }));
    });
  }

  end(code, reason, isClean) {
    if (this.isEnded) return;
    this.isEnded = true;
    this.excess = this.bufferedAmount;
    this.bytes = 0;
    this.lane = null;
    this.queue = [];
    clearTimeout(this.climber);
    clearTimeout(this.renewer);
    this.wake?.();
    this.life.abort();
    // No longer than a Close could have it, and cut between characters.
    reason = new TextDecoder().decode(encoder.encode(reason).subarray(0, 123), { stream: true });
    task(() => {
      this.state = CLOSED;
      if (!isClean) this.socket.dispatchEvent(new Event("error"));
      this.socket.dispatchEvent(new CloseEvent("close", { code, reason, wasClean: !!isClean }));
    });
  }
}

// --- The interface (https://websockets.spec.whatwg.org) --------------------------------------------------------------

class CulvertSocket extends EventTarget {
  static defaults = {};

  // A class with options of its own, for code that makes its sockets itself.
  static with(options) {
    return class CulvertSocket extends this {
      static defaults = { ...super.defaults, ...options };
      static length = 1;
    };
  }

  constructor(url, protocols = [], options) {
    super();
    if (!arguments.length) throw new TypeError("a URL is needed");
    let parsed;
    try {
      parsed = new URL(url, globalThis.document?.baseURI || globalThis.location?.href);
    } catch {
      throw fault("not a URL: " + url, "SyntaxError");
    }
    parsed.protocol = parsed.protocol.replace(/^http/, "ws");
    if (!/^wss?:$/.test(parsed.protocol) || parsed.href.includes("#")) {
      throw fault("not the URL of a WebSocket: " + url, "SyntaxError");
    }
    const isList = Object(protocols) === protocols && protocols[Symbol.iterator];
    protocols = (isList ? [...protocols] : [protocols]).map(String);
    if (!protocols.every((name) => /^[!#-'*+\-.^_`|~\w]+$/.test(name)) || new Set(protocols).size < protocols.length) {
      throw fault("subprotocols are different tokens", "SyntaxError");
    }
    const defaults = { transports: ["websocket", "polling"], resume: true, timeout: 4000, remember: 600000 };
    const settings = { ...natives, ...defaults, maxBuffered: 16777216, ...new.target.defaults, ...options };
    cores.set(this, { handlers: {} });
    cores.set(this, new Core(this, parsed, protocols, settings));
  }

  get url() {
    return cores.get(this).url.href;
  }

  get readyState() {
    return cores.get(this).state;
  }

  get bufferedAmount() {
    return cores.get(this).bufferedAmount;
  }

  get protocol() {
    return cores.get(this).protocol;
  }

  get extensions() {
    return cores.get(this).extensions;
  }

  get binaryType() {
    return cores.get(this).binaryType;
  }

  set binaryType(value) {
    if (["blob", "arraybuffer"].includes(`${value}`)) cores.get(this).binaryType = `${value}`;
  }

  // For diagnostics; not of the standard.
  get culvert() {
    const core = cores.get(this);
    const { session = null, lane, queue, acked, received, reconnects, latency } = core;
    const sent = acked + queue.filter((item) => item.opcode < 8).length;
    const cut = () => core.lane?.drop(new Failure("cut"));
    return { session, lane: lane && lane.name, sent, acked, received, reconnects, latency, cut };
  }

  send(data) {
    const core = cores.get(this);
    if (!arguments.length) throw new TypeError("send() needs something to send");
    let payload;
    let opcode = 2;
    if (data instanceof Blob) payload = null;
    else if (data instanceof ArrayBuffer) payload = new Uint8Array(data.slice());
    else if (ArrayBuffer.isView(data)) {
      if (!(data.buffer instanceof ArrayBuffer)) throw new TypeError("memory that is shared cannot be sent");
      payload = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
    } else {
      opcode = 1;
      payload = encoder.encode(`${data}`);
    }
    if (core.state === CONNECTING) throw fault("still connecting", "InvalidStateError");
    core.send(opcode, payload, payload ? payload.length : data.size, data);
  }

  close(code, reason) {
    if (code !== undefined) {
      code = Math.round(code) || 0;
      if (code !== 1000 && !(code >= 3000 && code <= 4999)) {
        throw fault("a close code is 1000, or 3000 to 4999", "InvalidAccessError");
      }
    }
    const bytes = encoder.encode(reason);
    if (bytes.length > 123) throw fault("a reason has at most 123 bytes", "SyntaxError");
    cores.get(this).close(code, bytes);
  }
}

// What Web IDL says of an interface's members, and classes do not do by themselves.
const { prototype } = CulvertSocket;
const define = Object.defineProperty;
for (const name of Object.getOwnPropertyNames(prototype)) {
  if (name !== "constructor" && name !== "culvert") define(prototype, name, { enumerable: true });
}
["CONNECTING", "OPEN", "CLOSING", "CLOSED"].forEach((name, value) => {
  for (const target of [CulvertSocket, prototype]) define(target, name, { value, enumerable: true });
});
define(prototype, Symbol.toStringTag, { value: "WebSocket", configurable: true });
for (const type of ["open", "message", "error", "close"]) {
  define(prototype, "on" + type, {
    enumerable: true,
    configurable: true,
    get() {
      return cores.get(this).handlers[type]?.value ?? null;
    },
    // A handler keeps its place among the listeners until it is taken away.
    set(value) {
      const { handlers } = cores.get(this);
      if (Object(value) !== value) {
        this.removeEventListener(type, handlers[type]);
        delete handlers[type];
      } else if (handlers[type]) handlers[type].value = value;
      else {
        handlers[type] = {
          value,
          handleEvent(event) {
            this.value.call?.(event.currentTarget, event);
          },
        };
        this.addEventListener(type, handlers[type]);
      }
    },
  });
}

export { CulvertSocket, CulvertSocket as default };
