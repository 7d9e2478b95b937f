// The machine, and what of the run is where.

import { ask } from "./server.js";
import { card, el, note, table } from "./words.js";

export const title = "Topology";

export async function open(place) {
  const machine = el("div.machine"), rows = el("div");
  place.append(el("div.grid", {}, card("half", ["Machine", el("small", {}, "cores with workers are orange")], machine), card("half", "What runs where", rows)));
  try {
    const found = await ask("topology");
    const drawing = new DOMParser().parseFromString(found.svg || "<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml").documentElement;
    drawing.setAttribute("role", "img");
    drawing.setAttribute("aria-label", `the machine ${found.name}`);
    drawing.style.maxWidth = `${1.5 * (drawing.viewBox.baseVal?.width || 300)}px`;
    machine.replaceChildren(found.svg ? document.importNode(drawing, true) : note("The machine does not tell how its nodes are joined."));
    const known = (value) => (value === null ? "–" : String(value));
    rows.replaceChildren(table([
      ["", (row) => el("span", { title: row.what }, row.what), "name"], ["CPU", (row) => known(row.cpu), "number"], ["core", (row) => known(row.core), "number"],
      ["L3", (row) => known(row.cache), "number"], ["node", (row) => known(row.node), "number"],
    ], found.rows, "placing"));
  } catch (error) { machine.replaceChildren(note(error.message)); }
}
