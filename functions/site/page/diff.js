// The difference between two texts or lists: the longest common subsequence.

/** How two lists line up: pairs of indices, null where the other one lacks it. */
export function paired(a, b) {
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      longest[i][j] = a[i] === b[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  const pairs = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) pairs.push([i++, j++]);
    else if (j >= b.length || (i < a.length && longest[i + 1][j] >= longest[i][j + 1])) pairs.push([i++, null]);
    else pairs.push([null, j++]);
  }
  return pairs;
}

/** [{kind: "same" | "gone" | "new", text}], in order; joined, "same" and "new" are `after`. */
export function wordDiff(before, after) {
  const [a, b] = [before, after].map((text) => text.match(/\s+|[^\s]+/gu) ?? []);
  const parts = [];
  for (const [i, j] of paired(a, b)) {
    const kind = i === null ? "new" : j === null ? "gone" : "same";
    const text = a[i] ?? b[j];
    if (parts.at(-1)?.kind === kind) parts.at(-1).text += text;
    else parts.push({ kind, text });
  }
  return parts;
}
