// Executions: the list with its filters, and one of them as a timeline.

import { ANYWAY, get, poll, post } from "./api.js";
import { span } from "./charts.js";
import { asks, choice, field, filters, h, note, say, since, table, update, waiting } from "./dom.js";
import { capital, clock, count, duration, inWords, moment, plain, stepName, usd, why, words } from "./format.js";
import { go, to } from "./router.js";
import { inOrder, stateOf } from "./steps.js";

const EVERY = 4_000;
const EVERY_OF_ONE = 1_200;
const RECORDED_WITHIN = 5_000;
const SETTLED = 600;
const KINDS = ["movie_search", "tweet_pipeline", "review_backfill"];
const STATUSES = ["RUNNING", "SUCCEEDED", "PARTIAL", "FAILED", "CANCELED"];
const TONES = { RUNNING: "busy", SUCCEEDED: "good", PARTIAL: "warn", FAILED: "bad", CANCELED: "todo" };
const BEGINNINGS = {
  movie_search: ["FindMovie", "AnalyzeReviews"],
  tweet_pipeline: ["DownloadTweets", "ClassifyTweets", "PolishTweets"],
};
const TELLING = new Set(["fetched", "new", "reviews"]); // counts whose 0 says something
const OUTCOMES = { POSTED: "good", APPROVED: "good", NEEDS_HUMAN: "wait", REJECTED: "bad", UNKNOWN: "warn" };

export const show = (place, { path, query }, signal) => (path[1] ? one(place, path[1], signal) : list(place, query, signal));

export const state = (name, tones = TONES) => h("span", { class: `state ${tones[name] ?? "todo"}` }, words(name));

/** What an execution was asked, in a line. */
function about(input) {
  const name = input.movie_name || (input.tmdb_id ? `film ${input.tmdb_id}` : "");
  if (name) return name + (input.year ? ` (${input.year})` : "");
  const parts = [input.username ? `@${input.username.replace(/^@/, "")}` : "", input.count ? count(input.count, "tweet") : "",
    input.tweet_type ?? "", input.dry_run || input.mode === "dry_run" ? "dry run" : words(input.mode ?? "")];
  return parts.filter(Boolean).join(", ") || "as set up";
}

/** A problem with its place: a refresh that failed is tried again, a refused one is not. */
const trouble = (problem, goesOn) => note(goesOn ? "warn" : "bad", goesOn ? `${problem.message} It is tried again by itself.` : problem.message);
const passes = ({ status }) => status === 0 || status >= 429;

async function list(place, query, signal) {
  const above = h("div", {});
  const found = h("div", {});
  const { whole, look } = filters(["runs"], query, signal, (given, mine) => listed(above, found, given, mine),
    choice("What", "kind", query.kind, [["", "everything"], ...KINDS.map((kind) => [kind, words(kind)])]),
    choice("State", "status", query.status, [["", "any"], ...STATUSES.map((one) => [one, words(one)])]),
    field("From", "since", { type: "date", value: query.since ?? "" }),
    field("Until", "until", { type: "date", value: query.until ?? "" }),
    field("Holds the text", "text", { type: "search", value: query.text ?? "", maxlength: 200 }));
  place.replaceChildren(h("h1", {}, "Runs"), whole, above, found);
  update(found, waiting("Reading"));
  await look(query);
  return "Runs";
}

/** A day's beginning or end as the API takes it; what is no day asks for none. */
const at = (day, time) => {
  const found = new Date(`${day}T${time}`);
  return Number.isNaN(found.getTime()) ? "" : found.toISOString();
};

