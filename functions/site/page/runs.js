// Executions: the list with its filters, and one of them as a timeline.

import { ANYWAY, get, poll, post } from "./api.js";
import { span } from "./charts.js";
import { choice, field, h, note, say, table, update, waiting } from "./dom.js";
import { ago, capital, clock, count, duration, moment, plain, stepName, usd, why, words } from "./format.js";
import { go, to } from "./router.js";
import { inOrder, stateOf } from "./steps.js";

const EVERY = 4_000;
const EVERY_OF_ONE = 1_200;
const RECORDED_WITHIN = 5_000;
const KINDS = ["movie_search", "tweet_pipeline", "review_backfill"];
const STATUSES = ["RUNNING", "SUCCEEDED", "PARTIAL", "FAILED", "CANCELED"];
const TONES = { RUNNING: "busy", SUCCEEDED: "good", PARTIAL: "warn", FAILED: "bad", CANCELED: "todo" };
const BEGINNINGS = {
  movie_search: ["FindMovie", "AnalyzeReviews"],
  tweet_pipeline: ["DownloadTweets", "ClassifyTweets", "PolishTweets"],
};
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

async function list(place, query, signal) {
  const filters = h("form", {
    class: "fields", role: "search", "aria-label": "Filter",
    onsubmit: (event) => { event.preventDefault(); go(to(["runs"], Object.fromEntries(new FormData(event.target)))); },
    onchange: (event) => { if (event.target.matches("select, [type=date]")) event.target.form.requestSubmit(); },
  },
    choice("What", "kind", query.kind, [["", "everything"], ...KINDS.map((kind) => [kind, words(kind)])]),
    choice("State", "status", query.status, [["", "any"], ...STATUSES.map((one) => [one, words(one)])]),
    field("From", "since", { type: "date", value: query.since ?? "" }),
    field("Until", "until", { type: "date", value: query.until ?? "" }),
    field("Holds the text", "text", { type: "search", value: query.text ?? "", maxlength: 200 }),
    h("button", { class: "main" }, "Show"));
  const found = h("div", {});
  place.replaceChildren(h("h1", {}, "Runs"), filters, found);
  update(found, waiting("Reading"));
  const at = (day, time) => (day ? new Date(`${day}T${time}`).toISOString() : "");
  const asked = { ...query, since: at(query.since, "00:00:00"), until: at(query.until, "23:59:59.999"), limit: 25 };
  await poll(() => get("workflow/list", asked, { signal, tries: 1 }), (page, problem) => {
    if (problem) {
      update(found, note(problem.status && problem.status < 429 ? "bad" : "warn", problem.message), found.querySelector(".scroll"));
      return true;
    }
    const filtered = Object.values(query).some(Boolean);
    update(found,
      page.workflows.length ? table("Executions, the newest first", ["Run", "What", "State", "Started", "Took"], page.workflows.map((run) => [
        h("a", { href: to(["runs", run.workflow_id]) }, about(run.input)), words(run.kind), state(run.status),
        h("time", { datetime: run.started_at, title: moment(run.started_at) }, ago(run.started_at)), duration(run.duration_ms) || "still running",
      ]), "rows") : note("plain", filtered ? "Nothing of that kind on this page." : "Nothing has run yet.", h("a", { href: filtered ? to(["runs"]) : to([]) }, filtered ? "Show everything" : "Search a film")),
      h("p", { class: "actions" },
        query.cursor ? h("a", { href: to(["runs"], { ...query, cursor: "" }) }, "← The newest") : null,
        page.next_cursor ? h("a", { href: to(["runs"], { ...query, cursor: page.next_cursor }) }, "Older →") : null));
    return !query.cursor;
  }, { every: EVERY, signal });
  return "Runs";
}

