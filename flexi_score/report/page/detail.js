// A recording, opened: its timeline, the rule behind each score, what was said, and everything else.
let opened = null;
const MOST_SCORES = 8;
const LEGEND = [["ipu", "user speaks", "u"], ["ipu", "model speaks", "m"], ["turn", "turn"],
  ["gap", "gap"], ["overlap", "overlap"], ["pause", "pause"], ["backchannel", "backchannel"],
  ["won", "interruption, takes the floor"], ["lost", "interruption, does not"],
  ["reference", "score looks from"], ["decided", "score decided at"]];

const moment = (timeline, time, name) => (time === null ? null
  : make("button", {type: "button", class: "link at", text: `${name} ${time < 60000 ? seconds(time) : clock(time)}`,
    on: {click: () => timeline.seek(time)}}));

const scoreList = (r, detail, timeline) => {
  if (failure(r)) return make("p", {class: "bad", text: failure(r)});
  if (!detail.scores.length) return make("p", {class: "soft", text: "No metric was scored."});
  const groups = new Map();
  for (const score of detail.scores) {
    const key = score.y || "";
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(score);
  }
  const list = make("div", {class: "scores"});
  const rest = make("details", {class: "block"}, make("summary", {}, make("h3", {text: "Further measures"})));
  for (const [why, scores] of groups) {
    const values = make("div", {class: "values"}, ...scores.map((score) => {
      const metric = score.m === null ? null : index.metrics[score.m];
      const said = score.m === null ? null : judgement(score.m, score.v);
      return make("span", {class: "value", title: metric ? metric.text : score.n},
        make("span", {class: "soft", text: metric ? metric.words : score.n}),
        score.v === null ? pill(score.s) : said
          ? make("b", {class: said.good === null ? "" : said.good ? "good" : "bad", text: said.text})
          : make("b", {text: withUnit(metric, score.v)}),
        score.s === 1 && score.v !== null ? pill(1) : null);
    }));
    const margins = scores.filter((score) => score.g !== null);
    const closest = margins.length ? margins.reduce((x, y) => (Math.abs(x.g) <= Math.abs(y.g) ? x : y)) : null;
    const origin = [...new Set(scores.map((score) => score.o).filter(Boolean))].join(", ");
    const first = scores[0];
    const facts = make("p", {class: "facts-line"}, moment(timeline, first.f, "looks from"),
      moment(timeline, first.v === null ? null : first.t, "decided at"),
      closest ? make("span", {class: Math.abs(closest.g) <= index.near ? "warned" : "",
        text: `threshold ${Math.abs(closest.g) < 0.1 ? (Math.abs(closest.g) * 1000).toFixed(0) + " ms" : Math.abs(closest.g).toFixed(2) + " s"} away`}) : null,
      origin && first.f !== null ? make("span", {text: origin === "annotation" ? "moment as annotated" : `moment ${origin}`}) : null);
    const into = list.childElementCount < MOST_SCORES ? list : rest;
    into.append(make("div", {class: "score"}, values, why ? make("p", {class: "rule", text: why}) : null, facts));
  }
  if (rest.childElementCount > 1) list.append(rest);
  return list;
};

const transcript = (detail, timeline) => {
  const list = make("ol", {class: "said-list"});
  const pairs = [];
  const turns = detail.events.filter((event) => event.p < 2 &&
    (event.k === kindCode.turn || event.k === kindCode.backchannel));
  for (const turn of turns) {
    const ipus = detail.ipus[turn.p].filter((ipu) => ipu.a >= turn.a && ipu.b <= turn.b && ipu.text);
    if (!ipus.length) continue;
    const words = make("span", {class: "words"});
    for (const ipu of ipus) {
      if (!ipu.words.length) words.append(ipu.text + " ");
      for (const word of ipu.words) {
        const element = make("span", {class: "word", text: word.t, on: {click: () => timeline.seek(word.a)}});
        pairs.push([word, element]);
        words.append(element, " ");
      }
    }
    const back = turn.k === kindCode.backchannel ? " (backchannel)" : "";
    list.append(make("li", {class: index.who[turn.p]},
      make("button", {type: "button", class: "link at", text: clock(turn.a), "aria-label": `Go to ${clock(turn.a)} seconds`,
        on: {click: () => timeline.seek(turn.a)}}),
      make("span", {class: "who", text: index.who[turn.p] + back}), words));
  }
  timeline.words(pairs);
  list.classList.toggle("many", list.childElementCount > 100);
  return list.childElementCount ? list : make("p", {class: "soft", text: "There are no words."});
};

