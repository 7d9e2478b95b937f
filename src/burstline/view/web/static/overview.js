// Rates, drops by name, counters, the load of cores, and what happened last.

import { Chart } from "./chart.js";
import { card, clock, el, note, percent, short, table, units, whole } from "./words.js";

export const title = "Overview";
const SERIES = [["received", "--in"], ["sent", "--out"], ["dropped", "--drop"]];
let parts = null;

export function open(place) {
  const series = (field) => SERIES.map(([name, colour]) => ({ name, colour, of: (snap) => snap.totals[name][field] }));
  parts = {
    tiles: ["received", "sent", "dropped", "load"].map(() => el("section.card.quarter.tile")),
    packets: new Chart(series("pps"), (value) => short(value, ""), { label: "packets a second" }),
    bits: new Chart(series("bps"), (value) => short(value, ""), { label: "bits a second" }),
    drops: el("div"), counters: el("div"), events: el("div"),
  };
  place.append(el("div.grid", {}, ...parts.tiles,
    card("half", ["Packets", el("small", {}, "a second")], parts.packets.node),
    card("half", ["Bits", el("small", {}, "a second")], parts.bits.node),
    card("half", "Drops", parts.drops), card("half", "Counters", parts.counters),
    card("", "Last events", parts.events)));
}

function tile(node, what, [value, unit], more) {
  node.replaceChildren(el("p.what", {}, what), el("p.value", {}, value, el("span", {}, unit)), el("p.more", {}, more));
}

export function show(past) {
  const snap = past.at(-1);
  for (const [k, name] of ["received", "sent", "dropped"].entries()) {
    const rate = snap.totals[name];
    tile(parts.tiles[k], name, units(rate.pps, "pps"), `${short(rate.bps, "bit/s")} · ${whole(rate.packets)} packets`);
  }
  const loads = snap.workers.map((worker) => worker.load).filter((load) => load !== null);
  const most = loads.length ? Math.max(...loads) : null;
  tile(parts.tiles[3], "busiest core", most === null ? ["–", ""] : [String(Math.round(100 * most)), "%"],
    `${snap.workers.length} worker${snap.workers.length > 1 ? "s" : ""}, counted ${Math.round(1000 * snap.age)} ms ago`);
  parts.packets.show(past);
  parts.bits.show(past);
  const drops = Object.entries(snap.drops).sort(([, a], [, b]) => b.pps - a.pps || b.packets - a.packets);
  parts.drops.replaceChildren(drops.length ? table([
    ["reason", ([reason]) => reason],
    ["packets", ([, rate]) => whole(rate.packets), "number"],
    ["a second", ([, rate]) => short(rate.pps, ""), "number"],
    ["of received", ([, rate]) => (snap.totals.received.pps ? percent(rate.pps / snap.totals.received.pps) : "–"), "number"],
  ], drops, "drops by reason") : note("No packet was dropped."));
  parts.counters.replaceChildren(snap.counters.length ? table([
    ["counter", (one) => one.name],
    ["value", (one) => whole(one.value), "number"],
    ["a second", (one) => short(one.rate, ""), "number"],
  ], snap.counters, "counters") : note("The pipeline has no counters."));
  parts.events.replaceChildren(eventTable(snap.events.slice(-5).reverse()));
}

export function eventTable(events) {
  if (!events.length) return note("Nothing happened yet.");
  return table([
    ["time", (event) => clock(event.time), "quiet"],
    ["", (event) => el(`span.kind.${event.kind}`, {}, event.kind)],
    ["what", (event) => event.text, "wrap"],
  ], events, "events");
}

