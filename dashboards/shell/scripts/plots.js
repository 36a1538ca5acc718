// Figures of a page whose sections are static HTML: drawn when they come near the screen, in the
// colours and columns of the moment. Runs after drawing.js; each page's own
// script follows in the same function.
const { colours } = props;
let figures;
let template;
const drawn = new Map();
const EXPORT = { width: 1600, height: 900, scale: 2 };

const sectionOf = (node) => node.closest('[data-view][data-title]');
const viewOf = (node) => sectionOf(node).dataset.view;

function columnsFor(meta, width) {
  return [3, 2, 1].find((n) => n <= meta.columns && (n === 1 || width >= meta.widths[n]));
}

// x domains come as pairs of (share, px); here they become shares of a width.
function placed(layout, width, scale = 1) {
  const share = ([part, px]) => part + (px * scale) / width;
  return Object.fromEntries(Object.entries(layout).map(
    ([key, value]) => [key, key.startsWith('xaxis') ? value.map(share) : value]));
}

function reserve(node) {
  const { meta } = figures[node.dataset.figure].score.layout;
  if (meta.max_width) node.style.maxWidth = `${meta.max_width}px`;
  node.style.minHeight = `${meta.layouts[columnsFor(meta, node.clientWidth)].height}px`;
}

// A mark may lie on a line's point, which is then the one that was clicked.
function linkAt(node, { x, y, data: { xaxis } }) {
  for (const trace of node.data.filter((t) => t.customdata && t.xaxis === xaxis)) {
    const at = trace.x.findIndex((_, i) => trace.x[i] === x && trace.y[i] === y);
    if (at >= 0) return trace.customdata[at];
  }
  return undefined;
}

async function draw(node) {
  const entry = figures[node.dataset.figure];
  const { data, layout } = coloured(entry[viewOf(node)] ?? entry.score);
  const width = node.clientWidth;
  layout.template = coloured(template);
  await window.Plotly.react(node, data, { ...layout, width }, { displayModeBar: false });
  // A point of an own run opens the answers behind it.
  node.removeAllListeners('plotly_click');
  node.on('plotly_click', ({ points: [point] }) => {
    const link = linkAt(node, point);
    if (link) window.location.assign(new URL(link, window.location.href));
  });
  drawn.set(node, 0);
  await arrange(node);
}

async function arrange(node) {
  const width = node.clientWidth;
  if (!width || drawn.get(node) === width) return;
  drawn.set(node, width);
  const { meta } = node.layout;
  const keys = meta.layouts[columnsFor(meta, width)];
  node.style.minHeight = `${keys.height}px`;
  await window.Plotly.relayout(node, { ...placed(keys, width), width });
}

const redraw = (nodes) => nodes.filter((node) => drawn.has(node)).forEach(draw);

function wrapped(text, length) {
  const lines = [''];
  for (const word of text.split(' ')) {
    if (lines.at(-1) && lines.at(-1).length + word.length >= length) lines.push('');
    lines[lines.length - 1] += (lines.at(-1) && ' ') + word;
  }
  return lines;
}

// A picture for slides: heading, finding, figure and source, in larger type. A data: address.
async function picture(id, format, section) {
  const entry = figures[id];
  const shown = entry[section.dataset.view] ?? entry.score;
  const finding = wrapped(section.querySelector('.lab-finding').textContent, 125);
  const margin = { l: 48, r: 48, t: 112 + 28 * finding.length, b: 72, autoexpand: false };
  const room = { width: EXPORT.width - margin.l - margin.r, height: EXPORT.height - margin.t - margin.b };
  const { layouts, widths, panels } = shown.layout.meta;
  const fit = (n) => Math.min(room.width / widths[n], room.height / layouts[n].height);
  const columns = [3, 2, 1].filter((n) => n <= panels).sort((a, b) => fit(b) - fit(a))[0];
  const larger = Math.min(1.5, fit(columns));
  const text = JSON.stringify(coloured({ ...shown, template }));
  const figure = JSON.parse(text.replace(/"size":([\d.]+)/g, (_, n) => `"size":${n * larger}`));
  const layout = { ...figure.layout, template: figure.template, width: EXPORT.width, height: EXPORT.height, margin };
  for (const [key, value] of Object.entries(placed(layouts[columns], room.width, larger))) {
    const [, name, index, field] = key.match(/^(\w+?)(?:\[(\d+)\])?(?:\.(\w+))?$/);
    if (index) layout[name][index][field] = value;
    else if (field) layout[name][field] = value;
  }
  const { ink, soft, ground } = coloured(colours);
  const edge = { xref: 'paper', yref: 'paper', x: 0, xanchor: 'left', showarrow: false, align: 'left' };
  const font = (size, color) => ({ size, color });
  layout.paper_bgcolor = ground;
  layout.annotations.push(
    { ...edge, text: `<b>${section.dataset.title}</b>`, y: 1, yanchor: 'top', yshift: margin.t - 28, font: font(32, ink) },
    { ...edge, text: finding.join('<br>'), y: 1, yanchor: 'top', yshift: margin.t - 76, font: font(21, ink) },
    { ...edge, text: entry.source, y: 0, yanchor: 'top', yshift: -30, font: font(16, soft) },
  );
  return window.Plotly.toImage({ data: figure.data, layout }, { format, ...EXPORT });
}

function save(url, name) {
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
}

// What a button[data-format] asks for; `ready` is each page's own.
async function download(button) {
  await ready;
  await loadPlotly();
  const section = sectionOf(button);
  const { figure: id, format } = button.dataset;
  save(await picture(id, format, section), `${id}${section.dataset.view === 'gap' ? '-gap-closed' : ''}.${format}`);
}

const plots = () => [...element.querySelectorAll('.lab-plot')];

function failed(error, nodes) {
  console.error(error);
  for (const node of nodes) {
    node.style.minHeight = 0;
    node.textContent = 'The figure could not be drawn; the table below holds its numbers.';
  }
}

const near = new IntersectionObserver((entries) => entries.forEach(async ({ target, isIntersecting }) => {
  if (!isIntersecting) return;
  near.unobserve(target);
  await loadPlotly().then(() => draw(target)).catch((error) => failed(error, [target]));
}), { rootMargin: '800px' });
const sizes = new ResizeObserver((entries) => requestAnimationFrame(
  () => entries.forEach(({ target }) => drawn.has(target) && arrange(target))));

function observe(nodes) {
  nodes.forEach(reserve);
  for (const node of nodes) {
    near.observe(node);
    sizes.observe(node);
  }
}

// Drawn again in the other colours when the page changes between light and dark.
function followDark() {
  let wasDark = isDark();
  new MutationObserver(() => {
    if (isDark() === wasDark) return;
    wasDark = isDark();
    redraw(plots());
  }).observe(document.body, { attributes: true, attributeFilter: ['class'] });
}
