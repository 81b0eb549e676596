// CulvertSocket: a WebSocket that gets through where WebSockets are blocked, and that outlives the connections which
// carry it. docs/client.md tells what it promises, docs/protocol.md what it says on the wire.
//
// The parts, from the page down: CulvertSocket is the WHATWG interface; a Core is the session behind one, with what is
// numbered and unacknowledged; lanes carry it, one at a time. What is served is culvert.min.js, which `build` makes of
// this; it is to stay below 6 KiB, compressed.

// Taken now, so that the page may put CulvertSocket in the place of WebSocket. Another copy of this script may have
// done so already: a second bundle, or this module before a development server replaced it.
const WebSocket = globalThis.WebSocket?.native ?? globalThis.WebSocket;
const { fetch } = globalThis;
const encoder = new TextEncoder();
// A BOM is a character of the message like any other.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
// The Core of a CulvertSocket, where no page comes upon it.
const CORE = Symbol();

// Events are tasks of their own, as with a browser's WebSocket: between two messages promises go on, and nothing is
// dispatched from within send(). A timer would be held back in a page that is hidden.
const tasks = [];
const { port1, port2 } = new MessageChannel();
port1.onmessage = () => tasks.shift()();
// Servers that render pages import this module in Node.js, which would not exit while the port is open.
port1.unref?.();
const task = (run) => {
  tasks.push(run);
  port2.postMessage(0);
};

