// A line chart over the last minutes: series of numbers, one value a second.

import { el, svg } from "./words.js";

const LEAST = 60; // seconds that are drawn, where there are fewer
const WIDTH = 640, HEIGHT = 190, LEFT = 62, RIGHT = 8, TOP = 8, BOTTOM = 22;

export class Chart {
  // `series` are {name, colour, of(snapshot)}; `text` spells a value.
  constructor(series, text, { most = null, label }) {
    this.series = series; this.text = text; this.most = most;
    this.legend = el("ul.legend");
    this.drawing = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
    this.drawing.addEventListener("pointermove", (event) => this.point(event));
    this.drawing.addEventListener("pointerleave", () => { this.at = null; this.draw(); });
    this.at = null; this.past = [];
    this.node = el("div", {}, this.legend, this.drawing);
  }

  show(past) { this.past = past; this.draw(); }

  point(event) {
    if (!this.past.length) return;
    const box = this.drawing.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * WIDTH;
    const away = this.past.map((snap) => Math.abs(this.x(snap.time) - x));
    this.at = away.indexOf(Math.min(...away));
    this.draw();
  }

  // Where a moment is drawn: the newest one at the right end.
  x(time) {
    const last = this.past.at(-1).time, span = Math.max(LEAST, last - this.past[0].time);
    return LEFT + (1 - (last - time) / span) * (WIDTH - LEFT - RIGHT);
  }

  draw() {
    const past = this.past;
    if (!past.length) return;
    const values = this.series.map((one) => past.map((snap) => one.of(snap) ?? null));
    const top = this.most ?? nice(Math.max(1, ...values.flat().filter((value) => value !== null)));
    const x = (k) => this.x(past[k].time);
    const y = (value) => TOP + (1 - Math.min(1, value / top)) * (HEIGHT - TOP - BOTTOM);
    const parts = [];
    for (let k = 0; k <= 4; k++) {
      const value = top * k / 4;
      parts.push(svg("line", { class: "gridline", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
      parts.push(svg("text", { x: LEFT - 7, y: y(value) + 4, "text-anchor": "end" }, this.text(value)));
    }
    const span = Math.round(Math.max(LEAST, past.at(-1).time - past[0].time));
    parts.push(svg("text", { x: LEFT, y: HEIGHT - 6 }, `${span} s ago`));
    parts.push(svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, "now"));
    values.forEach((line, n) => {
      const d = line.map((value, k) => (value === null ? "" : `${k && line[k - 1] !== null ? "L" : "M"}${x(k).toFixed(1)},${y(value).toFixed(1)}`)).join("");
      parts.push(svg("path", { d, stroke: `var(${this.series[n].colour})` }));
    });
    if (this.at !== null && this.at < past.length) parts.push(svg("line", { class: "cursor", x1: x(this.at), x2: x(this.at), y1: TOP, y2: HEIGHT - BOTTOM }));
    this.drawing.replaceChildren(...parts);
    const shown = this.at !== null && this.at < past.length ? this.at : past.length - 1;
    this.legend.replaceChildren(...this.series.map((one, n) =>
      el("li", {}, el("i", { style: `background:var(${one.colour})` }), `${one.name} ${values[n][shown] === null ? "–" : this.text(values[n][shown])}`)));
  }
}

// The next round number above, in steps that four grid lines divide.
function nice(value) {
  const scale = 10 ** Math.floor(Math.log10(value));
  return scale * [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10].find((step) => step * scale >= value * 1.05) || 10 * scale;
}
