// What every script that draws figures begins with: settings, colours, Plotly itself.
// A figure that isn't in the page yet when its value comes loses its props: the value has them too.
const setting = (name) => props[name] ?? props.value?.[name];
const isDark = () => document.body.classList.contains('dark');

// Figures come in light colours; each has one counterpart for dark.
function coloured(value) {
  const text = JSON.stringify(value);
  return JSON.parse(isDark() ? text.replace(/#[0-9a-f]{6}/g, (c) => setting('dark')[c] ?? c) : text);
}

function loadPlotly() {
  window.labPlotly ??= window.Plotly ? Promise.resolve() : new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = `${window.gradio_config?.root ?? ''}${setting('plotly')}`;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${script.src} did not load`));
    document.head.append(script);
  });
  return window.labPlotly;
}

