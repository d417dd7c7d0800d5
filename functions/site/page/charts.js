// Charts as inline SVG; each has a title and, as its description, the same in words.

import { h, s } from "./dom.js";
import { clock, count, dated, day, duration, plain, signed } from "./format.js";

function chart(name, width, height, title, description, ...parts) {
  return s("svg", {
    class: `chart ${name}`, viewBox: `0 0 ${width} ${height}`, role: "img", preserveAspectRatio: "none",
    "aria-label": `${title}. ${description}`,
  }, s("title", {}, title), s("desc", {}, description), parts);
}

export const tone = (value) => (value > 0.05 ? "good" : value < -0.05 ? "bad" : "even");

/** How many reviews feel how: 20 bins over −1..+1. */
export function histogram(bins) {
  const most = Math.max(...bins, 1);
  const width = 400 / bins.length;
  const low = bins.slice(0, bins.length / 2).reduce((sum, one) => sum + one, 0);
  const high = bins.slice(bins.length / 2).reduce((sum, one) => sum + one, 0);
  return chart("histogram", 400, 100, "How the reviews spread",
    `${count(low, "review")} below zero, ${count(high, "review")} above, from −1 on the left to +1 on the right`,
    s("line", { class: "axis", x1: 200, x2: 200, y1: 0, y2: 100 }),
    bins.map((amount, index) => {
      const middle = -1 + (index + 0.5) * (2 / bins.length);
      const height = (amount / most) * 96;
      return s("rect", { class: tone(middle), x: index * width + 1, y: 100 - height, width: width - 2, height },
        s("title", {}, `${signed(middle - 0.05)} to ${signed(middle + 0.05)}: ${count(amount, "review")}`));
    }));
}

/** The mean and its interval of 95 % on the scale of −1..+1. */
export function interval(mean, bounds) {
  const x = (value) => 200 + value * 196;
  const said = bounds ? `, with 95 % confidence between ${signed(bounds[0])} and ${signed(bounds[1])}` : "";
  return chart("interval", 400, 24, "Average feeling", `${signed(mean)} on a scale from −1 to +1${said}`,
    s("line", { class: "axis", x1: 4, x2: 396, y1: 12, y2: 12 }),
    s("line", { class: "axis", x1: 200, x2: 200, y1: 4, y2: 20 }),
    bounds ? s("rect", { class: `${tone(mean)} band`, x: x(bounds[0]), y: 7, width: Math.max(x(bounds[1]) - x(bounds[0]), 2), height: 10, rx: 5 }) : null,
    s("rect", { class: tone(mean), x: x(mean) - 3, y: 2, width: 6, height: 20, rx: 3 }));
}

const DAY = 86_400_000;
const UNITS = {
  day: (at) => new Date(at.getFullYear(), at.getMonth(), at.getDate()),
  week: (at) => new Date(at.getFullYear(), at.getMonth(), at.getDate() - ((at.getDay() + 6) % 7)),
  month: (at) => new Date(at.getFullYear(), at.getMonth()),
};
const NEXT = {
  day: (at) => new Date(at.getFullYear(), at.getMonth(), at.getDate() + 1),
  week: (at) => new Date(at.getFullYear(), at.getMonth(), at.getDate() + 7),
  month: (at) => new Date(at.getFullYear(), at.getMonth() + 1),
};
const MOST_TICKS = 6;

/** What was felt when: {unit, parts: [{from, until, mean, amount}]}, the oldest first, by day, or over a
 *  long time by week or month; `moods` hold {at, score}. */
export function byTime(moods) {
  const all = moods.map(({ at, score }) => ({ at: new Date(at), score })).sort((one, other) => one.at - other.at);
  const days = all.length ? (all.at(-1).at - all[0].at) / DAY : 0;
  const unit = days <= 62 ? "day" : days <= 500 ? "week" : "month";
  const found = new Map();
  for (const { at, score } of all) {
    const from = UNITS[unit](at);
    const part = found.get(+from) ?? { from, until: NEXT[unit](from), sum: 0, amount: 0 };
    found.set(+from, { ...part, sum: part.sum + score, amount: part.amount + 1 });
  }
  return { unit, parts: [...found.values()].map(({ sum, ...part }) => ({ ...part, mean: sum / part.amount })) };
}