// Of a conversation, where the model took longest to answer.
const MOST_SLOW = 10;
const slowest = (detail, timeline) => {
  const answers = detail.events.filter((event) => event.k === kindCode.turn && event.p === 1 && event.l > 0);
  if (answers.length < 5) return "";
  const shownFirst = answers.sort((a, b) => b.l - a.l).slice(0, MOST_SLOW);
  return make("details", {class: "block", open: true}, make("summary", {}, make("h3", {text: "Slowest answers"})),
    make("ol", {class: "slowest"}, ...shownFirst.map((event) => make("li", {}, moment(timeline, event.a - event.l, `${seconds(event.l)} after`)))));
};

const eventTable = (detail) => {
  const body = make("tbody");
  const most = 500;
  for (const event of detail.events.slice(0, most)) {
    const name = index.kinds[event.k] === "ipu" ? "IPU" : index.kinds[event.k];
    const outcome = event.k !== kindCode.interruption ? "" : event.ok ? ", takes the floor" : ", does not take the floor";
    body.append(make("tr", {}, make("td", {text: (event.a / 1000).toFixed(3)}), make("td", {text: (event.b / 1000).toFixed(3)}),
      make("td", {class: "text", text: event.p < 3 ? index.who[event.p] : "–"}),
      make("td", {class: "text", text: name + outcome}), make("td", {class: "text wrap", text: event.text || event.x || ""})));
  }
  const headings = ["Start (s)", "End (s)", "Who", "What", "Words"];
  return make("details", {class: "block"}, make("summary", {}, make("h3", {text: `Events in order of time (${detail.events.length})`})),
    make("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "Events"},
      make("table", {class: "ruled events"}, make("thead", {}, make("tr", {}, ...headings.map((text, k) =>
        make("th", {scope: "col", class: k > 1 ? "text" : "", text})))), body)),
    detail.events.length > most ? make("p", {class: "note", text: `The first ${most}; events.parquet has them all.`}) : null);
};

const ratingList = (detail) => detail.ratings.map((rating) => {
  let asked = [["question", rating.question || ""]];
  try {
    const parsed = JSON.parse(rating.question);
    if (parsed && typeof parsed === "object") {
      asked = Object.entries(parsed).map(([name, text]) => [name, typeof text === "string" ? text : JSON.stringify(text)]);
    }
  } catch { /* not JSON: shown as it is */ }
  for (const name of ["reply", "reason", "problem"]) if (rating[name]) asked.push([name, rating[name]]);
  const metric = index.metrics.find((one) => one.name === rating.metric);
  const title = `${metric ? metric.label : rating.metric}: ${rating.value === null ? rating.status : rating.value}`;
  return make("details", {class: "block"}, make("summary", {}, make("h3", {text: `Judge, ${title}`})),
    make("dl", {class: "asked"}, ...asked.flatMap(([name, text]) => [make("dt", {text: name}), make("dd", {text})])));
});

const pairsList = (title, pairs) => (pairs.length ? make("details", {class: "block"},
  make("summary", {}, make("h3", {text: title})),
  make("dl", {class: "asked"}, ...pairs.flatMap(([name, text]) => [make("dt", {text: name}), make("dd", {text})]))) : null);

const soundNote = (timeline) => {
  if (timeline.player.available) return null;
  return make("p", {class: "note"}, "No sound: its files cannot be reached from this page. ",
    make("code", {text: "flexi-score report RUN --embed-audio ID"}), " puts it into the page.");
};

const HELP = [["space", "play, pause"], ["← →", "0.1 s back, on (with shift 1 s)"], ["+ − 0", "zoom in, out, show all"],
  [", .", "previous, next turn or decision"],
  ["n p", "next, previous recording"], ["Esc", "close"], ["mouse", "click to seek, drag to pan, wheel to zoom"]];

const closeDetail = () => {
  if (!opened) return;
  if (opened.timeline) opened.timeline.close();
  const r = opened.r;
  opened = null;
  if ($("detail").open) $("detail").close();
  history.replaceState(null, "", "#recordings");
  const again = document.querySelector(`tr[data-r="${r}"] .open`);
  if (again) again.focus({preventScroll: true});
};

