// Two clients side by side, each with its network, its stream of numbered messages and what is known of both.
// Network, History and Chart are in the files that stand before this one in the page's script.

import { CulvertSocket } from "/culvert.js";

const TRANSPORTS = {
  auto: { transports: ["websocket", "polling"], resume: true },
  websocket: { transports: ["websocket"], resume: true },
  polling: { transports: ["polling"], resume: true },
  plain: { transports: ["websocket"], resume: false },
};
const LANE_NAMES = { websocket: "WebSocket lane", polling: "polling", plain: "plain WebSocket", none: "no lane" };
const SHOWN = 400;
const BUFFERED = 4 << 20;

const token = document.querySelector("meta[name=culvert-token]").content;
const asked = new URLSearchParams(location.search);
const whole = (number) => Number.isFinite(number) ? number.toLocaleString("en") : "–";
const time = (ms) => Number.isFinite(ms) ? (ms < 10 ? ms.toFixed(1) : whole(Math.round(ms))) + " ms" : "–";
const plural = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;

// Says what changed to those who cannot see it; what changes again within a second is said once.
const announcer = {
  waiting: new Map(),
  say(name, text) {
    if (!this.waiting.size) {
      setTimeout(() => {
        document.getElementById("announcer").textContent = [...this.waiting.values()].join(". ");
        this.waiting.clear();
      }, 1000);
    }
    this.waiting.set(name, `Client ${name}: ${text}`);
  },
};

// Numbered messages of each stream that comes: what is missing, what came twice.
class Tally {
  constructor() { this.clear(); }

  clear() {
    this.next = new Map();
    this.ordered = this.missing = this.twice = 0;
  }

  take(stream, number, isOwn) {
    const next = this.next.get(stream) ?? (isOwn ? 1 : number);
    if (number < next) {
      this.twice += 1;
      return;
    }
    this.missing += number - next;
    this.ordered += 1;
    this.next.set(stream, number + 1);
  }

  get text() {
    if (!this.ordered && !this.missing) return "No stream has come yet.";
    return `${whole(this.ordered)} in order, ${whole(this.missing)} missing, ${whole(this.twice)} twice`;
  }
  get verdict() { return this.missing || this.twice ? "bad" : this.ordered ? "good" : ""; }
}

// So many messages in a second, numbered: `~A1b2c 17 …`.
class Stream {
  static pattern = /^~(\w+) (\d+)(?: |$)/;

  constructor(pane) {
    this.pane = pane;
    this.name = pane.name + Math.random().toString(36).slice(2, 6);
    this.number = 0;
    this.underway = new Map();
    this.credit = 1;
    this.last = performance.now();
    this.timer = setInterval(() => this.tick(), 50);
    this.tick();
  }

  tick() {
    const { socket, parts } = this.pane;
    const pace = Math.min(Math.max(parts.pace.valueAsNumber || 1, 1), 1000);
    const size = Math.min(Math.max(parts.size.valueAsNumber || 16, 16), 65536);
    const now = performance.now();
    // A page in the background is called once in a second; what it missed it makes up for, but no more than that.
    this.credit = Math.min(this.credit + (now - this.last) / 1000 * pace, pace + 1);
    this.last = now;
    for (; this.credit >= 1 && socket.bufferedAmount < BUFFERED; this.credit -= 1) {
      this.number += 1;
      const text = `~${this.name} ${this.number} `;
      this.underway.set(this.number, now);
      this.pane.give(text.padEnd(size, "."));
    }
  }

  // How long a message of this stream has taken; undefined when it is not of it, or came before.
  took(name, number) {
    if (name !== this.name) return undefined;
    const sent = this.underway.get(number);
    this.underway.delete(number);
    return sent === undefined ? undefined : performance.now() - sent;
  }

  stop() { clearInterval(this.timer); }
}

class Pane {
  constructor(name, transport) {
    this.name = name;
    this.socket = this.stream = null;
    this.said = [];
    this.echo = null;
    this.tally = new Tally();
    this.network = new Network();
    this.history = new History();
    this.build();
    this.chart = new Chart(this.parts.chart, this.history);
    this.parts.transport.value = transport in TRANSPORTS ? transport : "auto";
    this.listen();
    this.show();
  }

  build() {
    const id = this.name.toLowerCase();
    const content = document.getElementById("pane").content.cloneNode(true);
    this.parts = {};
    for (const element of content.querySelectorAll("[data-part]")) {
      this.parts[element.dataset.part] = element;
      element.id = `${id}-${element.dataset.part}`;
    }
    const { pane, title, log, path } = this.parts;
    pane.id = id;
    title.textContent = `Client ${this.name}`;
    pane.setAttribute("aria-labelledby", title.id);
    log.setAttribute("aria-label", `What happened to client ${this.name}`);
    const wanted = asked.get("path");
    if (wanted && /^\/[\w/.-]*$/.test(wanted)) {
      if (![...path.options].some(({ value }) => value === wanted)) path.add(new Option(wanted, wanted));
      path.value = wanted;
    }
    document.getElementById("panes").append(content);
  }

