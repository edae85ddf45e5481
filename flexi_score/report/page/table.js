// The table of recordings: search, filters, sorting, pages; one row's button opens the recording.
const state = {q: "", sys: "", sce: "", status: "", outcome: "", near: false, health: false,
  drawn: false, sort: "order", down: false, page: 0, size: 50};
let shown = [];
let onOpen = () => {};
const parts = {};
const searched = [];

const searchText = (r) => {
  if (searched[r] === undefined) {
    const said = index.said ? index.said[r] || "" : "";
    searched[r] = [index.id[r], system(r), scenario(r)[1], scenario(r)[0], failure(r) || "", said]
      .join(" ").toLowerCase();
  }
  return searched[r];
};

// Filters on one metric: "12=1" a rate that is 1, "12?" not scored, "12!" scored, "12s3" of status 3.
const outcomeHolds = (r, [, metric, sign, value]) => {
  const found = scoresOf[r].find((score) => score[0] === +metric);
  if (!found) return false;
  return {"=": found[1] === +value, "?": found[1] === null, "!": found[1] !== null,
    s: found[2] === +value}[sign];
};
const parseOutcome = (text) => /^(\d+)([=?!s])(.*)$/.exec(text);

const isNear = (r) => index.margin[r] !== null && index.margin[r] <= index.near + 1e-9;

const matches = () => {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const outcome = parseOutcome(state.outcome);
  const found = [];
  for (let r = 0; r < count; r++) {
    if (state.sys !== "" && index.sys[r] !== +state.sys) continue;
    if (state.sce !== "" && index.sce[r] !== +state.sce) continue;
    if (state.status !== "" && !(index.states[r] & (1 << +state.status))) continue;
    if (state.near && !isNear(r)) continue;
    if (state.health && !health(r)) continue;
    if (state.drawn && !sources.has(r)) continue;
    if (outcome && !outcomeHolds(r, outcome)) continue;
    if (words.length && !words.every((word) => searchText(r).includes(word))) continue;
    found.push(r);
  }
  return found;
};

// Metrics that have a column of their own: those of the one scenario that is chosen.
const columnsOf = () => {
  if (state.sce === "") return [];
  const name = index.scenarios[+state.sce][0];
  const used = new Set(index.scores.map((column) => column.m));
  const found = [];
  index.metrics.forEach((metric, m) => {
    if (metric.scenario === name && used.has(m)) found.push(m);
  });
  return found.slice(0, 6);
};

const valueOf = (r, m) => {
  const found = scoresOf[r].find((score) => score[0] === m);
  return found ? found[1] : null;
};
const collator = new Intl.Collator("en", {numeric: true});
const keyOf = (key) => {
  if (key === "margin") return (r) => index.margin[r];
  if (key === "length") return length;
  if (key === "health") return (r) => health(r) || null;
  if (key === "outcome") return (r) => (scoresOf[r].length ? scoresOf[r][0][1] : null);
  if (key.startsWith("m")) return (r) => valueOf(r, +key.slice(1));
  return null;
};
const textOf = {
  id: (r) => index.id[r], system, scenario: (r) => scenario(r)[1], status: (r) => statusTitles[status(r)],
};
const sortRows = (rows) => {
  if (state.sort === "order") return state.down ? rows.reverse() : rows;
  const sign = state.down ? -1 : 1;
  const text = textOf[state.sort];
  if (text) {
    // Comparing texts is slow: each distinct one is placed once.
    const place = new Map();
    [...new Set(rows.map(text))].sort(collator.compare).forEach((one, k) => place.set(one, k));
    return rows.sort((a, b) => sign * (place.get(text(a)) - place.get(text(b))) || a - b);
  }
  const value = keyOf(state.sort);
  return rows.sort((a, b) => {
    const x = value(a), y = value(b);
    if (x === y) return a - b;
    if (x === null || x === undefined) return 1; // what has no value comes last either way
    if (y === null || y === undefined) return -1;
    return sign * (x - y);
  });
};

const chips = (r) => {
  const box = make("span", {class: "chips"});
  if (failure(r)) return make("span", {class: "why bad", text: failure(r)});
  let more = 0;
  for (const [m, value, code] of scoresOf[r]) {
    const metric = index.metrics[m];
    if (metric.direction === "none" || (value === null && code !== 4)) continue;
    if (box.childElementCount >= 3) { more++; continue; }
    const said = judgement(m, value);
    box.append(said ? make("b", {class: "chip" + (said.good === null ? "" : said.good ? " good" : " bad"),
      text: said.text, title: `${metric.label} ${value}`})
      : make("span", {class: "chip", title: metric.text || metric.name},
        make("span", {text: metric.words}), make("b", {text: withUnit(metric, value)})));
  }
  if (more) box.append(make("span", {class: "soft", text: `+${more}`}));
  if (!box.childElementCount) box.append(make("span", {class: "soft", text: "–"}));
  return box;
};
const marginCell = (r) => {
  const margin = index.margin[r];
  if (margin === null) return make("td", {class: "none wide", text: "–"});
  const near = isNear(r);
  return make("td", {class: "wide" + (near ? " strong" : ""),
    title: near ? "within the error with which boundaries are measured" : false,
    text: (margin < 0.1 ? (margin * 1000).toFixed(0) + " ms" : margin.toFixed(2) + " s")});
};
const healthCell = (r) => make("td", {class: "text wide"}, health(r)
  ? make("span", {class: "pill " + (health(r) > 1 ? "refuse" : "warn"), text: health(r) > 1 ? "refused" : "look"})
  : make("span", {class: "soft", text: "fine"}));
