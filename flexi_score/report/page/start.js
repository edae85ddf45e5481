// Everything is set up here, once.
const prepareTheme = () => {
  const root = document.documentElement, button = $("theme");
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const show = () => {
    button.textContent = dark() ? "Light" : "Dark";
    if (opened && opened.timeline) opened.timeline.draw();
  };
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; show(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  button.hidden = false;
  show();
};

const prepareSections = () => {
  const links = new Map([...document.querySelectorAll(".sections a")].map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      const link = links.get(entry.target.id);
      if (link) link.setAttribute("aria-current", "true");
    }
  }, {rootMargin: "-64px 0px -70% 0px"});
  for (const section of document.querySelectorAll("main > section")) watch.observe(section);
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
  for (const button of document.querySelectorAll("[data-near]")) {
    button.hidden = !parts.near;
    button.addEventListener("click", () => { showOnly({near: true}); location.hash = "#recordings"; });
  }
  openFromAddress();
  addEventListener("hashchange", openFromAddress);
}
