// The order in which queued jobs run, and the priorities that bring about another one. It sends nothing.

import type { Job } from "../api/types";

type Placed = Pick<Job, "id" | "priority" | "created">;

/** Return jobs in the order they run: higher priorities first, then the older ones. */
export const inRunOrder = <Kind extends Placed>(jobs: readonly Kind[]): Kind[] => [...jobs].sort(compare);

const compare = (a: Placed, b: Placed): number =>
  b.priority - a.priority || a.created - b.created || (a.id < b.id ? -1 : 1);

/** Tell whether of two jobs with equal priorities the first runs before the second. */
const isOlder = (a: Placed, b: Placed): boolean => compare({ ...a, priority: 0 }, { ...b, priority: 0 }) < 0;

/** Return the jobs with one of them at another place. */
export function moved<Kind>(jobs: readonly Kind[], from: number, to: number): Kind[] {
  const others = jobs.filter((_, at) => at !== from);
  const job = jobs[from];
  return job === undefined ? [...jobs] : [...others.slice(0, to), job, ...others.slice(to)];
}

/**
 * Return the priorities that make jobs run in the order given, only those that change.
 *
 * Either those in front are raised or those behind are lowered, whichever changes fewer.
 */
export function prioritiesFor(order: readonly Placed[]): Record<string, number> {
  const raised = changesOf(order, stepwise([...order].reverse(), 1));
  const lowered = changesOf(order, stepwise(order, -1));
  return Object.keys(lowered).length < Object.keys(raised).length ? lowered : raised;
}

/** Walk along the order and move each priority in one direction as far as its neighbour makes it necessary. */
function stepwise(walk: readonly Placed[], direction: 1 | -1): Map<string, number> {
  const priorities = new Map<string, number>();
  let last: Placed | undefined;
  for (const job of walk) {
    let least = job.priority;
    if (last) {
      const [front, behind] = direction === 1 ? [job, last] : [last, job];
      const needed = (priorities.get(last.id) ?? 0) + (isOlder(front, behind) ? 0 : direction);
      least = direction === 1 ? Math.max(least, needed) : Math.min(least, needed);
    }
    priorities.set(job.id, least);
    last = job;
  }
  return priorities;
}

const changesOf = (jobs: readonly Placed[], priorities: Map<string, number>): Record<string, number> =>
  Object.fromEntries(
    jobs
      .filter(({ id, priority }) => priorities.get(id) !== priority)
      .map(({ id }) => [id, priorities.get(id) ?? 0]),
  );
