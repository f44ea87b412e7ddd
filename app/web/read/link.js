// What the reader's link opens.  Its secret stands behind the # of the address, which no browser
// sends: it goes in a header, and so comes into no log.

/** What the server answered, or that it did not (status 0). */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** What the network brings, or a refusal where it breaks off. */
async function brought(coming) {
  try {
    return await coming;
  } catch {
    throw new Refused(0, "The server does not answer.");
  }
}

async function call(path, { method = "GET", body } = {}) {
  const headers = { "Reader-Token": location.hash.slice(1) };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const content = body === undefined ? undefined : JSON.stringify(body);
  const response = await brought(
    fetch(`/read/${path}`, { method, headers, body: content, cache: "no-store" }),
  );
  if (response.ok) return response;
  const told = await response.json().catch(() => null);
  throw new Refused(response.status, told?.detail ?? `The server answered ${response.status}.`);
}

const json = async (path, options) => brought((await call(path, options)).json());

export const state = () => json("state");
export const result = () => json("result");
export const consent = (signed) =>
  json("consent", { method: "POST", body: { accepted: true, signed } });
export const finish = () => json("finish", { method: "POST" });
export const undo = (position) => json(`answers/${position}`, { method: "DELETE" });
export const answer = (body) => json("answers", { method: "POST", body });

/** Images by their position, decoded before they are shown; the ones that are past are let go. */
const images = new Map();

/** The image at a position: an element, decoded. @param {number} position */
export function image(position) {
  for (const old of images.keys()) if (Math.abs(old - position) > 2) images.delete(old);
  if (!images.has(position)) {
    const coming = fetched(position);
    // One that did not come is asked for again.
    coming.catch(() => images.delete(position));
    images.set(position, coming);
  }
  return images.get(position);
}

async function fetched(position) {
  const content = await brought((await call(`images/${position}`)).blob());
  const url = URL.createObjectURL(content);
  const element = new Image();
  element.src = url;
  try {
    await element.decode();
  } finally {
    URL.revokeObjectURL(url);
  }
  return element;
}

/** Does it until the server answers; `told` hears that it does not. */
export async function untilAnswered(deed, told) {
  for (let pause = 500; ; pause = Math.min(2 * pause, 8000)) {
    try {
      const found = await deed();
      told(false);
      return found;
    } catch (problem) {
      if (!(problem instanceof Refused) || (problem.status !== 0 && problem.status < 429))
        throw problem;
      told(true);
      await new Promise((done) => setTimeout(done, pause));
    }
  }
}
