// Addresses within the page: where it is, and whether it may be left.
const now = () => location.pathname + location.search;
let here = now();
let question = "";

const mayLeave = () => !question || confirm(question);
const asked = (event) => event.preventDefault();

/** Leads to another address of the page without loading it anew. @param {string} address */
export function navigate(address) {
  if (!mayLeave()) return;
  question = "";
  history.pushState(null, "", address);
  dispatchEvent(new PopStateEvent("popstate"));
}

/** Gives what is shown already another address. @param {string} address */
export function readdress(address) {
  history.replaceState(history.state, "", address);
  here = now();
}

/** Whether the address has come to name something else than what is shown. */
export function moved() {
  if (now() === here) return false;
  if (mayLeave()) {
    here = now();
    return true;
  }
  history.pushState(null, "", here);
  return false;
}

/** Asks before the page is left. @param {string} words @returns {() => void} what ends that */
export function stay(words) {
  question = words;
  addEventListener("beforeunload", asked);
  return () => {
    question = "";
    removeEventListener("beforeunload", asked);
  };
}
