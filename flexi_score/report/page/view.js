// The part of a recording that is in view, and which of its things are where.
const kindCode = Object.fromEntries(index.kinds.map((name, code) => [name, code]));

// Columns of a recording's JSON as lists of things with a, b in ms.
const openDetail = (r) => {
  const element = sources.get(r);
  if (!element) return null;
  const raw = JSON.parse(element.textContent);
  const rows = (columns) => {
    if (!columns) return [];
    const names = Object.keys(columns);
    return columns[names[0]].map((_, k) => Object.fromEntries(names.map((n) => [n, columns[n][k]])));
  };
  const events = rows(raw.ev);
  const words = rows(raw.w);
  const ipus = [[], []];
  for (const event of events) if (event.k === kindCode.ipu && event.p < 2) ipus[event.p].push(event);
  const ofSide = [0, 1].map((p) => words.filter((word) => word.p === p));
  // Words of each IPU; without timed words the IPU's own text stands for them.
  for (const side of [0, 1]) {
    let k = 0;
    for (const ipu of ipus[side]) {
      ipu.words = [];
      while (k < ofSide[side].length && (ofSide[side][k].a + ofSide[side][k].b) / 2 < ipu.a) k++;
      while (k < ofSide[side].length && (ofSide[side][k].a + ofSide[side][k].b) / 2 < ipu.b) {
        ipu.words.push(ofSide[side][k++]);
      }
      ipu.text = ipu.words.length ? ipu.words.map((word) => word.t).join(" ") : ipu.x || "";
    }
  }
  return {duration: raw.d, events, words, ofSide, ipus, env: raw.env || {}, audio: raw.au || null,
    notes: raw.an || [], texts: raw.tx || [], scores: rows(raw.sc), health: rows(raw.h),
    ratings: rows(raw.j)};
};

// Moments that scores look from and are decided at: one mark a distinct time.
const momentsOf = (detail, reference) => {
  const found = [];
  for (const [kind, key] of [["reference", "f"], ["decided", "t"]]) {
    const at = new Map();
    for (const score of detail.scores) {
      if (score[key] === null || (kind === "decided" && score.v === null)) continue;
      if (!at.has(score[key])) at.set(score[key], []);
      at.get(score[key]).push(labelOf(score));
    }
    for (const [time, names] of [...at].sort((a, b) => a[0] - b[0])) {
      const label = kind === "reference" && at.size === 1 && reference ? reference
        : names.length < 4 ? names.join(", ") : `${names[0]} and ${names.length - 1} more`;
      found.push({kind, time, label, names});
    }
  }
  return found;
};
const labelOf = (score) => (score.m === null ? score.n : index.metrics[score.m].label);

const createView = (duration) => {
  const full = Math.max(duration, 1);
  const view = {a: 0, b: full, width: 100, full};
  view.x = (time) => ((time - view.a) / (view.b - view.a)) * view.width;
  view.time = (x) => view.a + (x / view.width) * (view.b - view.a);
  view.set = (a, span) => {
    const length = Math.min(Math.max(span, Math.min(250, full)), full);
    view.a = Math.min(Math.max(a, 0), full - length);
    view.b = view.a + length;
  };
  view.zoom = (factor, around) => {
    const share = (around - view.a) / (view.b - view.a);
    const span = Math.min(Math.max((view.b - view.a) * factor, Math.min(250, full)), full);
    view.set(around - share * span, span);
  };
  view.pan = (ms) => view.set(view.a + ms, view.b - view.a);
  view.fit = () => view.set(0, full);
  view.whole = () => view.b - view.a >= full - 1e-6;
  return view;
};

// What is going on at a moment, in words.
const happening = (detail, time) => {
  const said = [];
  const within = (thing) => thing.a <= time && time < thing.b;
  [0, 1].forEach((p) => {
    const ipu = detail.ipus[p].find(within);
    if (!ipu) return;
    const special = detail.events.find((event) => event.p === p && within(event) &&
      (event.k === kindCode.backchannel || event.k === kindCode.interruption));
    const kind = !special ? "speaks" : special.k === kindCode.backchannel ? "gives a backchannel"
      : special.ok ? "interrupts and takes the floor" : "interrupts, without taking the floor";
    said.push(`${index.who[p]} ${kind}${ipu.text ? `: “${ipu.text}”` : ""}`);
  });
  if (said.length) return said.join(" · ");
  const still = detail.events.find((event) => within(event) &&
    (event.k === kindCode.pause || event.k === kindCode.gap));
  if (!still) return "silence";
  const long = seconds(still.b - still.a);
  return still.k === kindCode.gap ? `gap of ${long}` : `pause of the ${index.who[still.p]}, ${long}`;
};
