// A click on [data-do] reaches Python with the button's data.
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-do]');
  if (!button || button.disabled) return;
  if (button.dataset.confirm && !window.confirm(button.dataset.confirm)) return;
  if (button.dataset.do !== 'copy') { trigger('click', { ...button.dataset }); return; }
  const holder = button.closest('[data-copy]')
    ?? button.closest('.lab-col').querySelector('[data-copy]');
  // Links are copied whole, whatever address the app has.
  const root = window.location.href.replace(/\/[^/]*\/?([?#].*)?$/, '');
  const text = (holder.dataset.link === undefined ? '' : root) + holder.dataset.copy;
  const label = button.textContent;
  if (label === 'Copied') return;
  navigator.clipboard.writeText(text).then(() => {
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = label; }, 1500);
  });
});
