// Pages are served under <base href="./">, where a bare hash would lead to the first of them: links
// to a place on the page name the page, and need not load it again.
document.addEventListener('click', (event) => {
  const link = event.target.closest('a[href*="#"]');
  if (!link || link.target || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const url = new URL(link.href);
  const trimmed = (path) => path.replace(/\/+$/, '');
  const here = trimmed(url.pathname) === trimmed(window.location.pathname);
  if (!here || !url.hash) return;
  event.preventDefault();
  // One that is still to come looks at the address when it does.
  document.getElementById(decodeURIComponent(url.hash.slice(1)))?.scrollIntoView();
  const { pathname, search } = window.location;
  window.history.replaceState(null, '', pathname + search + url.hash);
});
