// Number keys and X vote, outside text fields, once the ballot is there.
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
