// Tweets: what waits for a person's word, posts in doubt, all of them, and a new run.

import { get, pause, poll, post, Problem } from "./api.js";
import { wordDiff } from "./diff.js";
import { choice, field, filters, h, note, say, since, table, update, waiting } from "./dom.js";
import { clock, count, localized, moment, stepName, usd, words } from "./format.js";
import { go, to } from "./router.js";
import { state } from "./runs.js";

const EVERY = 5_000;
const TYPED_PAUSE = 250;
const LONGEST = 280;
const READ = 600; // milliseconds: sooner nobody has read what has just moved under the finger
const LOST = 2; // polls without a tweet: the index that lists them lags behind
const GONE = "Somebody has decided about it, or it went on without a word.";
const CHANGED = "The text has changed since you saw it.";
const TABS = [["", "Waiting for you"], ["doubt", "Posts in doubt"], ["all", "All tweets"], ["start", "Start a run"]];
const TYPES = ["review", "recommendation", "news", "trailer", "question", "opinion", "promotion", "other"];
const STATUSES = ["DOWNLOADED", "CLASSIFIED", "POLISHED", "APPROVED", "POSTED", "SKIPPED", "REJECTED", "UNKNOWN", "NEEDS_HUMAN"];
const TONES = { POSTED: "good", APPROVED: "good", NEEDS_HUMAN: "wait", REJECTED: "bad", UNKNOWN: "warn" };

let queue = null;

/** A key that was pressed outside of any field: what it does to the tweet that is current. */
export const pressed = (name, event) => queue?.pressed(name, event);

export async function show(place, { path, query }, signal) {
  const tab = path[1] === "approvals" ? "" : path[1] ?? "";
  const body = h("div", {});
  place.replaceChildren(h("h1", {}, "Tweets"),
    h("nav", { class: "tabs", "aria-label": "Tweets" }, TABS.map(([name, label]) =>
      h("a", { href: to(name ? ["tweets", name] : ["tweets"]), "aria-current": name === tab ? "page" : undefined }, label))), body);
  update(body, waiting("Reading"));
  if (tab === "doubt") await doubt(body, query, signal);
  else if (tab === "all") await all(body, query, signal);
  else if (tab === "start") start(body, query, signal);
  else await waitingForYou(body, path[2], signal);
  return "Tweets";
}

// ---- The approval queue

async function waitingForYou(body, chosen, signal) {
  const cards = new Map();
  const list = h("div", {});
  const above = h("div", { tabindex: "-1" });
  update(above, waiting("Reading"));
  body.replaceChildren(above, list);
  let current = null;

  const open = () => [...cards.values()].filter((card) => !card.done);
  const take = (card, focus = true) => {
    if (signal.aborted) return;
    current?.node.classList.remove("here");
    current = card ?? null;
    if (!card) return;
    card.node.classList.add("here");
    card.look();
    history.replaceState(history.state, "", to(["tweets", "approvals", card.id]));
    if (focus) card.node.focus();
  };
  const decided = (card) => {
    if (current !== card) return void head();
    const rest = open();
    const order = [...cards.values()];
    const next = rest.find((one) => order.indexOf(one) > order.indexOf(card)) ?? rest[0];
    if (next) next.fresh();
    take(next);
    head();
    if (!rest.length) above.focus();
  };
  const head = () => {
    const left = open().length;
    update(above, left ? h("p", { class: "quiet" }, `${count(left, "tweet")} to decide about. j and k move, a approves, e edits, x rejects.`)
      : note("plain", cards.size ? "That was the last one." : "Nothing waits for a word.", h("a", { href: to(["tweets", "start"]) }, "Start a run")));
  };

  queue = {
    pressed(name, event) {
      const rest = open();
      const index = rest.indexOf(current);
      if (name === "j" || name === "k") take(rest[Math.min(Math.max(index + (name === "j" ? 1 : -1), 0), rest.length - 1)]);
      else if (current && !current.done && ["a", "e", "x"].includes(name)) {
        event.preventDefault();
        current.press(name);
      }
    },
  };
  signal.addEventListener("abort", () => { queue = null; }, { once: true });

  const find = async (id) => (await everything("workflow/approvals", "approvals", signal)).found.find((one) => one.approval_id === id);
  const near = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (isIntersecting) [...cards.values()].find(({ node }) => node === target)?.look();
    }
  }, { rootMargin: "50%" });
  signal.addEventListener("abort", () => near.disconnect(), { once: true });

  await poll(() => everything("workflow/approvals", "approvals", signal), (page, problem) => {
    if (problem) {
      update(above, note("warn", `${problem.message} It is tried again by itself.`));
      return true;
    }
    const { found, whole } = page;
    const there = new Set(found.map((one) => one.approval_id));
    for (const card of open()) {
      card.lost = there.has(card.id) || card.asking || !whole ? 0 : card.lost + 1;
      if (card.lost >= LOST) card.leave("plain");
    }
    for (const approval of found) {
      const known = cards.get(approval.approval_id);
      if (known && !known.gone) known.refresh(approval);
      else {
        const card = approvalCard(approval, { take, decided, find, signal });
        if (known) known.node.replaceWith(card.node);
        else list.append(card.node);
        cards.set(card.id, card);
        near.observe(card.node);
      }
    }
    if (!current || current.done) take(cards.get(chosen) ?? open()[0], false);
    if (chosen && current?.id === chosen) current.node.scrollIntoView({ block: "center" });
    chosen = null;
    head();
    return true;
  }, { every: EVERY, signal });
}

