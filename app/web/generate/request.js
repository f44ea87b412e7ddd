// A request for images: as an address, and as code for other places.
export const FIRST = { model: null, label: null, count: 16, seed: 42, truncation: 1 };
export const SEED_MAX = Number.MAX_SAFE_INTEGER;
export const COUNT_MAX = 1000;
export const TRUNCATION_MAX = 1.5;
const KEYS = ["model", "label", "count", "seed", "truncation"];

/** The request of a permalink's query, or null where it has none. @param {string} query */
export function readQuery(query) {
  const given = new URLSearchParams(query);
  if (!KEYS.some((key) => given.has(key))) return null;
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

/** A single quote in a shell's single-quoted word is closed, escaped and opened again. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const python = (text) => (text === null ? "None" : JSON.stringify(text));

/** The same request for a shell, a program and the command line. @param {typeof FIRST} request */
export const CODE = {
  curl: (request) =>
    [
      `curl -X POST ${quoted(`${location.origin}/generate`)} \\`,
      "  -H 'Content-Type: application/json' -H 'Accept: application/zip' \\",
      `  -d ${quoted(JSON.stringify(request))} -o images.zip`,
    ].join("\n"),
  Python: ({ model, label, count, seed, truncation }) =>
    [
      "from synthorax import Client",
      `with Client(${JSON.stringify(location.origin)}) as client:`,
      `    batch = client.generate(${python(label)}, ${count}, ${seed}, ${python(model)}, ${truncation})`,
      "batch.samples[0].png  # also .seed, .label, .sha256",
    ].join("\n"),
  "Command line": ({ model, label, count, seed, truncation }) =>
    [
      `SYNTHORAX_URL=${location.origin} synthorax generate`,
      label !== null && quoted(label),
      `-n ${count} --seed ${seed} --model ${model}`,
      truncation !== 1 && `--truncation ${truncation}`,
      "-o images",
    ]
      .filter(Boolean)
      .join(" "),
};

/** What a version is, in a line. @param {any} model an entry of GET /models */
export function described(model) {
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
