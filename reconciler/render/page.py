"""The frame of every HTML page: its style, its script, and the policy that lets nothing else in.

The page asks for nothing: no font, no picture, no other file. Its Content-Security-Policy names the style and the
script by their hash, so that nothing that came from elsewhere could run even if it got through the escaping.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Final

from reconciler.render.tags import Html, tag, together

STYLE: Final = """
:root {
  color-scheme: light dark;
  --ground: #ffffff; --raised: #f6f8fa; --line: #d1d9e0; --text: #1f2328; --quiet: #57606a; --link: #0550ae;
  --red: #b3191f; --red-ground: #ffebe9; --amber: #7d4e00; --amber-ground: #fff8c5; --green: #116329;
  --green-ground: #dafbe1; --blue: #0550ae; --blue-ground: #ddf4ff; --violet: #6639ba; --violet-ground: #fbefff;
  --bar-live: #218bff; --bar-planned: #2da44e; --bar-ending: #cf222e; --bar-ended: #afb8c1;
  --bar-lost: #ffcecb; --bar-gap: #bf8700;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "PingFang SC", "Hiragino Sans GB",
    "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", sans-serif;
  --mono: ui-monospace, SFMono-Regular, "SF Mono", Menlo, Consolas, "Liberation Mono", "DejaVu Sans Mono",
    "PingFang SC", "Microsoft YaHei", "Noto Sans Mono CJK SC", "Noto Sans CJK SC", monospace;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ground: #0d1117; --raised: #161b22; --line: #30363d; --text: #e6edf3; --quiet: #9198a1; --link: #79c0ff;
    --red: #ff8e86; --red-ground: #3a1416; --amber: #e3b341; --amber-ground: #2e2412; --green: #56d364;
    --green-ground: #12261b; --blue: #79c0ff; --blue-ground: #0f2740; --violet: #d2a8ff; --violet-ground: #271b3d;
    --bar-live: #388bfd; --bar-planned: #3fb950; --bar-ending: #f85149; --bar-ended: #484f58;
    --bar-lost: #5c1e20; --bar-gap: #e3b341;
  }
}
*, *::before, *::after { box-sizing: border-box; }
[hidden] { display: none !important; }
html { scroll-padding-top: 4.5rem; }
body {
  margin: 0 auto; padding: 1.5rem 1.25rem 3rem; max-width: 78rem; background: var(--ground); color: var(--text);
  font: 1rem/1.55 var(--sans); overflow-wrap: anywhere;
}
h1 { margin: 0; font-size: 1.5rem; line-height: 1.25; }
h2 { margin: 2.25rem 0 .75rem; font-size: 1.2rem; line-height: 1.3; }
h3 { margin: 0; font-size: 1rem; }
p { margin: .25rem 0; }
ul, ol { margin: 0; padding: 0; list-style: none; }
a { color: var(--link); }
code, .mono { font-family: var(--mono); font-size: .875em; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 4px; }
.quiet { color: var(--quiet); }
.small { font-size: .875rem; }
.summary { margin: .5rem 0 0; font-size: 1.0625rem; font-weight: 600; }

.rejected { border-collapse: collapse; margin: .375rem 0; font-size: .875rem; }
.rejected th, .rejected td { padding: .125rem .75rem .125rem 0; text-align: left; }
.rejected tr { border-bottom: 1px solid var(--line); }
.rejected th { color: var(--quiet); font-weight: 400; }

.facts { display: flex; flex-wrap: wrap; gap: .125rem 1.5rem; margin: .5rem 0 0; font-size: .875rem; }
.facts div { display: flex; gap: .375rem; min-width: 0; }
.facts dt { flex: none; color: var(--quiet); }
.facts dd { margin: 0; }

.counts { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); gap: .5rem;
  margin-top: 1.25rem; }
