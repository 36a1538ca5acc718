// The Story page: one slide at a time, by keys, buttons and address; saved as one file. Runs after
// plots.js.
const story = element.querySelector('.lab-story');
const slides = [...element.querySelectorAll('.lab-slide')];
const place = element.querySelector('.lab-deck [role=status]');
const turn = (by) => element.querySelector(`[data-go="${by}"]`);
let current = 0;

function show(index) {
  current = Math.max(0, Math.min(slides.length - 1, index));
  slides.forEach((slide, at) => { slide.hidden = at !== current; });
  place.textContent = `${current + 1} / ${slides.length}`;
  turn(-1).disabled = current === 0;
  turn(1).disabled = current === slides.length - 1;
  // In full: the page's base address is the app's.
  window.history.replaceState(window.history.state, '', `${location.pathname}${location.search}#${current + 1}`);
  story.scrollTop = 0;
}

const KEYS = {
  ArrowRight: () => current + 1, PageDown: () => current + 1, ' ': () => current + 1,
  ArrowLeft: () => current - 1, PageUp: () => current - 1,
  Home: () => 0, End: () => slides.length - 1,
};

const present = () => (document.fullscreenElement ? document.exitFullscreen() : story.requestFullscreen());

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !element.isConnected) return;
  // Elsewhere the space bar presses the button that has the focus.
  if (event.target.closest('input, textarea, select, a') || (event.key === ' ' && event.target.closest('button'))) return;
  const to = KEYS[event.key];
  if (to) {
    event.preventDefault();
    show(to());
  } else if (event.key === 'f') {
    present();
  }
});

// A file of its own: pictures of the figures with their claims, and a few lines to turn the slides.
async function file() {
  await ready;
  await loadPlotly();
  const { ink, soft, ground } = coloured(colours);
  const made = document.implementation.createHTMLDocument('Imitating a proprietary model');
  made.documentElement.lang = 'en';
  const meta = made.createElement('meta');
  meta.setAttribute('charset', 'utf-8');
  const style = made.createElement('style');
  style.textContent = `
    @page { size: 1600px 900px; margin: 0 }
    body { margin: 0; background: ${ground}; color: ${ink}; font: 22px/1.5 system-ui, sans-serif }
    section { box-sizing: border-box; min-height: 100vh; padding: 3vh 4vw; display: grid; align-content: center; gap: 12px; break-after: page }
    img { width: 100%; max-height: 84vh; object-fit: contain; object-position: left }
    h2 { font-size: 48px; line-height: 1.2; margin: 0 } p { margin: 0; max-width: 60em } small { color: ${soft}; font-size: 15px; max-width: 90em }
    @media print { section { height: 900px } }`;
  const script = made.createElement('script');
  script.textContent = `
    const slides = [...document.querySelectorAll('section')];
    const at = () => slides.findIndex((s) => s.getBoundingClientRect().bottom > innerHeight / 2);
    addEventListener('keydown', (event) => {
      const by = { ArrowRight: 1, PageDown: 1, ' ': 1, ArrowLeft: -1, PageUp: -1 }[event.key];
      if (by) { event.preventDefault(); slides[at() + by]?.scrollIntoView(); }
    });`;
  made.head.append(meta, style);
  for (const slide of slides) {
    const page = made.createElement('section');
    const add = (kind, text) => {
      const node = made.createElement(kind);
      node.textContent = text;
      page.append(node);
      return node;
    };
    const plot = slide.querySelector('.lab-plot');
    const finding = slide.querySelector('.lab-finding')?.textContent ?? '';
    if (plot && figures[plot.dataset.figure]) {
      const image = add('img', '');
      image.alt = `${slide.dataset.title}. ${finding}`;
      image.src = await picture(plot.dataset.figure, 'svg', slide);
    } else {
      add('h2', slide.dataset.title);
      if (finding) add('p', finding);
      slide.querySelectorAll('.lab-points li, .lab-quiet').forEach((point) => add('p', point.textContent));
    }
    slide.querySelectorAll('.lab-note').forEach((note) => add('small', note.textContent));
    made.body.append(page);
  }
  made.body.append(script);
  const text = `<!doctype html>\n${made.documentElement.outerHTML}`;
  const url = URL.createObjectURL(new Blob([text], { type: 'text/html' }));
  save(url, 'imitation-story.html');
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

element.addEventListener('click', async (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  const { go, do: what, format } = button.dataset;
  if (go) show(current + Number(go));
  else if (what === 'present') await present();
  else if (what === 'save') await file();
  else if (format) await download(button);
});

// What this laboratory measured: its figure in the finding's place on the last slide but one.
function fillOwn({ html, figures: found }) {
  const slide = element.querySelector('.lab-slide-own');
  const box = document.createElement('div');
  box.innerHTML = html;
  Object.assign(figures, found);
  slide.querySelector('.lab-finding').textContent = box.querySelector('.lab-finding')?.textContent ?? '';
  slide.querySelector('.lab-own-notes').append(...box.querySelectorAll('.lab-note, .lab-quiet'));
  if (!found.own) slide.querySelector('.lab-own-figure').remove();
}

async function start() {
  ({ figures, template } = await server.gap_figures());
  fillOwn(await server.local_runs({}));
  observe(plots());
  followDark();
}

const showAddressed = () => show((Number.parseInt(location.hash.slice(1), 10) || 1) - 1);
window.addEventListener('hashchange', () => { if (element.isConnected) showAddressed(); });
showAddressed();
const ready = start().catch((error) => failed(error, plots()));
