// The network between one client and the edge, as bad as its user wants it: what CulvertSocket takes for `WebSocket`
// and `fetch`. Nothing here knows the protocol.

const NativeWebSocket = globalThis.WebSocket;
const nativeFetch = globalThis.fetch.bind(globalThis);
const networkError = () => new TypeError("Failed to fetch");

// One direction. What is put in comes out in order, after the delay and no faster than the rate.
class Pipe {
  constructor(network) {
    this.network = network;
    this.waiting = [];
    this.free = 0;
    this.timer = null;
  }

  put(bytes, act) {
    const { delay, rate } = this.network;
    const now = performance.now();
    this.free = Math.max(this.free, now) + (rate > 0 ? 1000 * bytes / rate : 0);
    this.waiting.push({ due: this.free + delay, act });
    this.run();
  }

  // Resolves when so many bytes would have got through.
  pass(bytes, signal) {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.put(bytes, resolve);
    });
  }

  run() {
    // A shorter delay does not let the later overtake: the first in the row decides.
    while (this.waiting.length && this.waiting[0].due <= performance.now()) this.waiting.shift().act();
    if (!this.waiting.length || this.timer !== null) return;
    this.timer = setTimeout(() => { this.timer = null; this.run(); }, this.waiting[0].due - performance.now());
  }
}

class Network {
  constructor() {
    this.delay = 0;
    this.rate = 0;
    this.websocket = "open";
    this.requests = "open";
    this.sockets = new Set();
    this.underway = new Set();
    this.toEdge = new Pipe(this);
    this.fromEdge = new Pipe(this);
    const network = this;
    this.WebSocket = class extends NetworkSocket {
      constructor(url, protocols) { super(network, url, protocols); }
    };
    this.fetch = (input, init) => this.request(input, init);
  }

  set(name, value) {
    this[name] = value;
    if (name === "websocket" && value === "refused") for (const socket of [...this.sockets]) socket.fail();
    if (name === "requests" && value === "refused") for (const request of this.underway) request.abort(networkError());
  }

  async request(input, init = {}) {
    const gone = new AbortController();
    const signal = init.signal ? AbortSignal.any([init.signal, gone.signal]) : gone.signal;
    this.underway.add(gone);
    try {
      await this.toEdge.pass(size(init.body), signal);
      await this.reachable(signal);
      const answer = await nativeFetch(input, { ...init, signal });
      const body = await answer.arrayBuffer();
      await this.reachable(signal);
      await this.fromEdge.pass(body.byteLength, signal);
      return new Response(body.byteLength ? body : null,
        { status: answer.status, statusText: answer.statusText, headers: answer.headers });
    } finally {
      this.underway.delete(gone);
    }
  }

  async reachable(signal) {
    if (this.requests === "refused") throw networkError();
    if (this.requests !== "silent") return;
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  }
}

function size(data) {
  if (data === undefined || data === null) return 0;
  return data.byteLength ?? data.size ?? String(data).length;
}

// A WebSocket to whoever uses it; what it carries goes through the pipes of its network.
class NetworkSocket extends EventTarget {
  constructor(network, url, protocols) {
    super();
    this.network = network;
    this.url = String(url);
    this.readyState = 0;
    this.protocol = this.extensions = "";
    this.waiting = 0;
    this.type = "blob";
    this.onopen = this.onmessage = this.onerror = this.onclose = null;
    network.sockets.add(this);
    if (network.websocket === "refused") {
      setTimeout(() => this.fail());
      return;
    }
    this.native = new NativeWebSocket(url, protocols);
    this.native.onopen = () => this.arrive(0, () => {
      this.readyState = 1;
      this.protocol = this.native.protocol;
      this.extensions = this.native.extensions;
      this.tell(new Event("open"));
    });
    this.native.onmessage = ({ data, origin }) => {
      if (this.isDeaf) return;
      this.arrive(size(data), () => this.tell(new MessageEvent("message", { data, origin })));
    };
    this.native.onerror = () => this.arrive(0, () => this.tell(new Event("error")));
    this.native.onclose = ({ code, reason, wasClean }) =>
      this.arrive(0, () => this.end(new CloseEvent("close", { code, reason, wasClean })));
  }

  // For good, once it has swallowed something: no network has a stream go on behind a hole.
  get isDeaf() { return this.deaf ||= this.network.websocket === "silent"; }

  get binaryType() { return this.type; }
  set binaryType(type) {
    this.type = type;
    if (this.native) this.native.binaryType = type;
  }
  get bufferedAmount() { return this.waiting + (this.native ? this.native.bufferedAmount : 0); }

  send(data) {
    if (this.readyState === 0) throw new DOMException("Still in CONNECTING state.", "InvalidStateError");
    if (this.readyState !== 1) return;
    const bytes = size(data);
    this.waiting += bytes;
    this.network.toEdge.put(bytes, () => {
      this.waiting -= bytes;
      if (this.readyState !== 3 && !this.isDeaf) this.native.send(data);
    });
  }

  close(code, reason) {
    if (this.readyState >= 2) return;
    this.readyState = 2;
    const parts = [code, reason].filter((part) => part !== undefined);
    this.network.toEdge.put(0, () => { if (this.readyState !== 3) this.native?.close(...parts); });
  }

  // As a connection that breaks: whoever uses it hears no more of it than that.
  fail() {
    if (this.readyState === 3) return;
    this.native?.close();
    this.readyState = 3;
    this.tell(new Event("error"));
    this.end(new CloseEvent("close", { code: 1006, reason: "", wasClean: false }));
  }

  arrive(bytes, act) { this.network.fromEdge.put(bytes, () => { if (this.network.sockets.has(this)) act(); }); }

  end(event) {
    this.readyState = 3;
    this.network.sockets.delete(this);
    this.tell(event);
  }

  tell(event) {
    this["on" + event.type]?.(event);
    this.dispatchEvent(event);
  }
}
for (const [value, name] of ["CONNECTING", "OPEN", "CLOSING", "CLOSED"].entries()) {
  NetworkSocket[name] = NetworkSocket.prototype[name] = value;
}