/** Of a listing all pages, up to ten: what was found, and whether that is the whole. */
async function everything(path, name, signal, query = {}) {
  const found = [];
  let cursor = "";
  for (let turn = 0; turn < 10; turn += 1) {
    const page = await get(path, { ...query, limit: 100, cursor }, { signal, tries: 1 });
    found.push(...page[name]);
    cursor = page.next_cursor;
    if (!cursor) break;
  }
  return { found, whole: !cursor };
}

const marked = (before, after, side) => wordDiff(before, after).filter(({ kind }) => kind !== (side === "before" ? "new" : "gone"))
  .map(({ kind, text }) => (kind === "same" || !text.trim() ? text : h(side === "before" ? "del" : "ins", {}, text)));

function approvalCard(approval, { take, decided, find, signal }) {
  const id = approval.approval_id;
  const path = `workflow/approvals/${encodeURIComponent(id)}`;
  const texts = h("div", { class: "two" });
  const said = h("div", {});
  const verdict = h("div", {});
  const until = h("p", { class: "quiet" });
  const foot = h("div", {});
  let turn = 0;
  let known = approval;
  let checked = null;
  let moved = -READ;

  /** What the policy, X's counting and its price say of a text. */
  const check = async (text, button) => {
    const mine = (turn += 1);
    checked = text;
    try {
      if (button) await pause(TYPED_PAUSE, signal);
      if (mine !== turn) return;
      const found = await post(`${path}/check`, { text }, { signal, tries: 2 });
      if (mine !== turn) return;
      update(verdict, h("p", { class: "counted" }, h("strong", {}, `${found.length} of ${LONGEST}`), ` as X counts it · ${usd(found.price_usd)} to post${found.has_url ? ", as it has a link" : ""}`),
        found.ok ? h("p", { class: "fine" }, "✓ The policy lets it through.") : h("div", { class: "refused" }, h("p", {}, "✕ The policy refuses it: it"), h("ul", {}, found.reasons.map((reason) => h("li", {}, reason)))));
      if (button) button.disabled = !found.ok;
    } catch (problem) {
      if (signal.aborted || mine !== turn) return;
      if (!(problem instanceof Problem)) throw problem;
      update(verdict, h("p", {}, `Its length and the policy's verdict are not known: ${problem.message}`));
      if (button) button.disabled = false;
    }
  };

  const draw = () => update(texts,
    h("div", {}, h("h2", {}, "As it was"), h("p", { class: "text", dir: "auto" }, known.proposed ? marked(known.original, known.proposed, "before") : known.original)),
    h("div", {}, h("h2", {}, "As it would be posted"), known.proposed ? h("p", { class: "text", dir: "auto" }, marked(known.original, known.proposed, "after"))
      : note("warn", "There is no text that may be posted: edit it.")));

  const card = {
    id, done: false, gone: false, asking: false, lost: 0,
    /** It has come under the finger by itself, or with another text. */
    fresh() { moved = performance.now(); },
    press(name) {
      if (name === "a" && performance.now() - moved < READ) say("This is another one: read it first");
      else node.querySelector(`[data-does="${name}"]`)?.click();
    },
    /** Somebody sees it: now its verdict is worth a request. */
    look() {
      if (checked === null && known.proposed && !card.done) check(known.proposed);
    },
    refresh(now) {
      if (card.done || card.asking) return;
      const changed = now.proposed !== known.proposed || now.original !== known.original;
      known = now;
      update(until, now.state === "WAITING" && now.expires_at ? `A run waits for it until ${clock(now.expires_at)}.` : "No run waits: the next one posts what is approved.");
      if (!changed) return;
      card.fresh();
      draw();
      if (!foot.querySelector("form")) buttons();
      update(said, note("warn", CHANGED));
      say(CHANGED);
      if (!foot.querySelector("textarea")) {
        checked = null;
        card.look();
      }
    },
    settle(kind, text) {
      const mine = foot.querySelector("textarea"); // what was written is not taken away
      if (mine) mine.readOnly = true;
      card.done = true;
      turn += 1;
      node.replaceChildren(note(kind, text), ...(mine ? [mine] : []));
      node.classList.remove("here");
      say(text);
    },
    /** It is not to be decided about any more, for all that this page knows. */
    leave(kind, inside = node.contains(document.activeElement)) {
      card.gone = true;
      card.settle(kind, GONE);
      if (inside) decided(card);
    },
  };

  const decide = async (decision, words, extra = {}) => {
    if (card.asking) return;
    card.asking = true;
    take(card, false);
    const held = [...foot.querySelectorAll("button")];
    for (const button of held) button.disabled = true;
    try {
      await post(path, { decision, ...extra });
      foot.replaceChildren();
      card.settle("good", words);
      decided(card);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      const now = problem.status === 404 ? null : problem.status === 409 ? await find(id).catch(() => known) : known;
      if (!now) return void card.leave("warn", true);
      card.asking = false;
      card.refresh(now);
      for (const button of held) button.disabled = false;
      update(said, note("bad", problem.message));
    } finally {
      card.asking = false;
    }
  };

  const buttons = () => {
    update(said);
    verdict.removeAttribute("role");
    foot.replaceChildren(h("p", { class: "actions" },
      ...(known.proposed ? [h("button", { class: "main", "data-does": "a", "aria-keyshortcuts": "a", onclick: () => decide("approve", "Approved: it will be posted.", { seen: known.proposed }) }, "Approve")] : []),
      h("button", { "data-does": "e", "aria-keyshortcuts": "e", onclick: edit }, "Edit"),
      h("button", { "data-does": "x", "aria-keyshortcuts": "x", onclick: reject }, "Reject")));
  };
  const keep = () => {
    buttons();
    node.focus();
    if (known.proposed && checked !== known.proposed) check(known.proposed);
  };
  const back = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    keep();
  };
  const edit = () => {
    const save = h("button", { class: "main" }, "Post this text");
    const text = h("textarea", { "aria-label": "The whole post", maxlength: 2000, value: known.proposed ?? known.original, oninput: () => { save.disabled = true; check(text.value, save); } });
    foot.replaceChildren(h("form", { onkeydown: back, onsubmit: (event) => { event.preventDefault(); decide("edit", "Approved with your text: it will be posted.", { text: text.value }); } },
      text, h("p", { class: "actions" }, save, h("button", { type: "button", onclick: keep }, "Stop editing"))));
    verdict.setAttribute("role", "status");
    text.focus();
    check(text.value, save);
  };
  const reject = () => {
    const why = h("input", { "aria-label": "Why, if you like", placeholder: "Why, if you like", maxlength: 300 });
    foot.replaceChildren(h("form", { class: "fields", onkeydown: back, onsubmit: (event) => { event.preventDefault(); decide("reject", "Rejected: it will not be posted.", { reason: why.value }); } },
      why, h("button", { class: "main" }, "Reject it"), h("button", { type: "button", onclick: keep }, "Keep it")));
    why.focus();
  };

  const node = h("article", { class: "tweet", tabindex: "-1", "aria-label": `${words(approval.type ?? "tweet")} by @${approval.author}`, onfocus: (event) => { if (event.target === node) take(card, false); }, onclick: (event) => { if (!card.done && !event.target.closest("button, a, input, textarea")) take(card, false); } },
    h("p", {}, h("strong", {}, `@${approval.author}`), ` · ${words(approval.type ?? "not classified")} · asked `, since(approval.requested_at), `, because ${approval.reason}`),
    texts, verdict, until, said, foot);
  card.node = node;
  draw();
  card.refresh(approval);
  buttons();
  return card;
}