const listed = (above, found, query, signal) => {
  const asked = { ...query, since: at(query.since, "00:00:00"), until: at(query.until, "23:59:59.999"), limit: 25 };
  let counted = false;
  return poll(() => get("workflow/list", asked, { signal, tries: 1 }), (page, problem) => {
    if (problem) {
      update(above, trouble(problem, passes(problem)));
      for (const one of found.querySelectorAll(".loading")) one.remove();
      return true;
    }
    update(above);
    if (!counted) say(count(page.workflows.length, "run"));
    counted = true;
    const filtered = Object.values(query).some(Boolean);
    update(found,
      page.workflows.length ? table("Executions, the newest first", ["Run", "What", "State", "Started", "Took"], page.workflows.map((run) => [run.workflow_id, [
        h("a", { href: to(["runs", run.workflow_id]) }, about(run.input)), words(run.kind), state(run.status),
        since(run.started_at), duration(run.duration_ms) || "still running",
      ]]), "rows runs") : note("plain", filtered ? "Nothing of that kind on this page." : "Nothing has run yet.", h("a", { href: filtered ? to(["runs"]) : to([]) }, filtered ? "Show everything" : "Search a film")),
      h("p", { class: "actions" },
        query.cursor ? h("a", { href: to(["runs"], { ...query, cursor: "" }) }, "← The newest") : null,
        page.next_cursor ? h("a", { href: to(["runs"], { ...query, cursor: page.next_cursor }) }, "Older →") : null));
    return !query.cursor;
  }, { every: EVERY, signal });
};

async function one(place, id, signal) {
  const heading = h("h1", { tabindex: "-1" }, "Run");
  const above = h("div", {});
  const buttons = h("div", { class: "fields" });
  const found = h("div", {});
  place.replaceChildren(h("p", {}, h("a", { href: to(["runs"]) }, "All runs")), heading, above, buttons, found);
  update(found, waiting("Reading"));
  let last = null;
  let spoken = "";
  const began = Date.now();
  await poll(() => get(`workflow/status/${encodeURIComponent(id)}`, {}, { signal, tries: 1 }), (run, problem) => {
    if (problem) {
      if (problem.status === 404 && Date.now() - began < RECORDED_WITHIN) return ANYWAY;
      update(above, trouble(problem, passes(problem)));
      for (const node of found.querySelectorAll(".loading")) node.remove();
      return true;
    }
    update(above);
    if (last?.status !== run.status) {
      // Another button where one was must not be pressed for it.
      const inside = buttons.contains(document.activeElement);
      buttons.replaceChildren(...actions(run, () => last, signal));
      if (inside) heading.focus();
      if (last) {
        buttons.inert = true;
        setTimeout(() => { buttons.inert = false; }, SETTLED);
      }
    }
    last = run;
    heading.textContent = `${capital(words(run.kind))}: ${about(run.input)}`;
    document.title = `${heading.textContent} · Marquee`;
    update(found, detail(run));
    const line = `${words(run.status)}, ${count(Object.keys(run.steps).length, "step")}`;
    if (line !== spoken) { spoken = line; say(line); }
    return run.status === "RUNNING";
  }, { every: EVERY_OF_ONE, signal });
  return heading.textContent;
}

