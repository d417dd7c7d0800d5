// Numbers, times and names in the words of a person, in the viewer's zone and language of dates.

const LOCALE = navigator.languages?.find((one) => one.startsWith("en")) ?? "en";
const plural = new Intl.PluralRules("en");
const number = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat(LOCALE, { numeric: "auto" });
// English words, but the clock of the viewer's own language: 14:32 or 2:32 PM.
const { hourCycle } = new Intl.DateTimeFormat(navigator.language, { hour: "numeric" }).resolvedOptions();
const DATE = { day: "numeric", month: "short", year: "numeric" };
const TIME = { hour: "numeric", minute: "2-digit", hourCycle };
const formats = {
  clock: new Intl.DateTimeFormat(LOCALE, TIME),
  day: new Intl.DateTimeFormat(LOCALE, DATE),
  moment: new Intl.DateTimeFormat(LOCALE, { ...DATE, ...TIME }),
};
const DAY = 86_400_000;

/** "1 review", "36 reviews". */
export const count = (amount, one, many = `${one}s`) =>
  `${number.format(amount)} ${plural.select(amount) === "one" ? one : many}`;

export const plain = (value) => number.format(value);

/** Dollars: cents where there are some, more digits where they matter. */
export function usd(amount) {
  if (!amount) return "$0";
  const digits = amount >= 1 || Math.abs(amount * 100 - Math.round(amount * 100)) < 1e-9 ? 2 : amount >= 0.001 ? 3 : 5;
  return `$${amount.toFixed(digits)}`;
}

/** "0.4 s", "12 s", "3 min 5 s", "2 h 10 min"; "" of nothing. */
export function duration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "";
  const seconds = ms / 1000;
  if (seconds < 0.1) return "under 0.1 s";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min${seconds % 60 >= 1 && minutes < 10 ? ` ${Math.floor(seconds % 60)} s` : ""}`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`;
}

/** "3 minutes ago", "in 2 hours", "yesterday". */
export function ago(moment, now = Date.now()) {
  const ms = new Date(moment) - now;
  const size = Math.abs(ms);
  if (size < 45_000) return ms > 0 ? "in a moment" : "just now";
  const [unit, of] = size < 3_600_000 * 0.9 ? ["minute", 60_000] : size < DAY * 0.9 ? ["hour", 3_600_000]
    : size < DAY * 28 ? ["day", DAY] : size < DAY * 330 ? ["month", DAY * 30.4] : ["year", DAY * 365.2];
  return relative.format(Math.round(ms / of), unit);
}

/** "14:32", with its day where that is not today. */
export function clock(moment) {
  const then = new Date(moment);
  return then.toDateString() === new Date().toDateString() ? formats.clock.format(then) : formats.moment.format(then);
}

/** A sentence of the API, with its times (2026-11-22T06:30:00Z) as the viewer's. */
export const localized = (text) =>
  String(text ?? "").replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z/g, (at) => clock(at));

export const day = (moment) => formats.day.format(new Date(moment));
export const dated = (at, parts) => new Intl.DateTimeFormat(LOCALE, parts).format(new Date(at));
export const moment = (value) => formats.moment.format(new Date(value));

export const percent = (share) =>
  share === null || share === undefined ? "–" : share > 0.99 && share < 1 ? "over 99 %" : `${Math.round(share * 100)} %`;

/** "+0.30"; a minus that is one. */
export const signed = (score) => `${score < 0 ? "−" : "+"}${Math.abs(score).toFixed(2)}`;

/** "needs a person" of NEEDS_HUMAN, "collect reviews" of CollectReviews. */
const WORDS = {
  RUNNING: "running", SUCCEEDED: "done", PARTIAL: "partly done", FAILED: "failed", CANCELED: "canceled",
  NEEDS_HUMAN: "needs a person", UNKNOWN: "sent, outcome unknown", POLISHED: "polished", POSTED: "posted",
  movie_search: "film search", tweet_pipeline: "tweets", review_backfill: "backfill",
  FindMovie: "Find the film", CollectReviews: "Collect reviews", AnalyzeReviews: "Read the room",
  RecommendMovies: "Pick what to watch next", FinishSearch: "Write it down", DownloadTweets: "Download tweets",
  ClassifyTweets: "Classify", PolishTweets: "Polish", RequestApproval: "Ask a person", PublishTweet: "Post",
  ReconcilePost: "Look for the post", FinishRun: "Sum up", PlanBackfill: "Choose films",
  AnalyzeReviewsOfFilm: "Read the room", FinishBackfill: "Sum up", tmdb: "TMDB", x: "X", bluesky: "Bluesky",
  mastodon: "Mastodon", openai: "OpenAI", dry_run: "dry run",
  api: "a request", event: "an event", rerun: "a rerun",
};
export function words(name) {
  const text = String(name ?? "");
  return Object.hasOwn(WORDS, text) ? WORDS[text] : text.replaceAll(/[_-]+/g, " ").replaceAll(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase();
}

/** "Collect reviews, Bluesky" of "CollectReviews/bluesky". */
export const stepName = (name) => name.split("/").map((part) => (Object.hasOwn(WORDS, part) ? WORDS[part] : part)).join(", ");

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const ERRORS = {
  UpstreamTimeout: "it did not answer in time", UpstreamUnavailable: "it could not be reached",
  RateLimited: "it takes no more calls for now", CredentialsRefused: "it refused our credentials",
  CreditsDepleted: "its credits are used up", StoreUnavailable: "the database did not answer",
  BreakerOpen: "it fails too often and is left alone for a while", Deferred: "its quota is used up",
  SpendRefused: "the budget does not allow it", "Sandbox.Timedout": "the step took too long",
  "States.Timeout": "the step took too long", Misconfigured: "a setting is missing", Canceled: "stopped on request",
};

/** An error in words, with what it says of itself. */
export function why(error) {
  if (!error) return "";
  const known = Object.hasOwn(ERRORS, error.name) ? ERRORS[error.name] : "";
  const said = localized(error.message);
  return known ? `${known} (${said})` : `${error.name}: ${said}`;
}

/** "UpstreamTimeout: …" in words. */
export function inWords(reason) {
  const [, name, message] = /^([A-Za-z.]+): (.*)$/s.exec(reason) ?? [];
  return Object.hasOwn(ERRORS, name ?? "") ? why({ name, message }) : localized(reason);
}

/** When a step may go on whose quota is used up, from what it says; null of any other error. */
export function slotOf(error) {
  const at = error?.name === "SlotAhead" && /slot at ([\d:TZ-]+)/.exec(error.message);
  return at ? new Date(at[1]) : null;
}
