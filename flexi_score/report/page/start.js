// Everything is set up here, once.
const prepareSections = () => {
  const links = new Map([...document.querySelectorAll(".sections a")].map((link) => [link.hash.slice(1), link]));
  const sections = [...document.querySelectorAll("main > section")].filter((section) => links.has(section.id));
  let waiting = false;
  const mark = () => {
    waiting = false;
    const above = sections.filter((section) => section.getBoundingClientRect().top < innerHeight * 0.3);
    const here = above.at(-1) || sections[0];
    for (const [id, link] of links) {
      if (here && id === here.id) {
        if (!link.hasAttribute("aria-current")) link.parentElement.scrollLeft = link.offsetLeft - 60;
        link.setAttribute("aria-current", "true");
      } else link.removeAttribute("aria-current");
    }
  };
  const later = () => {
    if (!waiting) { waiting = true; requestAnimationFrame(mark); }
  };
  addEventListener("scroll", later, {passive: true});
  new ResizeObserver(later).observe(document.body); // pictures are drawn as they come near
};

const openFromAddress = () => {
  const found = /^#recording=(.*)$/.exec(location.hash);
  if (!found) return;
  try {
    const r = index.id.indexOf(decodeURIComponent(found[1]));
    if (r >= 0) openRecording(r);
  } catch { /* not an address of ours */ }
};

prepareTheme();
prepareSections();
if (count && $("explorer")) {
  prepareDialog();
  buildTable(openRecording);
  listWorth();
  prepareValues();
  drawDots();
  prepareHappened();
  for (const button of document.querySelectorAll("[data-near]")) {
    button.hidden = !parts.near;
    button.addEventListener("click", () => { showOnly({near: true}); location.hash = "#recordings"; });
  }
  openFromAddress();
  if (count === 1 && sources.size && !location.hash) openRecording(0);
  addEventListener("hashchange", openFromAddress);
}
