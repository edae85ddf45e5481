// The timeline of one recording: the canvas, its cursor, its buttons, keys, mouse and touch.
const LONG = 120000;

const createTimeline = (r, detail) => {
  const view = createView(detail.duration);
  const moments = momentsOf(detail, scenario(r)[2]);
  const canvas = make("canvas", {"aria-hidden": "true"});
  const cursor = make("div", {class: "cursor", "aria-hidden": "true"});
  const stage = make("div", {class: "stage", tabindex: "0", role: "slider",
    "aria-label": "Position in the recording", "aria-valuemin": "0",
    "aria-valuemax": (detail.duration / 1000).toFixed(2)}, canvas, cursor);
  const now = make("span", {class: "now", text: "0.00"});
  const readout = make("p", {class: "readout", "aria-hidden": "true"});
  const problem = make("p", {class: "readout bad", role: "status"});
  let active = [];
  let dirty = 0;
  let turns = [];
  let told = "";
  const strip = detail.duration > LONG ? make("canvas", {class: "overview", "aria-hidden": "true",
    title: "All of it: press to go there", on: {click: (event) => {
      player.seek(event.offsetX / strip.clientWidth * detail.duration);
      reveal();
    }}}) : null;
  const draw = () => {
    cancelAnimationFrame(dirty);
    dirty = requestAnimationFrame(() => {
      view.width = stage.clientWidth || view.width;
      drawTimeline(canvas, detail, view, moments, active);
      if (strip) drawOverview(strip, detail, view);
      place();
    });
  };
  const place = () => {
    const x = view.x(player.time);
    cursor.hidden = x < -1 || x > view.width + 1;
    cursor.style.transform = `translateX(${x}px)`;
  };
  const spoken = (time) => detail.words.filter((word) => word.a <= time && time < word.b);
  const follow = (time) => {
    now.textContent = clock(time);
    stage.dataset.time = time.toFixed(0);
    stage.setAttribute("aria-valuenow", (time / 1000).toFixed(2));
    // While it plays, too: a caption that stands still tells of another moment.
    const what = happening(detail, time);
    if (!player.playing || what !== told) stage.setAttribute("aria-valuetext", `${clock(time)} seconds: ${what}`);
    if (readout.textContent !== what) readout.textContent = what;
    told = what;
    if (player.playing && !view.whole() && (time > view.b || time < view.a)) {
      view.set(time - (view.b - view.a) * 0.1, view.b - view.a);
      draw();
    }
    const said = spoken(time);
    if (said.length !== active.length || said.some((word, k) => word !== active[k])) {
      active = said;
      for (const [word, element] of turns) element.classList.toggle("said", said.includes(word));
      draw();
    }
    place();
  };
  const button = (text, label, run, title) =>
    make("button", {type: "button", class: "tool", text, "aria-label": label, title: title || label, on: {click: run}});
  const playing = button("▶ Play", "Play", () => player.toggle(), "Play or pause (space)");
  playing.classList.add("play");
  const player = createPlayer(r, detail, {
    time: follow,
    state: () => {
      playing.textContent = player.playing ? "❚❚ Pause" : "▶ Play";
      playing.setAttribute("aria-label", player.playing ? "Pause" : "Play");
      if (!player.playing && !player.closed) follow(player.time);
    },
    problem: (message) => { problem.textContent = message; },
  });
  playing.disabled = !player.available;
  const zoom = (factor, around = player.time) => {
    const inside = around >= view.a && around <= view.b ? around : (view.a + view.b) / 2;
    view.zoom(factor, inside);
    draw();
  };
  const step = (ms) => { player.seek(player.time + ms); reveal(); };
  const reveal = () => {
    if (player.time < view.a || player.time > view.b) {
      view.set(player.time - (view.b - view.a) / 2, view.b - view.a);
      draw();
    }
  };
  const speed = make("select", {"aria-label": "Speed", class: "tool", on: {change: () => player.speed(+speed.value)}},
    ...[[0.5, "½×"], [0.75, "¾×"], [1, "1×"], [1.5, "1½×"]].map(([value, text]) => make("option", {value, text})));
  speed.value = "1";
  speed.disabled = !player.available;
  // Starts of turns, backchannels and interruptions, and the moments that decided.
  const stops = [...new Set([...moments.map((one) => one.time), ...detail.events.filter((one) =>
    [kindCode.turn, kindCode.backchannel, kindCode.interruption].includes(one.k)).map((one) => one.a)])].sort((a, b) => a - b);
  const hop = (by) => {
    const next = by > 0 ? stops.find((time) => time > player.time + 1) : stops.findLast((time) => time < player.time - 1);
    if (next !== undefined) { player.seek(next); reveal(); }
  };
  const keys = {
    ".": () => hop(1), ",": () => hop(-1),
    " ": () => player.toggle(), k: () => player.toggle(),
    ArrowLeft: (event) => step(event.shiftKey ? -1000 : -100),
    ArrowRight: (event) => step(event.shiftKey ? 1000 : 100),
    Home: () => { player.seek(0); reveal(); }, End: () => { player.seek(detail.duration); reveal(); },
    "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), 0: () => { view.fit(); draw(); },
  };
  // Mouse and touch: click to seek, drag to pan, wheel or two fingers to zoom.
  const pointers = new Map();
  let moved = 0, pinch = 0;
  const at = (event) => event.clientX - canvas.getBoundingClientRect().left;
  stage.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, at(event));
    moved = pointers.size > 1 ? 99 : 0;
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    const x = at(event);
    if (!pointers.has(event.pointerId)) {
      if (!player.playing) readout.textContent = `${clock(view.time(x))} s: ${happening(detail, view.time(x))}`;
      return;
    }
    const before = pointers.get(event.pointerId);
    pointers.set(event.pointerId, x);
    if (pointers.size === 2) {
      const [p, q] = [...pointers.values()];
      const apart = Math.max(Math.abs(p - q), 8);
      if (pinch) { view.zoom(pinch / apart, view.time((p + q) / 2)); draw(); }
      pinch = apart;
      return;
    }
    moved += Math.abs(x - before);
    if (moved > 4 && !view.whole()) {
      view.pan(-(x - before) / view.width * (view.b - view.a));
      draw();
    }
  });
  const release = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (event.type === "pointerup" && moved <= 4) player.seek(view.time(at(event)));
    if (pointers.size < 2) pinch = 0;
  };
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);
  stage.addEventListener("pointerleave", () => {
    if (!player.playing) readout.textContent = happening(detail, player.time);
  });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const span = view.b - view.a;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      view.pan((event.deltaX || event.deltaY) / view.width * span);
    } else view.zoom(Math.exp(Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 60) / 180), view.time(at(event)));
    draw();
  }, {passive: false});
  const watch = new ResizeObserver(draw);
  watch.observe(stage);
  const tools = make("div", {class: "transport"}, playing,
    make("span", {class: "time"}, now, make("span", {class: "soft", text: ` / ${clock(detail.duration)} s`})), speed,
    button("⇤", "Previous event", () => hop(-1), "Previous event (,)"),
    button("⇥", "Next event", () => hop(1), "Next event (.)"),
    make("span", {class: "space"}),
    make("span", {class: "zooms"}, button("−", "Zoom out", () => zoom(1 / 0.6), "Zoom out (−)"),
      button("+", "Zoom in", () => zoom(0.6), "Zoom in (+)"),
      button("All", "Show all of it", () => { view.fit(); draw(); }, "Show all of it (0)")));
  return {
    tools, stage, strip, readout, problem, player, keys, draw, view, detail, moments,
    seek: (time) => { player.seek(time); reveal(); },
    words: (pairs) => { turns = pairs; },
    // Of a long recording a minute is shown at first, around what decided.
    start: () => {
      if (detail.duration > LONG) view.set((moments.length ? moments[0].time : 0) - LONG / 6, LONG / 2);
      draw();
      follow(0);
    },
    close: () => { watch.disconnect(); player.close(); },
  };
};