const ills = Object.keys(index.health).length > 0;

const rowOf = (r, columns) => {
  const open = make("button", {type: "button", class: "open link",
    on: {click: () => onOpen(r)}}, ...breakable(index.id[r]));
  const cells = columns.length
    ? columns.map((m) => {
      const found = scoresOf[r].find((score) => score[0] === m);
      const value = found ? found[1] : null;
      const empty = value === null;
      const said = judgement(m, value);
      return make("td", {class: empty ? "none" : said && said.good !== null ? (said.good ? "good" : "bad") : "",
        text: said ? said.text : number(index.metrics[m], value),
        title: found && empty ? statusTitles[found[2]] : false});
    })
    : [make("td", {class: "text outcome"}, chips(r))];
  const name = make("th", {scope: "row", class: "name"},
    make("bdi", {}, open), make("small", {class: "narrow", text: `${system(r)} · ${scenario(r)[1]}`}));
  const row = make("tr", {"data-r": r}, name,
    make("td", {class: "text wide"}, make("bdi", {text: system(r)})),
    make("td", {class: "text wide", text: scenario(r)[1]}), ...cells,
    make("td", {class: "text wide"}, pill(status(r))), marginCell(r),
    make("td", {class: "wide soft", text: length(r) === null ? "–" : clock(length(r) * 1000, 1) + (length(r) < 60 ? " s" : "")}),
    ills ? healthCell(r) : null);
  row.addEventListener("click", (event) => {
    if (!event.target.closest("button") && !String(getSelection())) onOpen(r);
  });
  return row;
};

const head = (columns) => {
  const sorts = [["id", "Recording", "text"], ["system", "System", "text wide"],
    ["scenario", "Scenario", "text wide"],
    ...(columns.length
      ? columns.map((m) => ["m" + m, index.metrics[m].words + (index.metrics[m].unit
        ? `, ${index.metrics[m].unit}` : ""), "", index.metrics[m].text])
      : [["outcome", "Scores", "text"]]),
    ["status", "Status", "text wide"], ["margin", "Closest", "wide",
      "distance to the nearest threshold that would flip an outcome"], ["length", "Length", "wide"],
    ...(ills ? [["health", "Health", "text wide"]] : [])];
  return make("tr", {}, ...sorts.map(([key, label, cls, title]) => {
    const active = state.sort === key;
    return make("th", {scope: "col", class: cls, title,
      "aria-sort": active ? (state.down ? "descending" : "ascending") : false},
    make("button", {type: "button", class: "sort", "data-sort": key, on: {click: () => {
      state.down = active ? !state.down : key === "health";
      if (active && key !== "health" && !state.down) state.sort = "order";
      else state.sort = key;
      refresh();
      const again = parts.table.querySelector(`[data-sort="${key}"]`);
      if (again) again.focus();
    }}}, label, make("span", {class: "arrow", "aria-hidden": "true",
      text: active ? (state.down ? "↓" : "↑") : ""})));
  }));
};

const renderPage = () => {
  const columns = columnsOf();
  const pages = Math.max(1, Math.ceil(shown.length / state.size));
  state.page = Math.min(Math.max(state.page, 0), pages - 1);
  const from = state.page * state.size;
  const rows = shown.slice(from, from + state.size);
  parts.head.replaceChildren(head(columns));
  parts.body.replaceChildren(...rows.map((r) => rowOf(r, columns)));
  parts.range.textContent = shown.length
    ? `${whole(from + 1)}–${whole(from + rows.length)} of ${whole(shown.length)}` : "";
  parts.shown.textContent = shown.length === count
    ? `${whole(count)} recordings` : `${whole(shown.length)} of ${whole(count)}`;
  parts.empty.hidden = shown.length > 0;
  parts.back.disabled = state.page === 0;
  parts.on.disabled = state.page >= pages - 1;
  parts.pages.hidden = shown.length <= 25;
};
const refresh = (keepPage = false) => {
  shown = sortRows(matches());
  if (!keepPage) state.page = 0;
  parts.clear.hidden = !(state.q || state.sys || state.sce || state.status || state.outcome ||
    state.near || state.health || state.drawn);
  renderPage();
};

