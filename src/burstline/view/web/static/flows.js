// The flow table: searched, sorted by a click on a column, a page at a time.

import { ask } from "./server.js";
import { card, el, flowValue, note, whole } from "./words.js";

export const title = "Flows";
const PAGE = 50, PERIOD = 2000;
const AMOUNTS = ["packets", "bytes", "octets", "protocol", "src", "sport", "dst", "dport"]; // come first
const wanted = { search: "", sort: "", descending: true, table: 0, offset: 0 };
let parts = null, timer = null, asking = 0;

export function open(place) {
  parts = {
    search: el("input", { type: "search", placeholder: "10.0.0.0/8 tcp 443 bytes>1000", "aria-label": "search flows", value: wanted.search }),
    tables: el("select", { "aria-label": "flow table", hidden: true }),
    before: el("button.plain", { type: "button" }, "‹ larger"), after: el("button.plain", { type: "button" }, "smaller ›"),
    said: el("span.said", { role: "status" }), rows: el("div"),
  };
  parts.search.addEventListener("input", () => { wanted.search = parts.search.value; wanted.offset = 0; refresh(); });
  parts.tables.addEventListener("change", () => { Object.assign(wanted, { table: parts.tables.value, sort: "", offset: 0 }); refresh(); });
  parts.before.addEventListener("click", () => { wanted.offset = Math.max(0, wanted.offset - PAGE); refresh(); });
  parts.after.addEventListener("click", () => { wanted.offset += PAGE; refresh(); });
  place.append(el("div.grid", {}, card("", "Flows", el("div.tools", {}, parts.search, parts.tables, parts.before, parts.after, parts.said), parts.rows,
    note("Words must all be true of a flow: an address, a prefix, a port, a protocol, or a field with <, > or = and a number."))));
  refresh();
  timer = setInterval(refresh, PERIOD);
}

export function close() { clearInterval(timer); }

async function refresh() {
  const number = ++asking;
  try {
    const found = await ask("flows", { ...wanted, limit: PAGE });
    if (number === asking) show(found);
  } catch (error) { if (number === asking) parts.said.textContent = error.message; }
}

function show(found) {
  if (!found.tables.length) { parts.rows.replaceChildren(note("The pipeline has no flow table.")); return; }
  wanted.sort = found.sort;
  const order = [...AMOUNTS.map((name) => found.columns.findIndex((column) => column.name === name)).filter((k) => k >= 0), ...found.columns.keys()]
    .filter((k, at, all) => all.indexOf(k) === at);
  parts.tables.hidden = found.tables.length < 2;
  if (parts.tables.options.length !== found.tables.length) parts.tables.replaceChildren(...found.tables.map((name, k) => el("option", { value: k, selected: k === found.table }, name)));
  const last = Math.min(found.matched, wanted.offset + PAGE);
  parts.said.textContent = found.matched ? `${whole(wanted.offset + 1)} to ${whole(last)} of ${whole(found.matched)}${found.matched < found.total ? `, of ${whole(found.total)} flows` : " flows"}` : "no flow is so";
  parts.before.disabled = wanted.offset === 0;
  parts.after.disabled = last >= found.matched;
  const focused = document.activeElement?.dataset?.sort;
  const head = order.map((k) => {
    const column = found.columns[k], name = column.name, chosen = name === found.sort;
    const sort = el("button", { type: "button", "data-sort": name, onclick: () => { wanted.descending = chosen ? !wanted.descending : true; wanted.sort = name; wanted.offset = 0; refresh(); } }, name);
    return el(column.kind === "number" && name !== "protocol" ? "th.number" : "th", { scope: "col", "aria-sort": chosen ? (found.descending ? "descending" : "ascending") : null }, sort);
  });
  const rows = found.rows.map((row) => el("tr", {}, order.map((k) => {
    const { name, kind } = found.columns[k], value = row[k];
    return el(kind === "text" ? "td.mono" : name === "protocol" ? "td" : "td.number", {}, flowValue(name, value));
  })));
  parts.rows.replaceChildren(el("div.scroll", {}, el("table", { "aria-label": "flows" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows))));
  if (focused) parts.rows.querySelector(`[data-sort="${CSS.escape(focused)}"]`)?.focus();
}