const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));
// What something is, also when it comes from another frame.
const tag = (value) => Object.prototype.toString.call(value).slice(8, -1);
const isHidden = () => globalThis.document?.hidden;
// A subprotocol has these characters only (RFC 9110 5.6.2).
const isName = (text) => /^[!#-'*+\-.^_`|~\w]+$/.test(text);

// Why a lane or a request came to nothing; `more` has a close code, `end`, where that is the end of the socket.
const failure = (message, more) => Object.assign(new Error(message), more);

// --- Batches (docs/protocol.md, section 3) ---------------------------------------------------------------------------

const encode = (ack, first, items) => {
  const bytes = new Uint8Array(items.reduce((at, { size }) => at + size + 10, 16));
  const view = new DataView(bytes.buffer);
  const put64 = (at, value) => view.setBigUint64(at, BigInt(value));
  put64(0, ack);
  put64(8, first);
  let at = 16;
  for (const { opcode, body, size } of items) {
    bytes[at] = opcode;
    bytes[at + 1] = size < 126 ? size : size < 65536 ? 126 : 127;
    at += 2;
    if (size > 65535) {
      put64(at, size);
      at += 8;
    } else if (size > 125) {
      view.setUint16(at, size);
      at += 2;
    }
    bytes.set(body, at);
    at += size;
  }
  return bytes.subarray(0, at);
};

// What is no batch throws: by the checks here, by reading beyond the end, or by text that is not UTF-8.
const decode = (buffer) => {
  const view = new DataView(buffer);
  const get64 = (at) => {
    const value = Number(view.getBigUint64(at));
    if (value >= 2 ** 53) throw failure("bad batch");
    return value;
  };
  const batch = { ack: get64(0), first: get64(8), messages: [] };
  let at = 16;
  while (at < buffer.byteLength) {
    const opcode = view.getUint8(at);
    let size = view.getUint8(at + 1);
    at += 2;
    if (size > 126) {
      size = get64(at);
      at += 8;
    } else if (size > 125) {
      size = view.getUint16(at);
      at += 2;
    }
    const body = new Uint8Array(buffer, at, size);
    at += size;
    if (opcode === 129) batch.messages.push(decoder.decode(body));
    else if (opcode === 130) batch.messages.push(body.slice().buffer);
    else if (opcode !== 136) throw failure("bad batch");
    else batch.close = size ? [(body[0] << 8) | body[1], decoder.decode(body.subarray(2))] : [1005, ""];
  }
  return batch;
};

// --- Lanes -----------------------------------------------------------------------------------------------------------

// A lane is `ready` when it has been heard on. It is dropped once, whatever for, and then says nothing more.
class Lane {
  aborter = new AbortController();

  ready() {
    if (this.isReady) return;
    this.isReady = true;
    this.core.adopt(this);
    this.resolve();
  }

  drop(error = failure("closed")) {
    const { core } = this;
    if (!core.lanes.delete(this)) return;
    this.isGone = true;
    this.aborter.abort();
    this.ws?.close();
    clearInterval(this.watch);
    clearTimeout(this.due);
    clearTimeout(this.question);
    // It was given up between the edge's first word and its second: nobody will come for that session.
    if (this.info && !this.isReady) core.leave(this.info.session);
    this.reject(error);
    if (error.isSilent) core.patience = Math.min(core.patience * 2, 16);
    if (core.lane !== this) return;
    core.lane = null;
    core.reconnects += 1;
    core.tell(error.message);
    core.seek(error);
  }

  connect(url, ...protocols) {
    const { core } = this;
    if (core.bearer) {
      if (!isName(core.bearer)) {
        const text = "no WebSocket: the token has characters that a subprotocol cannot carry";
        core.isWarned ||= !console.warn(text);
        throw failure(text);
      }
      protocols.push("culvert.auth", "bearer." + core.bearer);
    }
    this.ws = new core.WebSocket(core.withToken(url).replace(/^http/, "ws"), protocols);
    this.ws.binaryType = "arraybuffer";
    return this.ws;
  }
}

// A WebSocket whose messages are batches. The first, which the edge answers at once, is empty: the lane has then been
// seen to work both ways, and the answer says from where to go on.
class SocketLane extends Lane {
  kind = "websocket";

  async start() {
    const { core } = this;
    const ws = this.connect(core.at("/socket"), "culvert.v1", ...core.protocols);
    ws.onopen = () => core.session && this.ask();
    ws.onmessage = ({ data }) => {
      if (this.isGone) return;
      try {
        if (typeof data === "string") {
          this.info = JSON.parse(data);
          this.ask();
        } else this.take(data);
      } catch ({ message }) {
        this.drop(failure(message, { end: 1006 }));
      }
    };
    // With these codes the edge says that it knows no such session, or that what was sent is wrong.
    ws.onclose = ({ code, reason }) =>
      this.drop(failure(reason || "WebSocket closed", /^100[2379]|4404/.test(code) && { end: 1006 }));
  }

  take(data) {
    const { core } = this;
    this.isHeard = true;
    // One on which nothing came but the first answer may be one that a box has let open only.
    this.isProven = this.isReady;
    if (this.question) core.latency = Date.now() - this.asked;
    this.question = clearTimeout(this.question);
    if (!this.isReady) {
      if (!core.session) core.begin(this.info);
      this.watch = setInterval(() => {
        if (!this.isHeard) this.ask();
        this.isHeard = false;
      }, core.info.hold * 1000);
    }
    core.take(decode(data), this);
    if (this.isGone) return;
    this.ready();
    this.flush();
    if (core.received === this.told) return;
    this.untold += data.byteLength;
    if (this.untold > 65535) this.say([]);
    else this.due ||= setTimeout(() => this.say([]), 100);
  }

  say(items, ack = this.core.received) {
    clearTimeout(this.due);
    this.due = this.untold = 0;
    this.told = ack;
    this.ws.send(encode(ack, this.next || this.core.acked + 1, items));
  }

  // An empty batch is a question unless it acknowledges something new.
  ask() {
    const { core } = this;
    if (this.question) return;
    if (this.told < core.received) this.say([]);
    this.asked = Date.now();
    this.wait();
    this.say([]);
  }

  // The question stands behind what is still being sent.
  wait() {
    const left = this.ws.bufferedAmount;
    this.question = setTimeout(() => {
      if (this.ws.bufferedAmount < left) this.wait();
      else this.drop(failure("no answer", { isSilent: true, isUnproven: !this.isProven }));
    }, this.core.timeout * this.core.patience);
  }

  // What the browser has not sent yet is bounded; more follows with the next acknowledgement.
  flush() {
    const { core } = this;
    while (this.ws.bufferedAmount < 1048576) {
      this.next = Math.max(this.next || 0, core.acked + 1);
      const items = core.batch(this.next);
      if (!items.length) return;
      this.say(items);
      this.next += items.length;
      this.sent = items.pop().end;
    }
  }
}

// Requests: one GET that waits for messages, and one POST at a time.
class PollLane extends Lane {
  kind = "polling";

  async start() {
    const { core } = this;
    if (core.session) await this.post([]);
    else {
      const body = JSON.stringify({ protocols: core.protocols });
      const answer = await core.request(this, core.at(""), "POST", body);
      core.begin(JSON.parse(decoder.decode(answer)));
    }
    this.ready();
    while (!this.isGone) {
      const began = Date.now();
      const answer = await core.request(this, core.at("?ack=" + core.received));
      if (answer.byteLength) core.take(decode(answer), this);
      // Not by the edge: it waits with such an answer.
      else if (Date.now() - began < 100) await pause(1000);
    }
  }

  async post(items) {
    const { core } = this;
    const began = Date.now();
    const answer = await core.request(this, core.at(""), "POST", encode(core.received, core.acked + 1, items));
    core.latency = Date.now() - began;
    if (answer) core.take(decode(answer), this);
    else core.queue = [];
    if (!items.includes(core.queue[0])) return;
    if (core.queue[0].opcode < 136) throw failure("not taken");
    // A Close has no number; it comes back in the answer to the GET.
    core.queue = [];
  }

  async flush() {
    if (this.isPosting) return;
    this.isPosting = true;
    for (let items; !this.isGone && (items = this.core.batch(this.core.acked + 1)).length; ) {
      await this.post(items).catch((error) => this.drop(error));
    }
    this.isPosting = false;
  }

  // Its GET may wait on a network that is gone. That there is no newer token now is no fault of the lane.
  ask() {
    this.core.attempt(this.kind).catch((error) => error.isToken || this.drop(error));
  }
}

// The browser's own WebSocket to the URL itself, for `resume: false`. It cannot be asked whether a box on the way lets
// its frames through, so another is, before.
class PlainLane extends Lane {
  kind = "plain";

  async start() {
    const { core } = this;
    const drop = () => this.drop(failure("WebSocket closed"));
    if (core.transports.length > 1 && core.known() !== this.kind) {
      const ws = this.connect(core.base + "/probe", "culvert.v1");
      ws.onopen = () => ws.send("?");
      ws.onclose = drop;
      await new Promise((resolve) => (ws.onmessage = resolve));
      ws.onclose = null;
      ws.close();
    }
    const ws = this.connect(core.url, ...core.protocols);
    ws.onopen = () => {
      core.extensions = ws.extensions;
      core.begin({ protocol: ws.protocol.replace("culvert.auth", "") });
      this.ready();
    };
    ws.onmessage = ({ data }) => core.deliver(data);
    ws.onclose = ({ code, reason, wasClean }) => (this.isReady ? core.end(code, reason, wasClean) : drop());
  }

  flush() {}
}

// --- The session -----------------------------------------------------------------------------------------------------

// What worked, by origin. In a worker, and in a page that may keep nothing, it is forgotten with it.
let store = {};
try {
  store = localStorage || store;
} catch {}

// All options and their defaults.
const OPTIONS = {
  WebSocket,
  fetch,
  transports: ["websocket", "polling"],
  resume: true,
  timeout: 4000,
  remember: 600000,
  maxBuffered: 2 ** 24,
  token: null,
  tokenIn: "header",
};

class Core {
  // 0 is connecting, 1 open, 2 closing and 3 closed.
  readyState = 0;
  binaryType = "blob";
  protocol = "";
  extensions = "";
  handlers = {};
  life = new AbortController();
  lanes = new Set();
  lane = null;
  // What is unacknowledged; the first has the number `acked` + 1. An item's `end` is what `total` was with its bytes;
  // those up to `done` are taken.
  queue = [];
  acked = 0;
  received = 0;
  sent = 0;
  total = 0;
  done = 0;
  reconnects = 0;
  latency = null;
  // How often the token was asked for; `taken` is the number of the call whose token is in use.
  turn = 0;
  taken = 0;
  // How much longer than usual an answer is waited for: twice as long each time that none came, until something does.
  patience = 1;
  // How long a session is polled before a WebSocket is tried: longer each time that one fell silent.
  caution = 5000;

  constructor(socket, { href, origin, pathname, search }, protocols, ...options) {
    for (const given of [OPTIONS, ...options]) {
      for (const name in OPTIONS) this[name] = given?.[name] ?? this[name];
    }
    Object.assign(this, { socket, url: href, origin, search, protocols });
    this.base = origin.replace("ws", "http") + (pathname === "/" ? "" : pathname) + "/_poll";
    const notice = ({ type, persisted }) => {
      if (type === "pagehide") {
        this.isAway = persisted;
        // A page that may come back keeps its session, but no connection: with one it would not be kept.
        if (persisted) this.lane?.drop();
        else if (this.session) this.end(1001, "page left");
      } else if (!isHidden() && persisted !== false) {
        this.isAway = false;
        this.wake?.();
        if (this.lane) this.lane.ask?.();
        // What began on a network that was not there.
        else if (this.session) for (const lane of this.lanes) lane.drop();
      }
    };
    for (const type of ["online", "pagehide", "pageshow", "visibilitychange"]) {
      addEventListener(type, notice, { signal: this.life.signal });
    }
    this.seek();
  }

  // --- addresses and requests

  at(path) {
    return this.base + (this.session ? "/" + this.session + path : this.search);
  }

  withToken(url) {
    return this.tokenIn === "query" ? url + (url.includes("?") ? "&" : "?") + this.form : url;
  }

  // A beacon is sent though the page goes; it can have no header.
  leave(session = this.session) {
    navigator.sendBeacon?.(this.base + "/" + session + "/close?code=1001", this.form);
  }

  // The body of a successful answer. Within a session only the edge's own words count: what else answers is a box on
  // the way. Where the edge asks to come again later, that is done.
  async request(lane, url, method, body) {
    const { session, fetch } = this;
    for (;;) {
      const headers = { Accept: "application/vnd.culvert.batch" };
      if (body) headers["Content-Type"] = headers.Accept;
      if (this.bearer) headers.Authorization = "Bearer " + this.bearer;
      const time = (this.info?.hold + 10 || 30) * this.patience;
      const timer = setTimeout(() => lane.drop(failure("no answer", { isSilent: true })), time * 1000);
      try {
        const { signal } = lane.aborter;
        const init = { method, body, headers, cache: "no-store", credentials: "include", redirect: "error", signal };
        const response = await fetch(this.withToken(url), init);
        const { status } = response;
        const answer = await response.arrayBuffer();
        if (response.ok) return answer;
        // Nothing is taken any more, but what was said before the end is still to be fetched.
        if (session && body && status === 410) return;
        const isOurs = /problem/.test(response.headers.get("Content-Type"));
        if (session && !isOurs) throw failure("HTTP " + status);
        if (!session || ![408, 429, 503].includes(status)) {
          const { type, code, reason, detail } = isOurs ? JSON.parse(decoder.decode(answer)) : {};
          // Requests are not for everybody who may open a WebSocket.
          const isRoute = /no_route/.test(type);
          const end = session && status === 404 ? !isRoute && 1006 : code || 4000 + status;
          throw failure(reason ?? detail ?? response.statusText, { status, end, isRoute, isClean: session && code });
        }
        lane.ready();
        await pause(Math.min(Math.abs(response.headers.get("Retry-After") * 1000) || 1000, 60000));
      } finally {
        clearTimeout(timer);
      }
    }
  }

  // --- the token

  async renew() {
    const { token } = this;
    const turn = (this.turn += 1);
    let secret = token;
    try {
      if (token?.call) secret = await token();
    } catch (error) {
      throw failure(error?.message ?? error ?? "no token", { isToken: true });
    }
    // Lanes and the clock ask for tokens at the same time. A token that was asked for earlier is older, also when it
    // comes later.
    if (turn < this.taken) return;
    this.taken = turn;
    // A file from which a page has its token may end in a line break.
    secret &&= `${secret}`.trim();
    this.form = new URLSearchParams(secret ? { access_token: secret } : "");
    this.bearer = this.tokenIn !== "query" && secret;
  }

  // Plans the next token, for which a fifth of the time, and a second at least, is left.
  expire(seconds) {
    if (seconds > 0) this.expiry = Date.now() + seconds * 1000;
    clearTimeout(this.renewer);
    const left = this.expiry - Date.now();
    const time = Math.max(1000, Math.min(left * 0.8, left - 1000, 2e9));
    if (left > 0 && this.token?.call && !this.isEnded) this.renewer = setTimeout(() => this.refresh(), time);
  }

  async refresh() {
    const { lane } = this;
    const aborter = new AbortController();
    try {
      await this.renew();
      // Whatever becomes of it, the lane stays.
      const answer = await this.request({ aborter, ready() {}, drop: () => aborter.abort() }, this.at("/token"), "PUT");
      this.expire(JSON.parse(decoder.decode(answer)).expires);
    } catch ({ status, isToken }) {
      // Requests do not get through: a new lane brings the token along.
      if (lane && !status && !isToken) await this.attempt(lane.kind).catch(() => {});
      this.expire();
    }
  }

  // --- lanes come and go

  known() {
    try {
      const { transport, until } = JSON.parse(store["culvert:" + this.origin]);
      return until > Date.now() && transport;
    } catch {}
  }

  // Resolves when a lane of that kind has taken over.
  async attempt(kind, time = this.timeout) {
    if (this.isEnded) return;
    await new Promise((resolve, reject) => {
      const Kind = kind === "polling" ? PollLane : this.resume ? SocketLane : PlainLane;
      const lane = Object.assign(new Kind(), { core: this, resolve, reject });
      this.lanes.add(lane);
      setTimeout(() => lane.isReady || lane.drop(failure("timed out")), time);
      const start = () => lane.isGone || lane.start();
      this.renew().then(start).catch((error) => lane.drop(error));
    });
  }

  // Finds the first lane, or the next for one that was lost to an error: each transport once, what is known to work
  // first, and again.
  async seek(error) {
    const until = Date.now() + this.info?.resume * 1000;
    // One that was lost at once is not replaced at once, lest it goes round and round; nor one that another, which is
    // under way, is about to replace.
    let tries = this.lanes.size || Date.now() - this.since < 1000 ? 2 : 0;
    if (error?.isUnproven) {
      this.note("polling");
      this.caution = Math.min(this.caution * 4, 300000);
    }
    let kinds = [];
    while (!this.lane && !this.isEnded) {
      if (error && !kinds.length) {
        // A dead token may be followed by a better one, once.
        const isFinal = error.end && !(this.token?.call && /40[13]/.test(error.status));
        if (!this.session || this.denial || isFinal || (Date.now() > until && !this.isAway)) {
          const { end = 1006, message, isClean } = this.denial || error;
          const prefix = end !== 1006 ? "" : this.session ? "session lost: " : "no transport got through: ";
          return this.end(end, prefix + message, isClean);
        }
        if (error.end) this.denial = error;
        const isOffline = !navigator.onLine;
        if (tries || isOffline || this.isAway) {
          await new Promise((resolve) => {
            this.wake = resolve;
            const time = isHidden() ? 10000 : Math.random() * Math.min(10000, 250 * 2 ** tries);
            if (!this.isAway) setTimeout(resolve, isOffline ? until - Date.now() : time);
          });
          if (this.lane || this.isEnded) return;
        }
        tries += 1;
      }
      if (!kinds.length) {
        const known = this.known();
        kinds = [...this.transports].sort((a, b) => (b === known) - (a === known));
      }
      try {
        await this.attempt(kinds.shift(), kinds.length ? this.timeout : 15000);
      } catch (failed) {
        error = failed;
        if (error.isRoute && kinds.length) this.denial = error;
        else if (error.end) kinds = [];
      }
    }
  }

  begin(info) {
    const { session, protocol, expires } = info;
    Object.assign(this, { info, session, protocol: protocol || "", protocols: [] });
    this.expire(expires);
    task(() => {
      if (this.readyState) return;
      this.readyState = 1;
      this.socket.dispatchEvent(new Event("open"));
    });
  }

  adopt(lane) {
    const before = this.lane;
    this.lane = lane;
    this.denial = null;
    this.since = Date.now();
    before?.drop();
    this.note(lane.kind);
    // Without `resume` no lane is replaced by one of another kind.
    if (!this.resume) this.transports = ["polling"];
    this.tell("open");
    this.climb(this.caution);
    lane.flush();
  }

  // What was the only choice says nothing.
  note(transport) {
    try {
      if (this.transports[1]) {
        store["culvert:" + this.origin] = JSON.stringify({ transport, until: Date.now() + this.remember });
      }
    } catch {}
  }

  tell(reason) {
    const detail = { lane: this.lane && this.lane.kind, reason };
    task(() => this.socket.dispatchEvent(new CustomEvent("lane", { detail })));
  }

  // While polled: tries from time to time whether a WebSocket has become possible. The polls go on meanwhile.
  climb(time) {
    clearTimeout(this.climber);
    if (this.lane?.kind !== "polling" || this.transports[0] !== "websocket") return;
    this.climber = setTimeout(() => {
      if (isHidden()) this.climb(time);
      else this.attempt("websocket").catch(() => this.climb(Math.min(time * 2, 300000)));
    }, time);
  }

  // --- messages

  get bufferedAmount() {
    const { lane } = this;
    return this.total - Math.max(this.done, lane?.sent || 0) + (lane?.ws?.bufferedAmount || 0);
  }

  send(opcode, body, data) {
    const { lane } = this;
    const size = body ? body.length : data.size;
    if (lane?.kind === "plain") return lane.ws.send(data);
    this.total += size;
    if (this.readyState > 1) return;
    if (size > this.info.max_message) return this.close(1009, []);
    const item = { opcode, body, size, end: this.total };
    this.sent += 1;
    this.queue.push(item);
    if (!lane && this.bufferedAmount > this.maxBuffered) return this.end(1006, "send buffer full");
    const flush = () => this.lane?.flush();
    if (body) return task(flush);
    // A Blob is read while others wait behind it.
    data.arrayBuffer().then(
      (buffer) => {
        item.body = new Uint8Array(buffer);
        flush();
      },
      ({ message }) => this.end(1006, message)
    );
  }

  close(code, reason) {
    const { readyState, lane } = this;
    if (readyState > 1) return;
    this.readyState = 2;
    if (!readyState) return this.end(1006, "");
    if (reason.length) code ||= 1000;
    if (lane?.kind === "plain") return lane.ws.close(...(code ? [code, decoder.decode(reason)] : []));
    const body = code ? [code >> 8, code & 255, ...reason] : [];
    this.queue.push({ opcode: 136, body, size: body.length, end: this.total });
    lane?.flush();
  }

  // A batch that begins with that number; what follows a Blob that is being read has to wait.
  batch(next) {
    const items = [];
    let size = 0;
    for (const item of this.queue.slice(next - this.acked - 1)) {
      size += item.size + 16;
      if (!item.body || (items.length && size > this.info.max_batch)) break;
      items.push(item);
    }
    return items;
  }

  take({ ack, first, messages, close }, lane) {
    if (ack > this.acked || messages.length) this.patience = 1;
    while (this.acked < ack && this.queue[0]?.opcode < 136) {
      this.acked += 1;
      this.done = this.queue.shift().end;
    }
    for (const data of messages) {
      if (first > this.received + 1) throw failure("messages are missing", { end: 1006 });
      if (first > this.received) {
        this.received = first;
        this.deliver(data);
      }
      first += 1;
    }
    // The Close of a session that ended long ago has the number 0.
    if (!close || (first && first !== this.received + 1)) return;
    // A poll's acknowledgement would be answered with an error, which consoles show.
    if (lane.say) lane.say([], this.received + 1);
    else if (this.readyState < 2) this.leave();
    this.end(...close, true);
  }

  deliver(data) {
    task(() => {
      if (this.readyState > 1) return;
      if (this.binaryType === "blob" && typeof data !== "string") data = new Blob([data]);
      this.socket.dispatchEvent(new MessageEvent("message", { data, origin: this.origin }));
    });
  }

  end(code, reason, wasClean) {
    if (this.isEnded) return;
    this.isEnded = true;
    this.done = this.total - this.bufferedAmount;
    this.lane = null;
    clearTimeout(this.climber);
    clearTimeout(this.renewer);
    // Nobody comes back for the session.
    if (this.session && !wasClean) this.leave();
    this.life.abort();
    this.wake?.();
    for (const lane of this.lanes) lane.drop();
    task(() => {
      this.readyState = 3;
      if (!wasClean) this.socket.dispatchEvent(new Event("error"));
      // Not longer than a Close could have it.
      this.socket.dispatchEvent(new CloseEvent("close", { code, reason: reason.slice(0, 123), wasClean: !!wasClean }));
    });
  }
}

// --- The interface (https://websockets.spec.whatwg.org) --------------------------------------------------------------

const check = (isRight, message, name = "SyntaxError") => {
  if (!isRight) throw new DOMException(message, name);
};

// All members of a class or a prototype, own and inherited, up to `end`.
const members = (from, end) => {
  if (from === end) return {};
  const { constructor, prototype, ...own } = Object.getOwnPropertyDescriptors(from);
  return { ...members(Object.getPrototypeOf(from), end), ...own };
};

class CulvertSocket extends EventTarget {
  static defaults = {};
  // The browser's own class.
  static native = WebSocket;

  // A class with options of its own, for code that makes its sockets itself. All members are its own, as the browser's
  // class has them: some libraries look for them on the class and its prototype only.
  static with(options) {
    const made = class extends this {};
    Object.defineProperties(made, members(this, EventTarget));
    Object.defineProperties(made.prototype, members(this.prototype, EventTarget.prototype));
    made.defaults = { ...this.defaults, ...options };
    return made;
  }

  constructor(url, protocols = [], options) {
    super();
    if (!arguments.length) throw new TypeError("no URL");
    // In Node.js there is none.
    if (!globalThis.location) throw new Error("CulvertSocket needs a page or a worker");
    let parsed;
    try {
      parsed = new URL(url, globalThis.document?.baseURI || location);
      parsed.protocol = parsed.protocol.replace("http", "ws");
    } catch {}
    check(/^wss?:[^#]*$/.test(parsed?.href), "bad URL");
    const isList = Object(protocols) === protocols && protocols[Symbol.iterator];
    protocols = (isList ? [...protocols] : [protocols]).map(String);
    check(protocols.every(isName) && new Set(protocols).size === protocols.length, "bad protocols");
    this[CORE] = new Core(this, parsed, protocols, new.target.defaults, options);
  }

  send(data) {
    const core = this[CORE];
    if (!arguments.length) throw new TypeError("no data");
    const kind = tag(data);
    const view = kind === "ArrayBuffer" ? new Uint8Array(data) : data;
    let body;
    let opcode = 130;
    if (ArrayBuffer.isView(view)) {
      if (tag(view.buffer) !== "ArrayBuffer") throw new TypeError("shared memory");
      body = new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
    } else if (!/^(Blob|File)$/.test(kind)) {
      opcode = 129;
      body = encoder.encode(`${data}`);
    }
    check(core.readyState, "still connecting", "InvalidStateError");
    core.send(opcode, body, data);
  }

  close(code, reason) {
    if (code !== undefined) {
      // As Chromium does. Web IDL's [Clamp] rounds fractions, and a half to the even number: 1000.5 is 1000 by both.
      code = Math.trunc(code);
      check(code === 1000 || (code > 2999 && code < 5000), "bad code", "InvalidAccessError");
    }
    const bytes = encoder.encode(reason);
    check(bytes.length < 124, "reason too long");
    this[CORE].close(code, bytes);
  }

  // For diagnostics; not of the standard.
  get culvert() {
    const core = this[CORE];
    const { session = null, lane, sent, acked, received, reconnects, latency } = core;
    const cut = () => core.lane?.drop();
    return { session, lane: lane && lane.kind, sent, acked, received, reconnects, latency, cut };
  }
}

// What Web IDL says of an interface's members, and classes do not do by themselves.
const { prototype } = CulvertSocket;
const define = (target, name, more) => Object.defineProperty(target, name, { enumerable: true, ...more });
["CONNECTING", "OPEN", "CLOSING", "CLOSED"].forEach((name, value) => {
  define(CulvertSocket, name, { value });
  define(prototype, name, { value });
});
define(CulvertSocket, "name", { value: "WebSocket", enumerable: false });
define(prototype, "send");
define(prototype, "close");
define(prototype, Symbol.toStringTag, { value: "WebSocket", enumerable: false });
for (const name of ["url", "readyState", "bufferedAmount", "protocol", "extensions", "binaryType"]) {
  const get = function () {
    return this[CORE][name];
  };
  const set = function (value) {
    if (["blob", "arraybuffer"].includes(`${value}`)) this[CORE][name] = `${value}`;
  };
  define(prototype, name, { get, set: name === "binaryType" ? set : undefined, configurable: true });
}
for (const type of ["open", "message", "error", "close"]) {
  const get = function () {
    return this[CORE].handlers[type]?.value ?? null;
  };
  // A handler keeps its place among the listeners until it is taken away.
  const set = function (value) {
    const { handlers } = this[CORE];
    if (Object(value) !== value) {
      this.removeEventListener(type, handlers[type]);
      delete handlers[type];
    } else if (handlers[type]) handlers[type].value = value;
    else {
      const handleEvent = (event) => handlers[type].value.call?.(this, event);
      handlers[type] = { value, handleEvent };
      this.addEventListener(type, handlers[type]);
    }
  };
  define(prototype, "on" + type, { get, set, configurable: true });
}

export { CulvertSocket, CulvertSocket as default };
