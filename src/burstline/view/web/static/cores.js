// Workers with their cores, and ports.

import { Chart } from "./chart.js";
import { bar, card, el, note, percent, short, table, whole } from "./words.js";

export const title = "Cores";
const COLOURS = ["--p0", "--p1", "--p2", "--p3", "--p4", "--p5"];
let parts = null;

export function open(place) {
  parts = { charts: null, load: el("div"), fill: el("div"), workers: el("div"), ports: el("div") };
  place.append(el("div.grid", {}, card("", "Workers", parts.workers), card("", "Ports", parts.ports),
    card("half", ["Load", el("small", {}, "looks at ports that found packets")], parts.load),
    card("half", ["Burst fill", el("small", {}, "packets of such a look")], parts.fill)));
}

export function show(past) {
  const snap = past.at(-1);
  parts.workers.replaceChildren(table([
    ["worker", (w) => String(w.number), "number"],
    ["core", (w) => String(w.core), "number"],
    ["load", (w) => (w.load === null ? "–" : bar(w.load))],
    ["", (w) => percent(w.load), "number"],
    ["received", (w) => short(w.received.pps, "pps"), "number"],
    ["", (w) => short(w.received.bps, "bit/s"), "number"],
    ["sent", (w) => short(w.sent.pps, "pps"), "number"],
    ["consumed", (w) => short(w.consumed.pps, "pps"), "number"],
    ["dropped", (w) => short(w.dropped.pps, "pps"), "number"],
    ["burst fill", (w) => (w.fill === null ? "–" : w.fill.toFixed(1)), "number"],
    ["of", (w) => (w.batch === null ? "–" : String(w.batch)), "number"],
  ], snap.workers, "workers"));
  if (snap.workers.some((worker) => worker.load !== null)) {
    parts.charts ??= ["load", "fill"].map((what) => {
      const series = snap.workers.slice(0, COLOURS.length).map((worker, k) => ({
        name: `core ${worker.core}`, colour: COLOURS[k], of: (one) => one.workers[k]?.[what],
      }));
      const chart = new Chart(series, what === "load" ? percent : (value) => value.toFixed(0), { most: what === "load" ? 1 : null, label: `${what} of each core` });
      parts[what].replaceChildren(chart.node);
      return chart;
    });
    for (const chart of parts.charts) chart.show(past);
  } else parts.load.replaceChildren(note("Over a file, workers look at no ports."));
  const alarm = (count) => (count ? el("span.bad", {}, whole(count)) : "0");
  parts.ports.replaceChildren(snap.ports.length ? table([
    ["port", (port) => String(snap.ports.indexOf(port)), "number"],
    ["device", (port) => el("span", { title: port.device }, port.device.replace("dpdk:", "")), "name"],
    ["driver", (port) => port.driver],
    ["queues", (port) => String(port.queues), "number"],
    ["received", (port) => (port.received_rate === null ? "–" : short(port.received_rate, "pps")), "number"],
    ["sent", (port) => (port.sent_rate === null ? "–" : short(port.sent_rate, "pps")), "number"],
    ["missed", (port) => alarm(port.missed), "number"],
    ["errors", (port) => alarm(port.errors), "number"],
    ["no buffer", (port) => alarm(port.no_buffer), "number"],
  ], snap.ports, "ports") : note("Over a file there are no ports."));
}
