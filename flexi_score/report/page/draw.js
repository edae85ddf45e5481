// Drawing of a timeline on a canvas: two lanes, what lies between them, marks above and below.
const ROW = {mark: 17, note: 15, words: 19, lane: 60, between: 17, axis: 23};

const QUIETEST = -60;
const decoded = new WeakMap();
const envelopeOf = (env) => {
  if (!env) return null;
  if (!decoded.has(env)) {
    const raw = atob(env.e);
    const bytes = new Uint8Array(raw.length);
    for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
    decoded.set(env, bytes);
  }
  return decoded.get(env);
};

const layout = (detail, moments) => {
  const noted = detail.notes.length > 0;
  const marked = moments.some((one) => one.kind === "reference") ? ROW.mark : 2;
  const y = {mark: 0, note: marked};
  y.words0 = marked + (noted ? ROW.note : 0);
  y.lane0 = y.words0 + ROW.words;
  y.between = y.lane0 + ROW.lane;
  y.lane1 = y.between + ROW.between;
  y.words1 = y.lane1 + ROW.lane;
  y.decided = y.words1 + ROW.words;
  y.axis = y.decided + (moments.some((one) => one.kind === "decided") ? ROW.mark : 0);
  y.height = y.axis + ROW.axis;
  return y;
};

const colours = () => {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "soft", "faint", "rule", "card", "lane", "mark", "user", "model", "both", "user-bg",
    "model-bg", "both-bg", "gap-bg", "user-wave", "model-wave"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
};

const STEPS = [50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 30000, 60000, 120000, 300000,
  600000, 1800000, 3600000, 7200000, 21600000, 86400000];

