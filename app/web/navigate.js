/** Leads to another address of the page without loading it anew. @param {string} address */
export function navigate(address) {
  history.pushState(null, "", address);
  dispatchEvent(new PopStateEvent("popstate"));
}
