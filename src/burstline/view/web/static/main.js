// The frame: which view is shown, and the stream of snapshots that views are handed.

import { listen } from "./server.js";
import { duration, el, short } from "./words.js";
import * as overview from "./overview.js";
import * as pipeline from "./pipeline.js";
import * as cores from "./cores.js";
import * as pools from "./pools.js";
import * as flows from "./flows.js";
import * as drops from "./drops.js";
import * as steering from "./steering.js";
import * as topology from "./topology.js";
import * as layouts from "./layouts.js";
import * as events from "./events.js";

// A view has a title, open(place) when it is chosen, and show(snapshots) for each new one, the last being the newest.
const VIEWS = { overview, pipeline, cores, pools, flows, drops, steering, topology, layouts, events };
const KEPT = 300;
const past = [];
const place = document.getElementById("view");
let current = null, state = null;

function choose() {
  const name = location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "overview";
  if (name === current) return;
  VIEWS[current]?.close?.();
  current = name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${VIEWS[name].title} – burstline`;
  place.replaceChildren();
  VIEWS[name].open(place);
  if (past.length) VIEWS[name].show?.(past);
}

function frame(snap) {
  document.getElementById("run").textContent = `${snap.app.split("/").pop()} over ${snap.source}, process ${snap.pid}`;
  document.getElementById("run").title = `${snap.app} over ${snap.source}`;
  state = document.getElementById("state");
  state.textContent = snap.over ?? `up ${duration(snap.time - snap.started)}, ${short(snap.totals.received.pps, "pps")}`;
  state.classList.toggle("over", Boolean(snap.over));
}

document.getElementById("tabs").append(...Object.entries(VIEWS).map(([name, view], k) =>
  el("li", {}, el("a", { href: `#${name}`, accesskey: k < 9 ? String(k + 1) : "0" }, view.title))));
addEventListener("hashchange", () => { choose(); place.focus({ preventScroll: true }); });
addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const names = Object.keys(VIEWS), digit = "1234567890".indexOf(event.key);
  if (digit >= 0 && digit < names.length) location.hash = names[digit];
});
choose();
listen((snap) => {
  past.push(snap);
  if (past.length > KEPT) past.shift();
  frame(snap);
  VIEWS[current].show?.(past);
  document.body.dataset.ready = "yes";
}, (what) => {
  state ??= document.getElementById("state");
  state.textContent = what;
  state.classList.add("over");
});