  listen() {
    const { parts, network } = this;
    const press = (part, act) => parts[part].addEventListener("click", act);
    press("toggle", () => this.toggle());
    press("cut", () => this.cut());
    press("stream", () => this.toggleStream());
    press("clear", () => { parts.log.replaceChildren(); parts.log.focus(); });
    for (const part of ["transport", "path"]) {
      parts[part].addEventListener("change", () => { if (this.socket) { this.disconnect(); this.connect(); } });
    }
    for (const part of ["websocket", "requests", "delay", "rate"]) {
      parts[part].addEventListener("change", () => {
        const select = parts[part];
        network.set(part, /^\d+$/.test(select.value) ? Number(select.value) : select.value);
        const label = select.labels[0].firstChild.textContent.trim();
        this.add("network", `${label}: ${select.selectedOptions[0].text}`);
      });
    }
    parts.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = parts.input.value;
      if (!text || this.socket?.readyState !== CulvertSocket.OPEN) return;
      this.said.push({ text, at: performance.now() });
      this.give(text);
      parts.input.value = "";
      parts.input.focus();
    });
    parts.pane.addEventListener("focusin", () => makeCurrent(this));
    const { log } = parts;
    this.atEnd = true;
    log.addEventListener("scroll", () => {
      this.atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    });
    new ResizeObserver(() => { if (this.atEnd) log.scrollTop = log.scrollHeight; }).observe(log);
  }

  // --- the connection ---

  toggle() { if (this.socket) this.disconnect(); else this.connect(); }

  connect() {
    const { transport, path } = this.parts;
    const socket = new CulvertSocket(location.origin.replace(/^http/, "ws") + path.value, [], {
      ...TRANSPORTS[transport.value], token, remember: 0, WebSocket: this.network.WebSocket, fetch: this.network.fetch,
    });
    this.socket = socket;
    // What a socket that was given up still has to say concerns nobody.
    const on = (type, act) => socket.addEventListener(type, (event) => { if (this.socket === socket) act(event); });
    on("open", () => {
      const { session } = socket.culvert;
      this.add("state", session ? `open, session ${session}` : "open, without a session");
    });
    on("message", ({ data }) => this.take(data));
    on("lane", ({ detail }) => {
      const lane = detail.lane ?? "none";
      this.add("lane", [LANE_NAMES[lane] ?? lane, detail.reason].filter(Boolean).join(": "), `lane-${lane}`);
      this.show();
    });
    on("close", ({ code, reason }) => this.closed([code, reason].filter(Boolean).join(" ")));
    this.add("state", `connecting to ${path.value}`);
    this.parts.detail.textContent = "";
    this.show();
  }

  disconnect() {
    const { socket } = this;
    if (!socket) return;
    this.socket = null;
    socket.close(1000);
    this.tally.clear();
    this.forget();
    this.add("state", "disconnected");
    this.show();
  }

  closed(why) {
    this.socket = null;
    const lost = (this.stream?.underway.size ?? 0) + this.said.length;
    this.tally.missing += lost;
    this.forget();
    this.add("state", `closed: ${why}` + (lost ? `; ${plural(lost, "message")} on the way` : ""), "bad");
    this.parts.detail.textContent = why;
    this.show();
  }

  forget() {
    this.stopStream();
    this.said = [];
    this.echo = null;
  }

  cut() {
    if (!this.socket?.culvert.lane) return;
    this.add("network", "the lane is cut");
    this.socket.culvert.cut();
    this.show();
  }

  // --- messages ---

  give(text) {
    this.socket.send(text);
    this.history.sent();
  }

  take(data) {
    this.history.got();
    if (typeof data !== "string") return this.add("message", `[${plural(data.size, "byte")}]`, "message");
    const line = chatLine(data);
    const text = line?.text ?? data;
    const numbered = Stream.pattern.exec(text);
    if (!numbered) {
      const index = this.said.findIndex((said) => said.text === text);
      if (index >= 0) this.echoed(performance.now() - this.said.splice(index, 1)[0].at);
      return this.add("message", line ? `${line.from}: ${text}` : text, "message");
    }
    const [, name, number] = numbered;
    this.tally.take(name, Number(number), name === this.ownStream);
    const took = this.stream?.took(name, Number(number));
    if (took !== undefined) this.echoed(took);
  }

  echoed(milliseconds) {
    this.echo = milliseconds;
    this.history.echoed(milliseconds);
  }

  toggleStream() { if (this.stream?.timer) this.stopStream(); else this.startStream(); }

  startStream() {
    const { pace, size } = this.parts;
    if (this.socket?.readyState !== CulvertSocket.OPEN || !pace.reportValidity() || !size.reportValidity()) return;
    this.add("stream", `${pace.value} in a second, ${size.value} bytes each`);
    this.stream = new Stream(this);
    this.ownStream = this.stream.name;
    this.show();
  }

  stopStream() {
    if (!this.stream?.timer) return;
    this.stream.stop();
    this.stream.timer = null;
    this.add("stream", `stopped at number ${whole(this.stream.number)}`);
    this.show();
  }

  // --- what is seen ---

  add(kind, text, name = "") {
    const { log } = this.parts;
    const now = new Date();
    const item = document.createElement("p");
    item.className = `entry ${name}`;
    const when = document.createElement("time");
    when.dateTime = now.toISOString();
    when.textContent = now.toTimeString().slice(0, 8) + "." + String(now.getMilliseconds()).padStart(3, "0");
    item.append(when, part("kind", kind), part("what", text));
    log.append(item);
    while (log.childElementCount > SHOWN) log.firstElementChild.remove();
    if (this.atEnd) log.scrollTop = log.scrollHeight;
  }

  // What changes rarely; `tick` shows the rest.
  show() {
    const { parts, socket } = this;
    const ready = socket ? socket.readyState : 3;
    const lane = socket?.culvert.lane ?? null;
    const state = ["connecting", lane ? "open" : "reconnecting", "closing", "closed"][ready];
    const shown = ready === 1 ? lane ?? "none" : "";
    if (parts.state.textContent !== state || parts.lane.dataset.lane !== shown) {
      announcer.say(this.name, [state, LANE_NAMES[shown]].filter(Boolean).join(", "));
      this.history.lane(shown || null);
    }
    parts.state.textContent = state;
    parts.lane.dataset.lane = shown;
    parts.lane.textContent = LANE_NAMES[shown] ?? "";
    parts.lane.hidden = !shown;
    parts.toggle.textContent = socket ? "Disconnect" : "Connect";
    parts.toggle.toggleAttribute("data-on", Boolean(socket));
    parts.input.disabled = parts.send.disabled = parts.stream.disabled = ready !== 1;
    parts.cut.disabled = !lane;
    const streams = Boolean(this.stream?.timer);
    parts.stream.textContent = streams ? "Stop the stream" : "Start the stream";
    parts.stream.toggleAttribute("data-on", streams);
    this.tick();
  }

  tick() {
    const { parts, tally } = this;
    // A plain WebSocket has no numbers.
    const known = this.socket?.culvert ?? {};
    const { sent, acked, received, reconnects, latency } = known.session ? known : {};
    const figures = {
      sent: whole(sent), acked: whole(acked), received: whole(received), reconnects: whole(reconnects),
      latency: time(latency ?? NaN), echo: time(this.echo ?? NaN), tally: tally.text,
    };
    for (const [name, text] of Object.entries(figures)) {
      if (parts[name].textContent !== text) parts[name].textContent = text;
    }
    parts.tally.dataset.verdict = tally.verdict;
  }

  // --- keys ---

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
    const acts = {
      c: () => this.toggle(),
      x: () => this.cut(),
      w: () => this.block("websocket"),
      r: () => this.block("requests"),
      s: () => this.toggleStream(),
      m: () => this.parts.input.focus(),
      1: () => panes[0].parts.pane.focus(),
      2: () => panes[1].parts.pane.focus(),
      "?": () => help.showModal(),
    };
    const act = acts[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  }

  block(part) {
    const select = this.parts[part];
    select.value = select.value === "open" ? "refused" : "open";
    select.dispatchEvent(new Event("change"));
  }
}

