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

const UNREACHABLE = {
  type: "about:blank",
  title: "The server did not answer",
  status: 0,
  detail: "The server did not answer. Check that it is running, then try again.",
};

async function call(path, { method = "GET", body, signal } = {}) {
  try {
    return await fetch(path, {
      method,
      signal,
      headers: {
        Accept: "application/json, application/problem+json",
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(UNREACHABLE);
  }
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
  const response = await call(path, options);
  const content = await json(response);
  if (response.ok) return content;
  const made = {
    title: response.statusText,
    status: response.status,
    detail: `The server answered ${response.status} ${response.statusText}.`,
  };
  throw new Problem(
    content && typeof content === "object" ? { ...made, ...content } : made,
    response.headers.get("x-request-id"),
  );
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

/** The address of one sample. @param {string} reference name@version */
export function sampleUrl(reference, label, seed, truncation) {
  const [name, version] = reference.split("@");
  const query = truncation === 1 ? "1.0" : String(truncation);
  return `/models/${part(name)}@${part(version)}/samples/${part(label ?? "_")}/${seed}.png?truncation=${query}`;
}

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
export const cancelRun = (id) =>
  request(`/train-jobs/${part(id)}/cancel`, { method: "POST", body: {} });
export const runEvents = (id) => new EventSource(`/train-jobs/${part(id)}/events`);
export const mosaicUrl = (id, epoch) => `/train-jobs/${part(id)}/samples/${epoch}.png`;

/** One page of runs, newest first. @param {string | null} after the `next` of the page before */
export const runs = (after, signal) =>
  request(`/train-jobs?limit=20${after ? `&after=${part(after)}` : ""}`, { signal });