const drawTimeline = (canvas, detail, view, moments, active) => {
  const y = layout(detail, moments);
  const ratio = window.devicePixelRatio || 1;
  const width = view.width;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(y.height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(y.height * ratio);
    canvas.style.height = y.height + "px";
  }
  const ctx = canvas.getContext("2d");
  const c = colours();
  const colour = [c.user, c.model], wave = [c["user-wave"], c["model-wave"]];
  const ground = [c["user-bg"], c["model-bg"]];
  const family = getComputedStyle(document.body).fontFamily;
  const font = (size, weight = 400) => `${weight} ${size}px ${family}`;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, y.height);
  ctx.textBaseline = "middle";
  const seen = (thing) => thing.b > view.a && thing.a < view.b;
  const box = (thing, top, height, fill) => {
    const x = view.x(thing.a);
    ctx.fillStyle = fill;
    ctx.fillRect(x, top, Math.max(view.x(thing.b) - x, 0.75), height);
  };
  const clipped = (text, x, room, middle) => {
    if (room < 14) return;
    let shownText = text;
    if (ctx.measureText(text).width > room) {
      let keep = Math.floor(text.length * room / ctx.measureText(text).width);
      while (keep > 0 && ctx.measureText(text.slice(0, keep) + "…").width > room) keep--;
      if (keep < 1) return;
      shownText = text.slice(0, keep) + "…";
    }
    written(shownText, x, middle);
  };
  // Text with a rim of the ground's colour, so that lines do not run through it.
  const written = (text, x, middle, rim = c.card) => {
    ctx.lineWidth = 3;
    ctx.strokeStyle = rim;
    ctx.strokeText(text, x, middle);
    ctx.lineWidth = 1;
    ctx.fillText(text, x, middle);
  };
  const lane = [y.lane0, y.lane1], words = [y.words0, y.words1];

  // Lanes, and what lies in both of them.
  for (const p of [0, 1]) {
    ctx.fillStyle = c.lane;
    ctx.beginPath();
    ctx.roundRect(view.x(0), lane[p], view.x(detail.duration) - view.x(0), ROW.lane, 4);
    ctx.fill();
  }
  for (const event of detail.events) {
    if (!seen(event)) continue;
    if (event.k === kindCode.gap) box(event, y.lane0, y.words1 - y.lane0, c["gap-bg"]);
    if (event.k === kindCode.overlap) box(event, y.lane0, y.words1 - y.lane0, c["both-bg"]);
  }
  // IPUs, and the waveform: faint all along, full inside them.
  for (const p of [0, 1]) {
    const spans = detail.ipus[p].filter(seen);
    for (const ipu of spans) box(ipu, lane[p], ROW.lane, ground[p]);
    const env = detail.env[index.who[p]];
    if (env) {
      drawWave(ctx, env, view, lane[p], ROW.lane, c.faint, 0.55);
      ctx.save();
      ctx.beginPath();
      for (const ipu of spans) ctx.rect(view.x(ipu.a), lane[p], view.x(ipu.b) - view.x(ipu.a), ROW.lane);
      ctx.clip();
      drawWave(ctx, env, view, lane[p], ROW.lane, wave[p], 1);
      ctx.restore();
    } else {
      for (const ipu of spans) box(ipu, lane[p] + 18, ROW.lane - 36, wave[p]);
    }
  }
  // Turns as a rule along the outer edge; pauses, backchannels and interruptions inside the lanes.
  ctx.lineJoin = "round";
  ctx.font = font(10.5);
  for (const event of detail.events) {
    if (!seen(event)) continue;
    const x = view.x(event.a), far = view.x(event.b), p = event.p;
    if (event.k === kindCode.turn && p < 2) {
      ctx.fillStyle = colour[p];
      ctx.fillRect(x, p ? lane[1] + ROW.lane : lane[0] - 2, far - x, 2);
    } else if (event.k === kindCode.pause && p < 2) {
      const middle = lane[p] + ROW.lane / 2;
      ctx.strokeStyle = colour[p];
      ctx.globalAlpha = 0.55;
      ctx.setLineDash([2, 3]);
      ctx.beginPath();
      ctx.moveTo(x + 1, middle);
      ctx.lineTo(far - 1, middle);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.globalAlpha = 1;
    } else if ((event.k === kindCode.backchannel || event.k === kindCode.interruption) && p < 2 && far - x > 3) {
      const breaks = event.k === kindCode.interruption;
      ctx.strokeStyle = colour[p];
      ctx.lineWidth = breaks ? 2 : 1.5;
      ctx.setLineDash(breaks && event.ok ? [] : breaks ? [5, 3] : [1.5, 2.5]);
      ctx.beginPath();
      ctx.roundRect(x, lane[p] + 2, Math.max(far - x, 2), ROW.lane - 4, breaks ? 3 : 9);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.lineWidth = 1;
      if (breaks) {
        ctx.fillStyle = colour[p];
        ctx.beginPath();
        const top = lane[p] + 2;
        ctx.moveTo(x, top);
        ctx.lineTo(x + 9, top);
        ctx.lineTo(x, top + 9);
        ctx.fill();
      }
    }
  }
  // Between the lanes: what gaps and overlaps are called, and how long they are.
  ctx.textAlign = "center";
  for (const event of detail.events) {
    if (!seen(event) || (event.k !== kindCode.gap && event.k !== kindCode.overlap)) continue;
    const from = Math.max(view.x(event.a), 0), to = Math.min(view.x(event.b), width);
    if (to - from < 22) continue;
    const name = index.kinds[event.k], long = (event.b - event.a) / 1000;
    const text = [`${name} ${long.toFixed(2)} s`, `${name} ${long.toFixed(2)}`, long.toFixed(2)].find((one) =>
      ctx.measureText(one).width < to - from - 4);
    if (!text) continue;
    ctx.fillStyle = event.k === kindCode.gap ? c.soft : c.both;
    ctx.fillText(text, (from + to) / 2, y.between + ROW.between / 2 + 0.5);
  }
  ctx.textAlign = "left";
  // What a lane is, and its scale.
  for (const p of [0, 1]) {
    ctx.font = font(10.5, 600);
    ctx.fillStyle = colour[p];
    written(index.who[p], 4, lane[p] + 9, c.lane);
    if (!detail.env[index.who[p]] || width < 340) continue;
    ctx.font = font(9.5);
    ctx.fillStyle = c.soft;
    ctx.textAlign = "right";
    written("0 dBFS", width - 3, lane[p] + 7, c.lane);
    written(`${QUIETEST}`, width - 3, lane[p] + ROW.lane / 2, c.lane);
    ctx.textAlign = "left";
  }
  drawMoments(ctx, c, font, view, moments, y, width);
  // Words: each at its own time where they fit, else what the IPU says, cut off.
  ctx.font = font(12);
  for (const p of [0, 1]) {
    const middle = words[p] + ROW.words / 2 + (p ? 2 : -1);
    ctx.fillStyle = colour[p];
    detail.ipus[p].forEach((ipu, k) => {
      if (!seen(ipu) || !ipu.text) return;
      const next = detail.ipus[p][k + 1];
      if (next && view.x(next.a) - view.x(ipu.a) < 20) return;
      const fits = ipu.words.length && ipu.words.every((word) =>
        ctx.measureText(word.t).width <= Math.max(view.x(word.b) - view.x(word.a), 0) + 3);
      if (fits) {
        for (const word of ipu.words) {
          if (!seen(word)) continue;
          const now = active.includes(word);
          if (now) box(word, words[p] + (p ? 3 : 1), ROW.words - 4, c.mark);
          ctx.fillStyle = colour[p];
          written(word.t, view.x(word.a), middle, now ? c.mark : c.card);
        }
        return;
      }
      const from = Math.max(view.x(ipu.a), 0);
      clipped(ipu.text, from, Math.min(next ? view.x(next.a) : width, width) - from - 6, middle);
    });
  }
  // Annotations of the manifest.
  ctx.font = font(10.5);
  let free = -Infinity;
  for (const [label, a, b] of detail.notes) {
    const x = view.x(a), far = b === null ? x : view.x(b), top = y.note + 2;
    if (far < 0 || x > width) continue;
    ctx.strokeStyle = ctx.fillStyle = c.soft;
    ctx.beginPath();
    if (b === null) {
      ctx.moveTo(x, top); ctx.lineTo(x + 4, top + 5); ctx.lineTo(x, top + 10); ctx.lineTo(x - 4, top + 5);
      ctx.fill();
    } else {
      ctx.moveTo(x + 0.5, top + 10); ctx.lineTo(x + 0.5, top + 3);
      ctx.lineTo(far - 0.5, top + 3); ctx.lineTo(far - 0.5, top + 10);
      ctx.stroke();
    }
    const text = `annotated: ${label}`, wide = ctx.measureText(text).width;
    const at = b === null ? (x + 8 + wide > width ? x - 8 - wide : x + 8) : Math.max(x + 5, 2);
    if (at >= free && at + wide <= width) {
      ctx.fillText(text, at, top + 8.5);
      free = at + wide + 8;
    }
  }
  // The axis.
  ctx.font = font(11);
  const step = STEPS.find((one) => (view.b - view.a) / one <= Math.max(2, width / 80)) || STEPS.at(-1);
  ctx.fillStyle = c.soft;
  ctx.strokeStyle = c.rule;
  for (let time = Math.ceil(view.a / step) * step; time <= view.b; time += step) {
    const x = Math.round(view.x(time)) + 0.5;
    ctx.beginPath();
    ctx.moveTo(x, y.axis);
    ctx.lineTo(x, y.axis + 4);
    ctx.stroke();
    const text = clock(time, step < 100 ? 2 : step < 1000 ? 1 : 0) + (time < 60000 ? " s" : "");
    const wide = ctx.measureText(text).width;
    ctx.fillText(text, Math.min(Math.max(x - wide / 2, 0), width - wide), y.axis + 12);
  }
  if (!view.whole()) {
    ctx.fillStyle = c.rule;
    ctx.fillRect(0, y.height - 2, width, 2);
    ctx.fillStyle = c.soft;
    ctx.fillRect(width * view.a / view.full, y.height - 2, Math.max(4, width * (view.b - view.a) / view.full), 2);
  }
};

