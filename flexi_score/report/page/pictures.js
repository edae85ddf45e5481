// Evidence behind the results: dots and values that lead to recordings, recordings aligned at the
// moment that decided, one example of every outcome, and what is worth hearing first.
const SVG = "http://www.w3.org/2000/svg";
const drawn = (tag, attributes, ...children) => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};
const titled = (text) => { const title = drawn("title", {}); title.textContent = text; return title; };
const metricAt = (key) => index.metrics.findIndex((one) => `${one.scenario}.${one.name}` === key);
const metricOf = (key) => {
  const m = metricAt(key);
  // Quantiles of a metric are of the same recordings.
  return m >= 0 ? m : metricAt(key.replace(/\.p[\d.]+$/, ""));
};

const prepareValues = () => {
  for (const button of document.querySelectorAll("button[data-metric]")) {
    button.addEventListener("click", () => {
      const m = metricOf(button.dataset.metric), sys = index.systems.indexOf(button.dataset.system);
      if (m < 0) return;
      const sce = index.scenarios.findIndex((one) => one[0] === index.metrics[m].scenario);
      const code = button.dataset.status;
      showOnly({sys: String(sys), sce: String(sce), outcome: code === undefined ? `${m}!` : `${m}s${code}`});
      location.hash = "#recordings";
      $("recordings").scrollIntoView();
    });
  }
};

// A dot per recording on the axis of each measure that is no rate.
const MOST_DOTS = 200;
const drawDots = () => {
  for (const svg of document.querySelectorAll(".axis svg[data-metric]")) {
    const m = metricAt(svg.dataset.metric), column = index.scores.find((one) => one.m === m);
    if (!column || index.metrics[m].kind === "rate" || column.r.length > MOST_DOTS * 10) continue;
    const low = +svg.dataset.low, wide = +svg.dataset.high - low;
    let number_ = 0;
    column.r.forEach((r, k) => {
      const value = column.v[k];
      if (value === null || system(r) !== svg.dataset.system || number_++ >= MOST_DOTS) return;
      const dot = drawn("circle", {class: "one", cx: `${100 * (value - low) / wide}%`, cy: 9 + ((r * 7) % 9) - 4, r: 3},
        titled(`${index.id[r]}: ${withUnit(index.metrics[m], value)}`));
      dot.addEventListener("click", () => openRecording(r));
      svg.append(dot);
    });
  }
};

// Good and bad in words: null where there is no better side.
const judgement = (m, value) => {
  const metric = index.metrics[m];
  if (metric.kind !== "rate" || (value !== 0 && value !== 1)) return null;
  const good = metric.direction === "none" ? null : (value === 1) === (metric.direction === "up");
  return {text: value === 1 ? metric.yes : metric.no, good};
};
const badness = (r) => {
  let bad = 0, late = 0;
  for (const [m, value] of scoresOf[r]) {
    const said = judgement(m, value);
    if (said && said.good === false) bad += 1;
    if (value !== null && index.metrics[m].unit === "s" && index.metrics[m].direction === "down") late = Math.max(late, value);
  }
  return bad + Math.min(late, 60) / 100;
};

const MOST_WORTH = 5;
const listWorth = () => {
  const all = Array.from({length: count}, (_, r) => r);
  const bad = new Map(all.map((r) => [r, failure(r) || health(r) > 1 ? 0 : badness(r)]));
  const lists = [
    ["Worth hearing: the worst", all.filter((r) => bad.get(r) >= 1).sort((a, b) => bad.get(b) - bad.get(a)), (r) => chips(r)],
    ["The closest decisions", all.filter((r) => index.margin[r] !== null && bad.get(r) < 99)
      .sort((a, b) => index.margin[a] - index.margin[b]), (r) => `${(index.margin[r] * 1000).toFixed(0)} ms from the other outcome`],
    ["Refused or failed", all.filter((r) => failure(r) || health(r) > 1), (r) => failure(r) || "refused by the health gate"],
  ];
  const boxes = lists.filter((one) => one[1].length).map(([title, rows, why]) => make("div", {},
    make("h3", {text: title}), make("ul", {}, ...rows.slice(0, MOST_WORTH).map((r) => make("li", {},
      make("button", {type: "button", class: "link", on: {click: () => openRecording(r)}}, ...breakable(index.id[r])),
      make("span", {class: "soft"}, " ", why(r)))))));
  if (!boxes.length || count < 2) return;
  $("worth").append(...boxes);
  $("worth").hidden = false;
};

// Recordings that are drawn, by scenario, with the moment that they were decided from.
const decisions = () => {
  const found = new Map();
  for (const r of sources.keys()) {
    const sce = scenario(r)[0];
    if (!scenario(r)[2]) continue;
    const detail = openDetail(r);
    const score = detail.scores.find((one) => one.f !== null && one.t !== null && one.v !== null) ||
      detail.scores.find((one) => one.f !== null);
    if (!score) continue;
    if (!found.has(sce)) found.set(sce, []);
    found.get(sce).push({r, detail, from: score.f, at: score.t, after: score.t === null ? Infinity : score.t - score.f});
  }
  return found;
};

