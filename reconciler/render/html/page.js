(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const tools = document.querySelector(".tools");

  // On paper, everything is open.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    closed.forEach((fold) => { fold.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((fold) => { fold.open = false; }));
  if (!tools) return;

  const field = tools.querySelector("input[type=search]");
  const output = tools.querySelector("output");
  const things = all("[data-kind]").map((element) => ({
    element,
    kind: element.dataset.kind,
    key: element.dataset.key,
    text: element.textContent.toLowerCase(),
    change: element.classList.contains("change"),
  }));
  const changes = things.filter((thing) => thing.change);
  const nothing = document.querySelector(".nothing");

  function apply() {
    const kind = tools.querySelector("input[type=radio]:checked").value;
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = (thing) => words.every((word) => thing.text.includes(word));
    const keys = new Set(changes.filter(found).map((thing) => thing.key));
    let shown = 0;
    for (const thing of things) {
      const match = (!kind || thing.kind === kind) && (found(thing) || (!thing.change && keys.has(thing.key)));
      thing.element.hidden = !match;
      if (thing.change && match) shown += 1;
      if (thing.change && words.length) unfold(thing.element, words);
    }
    output.value = shown === changes.length
      ? `${changes.length} ${changes.length === 1 ? "change" : "changes"}`
      : `${shown} of ${changes.length} changes`;
    nothing.hidden = things.some((thing) => !thing.element.hidden);
  }

  // The address holds the filter, so that it can be passed on.
  function keep() {
    apply();
    const state = new URLSearchParams();
    const kind = tools.querySelector("input[type=radio]:checked").value;
    if (kind) state.set("kind", kind);
    if (field.value) state.set("q", field.value);
    history.replaceState(null, "", `#${state}`);
  }

  // What was searched for may lie in a fold.
  function unfold(element, words) {
    for (const fold of all("details", element)) {
      const text = fold.textContent.toLowerCase();
      if (words.some((word) => text.includes(word) && !fold.firstElementChild.textContent.toLowerCase().includes(word)))
        fold.open = true;
    }
  }

  // A link to a change opens it, also when the filter hides it or it was folded since the last click.
  function reveal(hash) {
    const target = document.getElementById(decodeURIComponent(hash.slice(1)));
    if (!target) return;
    if (target.hidden) { choose("", ""); keep(); }
    const fold = target.querySelector("details");
    if (fold) fold.open = true;
  }

  function choose(kind, query) {
    field.value = query;
    for (const radio of all("input[type=radio]", tools)) radio.checked = radio.value === kind;
    if (!tools.querySelector("input:checked")) tools.querySelector("input[type=radio]").checked = true;
  }

  function restore() {
    const state = new URLSearchParams(location.hash.slice(1));
    if (location.hash.length > 1 && !state.has("kind") && !state.has("q")) {
      reveal(location.hash);
      return;
    }
    choose(state.get("kind") || "", state.get("q") || "");
    apply();
  }

  tools.addEventListener("input", keep);
  tools.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", restore);
  addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link) reveal(link.hash);
  });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input")) { event.preventDefault(); field.focus(); }
    if (event.key === "Escape" && event.target === field) { field.value = ""; keep(); }
  });
  tools.hidden = false;
  apply();
  restore();
})();
