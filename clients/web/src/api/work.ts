// The jobs that people asked for. Those that only count a text while it is typed are left out; it fetches nothing.

import { useMemo } from "react";

import { type KnobSchema, type Signature } from "./types";
import { type LiveJob, useLiveJobs } from "./liveJobs";
import { useSignatures } from "./queries";

/** Return the jobs that are shown as work, the newest first. */
export function useWork(): readonly LiveJob[] {
  const { jobs } = useLiveJobs();
  const { data: signatures } = useSignatures();
  const counters = useMemo(() => countersOf(signatures ?? []), [signatures]);
  return useMemo(() => jobs.filter(({ job }) => !counters.has(job)), [jobs, counters]);
}

/** Return the names of the jobs that some text, a port or a knob, is counted by. */
export function countersOf(signatures: readonly Signature[]): Set<string> {
  const found = new Set<string>();
  const look = (knob: KnobSchema) => {
    const counter = knob["x-ui"]?.counter;
    if (counter) found.add(counter.job);
    for (const inner of Object.values({ ...knob.properties, ...knob.$defs })) look(inner);
  };
  for (const { inputs, params } of signatures) {
    inputs.forEach((port) => look(port));
    look(params);
  }
  return found;
}
