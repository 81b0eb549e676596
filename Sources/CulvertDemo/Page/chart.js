// What happened in the last minute: how long messages took, how many there were, and which lane carried them.

const SPAN = 60_000;
const STEP = 500;
const LANES = { websocket: "WebSocket", polling: "polling", plain: "plain", none: "no lane" };

class History {
  constructor() {
    this.steps = new Map();
    this.lanes = [];
  }

  step() {
    const index = Math.floor(performance.now() / STEP);
    let step = this.steps.get(index);
    if (!step) {
      step = { out: 0, in: 0, low: Infinity, high: 0, sum: 0, count: 0 };
      this.steps.set(index, step);
      for (const old of this.steps.keys()) {
        if (old >= index - SPAN / STEP - 1) break;
        this.steps.delete(old);
      }
    }
    return step;
  }

  sent() { this.step().out += 1; }
  got() { this.step().in += 1; }

  echoed(milliseconds) {
    const step = this.step();
    step.low = Math.min(step.low, milliseconds);
    step.high = Math.max(step.high, milliseconds);
    step.sum += milliseconds;
    step.count += 1;
  }

  // `lane` is null while nobody is connected.
  lane(lane) {
    const now = performance.now();
    if (this.lanes.at(-1)?.lane === lane) return;
    this.lanes.push({ at: now, lane });
    while (this.lanes.length > 1 && this.lanes[1].at < now - SPAN) this.lanes.shift();
  }
}

const ceiling = (value, least) => {
  let unit = least;
  for (let n = 0; unit < value; n += 1) unit *= n % 3 === 1 ? 2.5 : 2;
  return unit;
};

class Chart {
  constructor(place, history) {
    this.history = history;
    this.width = 0;
    this.rules = [];
    this.svg = this.make("svg", { role: "img", "aria-label": "Nothing has happened yet." });
    place.append(this.svg);
    for (const y of [Chart.top, Chart.floor, Chart.middle]) this.rule(y);
    for (const name of ["band", "echo", "out", "in"]) this[name] = this.make("path", { class: name }, this.svg);
    this.change = this.make("path", { class: "change" }, this.svg);
    this.strip = this.make("g", {}, this.svg);
    this.most = this.make("text", { x: 0, y: Chart.top + 9 }, this.svg);
    this.make("text", { x: 0, y: Chart.floor }, this.svg).textContent = "0 ms";
    this.rate = this.make("text", { x: 0, y: Chart.middle + 4 }, this.svg);
    this.ago = this.make("text", { x: Chart.left, y: 161 }, this.svg);
    this.ago.textContent = "a minute ago";
    this.now = this.make("text", { y: 161, "text-anchor": "end" }, this.svg);
    this.now.textContent = "now";
    new ResizeObserver(([{ contentRect }]) => { this.width = contentRect.width; this.draw(); }).observe(place);
  }

  make(name, attributes, parent) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    this.set(made, attributes);
    parent?.append(made);
    return made;
  }
  set(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  }
  rule(y) {
    const rule = this.make("path", { class: "rule" }, this.svg);
    this.rules.push({ rule, y });
  }

  draw() {
    if (this.width < 100) return;
    const now = performance.now();
    const right = this.width;
    const x = (at) => (right - Math.max(0, now - at) / SPAN * (right - Chart.left)).toFixed(1);
    this.set(this.svg, { viewBox: `0 0 ${right} 164` });
    this.set(this.now, { x: right });
    for (const { rule, y } of this.rules) this.set(rule, { d: `M${Chart.left} ${y + .5}H${right}` });
    const steps = [...this.history.steps].map(([index, step]) => ({ at: (index + .5) * STEP, ...step }))
      .filter(({ at }) => at > now - SPAN);
    const highest = this.drawEchoes(steps, x);
    this.drawCounts(steps, x, right);
    const lanes = this.drawLanes(now, x);
    const words = [highest === null ? "No message has come back" : `Messages took up to ${Math.round(highest)} ms`,
      ...lanes];
    const label = `The last minute. ${words.join("; ")}.`;
    if (this.svg.getAttribute("aria-label") !== label) this.set(this.svg, { "aria-label": label });
  }

  drawEchoes(steps, x) {
    const known = steps.filter(({ count }) => count);
    const highest = known.length ? Math.max(...known.map(({ high }) => high)) : null;
    const scale = ceiling(highest ?? 0, 10);
    this.most.textContent = scale < 1000 ? `${scale} ms` : `${scale / 1000} s`;
    const y = (value) => (Chart.floor - value / scale * (Chart.floor - Chart.top)).toFixed(1);
    let line = "";
    let band = "";
    let run = [];
    const close = () => {
      if (!run.length) return;
      const points = run.map(({ at, sum, count }) => `${x(at)} ${y(sum / count)}`);
      line += `M${points.join("L")}` + (run.length === 1 ? "h.1" : "");
      band += "M" + run.map(({ at, high }) => `${x(at)} ${y(high)}`).join("L")
        + "L" + run.toReversed().map(({ at, low }) => `${x(at)} ${y(low)}`).join("L") + "Z";
      run = [];
    };
    for (const step of known) {
      if (run.length && step.at - run.at(-1).at > 4 * STEP) close();
      run.push(step);
    }
    close();
    this.set(this.echo, { d: line });
    this.set(this.band, { d: band });
    return highest;
  }

  drawCounts(steps, x, right) {
    const scale = ceiling(Math.max(0, ...steps.map((step) => Math.max(step.out, step.in))), 5);
    this.rate.textContent = `${Math.round(scale * 1000 / STEP)}/s`;
    const width = (right - Chart.left) * STEP / SPAN - 1;
    const bars = (name, sign) => steps.filter((step) => step[name]).map((step) => {
      const height = Math.max(1, step[name] / scale * 20).toFixed(1);
      const left = Math.max(Chart.left, x(step.at) - width / 2).toFixed(1);
      return `M${left} ${Chart.middle + .5 - sign}h${width.toFixed(1)}v${-sign * height}h${-width.toFixed(1)}z`;
    }).join("");
    this.set(this.out, { d: bars("out", 1) });
    this.set(this.in, { d: bars("in", -1) });
  }

  // What each lane had of the minute, in words.
  drawLanes(now, x) {
    const { lanes } = this.history;
    const parts = [];
    const times = new Map();
    let marks = "";
    lanes.forEach(({ at, lane }, index) => {
      const end = lanes[index + 1]?.at ?? now;
      const from = Math.max(at, now - SPAN);
      if (at > from - 1 && index) marks += `M${x(at)} ${Chart.top}V${Chart.strip}`;
      if (lane === null || end <= from) return;
      const left = Number(x(from));
      const width = Number(x(end)) - left;
      parts.push(this.make("rect",
        { class: lane, x: left, y: Chart.strip, width: Math.max(1, width), height: 15, rx: Math.min(3, width / 2) }));
      if (width > 70) {
        const name = this.make("text", { class: "name", x: left + 6, y: Chart.strip + 11.5 });
        name.textContent = LANES[lane];
        parts.push(name);
      }
      times.set(lane, (times.get(lane) ?? 0) + end - from);
    });
    this.strip.replaceChildren(...parts);
    this.set(this.change, { d: marks });
    return [...times].map(([lane, time]) => `${LANES[lane]} ${Math.max(1, Math.round(time / 1000))} s`);
  }
}
Object.assign(Chart, { left: 44, top: 4, floor: 76, middle: 106, strip: 133 });