const BEFORE = 3000, AFTER = 5000, TALL = 17, MOST_ROWS = 60;
const drawAligned = (found) => {
  for (const [name, every] of found) {
    const rows = every.sort((a, b) => a.after - b.after).slice(0, MOST_ROWS);
    const scene = index.scenarios.find((one) => one[0] === name);
    const height = rows.length * TALL + 20;
    const x = (ms) => 100 * (ms + BEFORE) / (BEFORE + AFTER);
    const svg = drawn("svg", {class: "aligned", height, role: "group", "aria-label": `${scene[1]}: ${rows.length} recordings aligned at: ${scene[2]}`});
    rows.forEach((one, k) => {
      const row = drawn("g", {class: "row", role: "button", tabindex: "0"},
        titled(`${index.id[one.r]}, ${system(one.r)}${one.after < Infinity ? `: ${(one.after / 1000).toFixed(2)} s` : ""}`),
        drawn("rect", {class: "ground", x: 0, width: "100%", y: k * TALL, height: TALL}));
      for (const p of [0, 1]) {
        for (const ipu of one.detail.ipus[p]) {
          const a = Math.max(ipu.a - one.from, -BEFORE), b = Math.min(ipu.b - one.from, AFTER);
          if (b > a) row.append(drawn("rect", {class: index.who[p], x: `${x(a)}%`, width: `${x(b) - x(a)}%`, y: k * TALL + 2 + p * 6, height: 6}));
        }
      }
      if (one.after >= -BEFORE && one.after <= AFTER) {
        row.append(drawn("line", {class: "acted", x1: `${x(one.after)}%`, x2: `${x(one.after)}%`, y1: k * TALL, y2: k * TALL + TALL}));
      }
      const open = () => openRecording(one.r);
      row.addEventListener("click", open);
      row.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } });
      svg.append(row);
    });
    svg.append(drawn("line", {class: "from", x1: `${x(0)}%`, x2: `${x(0)}%`, y1: 0, y2: height - 18}));
    for (let s = -2; s <= 4; s += 2) {
      const text = drawn("text", {x: `${x(s * 1000)}%`, y: height - 4, "text-anchor": "middle"});
      text.textContent = s === 0 ? scene[2] : `${s > 0 ? "+" : "−"}${Math.abs(s)} s`;
      svg.append(text);
    }
    const more = every.length > rows.length ? ` (${rows.length} of ${every.length})` : "";
    $("aligned").append(make("h3", {text: scene[1] + more}), svg);
  }
};

// One recording for every outcome of every rate, drawn around the moment that decided.
const MOST_EXAMPLES = 16;
const drawGallery = (found) => {
  const seen = new Set();
  for (const rows of found.values()) {
    for (const {r, detail} of rows) {
      for (const score of detail.scores) {
        if (score.m === null || score.f === null || seen.size >= MOST_EXAMPLES) continue;
        const said = judgement(score.m, score.v), key = `${score.m}=${score.v}`;
        if (!said || seen.has(key)) continue;
        seen.add(key);
        const canvas = make("canvas", {"aria-hidden": "true"});
        const button = make("button", {type: "button", class: "example", on: {click: () => openRecording(r)}}, canvas,
          make("span", {}, make("b", {text: `${scenario(r)[1]}: `}),
            make("b", {class: said.good === null ? "" : said.good ? "good" : "bad", text: said.text}),
            ` (${index.metrics[score.m].label} ${score.v})`),
          make("span", {class: "soft", text: `${score.y || ""} (${index.id[r]})`}));
        $("gallery").append(button);
        const view = createView(detail.duration);
        const ends = [score.f, score.t ?? score.f];
        const moments = momentsOf({...detail, scores: [score]}, scenario(r)[2]);
        view.width = Math.max(button.clientWidth - 26, 200);
        view.set(Math.min(...ends) - 2000, Math.max(...ends) - Math.min(...ends) + 4000);
        drawTimeline(canvas, detail, view, moments, []);
      }
    }
  }
  return seen.size;
};

// Reading every recording's JSON takes a moment: it waits until somebody comes near.
const prepareHappened = () => {
  const section = $("happened");
  if (![...sources.keys()].some((r) => scenario(r)[2])) return;
  section.hidden = false;
  document.querySelector('.sections a[href="#happened"]').hidden = false;
  const watch = new IntersectionObserver((entries) => {
    if (!entries.some((one) => one.isIntersecting)) return;
    watch.disconnect();
    const found = decisions();
    if (!found.size) { section.hidden = true; return; }
    drawAligned(found);
    if (!drawGallery(found)) $("gallery").previousElementSibling.previousElementSibling.hidden = true;
  }, {rootMargin: "600px"});
  watch.observe(section);
};