async function one(place, id, signal) {
  const heading = h("h1", {}, "Run");
  const buttons = h("div", {});
  const found = h("div", {});
  place.replaceChildren(h("p", {}, h("a", { href: to(["runs"]) }, "All runs")), heading, buttons, found);
  update(found, waiting("Reading"));
  let last = null;
  let spoken = "";
  const began = Date.now();
  await poll(() => get(`workflow/status/${encodeURIComponent(id)}`, {}, { signal, tries: 1 }), (run, problem) => {
    if (problem) {
      if (problem.status === 404 && Date.now() - began < RECORDED_WITHIN) return ANYWAY;
      update(found, note(problem.status && problem.status < 429 ? "bad" : "warn", problem.message), last ? detail(last) : null);
      return true;
    }
    if (!last || last.status !== run.status) update(buttons, actions(run));
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
function actions(run) {
  const failed = h("div", {});
  const doing = (ask, then) => async (event) => {
    event.preventDefault();
    const button = event.submitter ?? event.target;
    button.disabled = true;
    try {
      then(await ask());
    } catch (problem) {
      button.disabled = false;
      update(failed, note("bad", problem.message));
    }
  };
  const path = `workflow/${encodeURIComponent(run.workflow_id)}`;
  const again = (from_step) => post(`${path}/rerun`, from_step ? { from_step } : {});
  const opened = ({ workflow_id }) => go(to(["runs", workflow_id]));
  const beginnings = BEGINNINGS[run.kind] ?? [];
  const from = beginnings.length ? choice("from", "from", "", [["", "the beginning"], ...beginnings.map((step) => [step, stepName(step)])]) : null;
  const file = new Blob([JSON.stringify(run, null, 2)], { type: "application/json" });
  return [h("form", { class: "fields", onsubmit: doing(() => again(from?.querySelector("select").value), opened) },
    run.status === "RUNNING"
      ? h("button", { type: "button", onclick: doing(() => post(`${path}/cancel`), () => say("Canceled")) }, "Cancel it")
      : [h("button", { class: "main" }, "Run it again"), from],
    h("button", { type: "button", onclick: () => {
      const address = URL.createObjectURL(file);
      h("a", { href: address, download: `${run.workflow_id}.json` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 1_000);
    } }, "Download as JSON"),
    run.kind === "movie_search" ? h("a", { href: to(["search", run.workflow_id]) }, "The search as a page") : null), failed];
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
    lacks.length ? note("warn", "What it lacks: ", h("ul", {}, lacks.map((text) => h("li", {}, text)))) : null,
    h("h2", {}, "Step by step"),
    steps.length ? table("Steps, in the order in which they began", ["Step", "State", "When", "Attempts", "Did", "Cost"], steps.map(([name, step]) => {
      const { kind, mark, words: told } = stateOf(step, runs);
      const from = Math.max(new Date(step.started_at) - start, 0);
      const until = step.ended_at ? new Date(step.ended_at) - start : ended - start;
      return [stepName(name), h("span", { class: `step-state ${kind}` }, `${mark} ${told}`), span(from, Math.max(until, from), whole, kind),
        [plain(step.attempts), step.failed_attempts.length ? h("details", { id: `failed-${name}` }, h("summary", {}, "what failed"), h("ul", {},
          step.failed_attempts.map((attempt) => h("li", {}, `${attempt.ended_at ? `${clock(attempt.ended_at)}: ` : ""}${why(attempt.error)}`)))) : null],
        did(step.counts), usd(step.cost_usd)];
    }), "rows timeline") : note("plain", runs ? "No step has begun yet." : "No step was reached."),
    run.kind === "tweet_pipeline" && run.result ? outcomes(run.result) : null,
    h("details", { id: "input" }, h("summary", {}, "What it was asked"), h("pre", { class: "text" }, JSON.stringify(run.input, null, 2))),
  ];
}

/** A step's counts in words: what it took in and put out, its calls and its requests. */
function did(counts) {
  const { calls = {}, operations = {}, cost_usd: _, read_units: __, write_units: ___, ...own } = counts ?? {};
  const said = Object.entries(own).filter(([, value]) => value !== 0 && typeof value !== "object")
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
  result.tweets.length ? table("Tweets of this run", ["Text", "Type", "Outcome", "Why", "Price"], result.tweets.map((tweet) => [
    h("span", { class: "text" }, tweet.text ?? `tweet ${tweet.tweet_id}`), words(tweet.type ?? ""), state(tweet.status, OUTCOMES), tweet.reason,
    tweet.price_usd ? usd(tweet.price_usd) : "",
  ]), "rows") : note("plain", "There was nothing to do."),
  result.tweets.some((tweet) => tweet.status === "NEEDS_HUMAN") && result.mode !== "dry_run"
    ? note("plain", "Some wait for a person.", h("a", { href: to(["tweets"]) }, "Decide about them")) : null,
];
