// Asks and tells the server that this page came from, and no other.

const NAME = "guard-key";

/** A little longer than the server takes at most, in ms: a run that is paused takes requests and does not answer them. */
const PATIENCE = 65_000;

/** The key that the server asks for, kept for this tab alone; null for a tab that did not come in by the printed URL. */
const key = () => sessionStorage.getItem(NAME);

/** Keeps the key that came with the page; false if there is none. */
export function enter() {
  const brought = document.querySelector(`meta[name="${NAME}"]`);
  if (brought !== null) {
    sessionStorage.setItem(NAME, brought.content);
    brought.remove();
    // The token is spent: whoever loads the page again does so without it.
    history.replaceState(null, "", `/${location.hash}`);
  }
  return key() !== null;
}

/** A function that gives the document at a path, or null if it is the one that it gave last. */
export function reader() {
  let known = { path: null, etag: null };
  return async (path) => {
    const headers = { "x-guard": key() };
    if (known.path === path && known.etag !== null) headers["if-none-match"] = known.etag;
    const answer = await fetch(path, { headers, signal: AbortSignal.timeout(PATIENCE) });
    if (answer.status === 304) return null;
    if (!answer.ok) {
      known = { path: null, etag: null };
      throw new Error(path.startsWith("/api/pod/") && answer.status === 404 ? "it is not there any more" : await answer.text());
    }
    known = { path, etag: answer.headers.get("etag") };
    return answer.json();
  };
}

/** Sends a decision, with all that the server asks of one. */
export async function post(path, word) {
  const headers = { "content-type": "application/json", "x-guard": key() };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(word) });
  if (!answer.ok) throw new Error(await answer.text());
}
