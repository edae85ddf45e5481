(() => {
  "use strict";
  const tools = document.getElementById("tools");
  if (!tools) return;
  const list = document.getElementById("list");
  const cards = Array.from(list.children);
  const by = (id) => document.getElementById(id);
  const number = (card, key) => {
    const value = card.getAttribute(key);
    return value === null || value === "" ? Infinity : Number(value);
  };
  const text = (card, key) => card.getAttribute(key) || "";
  const orders = {
    order: (a, b) => number(a, "data-order") - number(b, "data-order"),
    margin: (a, b) => {
      const x = number(a, "data-margin"), y = number(b, "data-margin");
      return x === y ? orders.order(a, b) : x - y;
    },
    id: (a, b) => text(a, "data-id").localeCompare(text(b, "data-id"), undefined, {numeric: true}),
    system: (a, b) =>
      text(a, "data-system").localeCompare(text(b, "data-system")) || orders.order(a, b),
    scenario: (a, b) =>
      text(a, "data-scenario").localeCompare(text(b, "data-scenario")) || orders.order(a, b),
  };
  const show = () => {
    const words = by("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const want = (id, card) => {
      const chosen = by(id).value;
      return chosen === "" || text(card, "data-" + id).split("\n").includes(chosen);
    };
    let shown = 0;
    for (const card of cards) {
      const hit = words.every((word) => text(card, "data-text").includes(word)) &&
        want("system", card) && want("scenario", card) && want("states", card);
      card.hidden = !hit;
      shown += hit ? 1 : 0;
    }
    by("shown").textContent = shown + " of " + cards.length;
  };
  const sort = () => {
    cards.sort(orders[by("sort").value]);
    list.append(...cards);
  };
  let waiting = 0;
  by("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 120);
  });
  for (const id of ["system", "scenario", "states"]) by(id).addEventListener("change", show);
  by("sort").addEventListener("change", sort);
  tools.hidden = false;
  show();
})();