const drawWave = (ctx, env, view, top, height, fill, alpha) => {
  const bytes = envelopeOf(env);
  const middle = top + height / 2, half = height / 2 - 5;
  const first = Math.max(0, Math.floor(view.x(env.t)));
  const last = Math.min(view.x(env.t + bytes.length * env.step), view.width);
  const pace = 1 / (window.devicePixelRatio || 1);
  const rises = [];
  for (let x = first; x < last; x += pace) {
    const from = Math.max(0, Math.floor((view.time(x) - env.t) / env.step));
    const to = Math.max(from + 1, Math.ceil((view.time(x + pace) - env.t) / env.step));
    let level = 0;
    for (let k = from; k < to && k < bytes.length; k++) level = Math.max(level, bytes[k]);
    // Decibels re full scale, the same for both lanes: QUIETEST at the middle, 0 dBFS at the edge.
    rises.push(Math.max(0.5, half * (1 + (level / 255 - 1) * 90 / -QUIETEST)));
  }
  ctx.fillStyle = fill;
  ctx.globalAlpha = alpha;
  ctx.beginPath();
  rises.forEach((rise, k) => ctx.lineTo(first + k * pace, middle - rise));
  for (let k = rises.length - 1; k >= 0; k--) ctx.lineTo(first + k * pace, middle + rises[k]);
  ctx.fill();
  ctx.globalAlpha = 1;
};

