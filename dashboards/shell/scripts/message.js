(text) => {
  // A message from Python to the browser: a link to copy, a file to save, where to look; and which
  // comparison is on screen, for the address to name it.
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
  // The address left behind is that of what was being read, for the way back.
  if (message.kind === 'open') {
    window.history.replaceState(null, '', window.location.pathname + message.back);
    window.location.assign(new URL('./' + message.to, window.location.href));
  }
  if (message.kind === 'file') {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([message.text], { type: 'application/jsonl' }));
    link.download = message.name;
    link.click();
    URL.revokeObjectURL(link.href);
  }
}
