// What a step of an execution is doing, in words: running, tried again, waiting for quota, failed.

import { clock, duration, slotOf, why } from "./format.js";

const TRANSIENT = new Set([
  "UpstreamTimeout", "UpstreamUnavailable", "RateLimited", "StoreUnavailable", "Sandbox.Timedout", "States.Timeout",
]);
const MOST_ATTEMPTS = 4;

/** {kind, mark, words} of a step record; `runs` says whether its execution still does. */
export function stateOf(step, runs) {
  if (!step) return { kind: "todo", mark: "○", words: runs ? "to come" : "not reached" };
  const again = step.attempts > 1 ? `, attempt ${step.attempts}` : "";
  if (step.status === "RUNNING") {
    return runs ? { kind: "busy", mark: "◐", words: `started${again ? again.replace("attempt", "retried, attempt") : ""}` }
      : { kind: "bad", mark: "✕", words: "ended without a word" };
  }
  if (step.status === "SUCCEEDED") {
    return { kind: "good", mark: "✓", words: `${duration(step.duration_ms)}${step.attempts > 1 ? ` after ${step.attempts} attempts` : ""}` };
  }
  const slot = slotOf(step.error);
  if (slot && runs) {
    return { kind: "wait", mark: "◔", words: slot > Date.now() ? `waiting until ${clock(slot)} for quota` : "its turn in the quota has come" };
  }
  if (runs && TRANSIENT.has(step.error?.name) && step.attempts < MOST_ATTEMPTS) {
    return { kind: "wait", mark: "↻", words: `tried again shortly: ${why(step.error)}` };
  }
  return { kind: "bad", mark: "✕", words: `failed${again}: ${why(step.error)}` };
}

/** The steps of an execution in the order in which they began. */
export const inOrder = (steps) =>
  Object.entries(steps ?? {}).sort(([, one], [, other]) => new Date(one.started_at) - new Date(other.started_at));
