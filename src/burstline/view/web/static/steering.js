// Who steers each port, and its rules.

import { bar, card, el, note, percent, table, whole } from "./words.js";

export const title = "Steering";
const BACK_ENDS = { rte_flow: "rte_flow", xdp: "XDP", software: "the software director" };
let parts = null;

export function open(place) {
  parts = { shares: el("div"), ports: el("div.grid", { style: "grid-column: span 12" }), decisions: el("div") };
  place.append(el("div.grid", {}, card("", "Packets of workers", parts.shares), parts.ports, card("", "Decisions", parts.decisions)));
}

export function show(past) {
  const steering = past.at(-1).steering;
  if (!steering.ports) {
    parts.shares.replaceChildren(note("Nothing is steered: write ", el("code", {}, "enable_flow_director = true"), " into burstline.toml."));
    parts.ports.replaceChildren();
    parts.decisions.replaceChildren(note("The steering controller is off."));
    return;
  }
  const all = steering.workers.reduce((sum, packets) => sum + packets, 0);
  parts.shares.replaceChildren(table([
    ["worker", (row) => String(row.k), "number"],
    ["packets", (row) => whole(row.packets), "number"],
    ["share", (row) => bar(all ? row.packets / all : 0, { plain: true })],
    ["", (row) => percent(all ? row.packets / all : 0), "number"],
  ], steering.workers.map((packets, k) => ({ packets, k })), "shares"));
  parts.ports.replaceChildren(...steering.ports.map((port) => card("", [`Port ${port.number}`, el("small", {}, `${port.device}: ${BACK_ENDS[port.back_end]}`)],
    el("p.note", { style: "margin:0 0 .6rem" }, port.why),
    port.rules.length ? table([
      ["packets", (rule) => (rule.packets === null ? "–" : whole(rule.packets)), "number"],
      ["bytes", (rule) => (rule.bytes === null ? "–" : whole(rule.bytes)), "number"],
      ["level", (rule) => rule.level ?? "never"],
      ["rule", (rule) => rule.rule, "wrap"],
      ["why", (rule) => rule.why, "wrap"],
    ], port.rules, "rules") : note("It has no rules."),
    port.count > port.rules.length ? note(`and ${whole(port.count - port.rules.length)} rules more`) : null)));
  const decisions = (steering.decisions ?? []).slice().reverse();
  parts.decisions.replaceChildren(decisions.length ? table([
    ["after", (one) => `${one.time.toFixed(3)} s`, "number"],
    ["action", (one) => one.action],
    ["flow", (one) => one.flow ?? (one.bucket === undefined ? "" : `bucket ${one.bucket}`), "mono"],
    ["reason", (one) => one.reason, "wrap"],
  ], decisions, "decisions") : note("The steering controller has decided nothing, or is off."));
}