// A page with a server behind it fetches a recording when it is opened, and adds tools of its own.
let server = null;
const openRecording = (r) => {
  if (server) server.load(r).then(() => { showRecording(r); server.opened(r); });
  else showRecording(r);
};
const showRecording = (r) => {
  const dialog = $("detail");
  if (opened && opened.timeline) opened.timeline.close();
  const position = shown.indexOf(r);
  const go = (by) => { const next = shown[position + by]; if (next !== undefined) openRecording(next); };
  const turn = (text, label, by) => make("button", {type: "button", class: "tool", text, "aria-label": label, title: label,
    disabled: shown[position + by] === undefined || position < 0, on: {click: () => go(by)}});
  const detail = openDetail(r);
  const facts = [system(r), scenario(r)[1], length(r) === null ? null : `${clock(length(r) * 1000)} s`].filter(Boolean);
  const header = make("header", {},
    make("div", {class: "title"}, make("h2", {id: "detail-title"}, make("bdi", {text: index.id[r]})),
      make("p", {class: "soft"}, facts.join(" · "), " ", pill(status(r)))),
    make("div", {class: "turns"}, make("span", {class: "soft", text: position < 0 ? "" : `${whole(position + 1)} of ${whole(shown.length)}`}),
      turn("←", "Previous recording (p)", -1), turn("→", "Next recording (n)", 1),
      make("button", {type: "button", class: "tool", text: "Close", on: {click: closeDetail}})));
  const body = make("div", {class: "body"});
  dialog.replaceChildren(header, body);
  opened = {r, timeline: null, go};
  if (!detail) {
    body.append(make("p", {class: failure(r) ? "bad" : "lead", text: failure(r) || "This recording's timeline is not in the page."}),
      failure(r) ? null : make("p", {class: "lead"}, "Draw more with ", make("code", {text: `flexi-score report RUN --timelines ${count}`}), "."),
      make("p", {}, chips(r)));
  } else {
    const timeline = createTimeline(r, detail);
    opened.timeline = timeline;
    if (detail.duration > 0) {
      body.append(make("div", {class: "lanes"}, timeline.stage, timeline.strip || ""), timeline.tools, timeline.readout, timeline.problem,
        soundNote(timeline) || "",
        make("div", {class: "key legend", "aria-hidden": "true"}, ...LEGEND.map(([cls, text, side]) =>
          make("span", {}, make("i", {class: `sign ${cls} ${side || ""}`}), text))));
    }
    for (const one of detail.health) {
      body.append(make("p", {class: "ill"}, make("span", {class: "pill " + one.verdict, text: one.verdict}), " ",
        make("b", {text: one.check.replaceAll("_", " ") + (one.channel ? ` (${one.channel})` : "")}), ` ${one.detail || ""}. `,
        make("span", {class: "soft", text: one.remedy || ""})));
    }
    body.append(slowest(detail, timeline), make("div", {class: "columns"},
      make("section", {}, make("h3", {text: "Scores, and the rule behind each"}), scoreList(r, detail, timeline)),
      make("section", {}, make("h3", {text: "What was said"}), transcript(detail, timeline))),
    ...ratingList(detail), eventTable(detail), pairsList("What the manifest says", detail.texts) || "",
    pairsList("Keys", HELP));
  }
  if (!dialog.open) dialog.showModal();
  body.scrollTop = 0;
  if (opened.timeline) {
    opened.timeline.start();
    if (detail.duration > 0) opened.timeline.stage.focus({preventScroll: true});
  }
  history.replaceState(null, "", "#recording=" + encodeURIComponent(index.id[r]));
};

const prepareDialog = () => {
  const dialog = $("detail");
  dialog.addEventListener("close", closeDetail);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) closeDetail(); });
  dialog.addEventListener("keydown", (event) => {
    if (!opened || event.ctrlKey || event.metaKey || event.altKey) return;
    const tag = event.target.tagName;
    if (event.key === "n" || event.key === "p") { opened.go(event.key === "n" ? 1 : -1); return; }
    if (!opened.timeline || tag === "SELECT" || tag === "INPUT") return;
    if ((tag === "BUTTON" || tag === "SUMMARY") && (event.key === " " || event.key === "Enter")) return;
    const run = opened.timeline.keys[event.key];
    if (!run) return;
    event.preventDefault();
    run(event);
  });
};
