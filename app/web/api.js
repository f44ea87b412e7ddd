// The calls to the server.  Every failure becomes a Problem.

/** An RFC 9457 problem as the server sent it, or one made for a call that did not get through. */
export class Problem extends Error {
  /** @param {Record<string, any>} content @param {string | null} [id] the request's id, if given */
  constructor(content, id = null) {
    super(content.detail || content.title || "Something went wrong.");
    this.content = content;
    this.status = content.status ?? 0;
    /** @type {{field: string, given: any, allowed: string}[]} */
    this.errors = Array.isArray(content.errors) ? content.errors : [];
    this.id = id;
  }

  /** What a person pastes into a report. */
  details() {
    return JSON.stringify({ ...this.content, request_id: this.id ?? undefined }, null, 2);
  }
}

export const UNREACHABLE = {
  type: "about:blank",
  title: "The server did not answer",
  status: 0,
  detail: "The server did not answer. Check that it is running, then try again.",
};

/** What the network brings, or a Problem where it breaks off; an AbortError stays what it is. */
async function brought(coming) {
  try {
    return await coming;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(UNREACHABLE);
  }
}

const call = (path, { method = "GET", body, signal, accept = "application/json" } = {}) =>
  fetch(path, {
    method,
    signal,
    headers: {
      Accept: `${accept}, application/problem+json`,
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });

/** What a call is answered with, or a Problem where it is refused. */
async function answered(coming) {
  const response = await brought(coming);
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function json(response) {
  return response.json().catch(() => null);
}

/**
 * The JSON that a path answers with.  Throws a Problem, or the AbortError of `signal`.
 * @param {string} path
 * @param {{method?: string, body?: unknown, signal?: AbortSignal}} [options]
 */
export async function request(path, options) {
  const response = await answered(call(path, options));
  return response.status === 204 ? null : brought(response.json());
}

/** The problem that an answer tells. @param {Response} response */
async function problemOf(response) {
  // The session is over: the server answers the page itself with its login.
  if (response.status === 401) location.reload();
  const content = await json(response);
  const made = {
    title: response.statusText,
    status: response.status,
    detail: `The server answered ${response.status} ${response.statusText}.`,
  };
  return new Problem(
    content && typeof content === "object" ? { ...made, ...content } : made,
    response.headers.get("x-request-id"),
  );
}

/** Who is logged in: {keys, key, name, scope, by}. */
export const session = (signal) => request("/session", { signal });

/** End the session; the page then is the login. */
export async function logOut() {
  await request("/session", { method: "DELETE" });
  location.reload();
}

/** The readiness report, which has the same keys when the service is not ready; null: no answer. */
export async function readiness(signal) {
  try {
    return await json(await call("/health/ready", { signal }));
  } catch {
    return null;
  }
}

const part = encodeURIComponent;

/** A version's address. @param {string} reference name@version */
export const version = (reference) => `/models/${reference.split("@").map(part).join("@")}`;

/** The address of one sample. @param {string} reference name@version */
export function sampleUrl(reference, label, seed, truncation) {
  const query = truncation === 1 ? "1.0" : String(truncation);
  return `${version(reference)}/samples/${part(label ?? "_")}/${seed}.png?truncation=${query}`;
}

/** A file that the server makes, of the media type `accept`.  Throws a Problem. */
const fileOf = async (path, options) => brought((await answered(call(path, options))).blob());

/** @param {Record<string, any>} body of POST /generate @param {string} accept a media type */
export const generateFile = (body, accept) => fileOf("/generate", { method: "POST", body, accept });

/** The JSON that a file is answered with. @param {File} file */
export async function sendFile(path, file, type) {
  const sent = fetch(path, { method: "POST", headers: { "Content-Type": type }, body: file });
  return brought((await answered(sent)).json());
}

/** Which sample a picture is. @param {File} file */
export const verify = (file) => sendFile("/verify", file, file.type || "image/png");

export const models = (signal) => request("/models", { signal });
export const presets = (signal) => request("/presets", { signal });
export const generate = (body, signal) => request("/generate", { method: "POST", body, signal });
export const dataset = (id, signal) => request(`/datasets/${part(id)}`, { signal });
export const startRun = (body, signal) => request("/train-jobs", { method: "POST", body, signal });
/** What a run would take, measured on the worker's machine: asked again until it is known. */
export const estimateRun = (body, signal) =>
  request("/train-jobs/estimates", { method: "POST", body, signal });
export const run = (id, signal) => request(`/train-jobs/${part(id)}`, { signal });
export const runMetrics = (id, signal) => request(`/train-jobs/${part(id)}/metrics`, { signal });
export const runTable = (id) => fileOf(`/train-jobs/${part(id)}/metrics`, { accept: "text/csv" });
export const cancelRun = (id) =>
  request(`/train-jobs/${part(id)}/cancel`, { method: "POST", body: {} });
export const finishRun = (id) =>
  request(`/train-jobs/${part(id)}/finish`, { method: "POST", body: {} });
export const resumeRun = (id, changes = {}) =>
  request(`/train-jobs/${part(id)}/resume`, { method: "POST", body: changes });
export const cloneRun = (id, changes = {}) =>
  request(`/train-jobs/${part(id)}/clone`, { method: "POST", body: changes });
export const deleteRun = (id) => request(`/train-jobs/${part(id)}`, { method: "DELETE" });
export const runEvents = (id) => new EventSource(`/train-jobs/${part(id)}/events`);
export const mosaicUrl = (id, epoch) => `/train-jobs/${part(id)}/samples/${epoch}.png`;

/** One page of runs, newest first. @param {string | null} after the `next` of the page before */
export const runs = (after, signal, status = "") =>
  request(
    `/train-jobs?limit=20${after ? `&after=${part(after)}` : ""}${status && `&status=${status}`}`,
    { signal },
  );

export const datasets = (signal) => request("/datasets", { signal });
export const datasetUrl = (id, end, query = {}) =>
  `/datasets/${part(id)}/${end}${Object.keys(query).length ? `?${new URLSearchParams(query)}` : ""}`;
export const registerFolder = (body) => request("/datasets", { method: "POST", body });
export const deleteDataset = (id) => request(`/datasets/${part(id)}`, { method: "DELETE" });