.counts li { padding: .625rem .75rem; border: 1px solid var(--line); border-radius: 8px; background: var(--raised); }
.counts b { display: block; font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.counts .none { opacity: .65; }
.counts .red:not(.none) { border-color: var(--red); background: var(--red-ground); color: var(--red); }

.card { margin-top: .5rem; padding: .75rem 1rem; border: 1px solid var(--line); border-left: 4px solid var(--line);
  border-radius: 8px; }
.card.refusal, .card.error, .card.ending { border-left-color: var(--red); background: var(--red-ground); }
.card.warning, .card.waived { border-left-color: var(--amber); background: var(--amber-ground); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: .5rem; }
.cards .card { margin: 0; }
.card .where { font-size: .875rem; }
.card .waive { margin-top: .375rem; font-size: .875rem; }

.badge { display: inline-block; padding: 0 .5rem; border-radius: 1rem; font-size: .8125rem; font-weight: 600;
  line-height: 1.5rem; white-space: nowrap; background: var(--raised); color: var(--quiet); }
.badge.create, .badge.planned, .badge.done { background: var(--green-ground); color: var(--green); }
.badge.update, .badge.live { background: var(--blue-ground); color: var(--blue); }
.badge.replace { background: var(--violet-ground); color: var(--violet); }
.badge.terminate, .badge.terminating, .badge.failed, .badge.unknown { background: var(--red-ground);
  color: var(--red); }
.card.ending .badge { background: var(--ground); }
.badge.gap, .badge.overlap, .badge.partial { background: var(--amber-ground); color: var(--amber); }

.tools { position: sticky; top: 0; z-index: 2; display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1rem;
  margin: 2.25rem -1.25rem 0; padding: .625rem 1.25rem; background: var(--ground);
  border-block: 1px solid var(--line); }
.tools input[type=search] { flex: 1 1 14rem; min-width: 0; height: 2.25rem; padding: 0 .75rem; font: inherit;
  color: inherit; background: var(--raised); border: 1px solid var(--line); border-radius: 6px; }
.tools fieldset { display: flex; flex-wrap: wrap; gap: .25rem; margin: 0; padding: 0; border: 0; min-width: 0; }
.tools label { position: relative; display: block; }
.tools input[type=radio] { position: absolute; inset: 0; opacity: 0; margin: 0; cursor: pointer; }
.tools label span { display: block; padding: 0 .75rem; line-height: 2rem; border: 1px solid var(--line);
  border-radius: 1rem; font-size: .875rem; }
.tools input:checked + span { background: var(--text); border-color: var(--text); color: var(--ground); }
.tools input:focus-visible + span { outline: 2px solid var(--link); outline-offset: 2px; }
.tools output { font-size: .875rem; color: var(--quiet); white-space: nowrap; }

.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0 0 .75rem; font-size: .875rem;
  color: var(--quiet); }
.legend li { display: flex; align-items: center; gap: .5rem; }
.legend svg { width: 1.75rem; height: .875rem; flex: none; }
.patterns { position: absolute; }
.timeline { position: relative; border: 1px solid var(--line); border-radius: 8px; }
.timeline svg { display: block; width: 100%; overflow: visible; }
.timeline .row { display: grid; grid-template-columns: 19rem 1fr; min-height: 3.25rem;
  border-top: 1px solid var(--line); }
.timeline .head { position: sticky; top: 3.75rem; z-index: 1; border-top: 0; min-height: 2.5rem;
  background: var(--raised); border-radius: 8px 8px 0 0; }
.timeline .what { padding: .375rem .75rem; min-width: 0; font-size: .875rem; line-height: 1.35; }
.timeline .what a { font-weight: 600; }
.timeline .what .badge { line-height: 1.25rem; font-size: .75rem; }
.timeline .when { font-size: .75rem; font-variant-numeric: tabular-nums; }
.timeline .track { position: relative; min-width: 0; border-left: 1px solid var(--line); overflow: hidden; }
.timeline .bar { position: absolute; inset: 0; height: 100%; }
.timeline .axis { height: 2.25rem; font-size: .75rem; fill: var(--quiet); font-variant-numeric: tabular-nums; }
.timeline .axis .now { fill: var(--red); font-weight: 600; }
.timeline .grid { position: absolute; top: 0; bottom: 0; right: 0; width: calc(100% - 19rem); height: 100%;
  pointer-events: none; }
