// The router: which page the address names, and what stands around it.
import { Shortcuts, openSheet } from "./keys.js";
import { styles } from "./later.js";
import { moved, navigate } from "./navigate.js";
import { Banner } from "./parts.js";
import { html, render, signal, useEffect, useRef, useState } from "./vendor/ui/ui.js";

/**
 * The first that matches; a page is loaded when it is first asked for.
 * @type {[RegExp, string, string, () => Promise<any>][]}
 */
const ROUTES = [
  [/^\/(?:ui\/?)?$/, "generate", "Generate", () => import("./generate/page.js")],
  [/^\/ui\/sets\/?$/, "generate", "Large sets", () => import("./generate/sets.js")],
  [/^\/ui\/models\/?$/, "models", "Models", () => import("./models/list.js")],
  [/^\/ui\/models\/compare\/?$/, "models", "Compare models", () => import("./models/compare.js")],
  [/^\/ui\/models\/([^/]+)\/?$/, "models", "Model", () => import("./models/version.js")],
  [/^\/ui\/datasets\/?$/, "datasets", "Datasets", () => import("./datasets/list.js")],
  [/^\/ui\/datasets\/([^/]+)\/?$/, "datasets", "Dataset", () => import("./datasets/dataset.js")],
  [/^\/ui\/reader-studies\/?$/, "readers", "Reader studies", () => import("./readers/list.js")],
  [
    /^\/ui\/reader-studies\/([^/]+)\/?$/,
    "readers",
    "Reader study",
    () => import("./readers/study.js"),
  ],
  [/^\/ui\/runs\/?$/, "runs", "Runs", () => import("./runs/list.js")],
  [/^\/ui\/runs\/compare\/?$/, "runs", "Compare runs", () => import("./runs/compare.js")],
  [/^\/ui\/runs\/([^/]+)\/?$/, "runs", "Run", () => import("./runs/run.js")],
  [/^\/ui\/studies\/?$/, "studies", "Studies", () => import("./studies/list.js")],
  [/^\/ui\/studies\/new\/?$/, "studies", "New study", () => import("./studies/new.js")],
  [/^\/ui\/studies\/([^/]+)\/?$/, "studies", "Study", () => import("./studies/study.js")],
];

/** Which page is shown: a new one after each change of page, even to the address that it had before. */
const place = signal({ path: location.pathname, turn: 0 });
const SERVICE_MS = 1000;
let navigated = false;

function Lost() {
  return html`<div class="empty">
    <h1 tabindex="-1">There is no such page</h1>
    <p><a href="/">Generate images</a> or see <a href="/ui/runs">the runs</a>.</p>
  </div>`;
}

function Page() {
  const { path, turn } = place.value;
  const route = ROUTES.find(([pattern]) => pattern.test(path));
  const [page, setPage] = useState({ of: null, Component: null, problem: null });
  const main = useRef(document.getElementById("main"));
  useEffect(() => {
    document.title = `${route?.[2] ?? "Not found"} · Synthorax`;
    for (const link of document.querySelectorAll("[data-route]")) {
      if (link.dataset.route === route?.[1]) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (!route) return;
    const first = route === ROUTES[0];
    Promise.all([route[3](), first || styles()]).then(
      ([module]) => setPage({ of: route, Component: module.default, problem: null }),
      (problem) => setPage({ of: route, Component: null, problem }),
    );
  }, [route]);
  const ready = page.of === route;
  useEffect(() => {
    if (!navigated || !ready) return;
    scrollTo(0, 0);
    main.current.querySelector("h1")?.focus({ preventScroll: true });
  }, [turn, ready]);
  if (!route) return html`<${Lost} />`;
  if (!ready) return null;
  if (page.problem) {
    const problem = {
      message: "This page could not be loaded.",
      details: () => String(page.problem),
    };
    return html`<${Banner} problem=${problem}><button onClick=${() => location.reload()}>Load again</button><//>`;
  }
  const id = decodeURIComponent(route[0].exec(path)[1] ?? "");
  return html`<${page.Component} key=${turn} id=${id} /><${Shortcuts} />`;
}

/** Following a link within the page (the skip link) is no change of page. */
addEventListener("popstate", () => {
  if (!moved()) return;
  navigated = true;
  place.value = { path: location.pathname, turn: place.value.turn + 1 };
});

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (link.hash || !(link.pathname === "/" || link.pathname.startsWith("/ui"))) return;
  event.preventDefault();
  // Where one already is, a link must not throw the form's content away.
  if (link.pathname === location.pathname && !link.search) return;
  navigate(link.href);
});

document.getElementById("shortcuts")?.addEventListener("click", openSheet);
render(html`<${Page} />`, document.getElementById("main"));
/** After the page's own first questions; a server that is away is asked again. */
function showService() {
  import("./service-state.js").then(
    ({ ServiceState }) => render(html`<${ServiceState} />`, document.getElementById("service")),
    () => setTimeout(showService, SERVICE_MS),
  );
}
setTimeout(showService, SERVICE_MS);
