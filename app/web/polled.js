// What changes on the server while one looks.
import { useAsked } from "./parts.js";
import { useEffect } from "./vendor/ui/ui.js";

/** A refusal that asking again will not change. */
const final = ({ status }) => status >= 400 && status < 429;

/**
 * As useAsked, and asked again `ms` after each answer or failure while `goOn(content)`; not while
 * the page is hidden, but as soon as it is seen again.
 */
export function usePolled(ask, dependencies, ms, goOn) {
  const asked = useAsked(ask, dependencies);
  const { content, problem, waiting, again } = asked;
  useEffect(() => {
    if (waiting || (problem ? final(problem) : !goOn(content))) return undefined;
    const turn = () => document.hidden || again();
    const timer = setTimeout(turn, ms);
    document.addEventListener("visibilitychange", turn);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", turn);
    };
  }, [content, problem, waiting]);
  return asked;
}
