// A plain script in the head: what the address will need is asked for at once, and not one after the
// other as the modules name each other.
(() => {
  const ask = (href, settings) =>
    document.head.append(Object.assign(document.createElement("link"), { href, ...settings }));
  if (location.pathname === "/")
    for (const name of "page form grid history recall request window".split(" "))
      ask(`/static/generate/${name}.js`, { rel: "modulepreload" });
  else
    for (const name of "runs run chart vendor/uplot/uplot library".split(" "))
      ask(`/static/${name}.css`, { rel: "preload", as: "style" });
})();
