// The Generate page: a form, a grid, an inspector, and an address that reproduces them.
import { Problem, models } from "../api.js";
import { Banner, CopyButton, Segments, announce, copy, useAsked } from "../parts.js";
import { useShortcuts } from "../keys.js";
import { later, styles, whenIdle } from "../later.js";
import { readdress } from "../navigate.js";
import { kept } from "../store.js";
import { html, useEffect, useMemo, useRef, useState } from "../vendor/ui/ui.js";
import { first, generated } from "./first.js";
import { GenerateForm } from "./form.js";
import { Grid, Placeholders, SIZES, useFitted } from "./grid.js";
import { History, remember } from "./history.js";
import { Recall } from "./recall.js";
import {
  CODE,
  FIRST,
  bodyOf,
  checked,
  drawnSeed,
  inBoxes,
  readQuery,
  writeQuery,
} from "./request.js";
import { WINDOW_KEYS, WindowFilter, reset, shown, untouched } from "./window.js";

/** What the first pictures do not need; asked for once they are there. */
const LATER = {
  compare: () => import("./compare.js"),
  downloads: () => import("./downloads.js"),
  inspector: () => import("./inspector.js"),
};
const LATER_MS = 1000;
function rest() {
  styles();
  for (const load of Object.values(LATER)) load().catch(() => {});
}
const [Compare, Downloads, Inspector] = Object.values(LATER).map(later);

const size = kept("tile", innerWidth < 700 ? "S" : "M", (value) => value in SIZES);
const SIZE_OPTIONS = [
  ["S", "S", "Small tiles"],
  ["M", "M", "Medium tiles"],
  ["L", "L", "Large tiles"],
];
/** The last query answered, so that the page is as it was when one comes back to it. */
let remembered = "";

/** What the address asks for, or what one came back to; null: nothing. */
const addressed = () => readQuery(location.search || remembered);

export default function GeneratePage() {
  const begun = useRef(undefined);
  if (begun.current === undefined) begun.current = first(location.search || remembered);
  useEffect(() => () => begun.current?.leaving.abort(), []);
  const { content, problem, again } = useAsked((signal) => models(signal), []);
  const head = html`<h1 class="unseen" tabindex="-1">Generate</h1>`;
  if (problem) return html`${head}<${Banner} problem=${problem} again=${again} />`;
  if (!content) return head;
  const listed = content.data;
  if (!listed.some((model) => model.usable)) return html`${head}<${NoModel} listed=${listed} />`;
  return html`${head}<${Workspace} models=${listed} begun=${begun.current} />`;
}

function NoModel({ listed }) {
  return html`<div class="empty">
    <h2>No model yet</h2>
    <p>Train one from your images: a folder or ZIP with one sub-folder per class.</p>
    <p><a class="button" href="/ui/runs">Train a model</a></p>
    ${listed.map((m) => html`<p class="hint">${m.reference} cannot be used: ${m.reason}</p>`)}
  </div>`;
}

/** A request as the boxes hold it, its model one that there is where it can be. */
function asText(request, models) {
  const usable = models.filter((m) => m.usable);
  const active = usable.find((m) => m.active) ?? usable[0];
  const wanted = request.model ?? active.reference;
  const found = usable.find((m) => m.reference === wanted || (m.name === wanted && m.active));
  return inBoxes({ ...request, model: found?.reference ?? wanted });
}

