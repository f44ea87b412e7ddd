// A plain script in the head: what the address will need is asked for at once, and not one after the
// other as the modules name each other.
(() => {
  const add = (tag, settings) =>
    document.head.append(Object.assign(document.createElement(tag), settings));
  if (location.pathname === "/") {
    // This one asks for the pictures themselves.
    add("script", { type: "module", src: "/static/generate/first.js" });
    for (const name of "request page form grid history recall window".split(" "))
      add("link", { rel: "modulepreload", href: `/static/generate/${name}.js` });
  } else {
    for (const name of "runs run chart vendor/uplot/uplot library study".split(" "))
      add("link", { rel: "preload", as: "style", href: `/static/${name}.css` });
  }
})();