function part(name, text) {
  const span = document.createElement("span");
  span.className = name;
  span.textContent = text;
  return span;
}

// A line of the chat, or undefined for a text that is none.
function chatLine(data) {
  if (!data.startsWith("{")) return undefined;
  try {
    const { from, text } = JSON.parse(data);
    return typeof from === "string" && typeof text === "string" ? { from, text } : undefined;
  } catch {
    return undefined;
  }
}

const help = document.getElementById("help");
document.getElementById("help-open").addEventListener("click", () => help.showModal());

const panes = [new Pane("A", asked.get("a") ?? "auto"), new Pane("B", asked.get("b") ?? "polling")];

// The client that the keys act on, wherever the focus is. No client has the focus on a page that was just opened, or
// after a click beside the clients.
let current;
function makeCurrent(pane) {
  current?.parts.pane.removeAttribute("aria-current");
  current = pane;
  pane.parts.pane.setAttribute("aria-current", "true");
}
makeCurrent(panes[0]);

// Speech input may press single letters by mistake, so these keys can be turned off (WCAG 2.1.4).
const keys = document.getElementById("keys");
document.addEventListener("keydown", (event) => {
  if (help.open) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") current.parts.pane.focus();
    return;
  }
  if (keys.checked) current.key(event);
});

for (const pane of panes) pane.connect();
setInterval(() => {
  if (document.hidden) return;
  for (const pane of panes) {
    pane.tick();
    pane.chart.draw();
  }
}, 250);