// A long recording as a whole: who speaks, and which part is in view.
const drawOverview = (canvas, detail, view) => {
  const ratio = window.devicePixelRatio || 1, width = view.width, height = 26, c = colours();
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = height + "px";
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  const x = (time) => time / view.full * width;
  ctx.fillStyle = c.mark;
  ctx.fillRect(x(view.a), 0, Math.max(x(view.b) - x(view.a), 3), height);
  for (const p of [0, 1]) {
    ctx.fillStyle = p ? c["model-wave"] : c["user-wave"];
    for (const ipu of detail.ipus[p]) ctx.fillRect(x(ipu.a), 2 + p * 12, Math.max(x(ipu.b) - x(ipu.a), 0.5), 10);
  }
};

const drawMoments = (ctx, c, font, view, moments, y, width) => {
  const free = {reference: -Infinity, decided: -Infinity};
  for (const moment of moments) {
    const x = view.x(moment.time);
    if (x < -1 || x > width + 1) continue;
    const looks = moment.kind === "reference";
    ctx.strokeStyle = ctx.fillStyle = c.ink;
    ctx.lineWidth = looks ? 1 : 1.5;
    ctx.setLineDash(looks ? [3, 3] : []);
    ctx.beginPath();
    ctx.moveTo(x, looks ? ROW.mark : y.words0);
    ctx.lineTo(x, looks ? y.words1 + ROW.words : y.decided + 3);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.lineWidth = 1;
    const middle = looks ? 8 : y.decided + 9;
    if (!looks) {
      ctx.beginPath();
      ctx.moveTo(x, y.decided + 3); ctx.lineTo(x + 5, y.decided + 9); ctx.lineTo(x, y.decided + 15);
      ctx.lineTo(x - 5, y.decided + 9);
      ctx.fill();
    }
    ctx.font = font(11.5, looks ? 400 : 600);
    const text = looks ? `from: ${moment.label}` : moment.label;
    const wide = ctx.measureText(text).width, side = looks ? 5 : 9;
    const at = x + side + wide > width ? x - side - wide : x + side;
    if (at >= free[moment.kind] && at >= 0) {
      ctx.fillText(text, at, middle);
      free[moment.kind] = Math.max(at + wide, x) + 10;
    }
  }
};
