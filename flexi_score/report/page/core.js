// What all parts share: elements made from text only, the index, and numbers as people read them.
const $ = (id) => document.getElementById(id);

// make("td", {class: "text", text: name, on: {click: f}, "aria-label": "..."}, child, ...)
const make = (tag, options = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name === "on") {
      for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
    } else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};

const index = JSON.parse($("index").textContent);
const count = index.id.length;
const statusNames = index.statuses.map((status) => status[0]);
const statusTitles = index.statuses.map((status) => status[1]);
const sources = new Map();
for (const element of document.querySelectorAll("script.detail")) {
  sources.set(Number(element.dataset.r), element);
}

// Scores of each recording: [metric, value, status].
const scoresOf = Array.from({length: count}, () => []);
for (const column of index.scores) {
  const many = Array.isArray(column.s);
  column.r.forEach((r, k) => scoresOf[r].push([column.m, column.v[k], many ? column.s[k] : column.s]));
}

const system = (r) => index.systems[index.sys[r]];
const scenario = (r) => index.scenarios[index.sce[r]];
const failure = (r) => index.failed[r];
const health = (r) => index.health[r] || 0;
const length = (r) => (index.len.length ? index.len[r] : null);

// What is said of a recording as a whole: the first of these that any of its scores is.
const worst = ["failed", "silent", "scored", "excluded", "not_applicable"].map(
  (name) => statusNames.indexOf(name));
const status = (r) => worst.find((code) => index.states[r] & (1 << code)) ?? worst[4];

const number = (metric, value) => {
  if (value === null || value === undefined) return "–";
  if (metric && metric.kind === "rate" && (value === 0 || value === 1)) return String(value);
  if (metric && metric.kind === "sum") return String(Math.round(value * 1000) / 1000);
  if (metric && metric.unit && metric.unit !== "s") return value.toFixed(Math.abs(value) < 10 ? 3 : 1);
  // Halves go up, as on paper: 0.695, which is stored a little below, is 0.70.
  return (value + Math.sign(value) * 1e-9).toFixed(metric && metric.kind === "rating" ? 1 : metric && metric.unit === "s" ? 2 : 3);
};
const withUnit = (metric, value) =>
  number(metric, value) + (metric && metric.unit && value !== null ? " " + metric.unit.replace(/^1/, "") : "");
const seconds = (ms, digits = 2) => (ms / 1000).toFixed(digits) + " s";
const clock = (ms, digits = 2) => {
  const s = Math.max(0, ms) / 1000;
  if (s < 60) return s.toFixed(digits);
  const rest = (s % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  const minutes = Math.floor(s / 60);
  return minutes < 60 ? `${minutes}:${rest}`
    : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
};
// A name, which a narrow column may break after its separators only.
const breakable = (name) => name.split(/(?<=[_./-])/).flatMap((part) => [part, make("wbr")]);
const whole = (n) => n.toLocaleString("en");
const pill = (code) => make("span", {class: "pill " + statusNames[code], text: statusTitles[code]});