/** What may be done with a run: cancel it while it goes, repeat it once it has ended. */
function actions(run, newest, signal) {
  const path = `workflow/${encodeURIComponent(run.workflow_id)}`;
  const beginnings = BEGINNINGS[run.kind] ?? [];
  const from = beginnings.length ? choice("from", "from", "", [["", "the beginning"], ...beginnings.map((step) => [step, stepName(step)])]) : null;
  const again = async () => {
    const from_step = from?.querySelector("select").value;
    const { workflow_id } = await post(`${path}/rerun`, from_step ? { from_step } : {});
    if (!signal.aborted) go(to(["runs", workflow_id]));
  };
  const kept = () => {
    const address = URL.createObjectURL(new Blob([JSON.stringify(newest(), null, 2)], { type: "application/json" }));
    h("a", { href: address, download: `${run.workflow_id}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1_000);
  };
  return [
    ...(run.status === "RUNNING" ? [asks("Cancel it", async () => {
      await post(`${path}/cancel`);
      if (!signal.aborted) say("Canceled");
    })] : [asks("Run it again", again, { class: "main" }), from]),
    h("button", { type: "button", onclick: kept }, "Download as JSON"),
    run.kind === "movie_search" ? h("a", { href: to(["search", run.workflow_id]) }, "The search as a page") : null,
  ].filter(Boolean);
}

function detail(run) {
  const runs = run.status === "RUNNING";
  const start = new Date(run.started_at).getTime();
  const ended = run.ended_at ? new Date(run.ended_at).getTime() : Date.now();
  const calls = run.automation_stats.coordinator_stats.api_calls;
  const steps = inOrder(run.steps);
  const whole = Math.max(ended - start, ...steps.map(([, step]) => (step.ended_at ? new Date(step.ended_at) - start : 0)), 1);
  const facts = [
    ["State", state(run.status)], ["Started", h("time", { datetime: run.started_at, title: moment(run.started_at) }, clock(run.started_at))], ["Took", runs ? `${duration(ended - start)} so far` : duration(run.duration_ms)],
    ["Upstream calls", `${plain(calls.total)}${calls.failed ? `, ${plain(calls.failed)} failed` : ""}`], ["Cost", usd(calls.cost_usd)], ["Started by", words(run.trigger || "the console")],
  ];
  const lacks = run.result?.missing ?? [];
  return [
    h("dl", { class: "numbers" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    run.rerun_of ? h("p", {}, "It repeats ", h("a", { href: to(["runs", run.rerun_of]) }, run.rerun_of), ".") : null,
    run.stalled ? note("warn", "It says that it runs, but Step Functions no longer knows of it.") : null,
    run.error ? note("bad", `${capital(words(run.status))}: ${why(run.error)}.`) : null,
    lacks.length ? note("warn", "What it lacks: ", h("ul", {}, lacks.map((text) => h("li", {}, inWords(text))))) : null,
    h("h2", {}, "Step by step"),
    steps.length ? table("Steps, in the order in which they began", ["Step", "State", "When", "Attempts", "Did", "Cost"], steps.map(([name, step]) => {
      const { kind, mark, words: told } = stateOf(step, runs);
      const from = Math.max(new Date(step.started_at) - start, 0);
      const until = step.ended_at ? new Date(step.ended_at) - start : ended - start;
      return [name, [stepName(name), h("span", { class: `step-state ${kind}` }, `${mark} ${told}`), span(from, Math.max(until, from), whole, kind),
        [plain(step.attempts), step.failed_attempts.length ? h("details", { id: `failed-${name}` }, h("summary", {}, "what failed"), h("ul", {},
          step.failed_attempts.map((attempt) => h("li", {}, `${attempt.ended_at ? `${clock(attempt.ended_at)}: ` : ""}${why(attempt.error)}`)))) : null],
        did(step.counts), usd(step.cost_usd)]];
    }), "rows timeline") : note("plain", runs ? "No step has begun yet." : "No step was reached."),
    run.kind === "tweet_pipeline" && run.result ? outcomes(run.result) : null,
    h("details", { id: "input" }, h("summary", {}, "What it was asked"), h("pre", { class: "text" }, JSON.stringify(run.input, null, 2))),
  ];
}

/** A step's counts in words: what it took in and put out, its calls and its requests. */
function did(counts) {
  const { calls = {}, operations = {}, cost_usd: _, read_units: __, write_units: ___, ...own } = counts ?? {};
  const said = Object.entries(own).filter(([name, value]) => (value !== 0 || TELLING.has(name)) && typeof value !== "object")
    .map(([name, value]) => (name === "wait_until" ? `waits until ${clock(value)}` : typeof value === "number" ? `${plain(value)} ${value === 1 ? words(name).replace(/s$/, "") : words(name)}` : `${words(name)}: ${words(value)}`));
  const to = Object.entries(calls).map(([name, value]) => {
    const [provider, outcome] = name.split(".");
    return `${count(value, "call")} of ${words(provider)}${outcome === "failed" ? " failed" : ""}`;
  });
  const requests = Object.values(operations).reduce((sum, value) => sum + value, 0);
  return [...said, ...to, requests ? count(requests, "database request") : ""].filter(Boolean).join(", ");
}

const outcomes = (result) => [
  h("h2", {}, "What became of the tweets"),
  result.tweets.length ? table("Tweets of this run", ["Text", "Type", "Outcome", "Why", "Price"], result.tweets.map((tweet) => [tweet.tweet_id, [
    h("span", { class: "text" }, tweet.text ?? `tweet ${tweet.tweet_id}`), words(tweet.type ?? ""), state(tweet.status, OUTCOMES), inWords(tweet.reason),
    tweet.price_usd ? usd(tweet.price_usd) : "",
  ]]), "rows") : note("plain", "There was nothing to do."),
  result.tweets.some((tweet) => tweet.status === "NEEDS_HUMAN") && result.mode !== "dry_run"
    ? note("plain", "Some wait for a person.", h("a", { href: to(["tweets"]) }, "Decide about them")) : null,
];
