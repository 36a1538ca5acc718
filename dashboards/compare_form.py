"""The Compare page's form: examples, model pickers, settings; and its scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import gradio as gr

from dashboards.actions.compare import MAX_COLUMNS
from dashboards.components import ROLE_NAMES
from dashboards.context import Context
from dashboards.markdown import plain
from imitation import facts
from imitation.values import ROLES, ModelCard

# Number keys and X vote, outside text fields, once the ballot is there.
KEYS_JS = """
<script>
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest('input, textarea, select, [contenteditable]')) return;
  const key = event.key.toLowerCase();
  if (!/^[0-9x]$/.test(key)) return;
  const button = document.querySelector(`.lab-vote button[data-key="${key}"]`);
  if (button) { event.preventDefault(); button.click(); }
});
// The question box takes the focus by itself: not where a comparison was opened to be voted on.
let touched = !/[?&](open|shared)=/.test(window.location.search);
for (const kind of ['pointerdown', 'keydown']) {
  document.addEventListener(kind, () => { touched = true; }, { capture: true });
}
document.addEventListener('focusin', (event) => { if (!touched) event.target.blur(); });
</script>
"""
# Pages are served under <base href="./">, where a bare hash would lead to the first of them: links
# to a place on the page name the page, and need not load it again.
LINKS_JS = """
<script>
document.addEventListener('click', (event) => {
  const link = event.target.closest('a[href*="#"]');
  if (!link || link.target || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const url = new URL(link.href);
  const trimmed = (path) => path.replace(/\\/+$/, '');
  const here = trimmed(url.pathname) === trimmed(window.location.pathname);
  if (!here || !url.hash) return;
  event.preventDefault();
  // One that is still to come looks at the address when it does.
  document.getElementById(decodeURIComponent(url.hash.slice(1)))?.scrollIntoView();
  const { pathname, search } = window.location;
  window.history.replaceState(null, '', pathname + search + url.hash);
});
</script>
"""
# A message from Python to the browser: a link to copy, a file to save, where to look; and which
# comparison is on screen, for the address to name it.
MESSAGE_JS = """
(text) => {
  if (!text) return;
  const message = JSON.parse(text);
  if (message.open !== undefined) {
    const url = new URL(window.location.href);
    if (!message.shared || url.searchParams.get('shared') !== message.shared) {
      for (const name of ['shared', 'open']) url.searchParams.delete(name);
      if (message.open) url.searchParams.set('open', message.open);
      if (url.href !== window.location.href) window.history.replaceState(null, '', url);
    }
  }
  if (message.kind === 'share') {
    const url = new URL(window.location.href);
    url.search = '?shared=' + message.id;
    if (navigator.clipboard) navigator.clipboard.writeText(url.toString()).catch(() => {});
  }
  if (message.kind === 'look') {
    const look = (tries) => {
      const place = document.getElementById(message.id);
      if (place?.offsetParent) place.scrollIntoView({ block: 'start', behavior: 'smooth' });
      else if (tries) setTimeout(() => look(tries - 1), 100);
    };
    look(30);
  }
  if (message.kind === 'file') {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([message.text], { type: 'application/jsonl' }));
    link.download = message.name;
    link.click();
    URL.revokeObjectURL(link.href);
  }
}
"""


def settings_form(context: Context) -> tuple[list[gr.Dropdown], list[gr.components.Component]]:
    """Pickers by role, then system prompt and sampling parameters in the order `ask` reads them."""
    catalog = context.catalog()
    chosen = defaults(catalog.values())
    with gr.Row():
        pickers = [
            gr.Dropdown(
                choices(context, role),
                value=[name for name in chosen if catalog[name].role == role],
                label=ROLE_NAMES[role],
                multiselect=True,
                max_choices=MAX_COLUMNS,
                elem_classes=f"lab-picker lab-role-{role}",
            )
            for role in ROLES
        ]
    system = gr.Textbox(label="System prompt", lines=2, placeholder="None: the model's own default")
    with gr.Row():
        temperature = gr.Slider(0, 2, 0.7, step=0.05, label="Temperature", info="0 is greedy")
        top_p = gr.Slider(0.05, 1, 0.95, step=0.05, label="Top p")
        tokens = gr.Slider(16, 1024, 256, step=16, label="Longest answer", info="tokens")
        seed = gr.Textbox(label="Seed", placeholder="drawn afresh", info="same seed, same answer")
    return pickers, [system, temperature, top_p, tokens, seed]


def choices(context: Context, role: str) -> list[tuple[str, str]]:
    """(name, id) of the catalog's models of one role."""
    return [(card.name, card.id) for card in context.catalog().values() if card.role == role]


def defaults(cards: Iterable[ModelCard]) -> list[str]:
    """The first base, imitation and reference; more of what there is where a role is empty."""
    cards = list(cards)
    first = [next((c.id for c in cards if c.role == role), None) for role in ROLES]
    chosen = [name for name in first if name]
    spare = [card.id for card in cards if card.id not in chosen]
    return chosen + spare[: max(0, 2 - len(chosen))]


def asked_for(catalog: Mapping[str, ModelCard], names: Iterable[str]) -> list[str]:
    """The models of an address, with what to see them beside: their bases and a reference.

    Those named are never left out for the others; in the order of the columns.
    """
    named = [name for name in dict.fromkeys(names) if name in catalog]
    bases = [catalog[name].base for name in named if catalog[name].base in catalog]
    others = [name for name in defaults(catalog.values()) if catalog[name].role == "reference"]
    chosen = list(dict.fromkeys([*named, *bases, *others]))[:MAX_COLUMNS]
    return sorted(chosen, key=lambda name: ROLES.index(catalog[name].role))


def examples_html() -> str:
    """Chips, one per query type; each opens a list of prompts that fill the question box."""
    path = Path(__file__).with_name("examples.json")
    groups: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    groups["Facts with a known answer"] = [fact.question for fact in facts.show_facts()]
    chips = []
    for title, prompts in groups.items():
        items = "".join(
            f'<li><button type="button" data-do="example" data-prompt="{plain(text)}">'
            f"{plain(text)}</button></li>"
            for text in prompts
        )
        chips.append(
            f'<details name="examples"><summary class="lab-chip">{plain(title)}</summary>'
            f"<ul>{items}</ul></details>"
        )
    return f'<div class="lab-examples" aria-label="Example prompts">{"".join(chips)}</div>'


def picked_example(event: gr.EventData) -> str:
    """The prompt of the example that was clicked."""
    return str((event._data or {}).get("prompt", ""))