// ---- Posts in doubt

const sent = (tweet) => tweet.history.some((change) => ["APPROVED", "UNKNOWN"].includes(change.to));

async function doubt(body, query, signal) {
  const [health, tweets] = await Promise.all([get("workflow/health", {}, { signal }), everything("tweets", "tweets", signal, { status: "NEEDS_HUMAN", username: query.username })]);
  const found = tweets.found.filter(sent);
  update(body, h("p", { class: "quiet" }, "Posts of which nobody can tell whether X has them. Marquee sends none of them again before you say so."),
    found.length ? found.map((tweet) => doubtful(tweet, health.posting.account)) : note("plain", "No post is in doubt."));
}

function doubtful(tweet, account) {
  const said = h("div", {});
  const settle = async (decision, words) => {
    const given = Object.fromEntries(new FormData(form));
    const held = [...form.querySelectorAll("button")].filter((button) => !button.disabled);
    for (const button of held) button.disabled = true;
    try {
      await post(`posts/${encodeURIComponent(account)}/${tweet.tweet_id}`, { state: decision, reason: given.reason || "looked at the account", ...(decision === "POSTED" ? { post_id: given.post_id.trim() } : {}) });
      update(node, note("good", words));
      say(words);
    } catch (problem) {
      for (const button of held) button.disabled = false;
      if (!(problem instanceof Problem)) throw problem;
      update(said, note("bad", problem.message));
    }
  };
  // A second post would be public: only who has looked sends it again.
  const again = h("button", { type: "button", disabled: true, onclick: () => settle("CLAIMED", "It will be sent, with the same text.") }, "It is not: send it");
  const looked = h("input", { type: "checkbox", onchange: () => { again.disabled = !looked.checked; } });
  const form = h("form", { class: "fields", onsubmit: (event) => { event.preventDefault(); settle("POSTED", "Noted: it is on X."); } },
    field("Its id on X", "post_id", { required: true, pattern: "[0-9]{1,20}", inputmode: "numeric" }), field("What you found", "reason", { maxlength: 300 }),
    h("button", { class: "main" }, "It is on X"),
    h("label", { class: "check" }, looked, "I looked at the account"), again,
    h("button", { type: "button", onclick: () => settle("REJECTED", "Given up: it will not be sent.") }, "Give it up"));
  const node = h("article", { class: "tweet" }, h("p", { class: "text", dir: "auto" }, tweet.final_text ?? tweet.text), h("p", {}, localized(tweet.reason)), h("p", { class: "quiet" }, localized(tweet.next_step), " ",
    h("a", { href: `https://x.com/${encodeURIComponent(account)}` }, `@${account} on X`)), said, form);
  return node;
}

