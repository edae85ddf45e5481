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

let asking = null, again = false;
const ask = () => {
  for (const knob of knobs) knob.element.classList.toggle("moved", knob.exact.value !== knob.run);
  const wanted = changes(), names = Object.keys(wanted);
  $("command").hidden = !names.length;
  $("command").querySelector("code").textContent =
    `${$("command").dataset.command} ${names.map((name) => `--set ${name}=${wanted[name]}`).join(" ")}`;
  again = true;
  if (!asking) asking = answer().finally(() => { asking = null; });
  return asking;
};
const answer = async () => {
  document.body.dataset.busy = "1";
  while (again) {
    again = false;
    try { showValues(await post("/api/values", {changes: changes()})); } catch { /* it is shown */ }
  }
  delete document.body.dataset.busy;
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
const corrections = new Map();
server = {
  load: async (r) => {
    try {
      const data = await post("/api/recording", {r, changes: changes()});
      corrections.set(r, data.corrected);
      sources.set(r, {textContent: JSON.stringify(data)});
    } catch { sources.set(r, null); }
  },
  opened: (r) => { if (opened && opened.timeline && opened.timeline.detail.duration > 0) addCorrecting(r, opened.timeline); },
};

// What can be dragged: starts and ends of IPUs, and of annotations.
const NEAR_PX = 9;
const edgesOf = (timeline) => {
  const {view, detail, moments} = timeline, y = layout(detail, moments), found = [];
  [[0, y.lane0], [1, y.lane1]].forEach(([p, top]) => {
    for (const ipu of detail.ipus[p]) {
      found.push({what: index.who[p], edge: "start", time: ipu.a, top, bottom: top + ROW.lane},
        {what: index.who[p], edge: "end", time: ipu.b, top, bottom: top + ROW.lane});
    }
  });
  for (const [what, a, b] of detail.notes) {
    const lane = {top: y.note - 2, bottom: y.note + ROW.note + 2};
    found.push({what, edge: "start", time: a, ...lane});
    if (b !== null) found.push({what, edge: "end", time: b, ...lane});
  }
  return found.filter((one) => one.time >= view.a && one.time <= view.b);
};

const addCorrecting = (r, timeline) => {
  const {stage, view, detail} = timeline;
  const guide = make("div", {class: "guide", hidden: true, "aria-hidden": "true"});
  const said = make("span", {role: "status"});
  const exact = make("input", {type: "number", step: "1", min: "0", max: detail.duration, "aria-label": "Moved to, in ms"});
  let held = null, dragging = false, on = false;
  const save = make("button", {type: "button", class: "tool", text: "Save correction", on: {click: async () => {
    const {what, edge, time} = held;
    try {
      await post("/api/correct", {r, changes: changes(), what, edge, from_ms: time, to_ms: +exact.value});
      await ask();
      openRecording(r);
    } catch (error) { said.textContent = error.message; }
  }}});
  const drop = make("button", {type: "button", class: "tool", text: "Cancel", on: {click: () => hold(null)}});
  const bar = make("p", {class: "correcting", hidden: true}, said, exact, make("span", {class: "soft", text: "ms"}), save, drop);
  const turn = make("button", {type: "button", class: "tool", text: "Correct", "aria-pressed": "false",
    title: "Drag starts and ends of speech and of annotations", on: {click: () => {
      on = !on;
      turn.setAttribute("aria-pressed", String(on));
      stage.classList.toggle("editing", on);
      if (!on) hold(null);
    }}});
  const many = corrections.get(r) || 0;
  const undo = many ? make("button", {type: "button", class: "tool undo", text: `Undo correction (${many})`, on: {click: async () => {
    await post("/api/undo", {r});
    await ask();
    openRecording(r);
  }}}) : null;
  const place = () => {
    guide.style.transform = `translateX(${view.x(+exact.value)}px)`;
    guide.style.top = `${held.top}px`;
    guide.style.height = `${held.bottom - held.top}px`;
  };
  const hold = (edge) => {
    held = edge;
    guide.hidden = bar.hidden = !edge;
    if (!edge) return;
    exact.value = edge.time;
    said.textContent = `${edge.what}, ${edge.edge} at ${(edge.time / 1000).toFixed(3)} s, moved to`;
    place();
  };
  exact.addEventListener("input", () => { if (held) place(); });
  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const nearest = (event) => {
    const [x, y] = at(event);
    const near = edgesOf(timeline).filter((one) => y >= one.top && y <= one.bottom && Math.abs(view.x(one.time) - x) <= NEAR_PX);
    return near.sort((a, b) => Math.abs(view.x(a.time) - x) - Math.abs(view.x(b.time) - x))[0];
  };
  // In the capture phase: what is taken here neither seeks nor pans.
  const take = (event) => { event.stopPropagation(); event.preventDefault(); };
  stage.addEventListener("pointerdown", (event) => {
    const edge = on && nearest(event);
    if (!edge) return;
    take(event);
    stage.setPointerCapture(event.pointerId);
    dragging = true;
    hold(edge);
  }, {capture: true});
  stage.addEventListener("pointermove", (event) => {
    if (dragging) {
      take(event);
      exact.value = Math.round(Math.min(Math.max(view.time(at(event)[0]), 0), detail.duration));
      place();
    } else if (on) stage.classList.toggle("near", Boolean(nearest(event)));
  }, {capture: true});
  const release = (event) => {
    if (!dragging) return;
    take(event);
    dragging = false;
    if (held && +exact.value === held.time) hold(null);
    else save.focus();
  };
  stage.addEventListener("pointerup", release, {capture: true});
  stage.addEventListener("pointercancel", release, {capture: true});
  stage.append(guide);
  timeline.tools.append(turn, undo || "");
  timeline.tools.after(bar);
};

// Ratings: one item at a time, and nothing of it but what the judge is asked.
const showItem = async (body) => {
  const found = await post("/api/rate", {rater: $("rater").elements.rater.value, ...body});
  $("rated").textContent = found.total ? `${found.done} of ${found.total} rated` : "There is nothing for a judge to rate.";
  $("item").hidden = found.item === null;
  if (found.item === null) return;
  const next = (more) => showItem({after: found.item, ...more}).catch(() => {});
  $("item").replaceChildren(
    make("details", {class: "block"}, make("summary", {}, make("h3", {text: "What the judge is told"})), make("pre", {class: "wrapped", text: found.rubric})),
    make("dl", {class: "asked"}, ...found.question.flatMap(([name, text]) => [make("dt", {text: name}), make("dd", {text: text || "–"})])),
    ...found.sound.map((one) => make("audio", {controls: true, preload: "none", src: one.src})),
    make("p", {class: "marks", role: "group", "aria-label": "Rating, 5 is best"}, ...[0, 1, 2, 3, 4, 5].map((value) =>
      make("button", {type: "button", class: "tool", "data-value": value, text: value, on: {click: () => next({item: found.item, value})}})),
    make("button", {type: "button", class: "quiet", text: "Pass", on: {click: () => next({})}})));
  $("item").dataset.item = found.item;
};
$("rater").addEventListener("submit", (event) => {
  event.preventDefault();
  showItem({}).catch(() => {});
});

history.replaceState(null, "", "/");
if (matchMedia("(max-width: 900px)").matches) {
  for (const group of document.querySelectorAll("#settings details")) group.open = false;
}
prepareTheme();
prepareDialog();
if (count) buildTable(openRecording);
ask();
