// The router: which view the address names, and the frame around it.
import { h, navigate } from "./dom.js";
import { generateView } from "./generate.js";
import { runView } from "./run.js";
import { runsView } from "./runs.js";

/**
 * A view makes its element at once and fills it later; `signal` aborts when the view is left.
 * @type {[RegExp, string, string, (signal: AbortSignal, id: string) => HTMLElement][]}
 */
const ROUTES = [
  [/^\/$/, "generate", "Generate", generateView],
  [/^\/ui\/runs\/?$/, "train", "Train", runsView],
  [/^\/ui\/runs\/([^/]+)\/?$/, "train", "Run", (signal, id) => runView(signal, id)],
  [/^\/ui\/?$/, "generate", "Generate", generateView],
];

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
let leaving = new AbortController();
let shown = "";

function lost() {
  return h(
    "div",
    { class: "empty" },
    h("h1", { tabindex: -1 }, "There is no such page"),
    h(
      "p",
      {},
      h("a", { href: "/" }, "Generate images"),
      " or see ",
      h("a", { href: "/ui/runs" }, "the runs"),
      ".",
    ),
  );
}

function show() {
  // Following a link within the page (the skip link) is no change of view.
  const address = location.pathname + location.search;
  if (address === shown) return;
  const first = shown === "";
  shown = address;
  leaving.abort();
  leaving = new AbortController();
  let [section, title, element] = ["", "Not found", null];
  for (const [pattern, name, words, view] of ROUTES) {
    const match = pattern.exec(location.pathname);
    if (!match) continue;
    [section, title] = [name, words];
    document.title = `${title} · Synthorax`;
    element = view(leaving.signal, decodeURIComponent(match[1] ?? ""));
    break;
  }
  if (!element) document.title = `${title} · Synthorax`;
  main.replaceChildren(element ?? lost());
  for (const link of document.querySelectorAll("[data-route]")) {
    if (link.dataset.route === section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (first) return;
  scrollTo(0, 0);
  main.querySelector("h1")?.focus({ preventScroll: true });
}

addEventListener("popstate", show);

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (link.hash || !(link.pathname === "/" || link.pathname.startsWith("/ui"))) return;
  event.preventDefault();
  // Where one already is, a link must not throw the form's content away.
  if (link.pathname !== location.pathname || link.search) navigate(link.href);
});

show();