// ---- All tweets

async function all(body, query, signal) {
  const found = h("div", {});
  const { whole, look } = filters(["tweets", "all"], query, signal, (given, mine) => listed(found, given, mine),
    choice("State", "status", query.status, [["", "any"], ...STATUSES.map((status) => [status, words(status)])]),
    field("Whose, if not the usual account's", "username", { value: query.username ?? "", maxlength: 21, pattern: "@?[A-Za-z0-9_]{1,20}" }));
  body.replaceChildren(whole, found);
  update(found, waiting("Reading"));
  await look(query);
}

async function listed(found, query, signal) {
  const page = await get("tweets", { ...query, limit: 25 }, { signal });
  say(count(page.tweets.length, "tweet"));
  update(found, page.tweets.length ? table(`Tweets of @${page.username}, the newest first`, ["Tweet", "Type", "State", "Why", "What is next"], page.tweets.map((tweet) => [tweet.tweet_id, [
    [h("span", { class: "text", dir: "auto" }, tweet.final_text ?? tweet.text), h("span", { class: "quiet" }, " ", since(tweet.created_at)),
      h("details", {}, h("summary", {}, "history"), h("ol", {}, tweet.history.map((change) => h("li", {}, `${moment(change.at)}: ${words(change.to)}${change.reason ? `, ${localized(change.reason)}` : ""}`))))],
    words(tweet.type ?? "–"), state(tweet.status, TONES), localized(tweet.reason), localized(tweet.next_step),
  ]]), "rows") : note("plain", "No tweets of that kind.", h("a", { href: to(["tweets", "start"]) }, "Start a run")),
    h("p", { class: "actions" }, query.cursor ? h("a", { href: to(["tweets", "all"], { ...query, cursor: "" }) }, "← The newest") : null,
      page.next_cursor ? h("a", { href: to(["tweets", "all"], { ...query, cursor: page.next_cursor }) }, "Older →") : null));
}

