// Search a film, watch it happen, read the room.

import { ANYWAY, get, pause, poll, post, Problem } from "./api.js";
import { byTime, histogram, interval, named, tone, trend } from "./charts.js";
import { asks, choice, field, h, note, say, since, table, update, waiting } from "./dom.js";
import { capital, clock, count, day, duration, inWords, plain, signed, stepName, usd, why, words } from "./format.js";
import { go, to } from "./router.js";
import { inOrder, stateOf } from "./steps.js";

const EVERY = 900;
const RECORDED_WITHIN = 8_000;
const TYPED_PAUSE = 160;
const EXAMPLES = ["RRR", "Dune (2021)", "Parasite", "Baahubali"];
const LONG = 160; // characters of a description that a phone folds
const POSTER = /^\/[\w.-]+\.(jpg|png|svg)$/;

export async function show(place, { path, query }, signal) {
  if (path[1]) return follow(framed(place, signal), path[1], signal);
  if (query.movie_name || query.tmdb_id) return start(place, query, signal);
  return home(place, signal);
}

const searchFor = (query) => go(to(["search"], query));

/** The form, with the films that are known already as suggestions while a title is typed. */
function form(signal, query = {}) {
  const list = h("ul", { id: "films", role: "listbox", "aria-label": "Known films", hidden: true });
  let found = [];
  let at = -1;
  let turn = 0;

  const mark = (index) => {
    at = index;
    found.forEach((film, one) => document.getElementById(`film-${one}`)?.setAttribute("aria-selected", String(one === at)));
    if (at < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", `film-${at}`);
  };
  const close = () => {
    turn += 1;
    found = [];
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    mark(-1);
  };
  const choose = (film) => {
    input.value = titled(film);
    close();
    searchFor({ tmdb_id: film.tmdb_id, ...options() });
  };
  const suggest = async () => {
    const mine = (turn += 1);
    const title = input.value.trim();
    if (!title) return close();
    await pause(TYPED_PAUSE, signal);
    if (mine !== turn) return;
    const films = (await get("movies", { title, limit: 8 }, { signal, tries: 1 })).films;
    if (mine !== turn || document.activeElement !== input) return;
    found = films;
    update(list, films.map((film, index) => h("li", {
      id: `film-${index}`, role: "option", "aria-selected": "false",
      onmousedown: (event) => { event.preventDefault(); choose(film); },
    }, titled(film))));
    list.hidden = films.length === 0;
    input.setAttribute("aria-expanded", String(films.length > 0));
    mark(-1);
    if (films.length) say(`${count(films.length, "known film")}: use the arrow keys`);
  };
  const input = h("input", {
    id: "title", name: "movie_name", type: "search", required: true, maxlength: 200, autocomplete: "off", spellcheck: "false",
    placeholder: "A film, with or without its year", "aria-label": "Film", role: "combobox", "aria-autocomplete": "list",
    "aria-expanded": "false", "aria-controls": "films", value: query.movie_name ?? "",
    oninput: () => suggest().catch(() => {}),
    onblur: close,
    onkeydown: (event) => {
      if (event.key === "Escape" && !list.hidden) { event.preventDefault(); close(); }
      if (!found.length || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
      event.preventDefault();
      const size = found.length + 1;
      mark(((at + 1 + (event.key === "ArrowDown" ? 1 : -1) + size) % size) - 1);
    },
  });
  const more = h("details", { class: "options" }, h("summary", {}, "Options"),
    h("div", { class: "fields" },
      field("Year", "year", { type: "number", min: 1870, max: 2100, value: query.year ?? "" }),
      field("Reviews a source, at most", "max_reviews", { type: "number", min: 1, max: 100, value: query.max_reviews ?? "" , placeholder: "10" }),
      choice("Texts in", "language", query.language, [["", "English"], ["es", "Spanish"], ["hi", "Hindi"], ["te", "Telugu"], ["fr", "French"], ["de", "German"]]),
      choice("Reviews", "collect_new_data", query.collect_new_data, [["", "collect new ones"], ["false", "use stored ones only"]])));
  const options = () => {
    const given = Object.fromEntries(new FormData(whole));
    delete given.movie_name;
    return given;
  };
  const whole = h("form", {
    class: "search", role: "search",
    onsubmit: (event) => {
      event.preventDefault();
      if (at >= 0) return choose(found[at]);
      const name = input.value.trim();
      close();
      if (name) searchFor({ movie_name: name, ...options() });
    },
  }, h("div", { class: "box" }, h("div", { class: "combo" }, input, list), h("button", { class: "main" }, "Search")), more);
  return whole;
}

async function home(place, signal) {
  const recent = h("div", {});
  place.replaceChildren(
    h("section", { class: "hero" },
      h("h1", {}, "What do people say about a film?"),
      h("p", { class: "lead" }, "Marquee finds the film, reads what people write about it on TMDB, X, Bluesky and Mastodon, and tells you how they feel and what to watch next."),
      form(signal),
      h("p", { class: "examples" }, "For example: ", EXAMPLES.map((name) => [h("a", { href: to(["search"], { movie_name: name }) }, name), " "]))),
    recent);
  const { workflows } = await get("workflow/list", { kind: "movie_search", limit: 12 }, { signal });
  const seen = new Set();
  const searches = workflows.filter(({ input }) => {
    const name = asked(input).toLowerCase();
    return !seen.has(name) && seen.add(name);
  }).slice(0, 6);
  update(recent, searches.length ? h("section", {}, h("h2", {}, "Searched lately"),
    h("ul", { class: "plain" }, searches.map((search) => h("li", {},
      h("a", { href: to(["search", search.workflow_id]) }, asked(search.input)), " ",
      h("span", { class: "quiet" }, words(search.status), ", ", since(search.started_at)))))) : null);
  return "Search";
}

const asked = (input) => (input.movie_name || `film ${input.tmdb_id}`) + (input.year ? ` (${input.year})` : "");
const titled = (film) => (film.year ? `${film.title} (${film.year})` : String(film.title));

/** The form, and below it the place of a search. */
function framed(place, signal, query) {
  const parts = { heading: h("h1", { tabindex: "-1" }, query?.movie_name ?? "Search"), progress: h("div", {}), result: h("div", {}) };
  place.replaceChildren(form(signal, query), ...Object.values(parts));
  return parts;
}

async function start(place, query, signal) {
  const parts = framed(place, signal, query);
  update(parts.progress, waiting("Starting the search"));
  const body = { wait_seconds: 0 };
  for (const [name, value] of Object.entries(query)) {
    body[name] = ["year", "tmdb_id", "max_reviews"].includes(name) ? Number(value)
      : name === "collect_new_data" ? value !== "false" : value;
  }
  const answer = await post("api/orchestrator/auto-search", body);
  if (signal.aborted) return undefined;
  const id = answer.workflow_id ?? answer.workflow_result.workflow_id;
  // What is typed into the form meanwhile stays: it is the same one.
  history.replaceState(history.state, "", to(["search", id]));
  return follow(parts, id, signal);
}

async function follow({ heading, progress, result }, id, signal) {
  update(progress, waiting("Looking"));
  const began = Date.now();
  const spoken = new Map();
  let reviews = null;
  let ended = null;

  const draw = () => update(result, shown(ended, reviews, signal));
  await poll(() => get(`workflow/status/${encodeURIComponent(id)}`, {}, { signal, tries: 1 }), (status, problem) => {
    if (problem) {
      if (problem.status === 404 && Date.now() - began < RECORDED_WITHIN) return ANYWAY;
      const passes = problem.status === 0 || problem.status >= 429;
      update(progress, note(passes ? "warn" : "bad", passes ? `${problem.message} It is tried again by itself.` : problem.message), progress.querySelector(".steps"));
      if (!passes) update(result);
      return passes;
    }
    if (status.kind !== "movie_search") { go(to(["runs", id]), { replace: true }); return false; }
    const film = status.result?.movie;
    heading.textContent = film ? titled(film) : asked(status.input);
    document.title = `${heading.textContent} · Marquee`;
    update(progress, steps(status));
    if (status.status === "RUNNING") {
      const news = inOrder(status.steps).map(([name, step]) => [name, stateOf(step, true).words]).filter(([name, told]) => spoken.get(name) !== told);
      for (const [name, told] of news) spoken.set(name, told);
      if (news.length) say(news.map(([name, told]) => `${stepName(name)}: ${told}`).join(". "));
      return true;
    }
    say(`The search is ${words(status.status)}`);
    ended = status;
    draw();
    return false;
  }, { every: EVERY, signal });
  if (ended?.result?.movie && !signal.aborted) {
    reviews = await newest(ended.result.movie.tmdb_id, signal).catch((problem) => (problem instanceof Problem ? { problem } : []));
    if (!signal.aborted) draw();
  }
  return heading.textContent;
}

/** The newest reviews that are stored: two pages are more than a search collects. */
async function newest(film, signal) {
  const first = await get(`movies/${film}/reviews`, { limit: 100 }, { signal });
  if (!first.next_cursor) return first.reviews;
  const second = await get(`movies/${film}/reviews`, { limit: 100, cursor: first.next_cursor }, { signal });
  return [...first.reviews, ...second.reviews];
}

const PLAN = ["FindMovie", "CollectReviews", "AnalyzeReviews", "RecommendMovies", "FinishSearch"];

/** The steps of the state machine, as they light up; folded away once they are done. */
function steps(status) {
  const runs = status.status === "RUNNING";
  const plan = status.input.collect_new_data === false ? PLAN.filter((name) => name !== "CollectReviews") : PLAN;
  const line = (name, step) => {
    const { kind, mark, words: told } = stateOf(step, runs);
    return h("li", { class: `step ${kind}`, "data-key": name },
      h("span", { class: "mark", "aria-hidden": "true" }, mark), h("span", { class: "name" }, stepName(name)), h("span", { class: "told" }, told));
  };
  const list = h("ol", { class: "steps" }, plan.flatMap((name) => {
    const parts = inOrder(status.steps).filter(([one]) => one.startsWith(`${name}/`));
    return parts.length ? parts.map(([one, step]) => line(one, step)) : [line(name, status.steps[name])];
  }));
  const how = h("a", { href: to(["runs", status.workflow_id]) }, "every detail of this run");
  if (runs) return [h("p", { class: "quiet" }, `${words(status.status)} since ${clock(status.started_at)}, ${count(Object.keys(status.steps).length, "step")} begun`), list];
  return h("details", { class: "how", id: "how" },
    h("summary", {}, `${capital(words(status.status))} in ${duration(status.duration_ms)}, `, since(status.ended_at)), list,
    h("p", {}, status.backfilled_at ? ["What it lacked came ", since(status.backfilled_at), ". "] : "", how));
}

/** A poster, over a tile with the title where there is none; in a link the title names both. */
function poster(film, size, alt = "") {
  const path = POSTER.test(film.poster_path ?? "") ? film.poster_path : null;
  return h("figure", { class: "poster" }, h("span", { "aria-hidden": "true" }, film.title),
    path ? h("img", {
      src: `${document.documentElement.dataset.posters}/${size}${path}`, alt,
      loading: "lazy", width: 154, height: 231, onerror: (event) => event.target.remove(),
    }) : null);
}

const again = (status, signal, label, from_step) => asks(label, async () => {
  const { workflow_id } = await post(`workflow/${encodeURIComponent(status.workflow_id)}/rerun`, from_step ? { from_step } : {});
  if (!signal.aborted) go(to(["search", workflow_id]));
});

function shown(status, reviews, signal) {
  const { result } = status;
  if (!result) {
    return note("bad", `This search ${status.status === "CANCELED" ? "was canceled" : `failed: ${why(status.error) || "no reason is recorded"}`}.`, again(status, signal, "Search again"));
  }
  const others = result.candidates.length ? h("section", { class: "candidates" },
    h("h2", {}, result.movie ? "Did you mean another one?" : "Did you mean one of these?"),
    h("ul", { class: "plain" }, result.candidates.map((film) => h("li", {},
      h("a", { href: to(["search"], { tmdb_id: film.tmdb_id }) }, titled(film)), " ", h("span", { class: "quiet" }, film.reason))))) : null;
  if (!result.movie) return [note("plain", result.message), others, note("plain", "Try the original title, add the year, or give the IMDb id (tt8178634).")];
  const gone = placed(result.missing);
  return [
    film(result, gone.film),
    others,
    feeling(result, reviews, gone.feeling.map(() => again(status, signal, "Read them now", "AnalyzeReviews"))),
    sources(status, result, reviews),
    next(result, gone.next),
    gone.rest.map((text) => note("warn", capital(inWords(text)))),
    h("div", { class: "actions" }, again(status, signal, "Search again now"), again(status, signal, "Read the stored reviews again", "AnalyzeReviews")),
  ];
}

/** What lacks, by the place where it would have been; what sources lack, their chips say. */
function placed(missing) {
  const found = { film: [], feeling: [], next: [], rest: [] };
  for (const text of missing) {
    if (/^reviews from /.test(text)) continue;
    const where = /^facts of the film/.test(text) ? "film" : /AnalyzeReviews/.test(text) ? "feeling" : /RecommendMovies/.test(text) ? "next" : "rest";
    found[where].push(text);
  }
  return found;
}

function film(result, missing) {
  const { movie } = result;
  const facts = [
    movie.genres.map((genre) => genre.name).join(", "), movie.runtime ? duration(movie.runtime * 60_000) : "",
    movie.release_date ? day(`${movie.release_date}T12:00:00`) : "", movie.directors.length ? `by ${movie.directors.map((one) => one.name).join(", ")}` : "",
    movie.vote_count ? `rated ${movie.vote_average.toFixed(1)} of 10 by ${plain(movie.vote_count)} on TMDB` : "",
  ].filter(Boolean);
  return h("section", { class: "film", "aria-label": "The film" }, poster(movie, "w342", `Poster of ${movie.title}`),
    h("div", { class: "about" },
      movie.original_title && movie.original_title !== movie.title ? h("p", { class: "quiet", lang: movie.original_language }, movie.original_title) : null,
      verdict(result.analysis),
      h("p", { class: "facts" }, facts.join(" · ")),
      movie.tagline ? h("p", { class: "tagline" }, movie.tagline) : null),
    h("div", { class: "story" },
      h("p", { class: "overview", id: "overview" }, movie.overview || "TMDB has no description of it."),
      movie.overview?.length > LONG ? h("button", { class: "more", type: "button", "aria-controls": "overview", "aria-expanded": "false", onclick: ({ target }) => {
        const whole = document.getElementById("overview").classList.toggle("whole");
        target.setAttribute("aria-expanded", String(whole));
        target.textContent = whole ? "Less" : "More";
      } }, "More") : null,
      movie.cast.length ? h("p", {}, h("span", { class: "quiet" }, "With "), movie.cast.map((one) => one.name).join(", ")) : null,
      h("p", { class: "quiet" }, result.message, " ", h("a", { href: `https://www.themoviedb.org/movie/${movie.tmdb_id}` }, "On TMDB"),
        !result.stale && !missing.length && result.age_seconds > 60 ? [". Facts from ", since(movie.fetched_at), "."] : null),
      result.stale || missing.length ? note("warn", ["TMDB did not answer: these facts are from ", since(movie.fetched_at), "."]) : null));
}

const FEELINGS = [[0.5, "People love it"], [0.2, "People like it"], [-0.2, "Opinions are divided"], [-0.5, "People do not like it"], [-2, "People dislike it strongly"]];

/** The answer to what people search for, in a line. */
function verdict(analysis) {
  const mean = analysis?.average_sentiment ?? null;
  if (mean === null) return null;
  return h("div", { class: "verdict" },
    h("p", { class: `mean ${tone(mean)}` }, signed(mean)),
    h("p", {}, h("strong", {}, FEELINGS.find(([floor]) => mean >= floor)[1]),
      h("span", { class: "quiet" }, count(analysis.sample_size, "scored review"))));
}

function feeling(result, reviews, buttons) {
  const { analysis } = result;
  const lacks = buttons.map((button) => note("warn", analysis ? ["The reviews could not be read this time: this is how it stood ", since(analysis.analyzed_at), "."] : "The reviews could not be read this time.", button));
  if (!analysis || analysis.average_sentiment === null) {
    return h("section", { class: "feeling" }, h("h2", {}, "How people feel"), lacks,
      note("plain", analysis?.counts_by_label?.unscored ? `${count(analysis.counts_by_label.unscored, "review")} found, none of which could be scored: words are read in English only, stars in any language.` : "Nobody's review was found yet."));
  }
  const mean = analysis.average_sentiment;
  const bounds = analysis.confidence_interval;
  const counts = ["positive", "neutral", "negative", "unscored"].filter((label) => analysis.counts_by_label[label])
    .map((label) => h("li", { class: `label ${label}` }, `${plain(analysis.counts_by_label[label])} ${label === "unscored" ? "not scored" : label}`));
  return h("section", { class: "feeling", "aria-label": "How people feel" },
    h("h2", {}, "How people feel"), lacks,
    h("p", {}, `${signed(mean)} on a scale from −1 to +1`,
      bounds ? `, with 95 % confidence between ${signed(bounds[0])} and ${signed(bounds[1])}` : "",
      `, from ${count(analysis.sample_size, "scored review")}`,
      analysis.period_from ? ` of ${day(analysis.period_from)} to ${day(analysis.period_to)}` : "", "."),
    interval(mean, bounds),
    h("div", { class: "two" },
      h("div", {}, h("h3", {}, "How they spread"), histogram(analysis.histogram),
        h("p", { class: "ends", "aria-hidden": "true" }, h("span", {}, "−1 hated"), h("span", {}, "+1 loved")), h("ul", { class: "labels" }, counts)),
      h("div", {}, h("h3", {}, "Over time"), overTime(reviews))),
    h("div", { class: "two" }, quotes("For it", analysis.most_positive), quotes("Against it", analysis.most_negative)));
}

function overTime(reviews) {
  if (!reviews) return waiting("Reading the reviews");
  if (reviews.problem) return note("warn", reviews.problem.message);
  const found = byTime(reviews.filter(({ sentiment }) => sentiment.score !== null).map(({ posted_at, sentiment }) => ({ at: posted_at, score: sentiment.score })));
  const { unit, parts } = found;
  if (parts.length < 2) return h("p", { class: "quiet" }, "All reviews are of one day: there is no trend yet.");
  return [trend(found),
    h("p", { class: "quiet" }, `Each bar is a ${unit} with reviews: above the line they liked it, below they did not.`),
    h("details", { id: "over-time" }, h("summary", {}, "The same in numbers"),
      table(`Feeling by ${unit}, in numbers`, [capital(unit), "Mean", "Reviews"], parts.toReversed().map((part) => [+part.from, [named(part, unit), signed(part.mean), plain(part.amount)]])))];
}

const quotes = (title, list) => h("div", {}, h("h3", {}, title),
  list.length ? list.map((quote) => h("figure", { class: "quote" }, h("blockquote", { dir: "auto" }, quote.text),
    h("figcaption", {}, quote.author ? `${quote.author}, ` : "", h("a", { href: quote.url }, words(quote.source)), ` ${signed(quote.score)}`)))
    : h("p", { class: "quiet" }, "Nobody, so far."));

const STATES = { ok: "good", partial: "warn", deferred: "wait", skipped: "todo", failed: "bad" };

/** One chip for each source: its state, how old what it gave is, and what it cost. */
function sources(status, result, reviews) {
  if (!result.sources.length) return null;
  const told = (source) => {
    const stored = Array.isArray(reviews) ? reviews.filter((review) => review.source === source.source) : [];
    const last = stored.map((review) => review.collected_at).sort().at(-1);
    const later = [source.deferred_until ? ` until ${clock(source.deferred_until)}` : "", source.expected_at ? `; expected by ${clock(source.expected_at)}` : ""].join("");
    const state = {
      ok: `${plain(source.new)} new`, partial: `${plain(source.new)} new, not all: ${inWords(source.reason)}`,
      deferred: `its quota is used up${later}`, skipped: inWords(source.reason) || "left out", failed: inWords(source.reason) || "failed",
    }[source.status] ?? inWords(source.reason);
    const age = ["ok", "partial"].includes(source.status) ? ["asked ", since(status.ended_at)]
      : last ? ["stored ones from ", since(last), " stand in"] : reviews ? "nothing stored" : "";
    const extras = [source.duplicates ? `${plain(source.duplicates)} known` : "", source.irrelevant ? `${plain(source.irrelevant)} about something else` : "",
      source.set_aside ? `${plain(source.set_aside)} unreadable` : "", source.parked ? `${plain(source.parked)} waiting to be stored` : ""].filter(Boolean);
    return h("li", { class: `chip ${STATES[source.status] ?? "todo"}` }, h("strong", {}, words(source.source)), h("span", {}, [state, ...extras].join(", ")),
      h("span", { class: "quiet" }, age, age && (source.cost_usd || source.calls) ? " · " : "", source.cost_usd ? usd(source.cost_usd) : source.calls ? "free" : ""));
  };
  return h("section", { "aria-label": "Sources" }, h("h2", {}, "Where it comes from"), h("ul", { class: "chips" }, result.sources.map(told)));
}

function next(result, missing) {
  const films = result.recommendations;
  return h("section", { "aria-label": "Recommendations" }, h("h2", {}, "What to watch next"),
    missing.map(() => note("warn", films.length ? "They could not be worked out this time: these are from an earlier search." : "They could not be worked out this time.")),
    films.length ? h("ol", { class: "cards" }, films.map((one) => h("li", { class: "card" },
      h("a", { href: to(["search"], { tmdb_id: one.tmdb_id }) }, poster(one, "w154"), h("strong", {}, titled(one))),
      h("ul", {}, one.reasons.map((reason) => h("li", {}, reason))))))
      : missing.length ? null : note("plain", "Nothing is close enough to it yet: every search teaches Marquee more films."));
}