const option = (value, text) => make("option", {value, text});
const fillOutcomes = () => {
  const chosen = state.sce === "" ? null : index.scenarios[+state.sce][0];
  const groups = new Map();
  for (const column of index.scores) {
    const metric = index.metrics[column.m];
    if (chosen !== null && metric.scenario !== chosen) continue;
    if (!groups.has(metric.scenario)) groups.set(metric.scenario, []);
    const options = groups.get(metric.scenario);
    if (metric.kind === "rate") {
      options.push(option(`${column.m}=1`, `${metric.yes} (${metric.label} 1)`),
        option(`${column.m}=0`, `${metric.no} (${metric.label} 0)`));
    }
    options.push(option(`${column.m}!`, `${metric.words}: scored`));
    if (column.v.includes(null)) options.push(option(`${column.m}?`, `${metric.words}: not scored`));
    for (const code of new Set(Array.isArray(column.s) ? column.s : [])) {
      options.push(option(`${column.m}s${code}`, `${metric.words}: ${statusTitles[code]}`));
    }
  }
  const titles = new Map(index.scenarios.map((one) => [one[0], one[1]]));
  const select = parts.outcome;
  select.replaceChildren(option("", "any outcome"), ...[...groups].filter((group) => group[1].length)
    .map(([name, options]) => make("optgroup", {label: titles.get(name) || name}, ...options)));
  if (![...select.querySelectorAll("option")].some((one) => one.value === state.outcome)) state.outcome = "";
  select.value = state.outcome;
};

const choice = (key, label, options) => {
  const select = make("select", {id: "f-" + key, "aria-label": label, on: {change: () => {
    state[key] = select.value;
    if (key === "sce") {
      if (state.sort.startsWith("m") || state.sort === "outcome") state.sort = "order";
      fillOutcomes();
    }
    refresh();
  }}}, ...options);
  parts[key] = select;
  return select;
};
const tick = (key, label) => {
  const box = make("input", {type: "checkbox", id: "f-" + key, on: {change: () => {
    state[key] = box.checked;
    refresh();
  }}});
  parts[key] = box;
  return make("label", {class: "tick"}, box, label);
};

const buildTable = (openRecording) => {
  onOpen = openRecording;
  let waiting = 0;
  parts.q = make("input", {type: "search", id: "f-q", autocomplete: "off", spellcheck: "false",
    placeholder: "Search names and what is said", "aria-label": "Search recordings", on: {input: () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => { state.q = parts.q.value; refresh(); }, 120);
    }}});
  const any = (text) => option("", text);
  const used = index.states.reduce((all, bits) => all | bits, 0);
  const tools = make("div", {class: "tools", role: "search"}, parts.q,
    choice("sys", "System", [any("all systems"), ...index.systems.map((name, k) => option(k, name))]),
    choice("sce", "Scenario", [any("all scenarios"), ...index.scenarios.map((one, k) => option(k, one[1]))]),
    choice("status", "Status", [any("any status"), ...statusTitles.map((name, k) => option(k, name))
      .filter((_, k) => used & (1 << k))]),
    choice("outcome", "Outcome", [any("any outcome")]),
    Array.from(index.margin.keys()).some(isNear) ? tick("near", "near a threshold") : null,
    Object.keys(index.health).length ? tick("health", "health warnings") : null,
    sources.size < count ? tick("drawn", "with a timeline") : null,
    parts.clear = make("button", {type: "button", class: "quiet", text: "Clear", on: {click: () => {
      showOnly({});
      parts.q.focus();
    }}}),
    parts.shown = make("output", {id: "shown", "aria-live": "polite"}));
  parts.head = make("thead");
  parts.body = make("tbody");
  parts.table = make("table", {class: "list"}, make("caption", {class: "hidden", text: "Recordings"}),
    parts.head, parts.body);
  parts.table.addEventListener("keydown", (event) => {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (!step || !event.target.classList.contains("open")) return;
    const buttons = [...parts.body.querySelectorAll(".open")];
    const next = buttons[buttons.indexOf(event.target) + step];
    if (next) { event.preventDefault(); next.focus(); }
  });
  parts.empty = make("p", {class: "lead empty", hidden: true, text: "No recording is like that."});
  const turn = (by) => () => { state.page += by; renderPage(); parts.table.scrollIntoView({block: "nearest"}); };
  parts.back = make("button", {type: "button", class: "quiet", text: "← Previous", on: {click: turn(-1)}});
  parts.on = make("button", {type: "button", class: "quiet", text: "Next →", on: {click: turn(1)}});
  const size = make("select", {"aria-label": "Rows on a page", on: {change: () => {
    state.size = +size.value; state.page = 0; renderPage();
  }}}, ...[25, 50, 100, 500].map((n) => option(n, `${n} rows`)));
  size.value = String(state.size);
  parts.range = make("span", {class: "soft"});
  parts.pages = make("div", {class: "pages"}, parts.back, parts.range, parts.on, size);
  $("explorer").append(tools,
    make("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of recordings"}, parts.table),
    parts.empty, parts.pages);
  $("explorer").hidden = false;
  fillOutcomes();
  refresh();
};

// Set all filters at once: what is not named is cleared.
const showOnly = (wanted) => {
  const blank = {q: "", sys: "", sce: "", status: "", outcome: "", near: false, health: false, drawn: false};
  Object.assign(state, blank, wanted);
  for (const key of Object.keys(blank)) {
    if (!parts[key]) continue;
    if (typeof blank[key] === "boolean") parts[key].checked = state[key];
    else parts[key].value = String(state[key]);
  }
  fillOutcomes();
  refresh();
};
