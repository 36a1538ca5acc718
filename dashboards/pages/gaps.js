// Runs once for the Gaps page (gr.HTML's js_on_load): draws the figures the page brought along,
// when they come near the screen, in the colours and columns of the moment.
const { figures, template, dark, plotly } = props;
const drawn = new Map();
const EXPORT = { width: 1600, height: 900, scale: 2 };

const isDark = () => document.body.classList.contains('dark');
const sectionOf = (node) => node.closest('.lab-section');
const viewOf = (node) => sectionOf(node).dataset.view;

// Figures come in light colours; each has one counterpart for dark.
function coloured(value) {
  const text = JSON.stringify(value);
  return JSON.parse(isDark() ? text.replace(/#[0-9a-f]{6}/g, (c) => dark[c] ?? c) : text);
}

function loadPlotly() {
  window.labPlotly ??= window.Plotly ? Promise.resolve() : new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = `${window.gradio_config?.root ?? ''}${plotly}`;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${script.src} did not load`));
    document.head.append(script);
  });
  return window.labPlotly;
}

function columnsFor(meta, width) {
  return [3, 2, 1].find((n) => n <= meta.columns && (n === 1 || width >= meta.widths[n]));
}

function reserve(node) {
  const { meta } = figures[node.dataset.figure].score.layout;
  if (meta.max_width) node.style.maxWidth = `${meta.max_width}px`;
  node.style.minHeight = `${meta.layouts[columnsFor(meta, node.clientWidth)].height}px`;
}

async function draw(node) {
  const entry = figures[node.dataset.figure];
  const { data, layout } = coloured(entry[viewOf(node)] ?? entry.score);
  const width = node.clientWidth;
  layout.template = coloured(template);
  await window.Plotly.react(node, data, { ...layout, width }, { displayModeBar: false });
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
  await window.Plotly.relayout(node, { ...keys, width });
}

const redraw = (nodes) => nodes.filter((node) => drawn.has(node)).forEach(draw);

// A picture for slides: widest arrangement that fits, larger type, title and source on it.
async function picture(id, format, section) {
  const entry = figures[id];
  const meta = entry.score.layout.meta;
  const room = { width: EXPORT.width - 96, height: EXPORT.height - 190 };
  const fit = (n) => Math.min(room.width / meta.widths[n], room.height / meta.layouts[n].height);
  const columns = [3, 2, 1].filter((n) => n <= entry.panels).sort((a, b) => fit(b) - fit(a))[0];
  const larger = Math.min(1.5, fit(columns));
  const whole = { ...(entry[section.dataset.view] ?? entry.score), template };
  const text = JSON.stringify(coloured(whole));
  const figure = JSON.parse(text.replace(/"size":([\d.]+)/g, (_, n) => `"size":${n * larger}`));
  const { ink, soft, ground } = coloured(props.colours);
  const layout = { ...figure.layout, template: figure.template, width: EXPORT.width, height: EXPORT.height };
  for (const [key, value] of Object.entries(meta.layouts[columns])) {
    const [, name, index, field] = key.match(/^(\w+?)(?:\[(\d+)\])?(?:\.(\w+))?$/);
    if (index) layout[name][index][field] = value;
    else if (field) layout[name][field] = value;
  }
  layout.paper_bgcolor = ground;
  layout.margin = { l: 48, r: 48, t: 110, b: 80, autoexpand: false };
  layout.title = { text: `<b>${section.dataset.title}</b>`, x: 48 / EXPORT.width, xanchor: 'left',
    y: 1 - 48 / EXPORT.height, yanchor: 'middle', font: { size: 34, color: ink } };
  layout.annotations.push({ text: entry.source, xref: 'paper', yref: 'paper', x: 0, y: 0, xanchor: 'left',
    yanchor: 'top', yshift: -38, showarrow: false, align: 'left', font: { size: 16, color: soft } });
  const url = await window.Plotly.toImage({ data: figure.data, layout }, { format, ...EXPORT });
  const link = document.createElement('a');
  link.href = url;
  link.download = `${id}${section.dataset.view === 'gap' ? '-gap-closed' : ''}.${format}`;
  link.click();
}

element.addEventListener('click', async (event) => {
  const button = event.target.closest('button[data-view], button[data-format]');
  if (!button) return;
  const section = sectionOf(button);
  if (button.dataset.view) {
    section.dataset.view = button.dataset.view;
    section.querySelectorAll('button[data-view]').forEach((b) => b.setAttribute('aria-pressed', b === button));
    redraw([...section.querySelectorAll('.lab-plot')]);
  } else {
    await loadPlotly();
    await picture(button.dataset.figure, button.dataset.format, section);
  }
});

const plots = [...element.querySelectorAll('.lab-plot')];
plots.forEach(reserve);
const near = new IntersectionObserver((entries) => entries.filter((e) => e.isIntersecting).forEach(async ({ target }) => {
  near.unobserve(target);
  try {
    await loadPlotly();
    await draw(target);
  } catch (error) {
    target.style.minHeight = 0;
    target.textContent = 'The figure could not be drawn; the table below holds its numbers.';
    console.error(error);
  }
}), { rootMargin: '800px' });
plots.forEach((node) => near.observe(node));

const sizes = new ResizeObserver((entries) => requestAnimationFrame(
  () => entries.forEach(({ target }) => drawn.has(target) && arrange(target))));
plots.forEach((node) => sizes.observe(node));
let wasDark = isDark();
new MutationObserver(() => {
  if (isDark() === wasDark) return;
  wasDark = isDark();
  redraw(plots);
}).observe(document.body, { attributes: true, attributeFilter: ['class'] });
