/// What the demo's page runs, after `const token = …`.
enum DemoPageScript {
    static let text = #"""
        "use strict";
        const element = (id) => document.getElementById(id);
        const select = element("path");
        const asked = new URLSearchParams(location.search).get("path");
        if (asked && /^\/[\w\/.-]*$/.test(asked)) {
          if (![...select.options].some((option) => option.value === asked)) select.add(new Option(asked, asked));
          select.value = asked;
        }

        // One side of the page: its elements, and what happens to them.
        class Panel {
          constructor(name) {
            this.name = name;
            this.transport = null;
            this.element("form").addEventListener("submit", (event) => {
              event.preventDefault();
              const input = this.element("input");
              if (!input.value || this.state !== "open") return;
              this.transport.send(input.value);
              input.value = "";
              input.focus();
            });
            this.element("toggle").addEventListener("click",
              () => this.transport ? this.disconnect() : this.connect());
          }
          element(part) { return element(this.name + "-" + part); }
          setState(state, detail = "") {
            this.state = state;
            const output = this.element("state");
            output.textContent = state;
            output.dataset.state = state;
            this.element("detail").textContent = detail;
            this.element("input").disabled = this.element("send").disabled = state !== "open";
            this.element("toggle").textContent = state === "closed" ? "Connect" : "Disconnect";
          }
          add(text, kind) {
            const log = this.element("log");
            const item = document.createElement("li");
            item.textContent = text;
            item.className = kind;
            log.append(item);
            while (log.childElementCount > 500) log.firstElementChild.remove();
            log.scrollTop = log.scrollHeight;
          }
          show(text) {
            let line = text;
            try {
              const said = JSON.parse(text);
              if (typeof said.from === "string" && typeof said.text === "string") line = said.from + ": " + said.text;
            } catch { /* Not a line of the chat: shown as it is. */ }
            this.add(line, "message");
          }
          connect() {
            this.setState("connecting");
            const Transport = this.name === "ws" ? NativeTransport : PollTransport;
            const transport = new Transport(select.value);
            this.transport = transport;
            // What a transport that was given up still has to say concerns nobody.
            const current = (act) => (...values) => { if (this.transport === transport) act(...values); };
            transport.onopen = current((detail) => { this.setState("open", detail); this.add("connected", "note"); });
            transport.onstate = current((state, detail) => this.setState(state, detail));
            transport.onmessage = current((text) => this.show(text));
            transport.onclose = current((reason) => {
              this.transport = null;
              this.setState("closed", reason);
              this.add("closed: " + reason, "note");
            });
            transport.start();
          }
          disconnect() {
            const transport = this.transport;
            if (!transport) return;
            this.transport = null;
            transport.stop();
            this.setState("closed");
            this.add("disconnected", "note");
          }
        }

        const closeText = (code, reason) =>
          [code, reason].filter((part) => part !== undefined && part !== "").join(" ");

        class NativeTransport {
          constructor(path) { this.path = path; }
          start() {
            const url = location.origin.replace(/^http/, "ws") + this.path;
            // A browser cannot set headers on a handshake: the token goes in as a subprotocol.
            this.socket = new WebSocket(url, ["culvert.auth", "bearer." + token]);
            this.socket.binaryType = "arraybuffer";
            this.socket.onopen = () => this.onopen(this.path);
            this.socket.onmessage = ({ data }) =>
              this.onmessage(typeof data === "string" ? data : "[" + data.byteLength + " bytes]");
            this.socket.onclose = ({ code, reason }) => this.onclose(closeText(code, reason));
          }
          send(text) { this.socket.send(text); }
          stop() { this.socket.close(1000); }
        }

        const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

        class PollTransport {
          constructor(path) {
            this.base = path.replace(/\/$/, "") + "/_poll";
            this.aborter = new AbortController();
            this.over = false;
            this.received = 0;    // the number of the last message we have: what we acknowledge
            this.sent = 0;        // the number of our own last message
            this.pending = [];    // our messages that are not acknowledged yet, oldest first
            this.posting = false;
            this.batchLimit = 256 * 1024;
            this.patience = 60000;
          }
          headers(more = {}) { return { Authorization: "Bearer " + token, Accept: "application/json", ...more }; }

