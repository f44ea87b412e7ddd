// A request for images: as an address, and as code for other places.
export const FIRST = {
  model: null,
  label: null,
  each: false,
  count: 16,
  seed: 42,
  truncation: 1,
};
export const SEED_MAX = Number.MAX_SAFE_INTEGER;
export const COUNT_MAX = 1000;
export const TRUNCATION_MAX = 1.5;
export const drawnSeed = () => Math.floor(Math.random() * 2 ** 31);
const KEYS = ["model", "label", "classes", "count", "seed", "truncation"];
const EACH = "each"; // ?classes=each: the same seeds in every class

/** The request of a permalink's query, or null where it has none. @param {string} query */
export function readQuery(query) {
  const given = new URLSearchParams(query);
  if (!KEYS.some((key) => given.has(key))) return null;
  const numeric = (key, otherwise) => (given.get(key) ? Number(given.get(key)) : otherwise);
  return {
    model: given.get("model") || null,
    label: given.get("label") || null,
    each: given.get("classes") === EACH,
    count: numeric("count", FIRST.count),
    seed: numeric("seed", null),
    truncation: numeric("truncation", FIRST.truncation),
  };
}

/** A request as the boxes hold it. */
export const inBoxes = (request) => ({
  ...request,
  count: String(request.count),
  seed: request.seed === null ? "" : String(request.seed),
  truncation: String(request.truncation),
});

/**
 * The request that a form stands for, or what is wrong with each field.
 * @param {any} request as its boxes hold it @param {number} classes that the model has
 * @returns {{body: any, errors: null} | {body: null, errors: Record<string, string>}}
 */
export function checked({ model, label, each, count, seed, truncation }, classes) {
  const errors = {};
  const whole = (text, name, low, high) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isSafeInteger(value) && value >= low && value <= high)
      return value;
    errors[name] = `Use a whole number from ${low} to ${high}.`;
    return null;
  };
  const most = each ? Math.floor(COUNT_MAX / Math.max(classes, 1)) : COUNT_MAX;
  const images = whole(count, "count", 1, most);
  const start = seed.trim() === "" ? null : whole(seed, "seed", 0, SEED_MAX);
  const psi = Number(truncation);
  if (truncation.trim() === "" || !(psi > 0 && psi <= TRUNCATION_MAX))
    errors.truncation = `Use a number above 0, up to ${TRUNCATION_MAX}.`;
  if (Object.keys(errors).length) return { body: null, errors };
  return {
    body: { model, label, each, count: images, seed: start, truncation: psi },
    errors: null,
  };
}

/** The query that reproduces a request. @param {typeof FIRST} request */
export function writeQuery({ model, label, each, count, seed, truncation }) {
  const query = new URLSearchParams();
  if (model) query.set("model", model);
  if (each) query.set("classes", EACH);
  else if (label !== null) query.set("label", label);
  query.set("count", String(count));
  if (seed !== null) query.set("seed", String(seed));
  query.set("truncation", String(truncation));
  return `?${query}`.replaceAll("%40", "@");
}

/** The classes that a request goes through in turn, or null: one request is enough. */
const turns = ({ each }, labels) => (each && labels.length > 1 ? labels : null);

/**
 * The body of POST /generate. @param {typeof FIRST} request @param {string[]} labels of its model
 */
export function bodyOf(request, labels) {
  const { model, label, count, seed, truncation } = request;
  const all = turns(request, labels);
  if (!all) return { model, label, count, seed, truncation };
  const items = all.flatMap((each) =>
    Array.from({ length: count }, (_, i) => ({ seed: seed + i, label: each })),
  );
  return { model, truncation, items };
}

/** A single quote in a shell's single-quoted word is closed, escaped and opened again. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const python = (text) => (text === null ? "None" : JSON.stringify(text));

/**
 * The same request for a shell, a program and the command line.
 * @type {Record<string, (request: typeof FIRST, labels: string[]) => string>}
 */
export const CODE = {
  curl: (request, labels) =>
    [
      `curl -X POST ${quoted(`${location.origin}/generate`)} \\`,
      "  -H 'Content-Type: application/json' -H 'Accept: application/zip' \\",
      `  -d ${quoted(JSON.stringify(bodyOf(request, labels)))} -o images.zip`,
    ].join("\n"),
  Python(request, labels) {
    const { model, label, count, seed, truncation } = request;
    const all = turns(request, labels);
    const of = (name) =>
      `client.generate(${name}, ${count}, ${seed}, model=${python(model)}, truncation=${truncation})`;
    return [
      "from synthorax import Client",
      `with Client(${JSON.stringify(location.origin)}) as client:`,
      all
        ? `    batches = [${of("label")} for label in ${JSON.stringify(all)}]`
        : `    batch = ${of(python(label))}`,
    ].join("\n");
  },
  "Command line"(request, labels) {
    const { model, label, count, seed, truncation } = request;
    const all = turns(request, labels);
    const of = (name, folder) =>
      [
        `SYNTHORAX_URL=${location.origin} synthorax generate`,
        name,
        `-n ${count} --seed ${seed} --model ${model}`,
        truncation !== 1 && `--truncation ${truncation}`,
        `-o ${folder}`,
      ]
        .filter(Boolean)
        .join(" ");
    if (!all) return of(label !== null && quoted(label), "images");
    const lines = [
      `for label in ${all.map(quoted).join(" ")}`,
      `do ${of('"$label"', '"images/$label"')}`,
      "done",
    ];
    return lines.join("\n");
  },
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
