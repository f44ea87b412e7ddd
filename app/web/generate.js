// The Generate view: a form, a grid, and an address that reproduces both.
import { Problem, generate, models } from "./api.js";
import { announce, copyButton, h } from "./dom.js";
import { banner, showProblem } from "./forms.js";
import { FIRST, generateForm, readQuery, writeQuery } from "./generate-form.js";
import { applySize, placeholders, sizeChoice, startingSize, tile } from "./grid.js";

/** The last query answered, so that the form is as it was when one comes back from the runs. */
let remembered = "";

/** @param {AbortSignal} signal aborts when the view is left */
export function generateView(signal) {
  const title = h("h1", { class: "unseen", tabindex: -1 }, "Generate");
  const element = h("div", { class: "split" }, title);
  load(element, title, signal);
  return element;
}

async function load(element, title, signal) {
  let listed;
  try {
    listed = (await models(signal)).data;
  } catch (error) {
    if (error instanceof Problem) element.append(banner(error));
    return;
  }
  if (!listed.some((model) => model.usable)) {
    element.replaceChildren(title, noModel(listed));
    return;
  }
  const asked = readQuery(location.search || remembered);
  const view = workspace(listed, signal);
  element.append(view.form.element, view.results);
  view.form.fill(asked ?? FIRST);
  view.generate({ keepAddress: asked === null });
}

function noModel(listed) {
  return h(
    "div",
    { class: "empty" },
    h("h2", {}, "No model yet"),
    h("p", {}, "Train one from your images: a folder with one sub-folder per class."),
    h("p", {}, h("a", { class: "button", href: "/ui/runs" }, "Train a model")),
    ...listed.map((m) => h("p", { class: "hint" }, `${m.reference} cannot be used: ${m.reason}`)),
  );
}

function workspace(listed, signal) {
  let size = startingSize();
  let resolution = 64;
  let current = 0;
  /** The request that the address and the Code fold show: the last one that was answered. */
  let answered = FIRST;

  const grid = h("ul", { class: "grid", "aria-label": "Generated images" });
  const summary = h("p", { class: "summary" });
  const provenance = h("p", { class: "hint mono" });
  const code = h("pre", { tabindex: 0, "aria-label": "curl command" });
  const box = h(
    "div",
    { class: "code-box", id: "code", hidden: true },
    code,
    copyButton({ text: () => code.textContent, label: "Copy", name: "Copy the curl command" }),
  );
  const fold = h(
    "button",
    {
      type: "button",
      class: "small",
      "aria-expanded": "false",
      "aria-controls": "code",
      onclick: () => {
        box.hidden = !box.hidden;
        fold.setAttribute("aria-expanded", String(!box.hidden));
      },
    },
    "Code",
  );
  const link = copyButton({
    text: () => location.origin + "/" + writeQuery(answered),
    label: "Copy link",
  });
  const resize = () => applySize(results, size, resolution);
  const hint = h(
    "p",
    { class: "empty", hidden: true },
    "Choose a class and press Generate. The seed under each image reproduces it exactly.",
  );
  const bar = h(
    "div",
    { class: "bar", hidden: true },
    summary,
    h(
      "div",
      { class: "bar-end" },
      sizeChoice(size, (chosen) => ((size = chosen), resize())),
      fold,
      link,
    ),
  );
  const results = h(
    "section",
    { class: "results", "aria-label": "Images" },
    bar,
    hint,
    box,
    grid,
    provenance,
  );
  const form = generateForm(listed, () => run({}));
  const watcher = new ResizeObserver(resize);
  watcher.observe(results);
  signal.addEventListener("abort", () => watcher.disconnect());
  document.addEventListener(
    "keydown",
    (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      run({});
    },
    { signal },
  );

  /** @param {{keepAddress?: boolean}} options the first visit keeps the bare address */
  async function run({ keepAddress = false }) {
    const body = form.value();
    if (!body) return;
    current += 1;
    const mine = current;
    form.busy(true);
    grid.setAttribute("aria-busy", "true");
    resolution = listed.find((m) => m.reference === body.model)?.resolution ?? resolution;
    if (!grid.childElementCount) {
      grid.append(...placeholders(body.count));
      resize();
    }
    try {
      const answer = await generate(body, signal);
      if (mine === current) fill(body, answer, keepAddress);
    } catch (error) {
      if (!(error instanceof Problem)) {
        if (error.name !== "AbortError") throw error;
        return;
      }
      if (mine !== current) return;
      if (grid.firstElementChild?.ariaHidden) grid.replaceChildren();
      hint.hidden = grid.childElementCount > 0;
      showProblem(form.element, error);
    } finally {
      if (mine === current) {
        form.busy(false);
        grid.removeAttribute("aria-busy");
      }
    }
  }

  function fill(body, answer, keepAddress) {
    const { model, engine, images } = answer;
    const reference = `${model.name}@${model.version}`;
    // A seed or model that the server chose becomes part of what reproduces the answer.
    answered = { ...body, model: reference, seed: images[0].seed };
    resolution = images[0].width;
    grid.replaceChildren(...images.map((image) => tile(image, reference, body.truncation)));
    resize();
    bar.hidden = false;
    hint.hidden = true;
    const [from, to] = [images[0].seed, images[images.length - 1].seed];
    const many = images.length > 1;
    summary.replaceChildren(
      h("strong", {}, `${images.length} ${many ? "images" : "image"}`),
      ` · ${reference}${body.label === null ? "" : ` · ${body.label}`} · `,
      h("span", { class: "mono" }, many ? `seeds ${from}–${to}` : `seed ${from}`),
      body.truncation === 1 ? "" : ` · truncation ${body.truncation}`,
    );
    provenance.textContent = `model ${short(model.digest)} · ${engine.backend} ${engine.precision} · engine ${short(engine.digest)}`;
    code.textContent = curl(answered);
    remembered = writeQuery(answered);
    if (!keepAddress) history.replaceState(null, "", `/${remembered}`);
    announce(`${images.length} synthetic ${many ? "images" : "image"} generated`);
  }

  return { form, results, generate: run };
}

const short = (digest) => `${digest ?? ""}`.replace(/^\w+:/, "").slice(0, 12);

/** The same call for a shell; a single quote in a label is closed, escaped and opened again. */
function curl(body) {
  const json = JSON.stringify(body).replaceAll("'", "'\\''");
  return [
    `curl -X POST '${location.origin}/generate' \\`,
    "  -H 'Content-Type: application/json' \\",
    `  -d '${json}'`,
  ].join("\n");
}
