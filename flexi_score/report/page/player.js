// Sound of one recording: one two-channel file, or one file per speaker, each starting at its own time.
const createPlayer = (r, detail, tell) => {
  const embedded = document.querySelector(`script.sound[data-r="${r}"]`);
  let address = null;
  const files = [];
  if (embedded) {
    const raw = atob(embedded.textContent);
    const bytes = new Uint8Array(raw.length);
    for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
    address = URL.createObjectURL(new Blob([bytes], {type: "audio/ogg"}));
    files.push({src: address, t: 0});
  } else if (Array.isArray(detail.audio)) {
    files.push(...detail.audio);
  }
  const sounds = files.map((file) => {
    const audio = new Audio();
    audio.preload = embedded ? "auto" : "none";
    audio.src = file.src;
    audio.addEventListener("error", () => {
      if (!player.closed) fail(`cannot be played: ${decodeURIComponent(file.src)}`);
    });
    return {audio, t: file.t, waiting: 0};
  });
  const player = {available: sounds.length > 0, playing: false, time: 0, closed: false, rate: 1,
    linked: !embedded && sounds.length > 0};
  const fail = (message) => { pause(); tell.problem(message); };

  // The element that the cursor follows: the first one that is running.
  const follow = () => {
    if (!player.playing) return;
    const running = sounds.find((one) => !one.audio.paused && !one.audio.ended && one.audio.readyState > 1);
    if (running) player.time = running.audio.currentTime * 1000 + running.t;
    tell.time(player.time);
    const over = sounds.every((one) => one.audio.ended) || player.time >= detail.duration;
    if (over) { pause(); return; }
    requestAnimationFrame(follow);
  };
  const start = (one) => {
    const local = (player.time - one.t) / 1000;
    clearTimeout(one.waiting);
    if (local < 0) {
      one.waiting = setTimeout(() => start(one), -local * 1000 / player.rate);
      return;
    }
    one.audio.playbackRate = player.rate;
    const go = () => {
      one.audio.currentTime = Math.min(local, one.audio.duration || local);
      if (player.playing) one.audio.play().catch((error) => {
        if (error.name !== "AbortError") fail(`cannot be played: ${error.message}`);
      });
    };
    if (one.audio.readyState > 0) go();
    else { one.audio.addEventListener("loadedmetadata", go, {once: true}); one.audio.load(); }
  };
  const play = () => {
    if (!player.available || player.playing) return;
    if (player.time >= detail.duration - 20) player.time = 0;
    player.playing = true;
    sounds.forEach(start);
    tell.state();
    requestAnimationFrame(follow);
  };
  const pause = () => {
    player.playing = false;
    for (const one of sounds) { clearTimeout(one.waiting); one.audio.pause(); }
    tell.state();
  };
  player.toggle = () => (player.playing ? pause() : play());
  player.pause = pause;
  player.seek = (time) => {
    player.time = Math.min(Math.max(time, 0), detail.duration);
    if (player.playing) for (const one of sounds) { one.audio.pause(); start(one); }
    tell.time(player.time);
  };
  player.speed = (rate) => {
    player.rate = rate;
    for (const one of sounds) one.audio.playbackRate = rate;
  };
  player.close = () => {
    player.closed = true;
    pause();
    for (const one of sounds) one.audio.removeAttribute("src");
    if (address) URL.revokeObjectURL(address);
  };
  return player;
};
