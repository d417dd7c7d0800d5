// The API: the key as a header, problem documents as sentences, reads that are tried again.

import { localized } from "./format.js";

const KEY = "marquee.key";
const TRIES = 4;
const FIRST_PAUSE = 400;
const LONGEST_PAUSE = 8_000;
const DEADLINE = 35_000; // longer than the gateway lets a request take
const MAY_PASS = new Set([0, 429, 500, 502, 503, 504]);

/** A request that was refused, or got no answer (status 0); `message` is a sentence. */
export class Problem extends Error {
  constructor(status, body = {}, retryAfter = 0) {
    super(sentence(status, body));
    this.status = status;
    this.body = body;
    this.retryAfter = retryAfter;
  }
}

function sentence(status, body) {
  if (status === 0) return "Marquee cannot be reached. Check the connection; then try again.";
  if (status === 401 || status === 403) return "Marquee refused the key.";
  if (status === 429) return "Too many requests at once. Wait a moment, then try again.";
  const detail = localized(body.detail ?? body.title ?? `it answered ${status}`);
  const said = detail.charAt(0).toUpperCase() + detail.slice(1);
  const id = status >= 500 && body.request_id ? ` (request ${body.request_id})` : "";
  return `${said}${/[.!?]$/.test(said) ? "" : "."}${id}`;
}

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
  /** Whether a header can hold it. */
  fits: (value) => /^[\x21-\x7e]+$/.test(value),
};

export const pause = (ms, signal) => new Promise((resolve, reject) => {
  if (signal?.aborted) return void reject(signal.reason);
  const stop = () => { clearTimeout(timer); reject(signal.reason); };
  const timer = setTimeout(() => { signal?.removeEventListener("abort", stop); resolve(); }, ms);
  signal?.addEventListener("abort", stop, { once: true });
});

async function once(method, path, { query, body, signal }) {
  const url = new URL(path, new URL("./", document.baseURI));
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  const headers = { Accept: "application/json" };
  if (key.get()) headers["x-api-key"] = key.get();
  if (body) headers["Content-Type"] = "application/json";
  let answer;
  let said;
  try {
    answer = await fetch(url, {
      method, headers, body: body && JSON.stringify(body),
      signal: AbortSignal.any([signal, AbortSignal.timeout(DEADLINE)].filter(Boolean)),
      cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer",
    });
    said = await answer.json().catch((error) => {
      if (error instanceof SyntaxError) return {};
      throw error;
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0);
  }
  if (answer.ok) return said;
  throw new Problem(answer.status, said, Number(answer.headers.get("Retry-After")) || 0);
}

/** Ask up to so many times; what may pass is asked again, with growing pauses. */
async function tried(tries, signal, ask) {
  for (let turn = 1; ; turn += 1) {
    try {
      return await ask();
    } catch (problem) {
      if (!(problem instanceof Problem) || !MAY_PASS.has(problem.status) || turn >= tries) throw problem;
      const grown = FIRST_PAUSE * 2 ** (turn - 1) * (0.5 + Math.random());
      await pause(Math.min(Math.max(problem.retryAfter * 1000, grown), LONGEST_PAUSE), signal);
    }
  }
}

export const get = (path, query = {}, { signal, tries = TRIES } = {}) =>
  tried(tries, signal, () => once("GET", path, { query, signal }));

/** Ask for something to happen: once, as a second time might be a second effect, unless the caller
 *  knows that it has none. */
export const post = (path, body = {}, { signal, tries = 1 } = {}) =>
  tried(tries, signal, () => once("POST", path, { body, signal }));

/** What `tell` answers to a problem that passes here though it does not elsewhere. */
export const ANYWAY = "anyway";

/** Read again and again while the page is looked at, `tell` each answer or problem; until `tell`
 *  answers false or the view is left. A problem that may pass makes the pauses longer; a refused key
 *  is thrown. */
export async function poll(read, tell, { every, signal }) {
  let wait = every;
  let wake = () => {};
  const sleep = (ms) => new Promise((resolve) => {
    const timer = ms && setTimeout(resolve, ms);
    wake = () => { clearTimeout(timer); resolve(); };
  });
  addEventListener("online", () => wake(), { signal });
  document.addEventListener("visibilitychange", () => wake(), { signal });
  signal.addEventListener("abort", () => wake(), { once: true });
  for (;;) {
    while (document.hidden && !signal.aborted) await sleep();
    if (signal.aborted) return;
    try {
      const goesOn = tell(await read(), null);
      if (goesOn === false) return;
      wait = every;
    } catch (problem) {
      if (signal.aborted) return;
      if (!(problem instanceof Problem) || [401, 403].includes(problem.status)) throw problem;
      const goesOn = tell(null, problem);
      if (goesOn === false || (goesOn !== ANYWAY && !MAY_PASS.has(problem.status))) return;
      wait = Math.min(wait * 2, 15_000);
    }
    if (signal.aborted) return;
    await sleep(wait);
  }
}
