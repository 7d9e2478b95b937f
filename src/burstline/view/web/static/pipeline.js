// The pipeline as a graph with the packets on its edges, and what its stages cost, as they were measured last.

import { ask, tell } from "./server.js";
import { bar, card, clock, el, note, short, svg, table, whole } from "./words.js";

export const title = "Pipeline";
const WIDE = 150, TALL = 44, APART_X = 110, APART_Y = 26;
const PHASES = ["receive", "parse", "stages", "send"];
let parts = null;

export function open(place) {
  parts = { graph: el("div.scroll"), costs: el("div"), said: el("span.said", { role: "status" }), measure: el("button", { type: "button" }, "Measure") };
  parts.measure.addEventListener("click", measure);
  place.append(el("div.grid", {}, card("", "Pipeline", el("div.tools", {}, parts.measure, parts.said), parts.graph), card("", ["Cycles a packet", el("small", {}, "of the phases of a burst, and of each stage")], parts.costs)));
  refresh();
}

async function measure() {
  parts.measure.disabled = true;
  parts.said.textContent = "measuring for a second; the first time, code is compiled before";
  try { await tell("measure", { seconds: 1 }); await refresh(); } catch (error) { parts.said.textContent = error.message; }
  parts.measure.disabled = false;
}

async function refresh() {
  try {
    const graph = await ask("graph");
    const measured = graph.measured;
    parts.said.textContent = measured ? `measured at ${clock(measured.until)}, over ${measured.seconds.toFixed(1)} s` : "workers go over to code that counts edges and cycles for a second, and back: no packet is lost";
    parts.graph.replaceChildren(drawn(graph, measured?.seconds));
    parts.costs.replaceChildren(measured ? costs(measured.costs, measured.hz) : note("Nothing is measured yet."));
  } catch (error) { parts.said.textContent = error.message; }
}

function costs(found, hz) {
  const mean = (cost) => {
    const bursts = Object.values(cost.bursts), packets = bursts.reduce((sum, one) => sum + one.packets, 0);
    return { name: cost.name, packets, ns: packets ? bursts.reduce((sum, one) => sum + one.packets * one.ns, 0) / packets : 0 };
  };
  const rows = found.map(mean).filter((row) => row.packets);
  const all = rows.filter((row) => PHASES.includes(row.name)).reduce((sum, row) => sum + row.ns, 0);
  const order = [...rows.filter((row) => PHASES.slice(0, 3).includes(row.name)), ...rows.filter((row) => !PHASES.includes(row.name)), ...rows.filter((row) => row.name === "send")];
  return table([
    ["", (row) => (PHASES.includes(row.name) ? el("strong", {}, row.name) : el("span", { style: "padding-left:1.2em" }, row.name.replace("stage ", "")))],
    ["packets", (row) => whole(row.packets), "number"],
    ["cycles", (row) => (row.ns * hz / 1e9).toFixed(1), "number"],
    ["ns", (row) => row.ns.toFixed(1), "number"],
    ["share", (row) => bar(all ? row.ns / all : 0, { plain: true })],
  ], order, "costs");
}

// Stages in columns by their distance from the first one; the ends behind the stages that lead to them.
function drawn(graph, seconds) {
  const nodes = graph.stages.map((stage) => ({ text: stage.stage, packets: stage.packets, kind: "stage", depth: 0 }));
  const ends = new Map();
  const edges = graph.ways.map((way) => {
    if (way.target !== null) return { from: way.source, to: way.target, way };
    if (!ends.has(way.end)) {
      ends.set(way.end, nodes.length);
      nodes.push({ text: way.end.replace(/^dropped: /, ""), packets: null, kind: way.kind === "drop" || way.kind === "error" ? "drop" : "end", depth: 0 });
    }
    return { from: way.source, to: ends.get(way.end), way };
  });
  for (let round = 0; round < nodes.length; round++) for (const { from, to } of edges) nodes[to].depth = Math.max(nodes[to].depth, Math.min(nodes.length, nodes[from].depth + 1));
  const columns = [];
  for (const node of nodes) (columns[node.depth] ??= []).push(node);
  for (const column of columns) column?.sort((a, b) => (a.kind === "drop") - (b.kind === "drop"));
  const tallest = Math.max(...columns.map((column) => column?.length ?? 0));
  columns.forEach((column, depth) => column?.forEach((node, k) => { node.x = 10 + depth * (WIDE + APART_X); node.y = 10 + k * (TALL + APART_Y); }));
  const width = columns.length * (WIDE + APART_X) - APART_X + 20, height = tallest * (TALL + APART_Y) - APART_Y + 20;
  const most = Math.max(1, ...edges.map((edge) => edge.way.packets ?? 0));
  const rate = (packets) => (packets === null || packets === undefined ? "" : seconds ? short(packets / seconds, "pps") : whole(packets));
  const picture = svg("svg", { class: "graph", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "the pipeline" });
  const labels = [];
  for (const { from, to, way } of edges) {
    const a = nodes[from], b = nodes[to], x1 = a.x + WIDE, y1 = a.y + TALL / 2, x2 = b.x, y2 = b.y + TALL / 2, bend = Math.max(30, (x2 - x1) / 2);
    const kind = (b.kind === "drop" ? "drop" : "") + (way.packets === 0 ? " unused" : "");
    picture.append(svg("path", { class: kind, d: `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`, "stroke-width": (1.2 + 7 * (way.packets ?? 0) / most).toFixed(1) }));
    if (way.packets !== null) labels.push(svg("text", { class: "count", x: x2 - 8, y: y2 > y1 ? y2 + 18 : y2 - 10, "text-anchor": "end" }, rate(way.packets)));
  }
  for (const node of nodes) {
    const group = svg("g", { class: node.kind, transform: `translate(${node.x},${node.y})` }, svg("rect", { width: WIDE, height: TALL, rx: node.kind === "stage" ? 7 : 20 }));
    const counted = node.packets !== null;
    const text = node.text.length > 20 ? `${node.text.slice(0, 19)}…` : node.text;
    group.append(svg("title", {}, node.text), svg("text", { x: WIDE / 2, y: counted ? 19 : 27, "text-anchor": "middle" }, text));
    if (counted) group.append(svg("text", { class: "count", x: WIDE / 2, y: 35, "text-anchor": "middle" }, rate(node.packets)));
    picture.append(group);
  }
  picture.append(...labels);
  return picture;
}
