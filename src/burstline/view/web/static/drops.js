// A sample of the packets that stages drop: why, and what their headers say.

import { ask } from "./server.js";
import { card, clock, el, note, whole } from "./words.js";

export const title = "Drops";
const PERIOD = 2000, KEPT = 200;
const chosen = { reason: "" };
let parts = null, timer = null, samples = new Map(), open_ = null;

export function open(place) {
  parts = {
    reasons: el("select", { "aria-label": "reason" }), hold: el("button.plain", { type: "button", "aria-pressed": "false" }, "Hold"),
    said: el("span.said", { role: "status" }, "sampling"), rows: el("div"), packet: el("div", {}, note("Choose a packet to see its headers.")),
  };
  parts.reasons.addEventListener("change", () => { chosen.reason = parts.reasons.value; show(); });
  parts.hold.addEventListener("click", () => {
    const held = parts.hold.getAttribute("aria-pressed") !== "true";
    parts.hold.setAttribute("aria-pressed", String(held));
    parts.hold.textContent = held ? "Go on" : "Hold";
  });
  place.append(el("div.grid", {}, card("half", ["Dropped packets", el("small", {}, "a sample, newest first")], el("div.tools", {}, parts.reasons, parts.hold, parts.said), parts.rows),
    card("half", "Headers", parts.packet)));
  refresh();
  timer = setInterval(refresh, PERIOD);
}

export function close() { clearInterval(timer); }

async function refresh() {
  if (parts.hold.getAttribute("aria-pressed") === "true") return;
  try {
    for (const sample of await ask("drops")) samples.set(`${sample.worker}.${sample.number}`, sample);
    samples = new Map([...samples].sort(([, a], [, b]) => a.time - b.time).slice(-KEPT));
    show();
  } catch (error) { parts.said.textContent = error.message; }
}

function show() {
  const all = [...samples.entries()].reverse();
  const reasons = [...new Set(all.map(([, sample]) => sample.reason))].sort();
  parts.reasons.replaceChildren(el("option", { value: "" }, "all reasons"), ...reasons.map((reason) => el("option", { value: reason, selected: reason === chosen.reason }, reason || "of a pipeline before")));
  const rows = all.filter(([, sample]) => !chosen.reason || sample.reason === chosen.reason).slice(0, 40);
  parts.said.textContent = all.length ? `${all.length} sample${all.length > 1 ? "s" : ""}${all[0][1].stands ? `; the last one of about ${whole(all[0][1].stands)} drops` : ""}` : "no drop was sampled yet";
  const pick = (key) => { open_ = key; show(); };
  parts.rows.replaceChildren(el("div.scroll", {}, el("table", { "aria-label": "dropped packets" },
    el("thead", {}, el("tr", {}, ...["time", "reason", "packet"].map((name) => el("th", { scope: "col" }, name)), el("th.number", { scope: "col" }, "bytes"))),
    el("tbody", {}, rows.map(([key, sample]) => el(key === open_ ? "tr.open" : "tr", {
      tabindex: 0, "data-key": key, "aria-selected": String(key === open_), onclick: () => pick(key),
      onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(key); parts.rows.querySelector(`[data-key="${key}"]`)?.focus(); } },
    }, el("td.quiet", {}, clock(sample.time / 1e9)), el("td", {}, sample.reason || "–"), el("td.mono", {}, sample.summary), el("td.number", {}, whole(sample.length))))))));
  const sample = samples.get(open_);
  if (sample) parts.packet.replaceChildren(...headers(sample));
}

function headers(sample) {
  const bytes = sample.data.match(/../g) ?? [];
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.slice(at, at + 16);
    const text = row.map((byte) => { const code = parseInt(byte, 16); return code > 31 && code < 127 ? String.fromCharCode(code) : "·"; }).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${row.slice(0, 8).join(" ").padEnd(23)}  ${row.slice(8).join(" ").padEnd(23)}  ${text}`);
  }
  return [el("p.note", { style: "margin:0 0 .6rem" }, `dropped: ${sample.reason}; ${whole(sample.length)} bytes by port ${sample.port}, worker ${sample.worker}`),
    ...sample.headers.map((header) => el("div", {}, el("h3", {}, header.name, el("small", {}, header.source)),
      el("dl.fields", {}, header.fields.map((field) => el("div", {}, el("dt", {}, field.name), el("dd", { title: field.value }, field.value)))))),
    el("pre.hex", { tabindex: 0, "aria-label": "bytes" }, lines.join("\n"))];
}
