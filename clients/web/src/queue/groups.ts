// What the queue shows of the unfinished jobs: which run, which come next, which wait for others. It draws nothing.

import type { LiveJob } from "../api/liveJobs";
import { isFinal } from "../api/types";
import { inRunOrder } from "./order";

/** A job that somebody started, with the jobs that stand in its place, if it was split. */
export interface Entry {
  job: LiveJob;
  parts: LiveJob[];
}

export interface Queue {
  /** Those that have begun, the oldest first. */
  begun: Entry[];
  /** Those that could begin, in the order they will. */
  next: Entry[];
  /** Those that need results of others first. */
  waiting: Entry[];
}

export function queueOf(jobs: readonly LiveJob[]): Queue {
  const byId = new Map(jobs.map((job) => [job.id, job]));
  const partsOf = new Map<string, LiveJob[]>();
  for (const job of jobs) {
    const { id } = startedAs(job, byId);
    if (id === job.id) continue;
    const known = partsOf.get(id);
    if (known) known.push(job);
    else partsOf.set(id, [job]);
  }
  const started = jobs.filter((job) => !isFinal(job) && startedAs(job, byId) === job);
  const entries = inRunOrder(started).map((job): Entry => ({ job, parts: partsOf.get(job.id) ?? [] }));
  const hasBegun = ({ job, parts }: Entry) =>
    [job, ...parts].some((one) => one.state === "running" || isFinal(one));
  const waits = ({ job, parts }: Entry) => job.state === "waiting" && !parts.length;
  return {
    begun: entries.filter(hasBegun).sort((a, b) => a.job.created - b.job.created),
    next: entries.filter((entry) => !hasBegun(entry) && !waits(entry)),
    waiting: entries.filter(waits),
  };
}

/** Return the job that somebody started and that this one is a part of, as far as it is known. */
function startedAs(job: LiveJob, byId: ReadonlyMap<string, LiveJob>): LiveJob {
  const parent = job.parent === null ? undefined : byId.get(job.parent);
  return parent ? startedAs(parent, byId) : job;
}