function Workspace({ models: listed, begun }) {
  const [request, setRequest] = useState(() => asText(addressed() ?? FIRST, listed));
  const [errors, setErrors] = useState({});
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const [coming, setComing] = useState(null);
  const [answer, setAnswer] = useState(null);
  const [chosen, setChosen] = useState(() => new Set());
  const [focused, setFocused] = useState(0);
  const [open, setOpen] = useState(null);
  const [zoom, setZoom] = useState(1);
  const [comparing, setComparing] = useState(null);
  const [panel, setPanel] = useState("");
  const leaving = useRef(null);
  const results = useRef(null);
  const latest = useRef(request);
  latest.current = request;
  const entry = listed.find((m) => m.reference === request.model);
  const images = answer?.images ?? [];
  const columns = useFitted(results, size.value, images[0]?.width ?? entry?.resolution ?? 64);

  const edit = (change) => setRequest((before) => ({ ...before, ...change }));

  async function submit(change, { bare = false, begun: early = null } = {}) {
    const asked = { ...latest.current, ...change };
    if (change) setRequest(asked);
    const labels = listed.find((m) => m.reference === asked.model)?.labels ?? [];
    const { body: wanted, errors: wrong } = checked(asked, labels.length);
    setErrors(wrong ?? {});
    setProblem(null);
    if (!wanted) return;
    if (wanted.each) wanted.seed ??= drawnSeed();
    const body = bodyOf(wanted, labels);
    leaving.current?.abort();
    const mine = (leaving.current = new AbortController());
    setBusy(true);
    setComing(null);
    try {
      const made = await (early?.made ?? generated(body, mine.signal, setComing));
      if (mine.signal.aborted) return;
      const reference = `${made.model.name}@${made.model.version}`;
      // A seed or model that the server chose becomes part of what reproduces the answer.
      const answered = { ...wanted, model: reference, seed: made.images[0].seed };
      setAnswer({ ...made, reference, request: answered, labels });
      setChosen(new Set());
      setOpen(null);
      setFocused(0);
      remembered = writeQuery(answered);
      if (!bare) readdress(`/${remembered}`);
      remember(remembered);
      setTimeout(() => whenIdle(rest), LATER_MS);
      announce(
        `${made.images.length} synthetic ${made.images.length > 1 ? "images" : "image"} generated`,
      );
    } catch (error) {
      if (!(error instanceof Problem)) {
        if (error.name === "AbortError") return;
        throw error;
      }
      const named = Object.fromEntries(
        error.errors.map((each) => [
          each.field,
          error.errors.length === 1 ? error.message : each.allowed,
        ]),
      );
      if (Object.keys(named).some((name) => name in asked)) setErrors(named);
      else setProblem(error);
    } finally {
      if (leaving.current === mine) setBusy(false);
    }
  }

  useEffect(() => {
    submit(null, { bare: addressed() === null, begun });
    return () => leaving.current?.abort();
  }, []);

  const toggle = (index) =>
    setChosen((before) => {
      const next = new Set(before);
      if (!next.delete(index)) next.add(index);
      return next;
    });
  function inspect(index) {
    setOpen(index);
    setFocused(index);
    setZoom(1);
  }
  function close() {
    setOpen(null);
    results.current.querySelector(`[data-index="${focused}"]`)?.focus();
  }
  function step(by) {
    if (open !== null && open + by >= 0 && open + by < images.length) inspect(open + by);
  }
  const pair = [...chosen].sort((a, b) => a - b);
  const compare = () =>
    pair.length === 2 && setComparing(pair.map((i) => ({ ...images[i], of: answer.reference })));

  useShortcuts([
    ["Ctrl+Enter", "Generate", () => submit()],
    ["n", "Generate with a new random seed", () => submit({ seed: String(drawnSeed()) })],
    ["ArrowLeft", "Previous image in the inspector", () => step(-1)],
    ["ArrowRight", "Next image in the inspector", () => step(1)],
    ["Escape", "Close the inspector", () => open !== null && close()],
    ["x", "Select the image", () => toggle(focused)],
    ["c", "Copy the seed", () => images[focused] && copy(String(images[focused].seed))],
    ["b", "Compare two selected images", compare],
    ["+ =", "Zoom in", () => setZoom((z) => Math.min(z * 2, 8))],
    ["-", "Zoom out", () => setZoom((z) => Math.max(z / 2, 1))],
    ...WINDOW_KEYS.map(([key, words, deed]) => [
      key,
      words,
      () => (key === "Space" && setZoom(1), deed()),
    ]),
  ]);

  return html`<div class="workspace" data-inspecting=${open === null ? undefined : ""}
      data-windowed=${untouched(shown.value) ? undefined : ""}>
    <${WindowFilter} />
    <${GenerateForm} models=${listed} request=${request} edit=${edit} errors=${errors} busy=${busy} submit=${submit}>
      ${problem && html`<${Banner} problem=${problem} />`}
      <${History} />
      <${Recall} recalled=${(found) => submit(asText(found, listed))} />
    <//>
    <section class="results" ref=${results} aria-label="Images">
      ${
        answer &&
        html`<${Bar} answer=${answer} chosen=${chosen} panel=${panel} setPanel=${setPanel} compare=${compare}
        selectAll=${() => setChosen(new Set(chosen.size === images.length ? [] : images.keys()))} />`
      }
      ${answer && panel === "code" && html`<${Code} request=${answer.request} labels=${answer.labels} />`}
      ${answer && panel === "save" && html`<${Downloads} body=${bodyOf(answer.request, answer.labels)} images=${images} chosen=${chosen} />`}
      ${
        !answer &&
        !busy &&
        html`<p class="empty">Choose a class and press Generate. The seed under each image
        reproduces it exactly.</p>`
      }
      ${busy && coming && html`<p class="hint" role="status">${coming.done} of ${coming.all} images</p>`}
      ${
        answer
          ? html`<${Grid} images=${images} reference=${answer.reference} truncation=${answer.request.truncation}
            perClass=${answer.request.each ? answer.request.count : null} chosen=${chosen} focused=${focused} focus=${setFocused} open=${inspect} choose=${toggle}
            columns=${columns} busy=${busy} />
          <p class="hint mono">model ${short(answer.model.digest)} · ${answer.engine.backend} ${answer.engine.precision} ·
            engine ${short(answer.engine.digest)}</p>`
          : busy && html`<${Placeholders} count=${Math.min(Number(request.count) || 16, 64)} />`
      }
    </section>
    ${
      open !== null &&
      images[open] &&
      html`<${Inspector} image=${images[open]} reference=${answer.reference}
      truncation=${answer.request.truncation} zoom=${zoom} setZoom=${setZoom} close=${close} />`
    }
    ${comparing && html`<${Compare} first=${comparing[0]} second=${comparing[1]} close=${() => setComparing(null)} />`}
  </div>`;
}

