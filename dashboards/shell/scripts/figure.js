// Runs once for a figure of its own component (gr.HTML's js_on_load): draws props.value, a Plotly figure in light
// colours, again whenever it changes, in the colours and width of the moment. Runs after drawing.js.
const plot = () => element.querySelector('.lab-plot');
let drawnWidth = 0;

async function draw() {
  const node = plot();
  const width = node.clientWidth;
  node.closest('figure').hidden = !props.value;
  if (!props.value || !width) return;
  await loadPlotly();
  const { data, layout } = coloured(props.value);
  // Names stand right of the curves; where there is no room, hovering tells them.
  if (width < 560) {
    layout.margin.r = 16;
    layout.annotations = layout.annotations.filter(({ xref }) => xref === 'paper');
  }
  await window.Plotly.react(node, data, { ...layout, width }, { displayModeBar: false });
  drawnWidth = width;
}

const redraw = () => draw().catch((error) => {
  console.error(error);
  plot().textContent = 'The figure could not be drawn; the text below holds its values.';
});

element.addEventListener('click', (event) => {
  const format = event.target.closest('button[data-format]')?.dataset.format;
  if (!format) return;
  // A picture has a ground of its own: dark colours on a white page would be lost.
  const ground = getComputedStyle(document.body).getPropertyValue('--lab-ground').trim();
  const { data, layout } = plot();
  window.Plotly.downloadImage({ data, layout: { ...layout, paper_bgcolor: ground } }, { format, width: 1200, height: setting('height') ?? 560, scale: 2, filename: setting('filename') ?? 'loss' });
});
watch('value', redraw);
new MutationObserver(redraw).observe(document.body, { attributes: true, attributeFilter: ['class'] });
new ResizeObserver(() => requestAnimationFrame(() => {
  if (plot().clientWidth !== drawnWidth) redraw();
})).observe(element);
redraw();