// ---- A new run

function start(body, query, signal) {
  const said = h("div", {});
  const mode = choice("What may it do", "mode", query.mode ?? "dry_run", [["dry_run", "nothing: show what would be posted"], ["approve", "ask a person before every post"], ["auto", "post what the policy lets through"]]);
  const warning = h("div", {});
  const told = () => update(warning, mode.querySelector("select").value === "auto" ? note("warn", "This posts in public. Where automatic posting is switched off, it asks a person instead.") : null);
  update(body, h("form", {
    onchange: told,
    onsubmit: async (event) => {
      event.preventDefault();
      const button = event.submitter;
      button.disabled = true;
      const given = Object.fromEntries([...new FormData(event.target)].filter(([, value]) => value));
      if (given.count) given.count = Number(given.count);
      try {
        const { workflow_id } = await post("workflow/execute", given);
        if (!signal.aborted) go(to(["runs", workflow_id]));
      } catch (problem) {
        button.disabled = false;
        if (!(problem instanceof Problem)) throw problem;
        update(said, note("bad", problem.message));
      }
    },
  }, h("p", {}, "A run downloads what is new on an account, classifies it, polishes it, and posts it: each tweet once, never twice."),
    h("div", { class: "fields" }, mode,
      field("Account, if not the usual one", "username", { value: query.username ?? "", pattern: "@?[A-Za-z0-9_]{1,20}", maxlength: 21 }),
      field("New tweets, at most", "count", { type: "number", min: 1, max: 100, value: query.count ?? "", placeholder: "as set up" }),
      choice("Only of the type", "tweet_type", query.tweet_type, [["", "any"], ...TYPES.map((type) => [type, words(type)])]),
      choice("Begin with", "from_step", query.from_step, [["", "downloading"], ["ClassifyTweets", stepName("ClassifyTweets")], ["PolishTweets", stepName("PolishTweets")]])),
    warning, said, h("button", { class: "main" }, "Start the run")));
  told();
}
