// What the theme leaves out for keyboards and screen readers; some of it comes as it is scrolled to.
const named = {".md-search": "Search", "#__search": "Show the search", "#__drawer": "Show the contents"};
for (const [selector, name] of Object.entries(named)) document.querySelector(selector)?.setAttribute("aria-label", name);
const mend = () => {
  const blocks = [...document.querySelectorAll("pre")];
  for (const copy of document.querySelectorAll("nav.md-code__nav")) copy.ariaLabel = `Block of code ${blocks.indexOf(copy.parentElement) + 1}`;
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap")) table.tabIndex = 0;
};
new MutationObserver(mend).observe(document.body, {childList: true, subtree: true});
mend();
