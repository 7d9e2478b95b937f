// What lies in which cache line of the pipeline's records: a line of 64 bytes is a row.

import { ask } from "./server.js";
import { card, el, note, table } from "./words.js";

export const title = "Layouts";
const COLOURS = ["--p0", "--p1", "--p2", "--p3", "--p4", "--p5"];

export async function open(place) {
  const grid = el("div.grid");
  place.append(grid);
  try { grid.append(...drawn(await ask("layout"))); } catch (error) { grid.append(card("trouble", "Layouts", note(error.message))); }
}

function drawn(report) {
  const number = (value) => value.toFixed(2);
  const records = report.records.map((record) => card("", [record.name, el("small", {}, `of ${record.state}, a ${record.kind}`)], ...halves(record)));
  if (!records.length) records.push(card("", "Records", note("The pipeline has no flow table and no digest.")));
  return [...records, card("", ["Cache lines that a packet touches", el("small", {}, "mean by path")], table([
    ["packets", (path) => `${(100 * path.share).toFixed(1)} %`, "number"],
    ["metadata", (path) => number(path.metadata), "number"], ["header", (path) => number(path.header), "number"],
    ["index", (path) => number(path.bucket), "number"], ["record", (path) => number(path.state), "number"],
    ["if as declared", (path) => number(path.declared), "number"],
    ["path", (path) => [...path.stages, path.end].join(" → "), "wrap"],
  ], report.paths.slice(0, 12), "paths"))];
}

function halves(record) {
  const colours = new Map();
  for (const line of record.after) for (const piece of line.pieces) {
    if (piece.field && !colours.has(piece.field)) colours.set(piece.field, COLOURS[colours.size % COLOURS.length]);
  }
  const same = JSON.stringify(record.before) === JSON.stringify(record.after);
  const parts = same ? [["as declared, and as laid out", record.after, record.bytes.hot]]
    : [["as declared", record.before, record.bytes.before], ["as laid out", record.after, record.bytes.hot]];
  return parts.map(([title, lines, bytes]) => el("div.scroll", {}, el("h3", {}, title, el("small", {}, `${bytes} bytes`)), ...lines.map((line) => drawnLine(line, colours, record.begins_at))));
}

function drawnLine(line, colours, begins) {
  const first = line.pieces[0];
  const key = line.half === "hot" && line.line === 0 && first.offset ? [el("span.key", { style: `grid-column: 1 / span ${first.offset}`, title: `key, ${begins} bytes` }, "key", el("small", {}, `${begins} B`))] : [];
  const pieces = line.pieces.map((piece) => {
    const at = `grid-column: ${piece.offset + 1} / span ${piece.bytes}`;
    if (piece.field === null) return el("span.padding", { style: at, title: `${piece.bytes} bytes of padding` });
    const users = piece.users.map((user) => `${user.stage}: reads ${user.reads.toFixed(2)}, writes ${user.writes.toFixed(2)}`).join("\n");
    return el("span", { style: `${at}; background: var(${colours.get(piece.field)})`, title: `${piece.field}: ${piece.type} at ${piece.offset}\n${users || "no stage"}` }, piece.field, el("small", {}, piece.type));
  });
  return el("div.record", {}, el("span.name", {}, `${line.half} line ${line.line}`), el("div.line", {}, ...key, ...pieces));
}
