// Numbers, times and elements as a person reads them.

const PROTOCOLS = { 1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 58: "icmpv6", 132: "sctp" };

export function units(value, unit) {
  for (const [scale, prefix] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= scale) return [(value / scale).toFixed(2), prefix + unit];
  }
  return [Number.isInteger(value) || value === 0 ? String(value) : value.toFixed(value < 10 ? 1 : 0), unit];
}

export const short = (value, unit) => units(value, unit).join(" ").trim();
export const whole = (value) => Math.round(value).toLocaleString("en");
export const percent = (share) => (share === null ? "–" : `${Math.round(100 * share)} %`);
export const clock = (seconds) => new Date(1000 * seconds).toTimeString().slice(0, 8);

export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds)), pad = (n) => String(n).padStart(2, "0");
  const time = `${pad(Math.floor(s / 3600) % 24)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}`;
  return s >= 86400 ? `${Math.floor(s / 86400)} d ${time}` : time;
}

export function flowValue(name, value) {
  if (value === null) return "–";
  if (name === "protocol") return PROTOCOLS[value] ?? String(value);
  if (typeof value !== "number" || name === "sport" || name === "dport") return String(value);
  if (value >= 1e18 && value < 4e18) { // nanoseconds since the epoch
    const ms = value / 1e6, date = new Date(ms);
    return `${date.toTimeString().slice(0, 8)}.${String(Math.floor(ms % 1000)).padStart(3, "0")}`;
  }
  return value.toLocaleString("en");
}

// An element: its tag with classes ("p.what.more"), attributes, and children, which are elements or text.
export function el(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name);
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// Columns are [title, of(row)], or [title, of(row), "number"]; a cell is text or an element.
export function table(columns, rows, caption) {
  const cell = (tag, kind, inside) => el(kind ? `${tag}.${kind}` : tag, tag === "th" ? { scope: "col" } : {}, inside);
  return el("div.scroll", {}, el("table", { "aria-label": caption },
    el("thead", {}, el("tr", {}, columns.map(([title, , kind]) => cell("th", kind === "number" ? "number" : "", title)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, columns.map(([, of, kind]) => cell("td", kind, of(row))))))));
}

export const card = (size, title, ...inside) => el(`section.card${size ? `.${size}` : ""}`, {}, title ? el("h2", {}, ...[title].flat()) : null, ...inside);
export const note = (...words) => el("p.note", {}, ...words);

export function bar(share, { mark = null, plain = false } = {}) {
  const full = Math.min(1, Math.max(0, share));
  const tone = plain || full < 0.7 ? "" : full < 0.9 ? ".warm" : ".hot";
  const node = el("span.bar", { role: "img", "aria-label": percent(share) }, el(`i${tone}`, { style: `width:${(100 * full).toFixed(1)}%` }));
  if (mark !== null) node.append(el("b", { style: `left:${(100 * Math.min(1, mark)).toFixed(1)}%` }));
  return node;
}
