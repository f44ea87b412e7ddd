// What to draw: the form of the Generate view and the request it stands for.
import { h, icon } from "./dom.js";
import { clearErrors, field, setError, wholeNumber } from "./forms.js";

export const FIRST = { model: null, label: null, count: 16, seed: 42, truncation: 1 };
const SEED_MAX = Number.MAX_SAFE_INTEGER;
const TRUNCATION_MAX = 1.5;

/**
 * The request of a permalink's query, or null where it has none.
 * @param {string} query
 */
export function readQuery(query) {
  const given = new URLSearchParams(query);
  if (!["model", "label", "count", "seed", "truncation"].some((key) => given.has(key))) return null;
  const numeric = (key, otherwise) => (given.get(key) ? Number(given.get(key)) : otherwise);
  return {
    model: given.get("model") || null,
    label: given.get("label") || null,
    count: numeric("count", FIRST.count),
    seed: numeric("seed", null),
    truncation: numeric("truncation", FIRST.truncation),
  };
}

/** The query that reproduces a request. @param {typeof FIRST} request */
export function writeQuery({ model, label, count, seed, truncation }) {
  const query = new URLSearchParams();
  if (model) query.set("model", model);
  if (label !== null) query.set("label", label);
  query.set("count", String(count));
  if (seed !== null) query.set("seed", String(seed));
  query.set("truncation", String(truncation));
  return `?${query}`.replaceAll("%40", "@");
}

/**
 * The form.  `submit` is called with no argument; the caller reads `value()`.
 * @param {any[]} models what GET /models lists
 * @param {() => void} submit
 */
export function generateForm(models, submit) {
  const usable = models.filter((model) => model.usable);
  const model = h(
    "select",
    {},
    ...models.map((m) =>
      h(
        "option",
        { value: m.reference, disabled: !m.usable },
        m.usable ? `${m.reference}${m.active ? " (active)" : ""}` : `${m.reference}: ${m.reason}`,
      ),
    ),
  );
  const about = h("span");
  const label = h("select");
  const count = h("input", { type: "number", min: 1, max: 64, step: 1, inputmode: "numeric" });
  const seed = h("input", {
    type: "number",
    min: 0,
    max: SEED_MAX,
    step: 1,
    inputmode: "numeric",
    placeholder: "random",
    autocomplete: "off",
  });
  const range = h("input", {
    type: "range",
    min: 0.05,
    max: TRUNCATION_MAX,
    step: 0.05,
    "aria-label": "Truncation",
  });
  const truncation = h("input", { type: "number", min: 0, max: TRUNCATION_MAX, step: "any" });
  const fresh = h(
    "button",
    { type: "button", class: "icon-button framed", title: "New seed", "aria-label": "New seed" },
    icon("again"),
  );
  const button = h("button", { class: "primary wide" }, h("span", {}, "Generate"));
  button.append(h("kbd", {}, /Mac|iP/.test(navigator.platform) ? "⌘↵" : "Ctrl ↵"));

  const labelField = field({ name: "label", label: "Class", control: label });
  const advanced = h(
    "details",
    {},
    h("summary", {}, "Advanced"),
    field({
      name: "truncation",
      label: "Truncation",
      control: truncation,
      beside: range,
      hint: "1 is what the model was trained for. Less is more typical, more is more varied.",
    }),
  );
  const element = h(
    "form",
    { class: "panel form", novalidate: true, "aria-label": "What to generate" },
    field({ name: "model", label: "Model", control: model, hint: about }),
    labelField,
    h(
      "div",
      { class: "pair" },
      field({ name: "count", label: "Images", control: count }),
      field({ name: "seed", label: "Seed of the first", control: seed, beside: fresh }),
    ),
    advanced,
    button,
  );

  let working = false;

  function fillLabels(chosen) {
    const entry = usable.find((m) => m.reference === model.value);
    const labels = entry?.labels ?? [];
    labelField.hidden = labels.length === 0;
    label.replaceChildren(
      h("option", { value: "" }, "drawn from the seed"),
      ...labels.map((name) => h("option", { value: `=${name}` }, name)),
    );
    label.value = labels.includes(chosen) ? `=${chosen}` : "";
    about.textContent = entry ? describe(entry) : "";
  }

  model.addEventListener("change", () => fillLabels(label.value.slice(1)));
  range.addEventListener("input", () => (truncation.value = range.value));
  truncation.addEventListener("input", () => (range.value = truncation.value));
  fresh.addEventListener("click", () => {
    if (working) return;
    seed.value = String(Math.floor(Math.random() * 2 ** 31));
    submit();
  });
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!working) submit();
  });

  return {
    element,
    /** A request as the form's content; a model that is not there is kept to be told about. */
    fill(request) {
      const active = usable.find((m) => m.active) ?? usable[0];
      const wanted = request.model ?? active?.reference ?? "";
      const by = usable.find((m) => m.reference === wanted || (m.name === wanted && m.active));
      if (request.model && !by) model.append(h("option", { value: wanted }, wanted));
      model.value = by?.reference ?? wanted;
      fillLabels(request.label);
      if (request.label !== null && label.value === "" && !labelField.hidden) {
        label.append(h("option", { value: `=${request.label}` }, request.label));
        label.value = `=${request.label}`;
      }
      count.value = String(request.count);
      seed.value = request.seed === null ? "" : String(request.seed);
      truncation.value = range.value = String(request.truncation);
      advanced.open = request.truncation !== 1;
    },
    /** The body of POST /generate, or null after saying beside a field what is wrong with it. */
    value() {
      clearErrors(element);
      const images = wholeNumber(count, 1, 64);
      if (images === undefined) return null;
      const start = wholeNumber(seed, 0, SEED_MAX, true);
      if (start === undefined) return null;
      const psi = Number(truncation.value);
      if (truncation.value === "" || !(psi > 0 && psi <= TRUNCATION_MAX)) {
        advanced.open = true;
        setError(truncation, `Use a number above 0, up to ${TRUNCATION_MAX}.`);
        truncation.focus();
        return null;
      }
      return {
        model: model.value || null,
        label: labelField.hidden || label.value === "" ? null : label.value.slice(1),
        count: images,
        seed: start,
        truncation: psi,
      };
    },
    /** A disabled button would lose the focus, so the buttons only say that they wait. */
    busy(yes) {
      working = yes;
      for (const each of [button, fresh]) each.setAttribute("aria-disabled", String(yes));
      button.firstChild.textContent = yes ? "Generating…" : "Generate";
    },
  };
}

function describe(model) {
  const images = model.dataset?.images;
  return [
    `${model.resolution} × ${model.resolution} px`,
    model.family,
    Number.isFinite(images) && `from ${images.toLocaleString("en")} images`,
    model.private && "private data",
  ]
    .filter(Boolean)
    .join(" · ");
}
