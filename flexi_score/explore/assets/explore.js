// Settings that move, and what the server says comes of them. One request is under way at a time;
// what was moved meanwhile is asked for when it is answered.
const post = async (path, body) => {
  const answer = await fetch(path, {method: "POST", headers: {"Content-Type": "application/json"},
    body: JSON.stringify(body), credentials: "same-origin", cache: "no-store"});
  const kind = answer.headers.get("content-type") || "";
  const data = kind.startsWith("application/json") ? await answer.json() : {problem: await answer.text()};
  $("problem").hidden = answer.ok;
  if (!answer.ok) {
    $("problem").textContent = data.problem || `The server answers ${answer.status}.`;
    throw new Error(data.problem);
  }
  return data;
};

const knobs = [...document.querySelectorAll(".knob")].map((element) => {
  const [range, exact] = element.querySelectorAll("input");
  return {element, range, exact, name: element.dataset.name, run: exact.dataset.run};
});
const changes = () => Object.fromEntries(knobs.filter((knob) =>
  knob.exact.value !== "" && knob.exact.value !== knob.run).map((knob) => [knob.name, +knob.exact.value]));

const cell = (text, cls = "") => make("td", {class: cls, text});
const showValues = (found) => {
  $("blocks").replaceChildren(...found.blocks.map((block) => make("details", {class: "block", open: true},
    make("summary", {}, make("h3", {text: block.title})),
    make("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": block.title},
      make("table", {class: "live"}, make("thead", {}, make("tr", {}, ...["The model", "System", "Value", "Interval", "In the run", "Rank"]
        .map((text, k) => make("th", {scope: "col", class: k < 2 ? "text" : "", text})))),
      ...block.metrics.map((metric) => make("tbody", {"data-metric": metric.key}, ...metric.rows.map((row, k) =>
        make("tr", {"data-system": row.system, "data-number": row.number === null ? "" : row.number, class: row.moved ? "moved" : ""},
          k ? null : make("th", {scope: "rowgroup", rowspan: metric.rows.length}, metric.label, make("small", {text: metric.better})),
          make("td", {class: "text"}, make("bdi", {text: row.system})),
          make("td", {title: `${row.exact} ${metric.unit}, ${row.fraction}`}, make("b", {text: row.value === null ? "–" : row.value})),
          cell(row.interval, "soft interval"), cell(row.moved ? row.was || "–" : "", "soft was"),
          cell(!row.rank ? "" : row.rank === row.ranked || !row.ranked ? `${row.rank}` : `${row.rank} (was ${row.ranked})`,
            row.rank && row.ranked && row.rank !== row.ranked ? "turned rank" : "rank"))))))))));
  $("blocks").setAttribute("aria-busy", "false");
  const metricNamed = (one) => index.metrics.find((metric) => metric.scenario === one.scenario && metric.name === one.metric)
    || {words: one.metric, kind: "mean", unit: ""};
  const grouped = new Map();
  for (const one of found.changed) {
    if (!grouped.has(one.recording)) grouped.set(one.recording, []);
    grouped.get(one.recording).push(one);
  }
  const total = found.recordings;
  $("changed").replaceChildren(
    make("p", {class: "lead", id: "counted", text: total === 0 ? "No recording comes out otherwise than in the run."
      : `${whole(total)} ${total === 1 ? "recording comes" : "recordings come"} out otherwise than in the run${grouped.size < total ? `; ${grouped.size} are listed` : ""}.`}),
    make("ol", {class: "changes"}, ...[...grouped].map(([name, list]) => {
      const r = list[0].r;
      return make("li", {"data-recording": name}, r === null ? make("b", {text: name})
        : make("button", {type: "button", class: "link", text: name, on: {click: () => openRecording(r)}}),
      ...list.slice(0, 4).map((one) => {
        const metric = metricNamed(one);
        const said = (value, status) => (status === null ? "not there" : value === null
          ? statusTitles[statusNames.indexOf(status)] : withUnit(metric, value));
        return make("span", {class: "soft", text: `${metric.words}: ${said(one.value_was, one.status_was)} → ${said(one.value, one.status)}`});
      }), list.length > 4 ? make("span", {class: "soft", text: `+${list.length - 4}`}) : null);
    })));
  $("took").textContent = `scored in ${found.ms.toFixed(0)} ms`;
  $("took").dataset.ms = found.ms;
};

let asking = false, again = false;
const ask = async () => {
  for (const knob of knobs) knob.element.classList.toggle("moved", knob.exact.value !== knob.run);
  const wanted = changes(), names = Object.keys(wanted);
  $("command").hidden = !names.length;
  $("command").querySelector("code").textContent =
    `${$("command").dataset.command} ${names.map((name) => `--set ${name}=${wanted[name]}`).join(" ")}`;
  if (asking) { again = true; return; }
  asking = true;
  document.body.dataset.busy = "1";
  try { showValues(await post("/api/values", {changes: wanted})); } catch { /* it is shown */ }
  asking = false;
  if (again) { again = false; ask(); } else delete document.body.dataset.busy;
};
for (const knob of knobs) {
  knob.range.addEventListener("input", () => { knob.exact.value = knob.range.value; ask(); });
  knob.exact.addEventListener("change", () => { knob.range.value = knob.exact.value; ask(); });
}
const reset = () => {
  for (const knob of knobs) {
    knob.exact.value = knob.run;
    if (knob.run !== "") knob.range.value = knob.run;
  }
  ask();
};
$("reset").addEventListener("click", reset);
$("settings").addEventListener("submit", (event) => event.preventDefault());

// Every recording is drawn when it is opened, as it is under the settings of the moment.
for (let r = 0; r < count; r++) sources.set(r, null);
fetchDetail = async (r) => {
  try { sources.set(r, {textContent: JSON.stringify(await post("/api/recording", {r, changes: changes()}))}); } catch { sources.set(r, null); }
};

history.replaceState(null, "", "/");
if (matchMedia("(max-width: 900px)").matches) {
  for (const group of document.querySelectorAll("#settings details")) group.open = false;
}
prepareTheme();
prepareDialog();
if (count) buildTable(openRecording);
ask();