const short = (digest) => `${digest ?? ""}`.replace(/^\w+:/, "").slice(0, 12);

function Bar({ answer, chosen, panel, setPanel, compare, selectAll }) {
  const { images, reference, request } = answer;
  const [from, to] = [images[0].seed, images.at(-1).seed];
  const label = request.each ? "each class" : request.label;
  const fold = (
    name,
    words,
  ) => html`<button type="button" class="small" aria-expanded=${String(panel === name)}
    onClick=${() => setPanel(panel === name ? "" : name)}>${words}</button>`;
  return html`<div class="bar">
    <p class="summary"><strong>${images.length} ${images.length > 1 ? "images" : "image"}</strong>
      ${` · ${reference}${label === null ? "" : ` · ${label}`} · `}
      <span class="mono">${images.length > 1 ? `seeds ${from}–${to}` : `seed ${from}`}</span>
      ${request.truncation === 1 ? "" : ` · truncation ${request.truncation}`}</p>
    <div class="bar-end">
      ${
        !untouched(shown.value) &&
        html`<button type="button" class="small" onClick=${reset}>Window${" "}
        ${shown.value.width}/${shown.value.level}${shown.value.invert ? ", inverted" : ""}: reset</button>`
      }
      ${chosen.size > 0 && html`<span class="hint">${chosen.size} selected</span>`}
      <button type="button" class="small" onClick=${selectAll}>${chosen.size === images.length ? "Select none" : "Select all"}</button>
      <button type="button" class="small" disabled=${chosen.size !== 2} onClick=${compare}
        title=${chosen.size === 2 ? undefined : "Select two images"}>Compare</button>
      <${Segments} label="Tile size" value=${size.value} options=${SIZE_OPTIONS} onChange=${(v) => (size.value = v)} />
      ${fold("save", "Download")}${fold("code", "Code")}
      <${CopyButton} text=${() => `${location.origin}/${writeQuery(request)}`} label="Copy link" />
    </div>
  </div>`;
}

function Code({ request, labels }) {
  const [kind, setKind] = useState("curl");
  const text = useMemo(() => CODE[kind](request, labels), [kind, request, labels]);
  return html`<div class="code-box">
    <div class="stack">
      <${Segments} label="Language" value=${kind} options=${Object.keys(CODE).map((name) => [name, name])} onChange=${setKind} />
      <pre tabindex="0" aria-label=${`The same request: ${kind}`}>${text}</pre>
    </div>
    <${CopyButton} text=${() => text} label="Copy" name=${`Copy the ${kind} code`} />
  </div>`;
}