          async start() {
            try {
              const response = await fetch(this.base,
                { method: "POST", headers: this.headers(), cache: "no-store", signal: this.aborter.signal });
              if (response.status !== 201) return this.end(await this.problem(response));
              const session = await response.json();
              this.url = new URL(response.headers.get("Location"), location.href);
              if (session.max_batch > 0) this.batchLimit = Math.min(this.batchLimit, session.max_batch);
              // Given up while the answer was under way: the session must not wait for its own end.
              if (this.over) return this.discard();
              this.onopen(this.base);
              this.receive();
            } catch (error) {
              if (!this.over) this.end(String(error.message || error));
            }
          }

          // A request that is tried again while the network, or the edge, is away: numbers make that safe.
          async request(make) {
            const began = Date.now();
            for (let tries = 0; ; tries += 1) {
              let failure;
              let wait = Math.min(250 * 2 ** Math.min(tries, 6), 5000);
              try {
                const response = await make();
                if (![429, 502, 503, 504].includes(response.status)) {
                  if (tries > 0 && !this.over) this.onstate("open", this.base);
                  return response;
                }
                failure = response.status;
                wait = Math.max(wait, 1000 * (Number(response.headers.get("Retry-After")) || 0));
              } catch (error) {
                failure = String(error.message || error);
              }
              if (this.over || Date.now() - began > this.patience) throw new Error(failure);
              this.onstate("connecting", "trying again: " + failure);
              await pause(wait);
            }
          }

          async receive() {
            try {
              while (!this.over) {
                const response = await this.request(() => {
                  const url = new URL(this.url);
                  url.searchParams.set("ack", this.received);
                  return fetch(url, { headers: this.headers(), cache: "no-store", signal: this.aborter.signal });
                });
                if (response.status === 204) continue;
                if (response.status !== 200) return this.end(await this.problem(response));
                this.take(await response.json());
              }
            } catch (error) {
              if (!this.over) this.end(String(error.message || error));
            }
          }

          take(batch) {
            (batch.messages || []).forEach((message, index) => {
              const number = batch.first + index;
              if (number <= this.received || this.over) return;
              this.received = number;
              if (message.text !== undefined) this.onmessage(message.text);
              else this.onmessage("[" + atob(message.binary).length + " bytes]");
            });
            if (batch.close) this.end(closeText(batch.close.code, batch.close.reason));
          }

          send(text) {
            this.sent += 1;
            this.pending.push({ number: this.sent, text });
            this.post();
          }

          // One POST at a time: the messages must arrive in order.
          async post() {
            if (this.posting) return;
            this.posting = true;
            try {
              while (this.pending.length && !this.over) {
                const batch = [];
                let size = 0;
                for (const { text } of this.pending) {
                  // Escaped as JSON a character takes six bytes at most.
                  size += 16 + 6 * text.length;
                  if (batch.length && size > this.batchLimit) break;
                  batch.push({ text });
                }
                const first = this.pending[0].number;
                const response = await this.request(() => fetch(this.url, {
                  method: "POST",
                  headers: this.headers({ "Content-Type": "application/json" }),
                  body: JSON.stringify({ ack: this.received, first, messages: batch }),
                  signal: this.aborter.signal,
                }));
                if (response.status !== 200) return this.end(await this.problem(response));
                const { ack } = await response.json();
                if (!(ack >= first)) return this.end("the edge did not acknowledge");
                while (this.pending.length && this.pending[0].number <= ack) this.pending.shift();
              }
            } catch (error) {
              if (!this.over) this.end(String(error.message || error));
            } finally {
              this.posting = false;
            }
          }

          async problem(response) {
            const body = await response.json().catch(() => ({}));
            return response.status + " " + (body.detail || body.title || response.statusText);
          }
          end(reason) {
            if (this.over) return;
            this.over = true;
            this.aborter.abort();
            this.onclose(reason);
          }
          stop() {
            if (this.over) return;
            this.over = true;
            // An opening under way is not aborted: its answer tells which session to delete.
            if (!this.url) return;
            this.aborter.abort();
            this.discard();
          }
          // keepalive: it is sent even while the page goes away; a beacon could not carry the token in a header.
          discard() {
            fetch(this.url, { method: "DELETE", headers: this.headers(), keepalive: true }).catch(() => {});
          }
        }

        const panels = [new Panel("ws"), new Panel("poll")];
        const connectAll = () => panels.forEach((panel) => { if (!panel.transport) panel.connect(); });
        const disconnectAll = () => panels.forEach((panel) => panel.disconnect());
        select.addEventListener("change", () => { disconnectAll(); connectAll(); });
        addEventListener("pagehide", disconnectAll);
        addEventListener("pageshow", (event) => { if (event.persisted) connectAll(); });
        connectAll();

        """#
}
