// Packet buffers by size: how many are used, beside what was forecast.

import { Chart } from "./chart.js";
import { bar, card, el, note, short, table, whole } from "./words.js";

export const title = "Pools";
let parts = null;

const busiest = (snap) => snap.pools.slice().sort((a, b) => b.in_use - a.in_use)[0];

export function open(place) {
  parts = { rows: el("div"), cores: el("div") };
  parts.chart = new Chart([
    { name: "in use", colour: "--in", of: (snap) => busiest(snap)?.in_use },
    { name: "forecast", colour: "--warm", of: (snap) => Math.max(0, busiest(snap)?.forecast ?? 0) },
  ], (value) => short(value, ""), { label: "buffers in use and forecast" });
  place.append(el("div.grid", {}, card("", ["Packet buffers", el("small", {}, "the mark is the forecast")], parts.rows),
    card("half", ["Most used size", el("small", {}, "buffers")], parts.chart.node),
    card("half", ["Cores", el("small", {}, "of the most used size")], parts.cores)));
}

export function show(past) {
  const snap = past.at(-1);
  if (!snap.pools.length) { parts.rows.replaceChildren(note("Over a file, packets stay in its chunks.")); return; }
  const known = (n) => (n >= 0 ? whole(n) : "–");
  parts.rows.replaceChildren(table([
    ["bytes", (pool) => whole(pool.size), "number"],
    ["node", (pool) => known(pool.node), "number"],
    ["in use", (pool) => whole(pool.in_use), "number"],
    ["of", (pool) => whole(pool.populated), "number"],
    ["", (pool) => bar(pool.populated ? pool.in_use / pool.populated : 0, { mark: pool.forecast >= 0 && pool.populated ? pool.forecast / pool.populated : null })],
    ["forecast", (pool) => known(pool.forecast), "number"],
    ["peak", (pool) => known(pool.peak), "number"],
    ["in caches", (pool) => whole(pool.cached), "number"],
    ["in the depot", (pool) => whole(pool.depot), "number"],
    ["misses", (pool) => whole(pool.misses), "number"],
    ["none left", (pool) => (pool.failed ? el("span.bad", {}, whole(pool.failed)) : "0"), "number"],
  ], snap.pools, "pools"));
  parts.chart.show(past);
  parts.cores.replaceChildren(table([
    ["core", (core) => String(core.core), "number"],
    ["taken", (core) => whole(core.taken), "number"],
    ["given back", (core) => whole(core.given), "number"],
    ["cached", (core) => whole(core.cached), "number"],
    ["misses", (core) => whole(core.misses), "number"],
    ["none left", (core) => whole(core.failed), "number"],
  ], busiest(snap).cores, "cores"));
}
