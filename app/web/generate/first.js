// The pictures that an address asks for, under way before the page is drawn.
import { generate } from "../api.js";
import { FIRST, bodyOf, checked, inBoxes, readQuery } from "./request.js";

const CHUNK = 250; // images of one JSON answer

/**
 * Images of a body of POST /generate, asked for in parts: one JSON answer holds 256.
 * @param {any} body @param {AbortSignal} signal @param {(so: {done: number, all: number}) => void} told
 */
export async function generated(body, signal, told) {
  let answer = null;
  const all = body.items?.length ?? body.count;
  for (let done = 0; done < all; done = answer.images.length) {
    const count = Math.min(CHUNK, all - done);
    const seed = answer ? answer.images[0].seed + done : body.seed;
    const asked = body.items
      ? { ...body, items: body.items.slice(done, done + count) }
      : { ...body, seed, count };
    const part = await generate(asked, signal);
    answer = answer ? { ...answer, images: [...answer.images, ...part.images] } : part;
    told({ done: answer.images.length, all });
  }
  return answer;
}

/**
 * Asks for the pictures of a query; null where the list of models is needed first or it is wrong.
 * @param {string} query @returns {{query: string, made: Promise<any>, leaving: AbortController} | null}
 */
function begin(query) {
  const request = readQuery(query) ?? FIRST;
  const { body } = request.each ? {} : checked(inBoxes(request), 0);
  if (!body) return null;
  const leaving = new AbortController();
  const made = generated(bodyOf(body, []), leaving.signal, () => {});
  made.catch(() => {}); // it is told where it is awaited
  return { query, made, leaving };
}

let begun = begin(location.search);

/** What was begun of a query when this module was loaded, to whoever comes first; or begun now. */
export function first(query) {
  const mine = begun;
  begun = null;
  return mine?.query === query ? mine : begin(query);
}