.grid line { stroke: var(--line); stroke-width: 1; }
.grid line.now { stroke: var(--red); stroke-width: 1.5; stroke-dasharray: 4 3; }
rect.live { fill: var(--bar-live); }
rect.planned { fill: var(--green-ground); stroke: var(--bar-planned); stroke-width: 1.5; }
rect.ending { fill: var(--bar-ending); }
rect.ended { fill: var(--bar-ended); }
rect.load { fill: var(--bar-live); opacity: .55; }
rect.lost { fill: url(#lost); stroke: var(--bar-ending); stroke-width: 1; stroke-dasharray: 3 2; }
rect.gap { fill: url(#gap); stroke: var(--bar-gap); stroke-width: 1.5; }
rect.overlap { fill: url(#overlap); stroke: var(--violet); stroke-width: 1.5; }
.lost-ground { fill: var(--ground); } .lost-line { fill: var(--bar-lost); }
.gap-ground { fill: var(--amber-ground); } .gap-line { fill: var(--bar-gap); }
.overlap-ground { fill: var(--violet-ground); } .overlap-line { fill: var(--violet); }

.change { margin-top: .5rem; border: 1px solid var(--line); border-radius: 8px; }
.change > details > summary { padding: .625rem 1rem; cursor: pointer; }
.change > details > summary h3 { display: inline; margin: 0 .25rem; }
.change .headline { display: block; margin: .125rem 0 0 1rem; }
.lines { padding: .25rem 1rem .75rem; }
.lines li { display: grid; grid-template-columns: 1.5rem 1fr; padding: .0625rem .25rem; border-radius: 4px; }
.lines li.add > b { color: var(--green); } .lines li.drop > b { color: var(--red); }
.lines li.alter > b { color: var(--blue); } .lines li.alert > b { color: var(--amber); }
.lines li.drop.end, .lines li.alert { background: var(--red-ground); color: var(--red); font-weight: 600; }
.lines li.alert { background: var(--amber-ground); color: var(--amber); }
.lines li.time { color: var(--quiet); }
.lines b { font-family: var(--mono); }
.lines del { color: var(--red); } .lines ins { color: var(--green); text-decoration: none; font-weight: 600; }
.ids { max-height: 14rem; overflow: auto; columns: 7rem; font-size: .8125rem; }
.ids li { display: block; font-family: var(--mono); padding: 0; }
.lines summary, section > details > summary { cursor: pointer; color: var(--link); }
footer { margin-top: 2.5rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: .875rem;
  color: var(--quiet); }

@media (max-width: 48rem) {
  body { padding: 1rem .875rem 2rem; }
  html { scroll-padding-top: .5rem; }
  .tools { position: static; margin-inline: -.875rem; padding-inline: .875rem; }
  .tools fieldset { flex-wrap: nowrap; overflow-x: auto; }
  .tools label { flex: none; }
  .timeline .row { grid-template-columns: 1fr; }
  .timeline .head .what { display: none; }
  .timeline .head { position: static; }
  .timeline .row:not(.head) .track { min-height: 1.75rem; }
  .timeline .what { padding-bottom: .125rem; background: var(--ground); position: relative; z-index: 1; }
  .timeline .track { border-left: 0; }
  .timeline .grid { width: 100%; }
  .axis .minor { display: none; }
  .counts { grid-template-columns: repeat(4, minmax(0, 1fr)); }
  .counts li { padding: .375rem .5rem; font-size: .8125rem; line-height: 1.3; overflow-wrap: normal; }
  .counts b { font-size: 1.25rem; }
}
@media print {
  :root { color-scheme: light; --text: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .tools { display: none; }
  .timeline .head { position: static; }
  .card, .change, .timeline .row { break-inside: avoid; }
  .ids { max-height: none; }
  h2 { break-after: avoid; }
  * { print-color-adjust: exact; }
}
"""

SCRIPT: Final = """
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
    const words = field.value.toLowerCase().split(/\\s+/).filter(Boolean);
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
"""


def _hash(content: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_hash(STYLE)}",
        f"script-src {_hash(SCRIPT)}",
        "base-uri 'none'",
        "form-action 'none'",
    )
)


def page(title: str, *body: str | None) -> str:
    """A whole document, which needs nothing but itself."""
    head = together(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("title", title),
        tag("style", Html(STYLE)),
    )
    script = tag("script", Html(SCRIPT))
    document = tag("html", tag("head", head), tag("body", *body, script), lang="en")
    return f"<!doctype html>\n{document}\n"
