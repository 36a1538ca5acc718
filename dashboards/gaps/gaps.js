// The Gaps page: switches, downloads and the section of local runs. Runs after plots.js.
element.addEventListener('click', async (event) => {
  const button = event.target.closest('button[data-view], button[data-format]');
  if (!button) return;
  if (!button.dataset.view) {
    await download(button);
    return;
  }
  const section = sectionOf(button);
  section.dataset.view = button.dataset.view;
  section.querySelectorAll('button[data-view]').forEach((b) => b.setAttribute('aria-pressed', b === button));
  redraw([...section.querySelectorAll('.lab-plot')]);
});

const own = element.querySelector('.lab-own');

// The section of local runs comes from the server, again whenever one of its filters is changed.
async function showOwn(choice = {}) {
  const view = own.querySelector('.lab-section')?.dataset.view ?? 'score';
  const found = await server.local_runs(choice);
  Object.assign(figures, found.figures);
  own.innerHTML = found.html;
  own.querySelector('.lab-section').dataset.view = view;
  own.querySelectorAll('button[data-view]').forEach((b) => b.setAttribute('aria-pressed', b.dataset.view === view));
  observe([...own.querySelectorAll('.lab-plot')]);
}

element.addEventListener('change', ({ target }) => {
  if (!target.dataset.own) return;
  const selects = [...own.querySelectorAll('select[data-own]')];
  showOwn(Object.fromEntries(selects.map((s) => [s.dataset.own, s.value])))
    .then(() => own.querySelector(`[data-own="${target.dataset.own}"]`)?.focus())
    .catch((error) => failed(error, [...own.querySelectorAll('.lab-plot')]));
});

async function start() {
  ({ figures, template } = await server.gap_figures());
  observe(plots());
  await showOwn();
  // The page came after the browser looked for its anchor, and has its height only now.
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  followDark();
}

const ready = start().catch((error) => failed(error, plots()));
