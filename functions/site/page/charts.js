// Charts as inline SVG; each has a title and, as its description, the same in words.

import { h, s } from "./dom.js";
import { clock, count, day, duration, plain, signed } from "./format.js";

function chart(name, width, height, title, description, ...parts) {
  return s("svg", {
    class: `chart ${name}`, viewBox: `0 0 ${width} ${height}`, role: "img", preserveAspectRatio: "none",
    "aria-label": `${title}. ${description}`,
  }, s("title", {}, title), s("desc", {}, description), parts);
}

const tone = (value) => (value > 0.05 ? "good" : value < -0.05 ? "bad" : "even");

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

/** Days with reviews as bars above and below zero; `days` hold {at, mean, amount}, the oldest first. */
export function trend(days) {
  const step = 400 / Math.max(days.length, 12);
  const [first, final] = [days[0], days.at(-1)];
  return chart("trend", 400, 100, "Feeling by day",
    `${count(days.length, "day")} with reviews, ${day(first.at)} to ${day(final.at)}: first ${signed(first.mean)}, last ${signed(final.mean)}`,
    s("line", { class: "axis", x1: 0, x2: 400, y1: 50, y2: 50 }),
    days.map(({ at, mean, amount }, index) => {
      const height = Math.max(Math.abs(mean) * 48, 1.5);
      return s("rect", {
        class: tone(mean), x: index * step + 1, y: mean >= 0 ? 50 - height : 50, width: Math.max(step - 2, 1), height,
      }, s("title", {}, `${day(at)}: ${signed(mean)}, ${count(amount, "review")}`));
    }));
}

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
