// How the installation does: what it did lately, and what stands before it now.

import { get, poll, post, Problem } from "./api.js";
import { bars, meter } from "./charts.js";
import { asks, h, note, say, since, table, update, waiting } from "./dom.js";
import { clock, count, duration, localized, percent, plain, stepName, usd, words } from "./format.js";
import { to } from "./router.js";

const EVERY = 10_000;
const WINDOWS = [["1h", "Last hour"], ["24h", "Last day"], ["7d", "Last week"]];
const DELIVERED = { DELIVERED: "good", PENDING: "wait", FAILED: "bad" };
const BREAKERS = { open: "bad", "half-open": "warn", closed: "good" };

let last = null;

export async function show(place, { query }, signal) {
  const window = WINDOWS.some(([name]) => name === query.window) ? query.window : "24h";
  const above = h("div", {});
  const found = h("div", {});
  place.replaceChildren(h("h1", {}, "System"),
    h("nav", { class: "tabs", "aria-label": "How far back" }, WINDOWS.map(([name, label]) =>
      h("a", { href: to(["system"], { window: name }), "aria-current": name === window ? "page" : undefined }, label))), above, found);
  const counted = (stats) => update(above, h("p", { class: "quiet" }, `As of ${clock(stats.until)}, counted in whole hours since ${clock(stats.since)}.`));
  let seen = null;
  if (last?.window === window) {
    seen = last.until;
    counted(last);
    update(found, drawn(last));
  } else update(found, waiting("Counting"));
  await poll(() => read(window, signal), (stats, problem) => {
    if (problem) {
      update(above, note("warn", `${problem.message}${seen ? ` What you see is from ${clock(seen)}.` : ""} It is tried again by itself.`));
      if (!seen && found.querySelector(".loading")) update(found);
      return true;
    }
    last = stats;
    seen = stats.until;
    counted(stats);
    update(found, drawn(stats));
    return true;
  }, { every: EVERY, signal });
  return "System";
}

/** The statistics, and the films that are collected later where there are some. */
async function read(window, signal) {
  const stats = await get("api/orchestrator/automation-stats", { window }, { signal, tries: 1 });
  if (!stats.backfill?.films) return stats;
  const films = await get("api/orchestrator/queue", { limit: 20 }, { signal, tries: 1 }).catch((problem) => {
    if (problem instanceof Problem) return null;
    throw problem;
  });
  return { ...stats, films };
}

/** Each part, or a word where it is not known; parts that this version does not count are left out. */
const drawn = (stats) => [numbers(stats), hours(stats), steps(stats), providers(stats), gateway(stats.gateway), later(stats), queues(stats.queues ?? []), triggers(stats.triggers)];

const section = (title, ...parts) => h("section", { "aria-label": title }, h("h2", {}, title), parts);

function numbers(stats) {
  const calls = stats.coordinator_stats.api_calls;
  const ends = Object.entries(stats.workflows).map(([kind, { total, by_status }]) => {
    const well = (by_status.SUCCEEDED ?? 0) + (by_status.PARTIAL ?? 0);
    return [words(kind), total ? `${percent(well / total)} of ${plain(total)}` : "none", total ? "ended well" : ""];
  });
  const cost = Object.values(stats.cost_usd).reduce((sum, one) => sum + one, 0);
  const facts = [...ends, ["upstream calls", `${percent(calls.success_rate)} of ${plain(calls.total)}`, calls.total ? "answered" : ""],
    ["an upstream's answer", duration(calls.p50_ms) || "–", calls.p95_ms ? `half within; 95 % within ${duration(calls.p95_ms)}` : ""],
    ["database requests", plain(stats.coordinator_stats.database_operations.total), ""], ["spent on upstreams", usd(cost), "at list price"]];
  return h("dl", { class: "numbers" }, facts.map(([name, value, more]) => h("div", {}, h("dt", {}, name), h("dd", {}, value), more ? h("dd", { class: "quiet" }, more) : null)));
}

function hours(stats) {
  if (!stats.hours.some((hour) => hour.calls || hour.workflows)) return note("plain", "Nothing was done in this time.", h("a", { href: to([]) }, "Search a film"));
  return section("Hour by hour", h("div", { class: "two" },
    h("div", {}, h("h3", {}, "Executions"), bars("Executions by the hour", stats.hours, (hour) => hour.workflows, (hour) => hour.failed_workflows)),
    h("div", {}, h("h3", {}, "Upstream calls"), bars("Upstream calls by the hour", stats.hours, (hour) => hour.calls, (hour) => hour.failed_calls)),
    h("div", {}, h("h3", {}, "Cost"), bars("US cents by the hour", stats.hours, (hour) => hour.cost_usd * 100))));
}

const errors = (found) => Object.entries(found).map(([name, number]) => `${plain(number)} ${name}`).join(", ");

function steps(stats) {
  const rows = Object.entries(stats.workflows).flatMap(([kind, { steps: all }]) => Object.entries(all).map(([name, step]) => [`${kind}/${name}`, [
    stepName(name), words(kind), plain(step.attempts), duration(step.p50_ms), duration(step.p95_ms), errors(step.errors) || "none"]]));
  return rows.length ? section("Steps", table("Steps", ["Step", "Of", "Attempts", "Half within", "95 % within", "Errors"], rows, "rows")) : null;
}