/** Days, months or years between two times, few enough to be written. */
function ticks(from, until) {
  const days = (until - from) / DAY;
  const [first, step, words] = days <= 62
    ? [UNITS.day(from), (at, by) => new Date(at.getFullYear(), at.getMonth(), at.getDate() + by), { day: "numeric", month: "short" }]
    : days <= 1_000 ? [UNITS.month(from), (at, by) => new Date(at.getFullYear(), at.getMonth() + by), { month: "short", year: "2-digit" }]
      : [new Date(from.getFullYear(), 0), (at, by) => new Date(at.getFullYear() + by, 0), { year: "numeric" }];
  for (const by of [1, 2, 3, 5, 7, 10, 14, 20]) {
    const found = [];
    for (let at = first; at <= until; at = step(at, by)) if (at >= from) found.push(at);
    if (found.length <= MOST_TICKS) return found.map((at) => [at, dated(at, words)]);
  }
  return [];
}

/** What `byTime` found, as bars above and below zero on an axis of time. */
export function trend({ unit, parts }) {
  const [from, until] = [parts[0].from, parts.at(-1).until];
  const x = (at) => 26 + ((at - from) / (until - from)) * 372;
  const y = (value) => 52 - value * 46;
  const [first, final] = [parts[0], parts.at(-1)];
  const drawn = chart("trend", 400, 120, `Feeling by ${unit}`,
    `${count(parts.length, unit)} with reviews, ${day(from)} to ${day(final.from)}: first ${signed(first.mean)}, last ${signed(final.mean)}`,
    [1, 0, -1].map((value) => [
      s("line", { class: value ? "grid" : "axis", x1: 26, x2: 398, y1: y(value), y2: y(value) }),
      s("text", { x: 20, y: y(value) + 4, "text-anchor": "end" }, value > 0 ? "+1" : value < 0 ? "−1" : "0"),
    ]),
    ticks(from, until).map(([at, words]) => [
      s("line", { class: "grid", x1: x(at), x2: x(at), y1: y(1), y2: y(-1) }),
      s("text", { x: Math.min(Math.max(x(at), 40), 380), y: 115, "text-anchor": "middle" }, words),
    ]),
    parts.map((part) => {
      const height = Math.max(Math.abs(part.mean) * 46, 1.5);
      const width = Math.max(x(part.until) - x(part.from) - 1, 2);
      return s("rect", { class: tone(part.mean), x: x(part.from), y: part.mean >= 0 ? y(0) - height : y(0), width, height },
        s("title", {}, `${named(part, unit)}: ${signed(part.mean)}, ${count(part.amount, "review")}`));
    }));
  drawn.setAttribute("preserveAspectRatio", "xMidYMid meet");
  return drawn;
}

/** A part of `byTime` in words. */
export const named = ({ from }, unit) =>
  unit === "month" ? dated(from, { month: "long", year: "numeric" }) : unit === "week" ? `week of ${day(from)}` : day(from);

/** Numbers by the hour as bars; `failed` are the part of each that failed. */
export function bars(title, hours, value, failed = () => 0) {
  const most = Math.max(...hours.map(value), 1);
  const step = 400 / Math.max(hours.length, 1);
  const sum = hours.reduce((all, hour) => all + value(hour), 0);
  const lost = hours.reduce((all, hour) => all + failed(hour), 0);
  return chart("bars", 400, 60, title, `${plain(sum)} in all${lost ? `, ${plain(lost)} failed` : ""}; most in an hour: ${plain(most)}`,
    s("line", { class: "axis", x1: 0, x2: 400, y1: 60, y2: 60 }),
    hours.map((hour, index) => {
      const height = (value(hour) / most) * 58;
      const bad = (failed(hour) / most) * 58;
      const gap = step > 3 ? 1 : 0;
      return [
        s("rect", { class: "even", x: index * step + gap / 2, y: 60 - height, width: step - gap, height },
          s("title", {}, `${clock(hour.hour)}: ${plain(value(hour))}${failed(hour) ? `, ${plain(failed(hour))} failed` : ""}`)),
        bad ? s("rect", { class: "bad", x: index * step + gap / 2, y: 60 - bad, width: step - gap, height: bad }) : null,
      ];
    }));
}

/** When a part ran within the whole: from, until and whole in milliseconds. */
export const span = (from, until, whole, kind) =>
  chart("span", 400, 10, "When it ran", `${duration(until - from)}, from ${duration(from)} on`,
    s("rect", { class: "rail", x: 0, y: 0, width: 400, height: 10, rx: 5 }),
    s("rect", {
      class: kind, x: Math.min((from / whole) * 400, 396), y: 0, rx: 3, height: 10,
      width: Math.max(((until - from) / whole) * 400, 4),
    }));

/** How much of something is used, 0..1, with its number beside it. */
export const meter = (share, words) =>
  h("span", { class: "metered" },
    chart("meter", 100, 8, words, "", s("rect", { class: "rail", width: 100, height: 8, rx: 4 }),
      s("rect", { class: share >= 1 ? "bad" : share >= 0.8 ? "warn" : "even", width: Math.min(share, 1) * 100, height: 8, rx: 4 })),
    words);
