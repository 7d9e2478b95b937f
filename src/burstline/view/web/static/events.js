// All events that are kept.

import { eventTable } from "./overview.js";
import { card, el } from "./words.js";

export const title = "Events";
let rows = null;

export function open(place) {
  rows = el("div");
  place.append(el("div.grid", {}, card("", ["Events", el("small", {}, "newest first")], rows)));
}

export function show(past) { rows.replaceChildren(eventTable(past.at(-1).events.slice().reverse())); }