function providers(stats) {
  const rows = Object.entries(stats.coordinator_stats.api_calls.by_provider).map(([name, one]) => [name, [
    words(name), plain(one.total), percent(one.success_rate), duration(one.p50_ms), duration(one.p95_ms), plain(one.retries), errors(one.errors) || "none", usd(one.cost_usd)]]);
  return rows.length ? section("Upstreams", table("Upstreams", ["Upstream", "Calls", "Answered", "Half within", "95 % within", "Retries", "Errors", "Cost"], rows, "rows")) : null;
}

const endpoint = (one) => `${words(one.provider)} ${one.endpoint === "*" ? "(all else)" : one.endpoint}`;

function gateway(now) {
  if (now === undefined) return null;
  if (now === null) return note("warn", "Quotas, budgets and breakers are not known just now.");
  const reopen = (closed) => asks("It is mended: pay it again", async () => {
    const { message } = await post(`api/orchestrator/providers/${encodeURIComponent(closed.provider)}/reopen`);
    say(message);
    return message;
  });
  return [
    (now.closed ?? []).map((closed) => h("div", { "data-key": closed.provider }, note("bad", `${words(closed.provider)} is paid nothing more: ${localized(closed.reason)}`, reopen(closed)))),
    now.budgets?.length ? section("Budget", table("Budget", ["For", "Spent", "Under way", "Left", "Begins anew"], now.budgets.map((one) => [`${one.scope} ${one.period}`, [
      `${one.scope === "total" ? "Everything" : words(one.scope)}, ${one.period === "day" ? "today" : "this month"}`,
      meter(one.share, `${usd(one.spent_usd)} of ${usd(one.cap_usd)}`), usd(one.reserved_usd), usd(one.left_usd), since(one.opens_at)]]), "rows")) : null,
    now.quotas?.length ? section("Quotas", table("Quotas", ["Endpoint", "Used", "Waiting", "Next call", "Whose"], now.quotas.map((one) => [`${one.provider} ${one.endpoint} ${one.credential}`, [
      endpoint(one), meter(one.calls ? one.used / one.calls : 0, `${plain(one.used)} of ${plain(one.calls)} in ${duration(one.seconds * 1000)}`), plain(one.waiting),
      one.blocked_until && new Date(one.blocked_until) > Date.now() ? `the upstream says: from ${clock(one.blocked_until)}` : new Date(one.next_at) > Date.now() ? `from ${clock(one.next_at)}` : "now", one.credential]]), "rows")) : null,
    now.breakers?.length ? section("Breakers", table("Breakers", ["Endpoint", "State", "Failed lately", "Asked again"], now.breakers.map((one) => [`${one.provider} ${one.endpoint}`, [
      endpoint(one), h("span", { class: `state ${BREAKERS[one.state] ?? "todo"}` }, { open: "left alone", "half-open": "being tried", closed: "fine" }[one.state] ?? one.state),
      one.failure_share === null ? "none" : percent(one.failure_share), one.retry_at ? clock(one.retry_at) : ""]]), "rows")) : null,
  ];
}

function later({ backfill, films }) {
  if (!backfill?.films && !backfill?.given_up) return null;
  return section("Collected later", h("p", {}, `${count(backfill.films, "film")} ${backfill.films === 1 ? "waits" : "wait"} for quota, ${count(backfill.searches, "search", "searches")} to be completed by them.`,
    backfill.given_up ? ` ${count(backfill.given_up, "film")} given up.` : ""),
    films?.entries.length ? table("Films that are collected later", ["Film", "Why", "From", "Expected", "Last attempt"], films.entries.map((one) => [one.tmdb_id, [
      h("a", { href: to(["search"], { tmdb_id: one.tmdb_id }) }, one.year ? `${one.title} (${one.year})` : one.title), words(one.reason), one.sources.map(words).join(", "),
      one.expected_at ? since(one.expected_at) : "", localized(one.last_outcome)]]), "rows") : null);
}

const queues = (all) => (all.length ? section("Queues", table("Queues", ["Queue", "Waiting", "So"], all.map((one) => [one.queue, [
  words(one.queue), one.messages === null ? "not known" : plain(one.messages),
  one.dead_letters && one.messages ? h("span", { class: "state bad" }, "somebody must look at them") : one.messages ? "being worked on" : "empty"]]), "rows")) : null);

function triggers(all) {
  if (!all) return all === null ? note("warn", "The callbacks are not known just now.") : null;
  const redeliver = (delivery) => asks("Send it again", async () => {
    await post(`triggers/history/${encodeURIComponent(delivery.delivery_id)}/redeliver`);
    say("It is sent again");
    return "sent again";
  });
  return section("Callbacks", h("p", {}, `${all.more ? "At least " : ""}${count(all.total, "callback")}${all.switched_off.length ? `, ${plain(all.switched_off.length)} switched off: ${all.switched_off.join(", ")}` : ""}.`),
    all.recent.length ? table("Last deliveries", ["Event", "To", "State", "When", "Why", "Next"], all.recent.map((one) => [one.delivery_id, [
      one.event_type, one.url, h("span", { class: `state ${DELIVERED[one.status]}` }, words(one.status)), since(one.attempts.at(-1)?.at ?? one.matched_at), localized(one.reason),
      one.status === "FAILED" ? redeliver(one) : one.due_at ? ["next ", since(one.due_at)] : ""]]), "rows") : h("p", { class: "quiet" }, "Nothing was delivered yet."));
}
