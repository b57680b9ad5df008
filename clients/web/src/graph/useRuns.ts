// What the nodes of the canvas did when they last ran, and starting them. Kept over a reload of the page.

import { useLocalStorage } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { useEffect, useMemo } from "react";

import { type ApiError, request } from "../api/http";
import { type LiveJob, liveJobs, useJobsById } from "../api/liveJobs";
import type { Artifact, Job } from "../api/types";
import { canonical } from "../forms/schema";
import { type GraphDocument, upTo } from "./document";

interface Started {
  id: string;
  /** What the node and all before it were when it was started. */
  from: string;
}

export interface Run {
  job: LiveJob;
  /** Whether the node, or one before it, has been changed since. */
  isOld: boolean;
}

const madeFrom = (document: GraphDocument, key: string) => canonical(upTo(document, key).jobs);

export function useRuns(document: GraphDocument) {
  const [started, setStarted] = useLocalStorage<Record<string, Started>>({
    key: "graph-runs",
    defaultValue: {},
    getInitialValueInEffect: false,
  });
  const ids = useMemo(() => Object.values(started).map(({ id }) => id), [started]);
  const jobs = useJobsById(ids);
  useEffect(() => {
    for (const id of ids) liveJobs.need(id);
  }, [ids]);

  const runs = useMemo(() => {
    const byId = new Map(jobs.map((job) => [job.id, job]));
    return new Map(
      Object.entries(started).flatMap(([key, { id, from }]): [string, Run][] => {
        const job = byId.get(id);
        return job && document.jobs[key] ? [[key, { job, isOld: from !== madeFrom(document, key) }]] : [];
      }),
    );
  }, [jobs, started, document]);

  const run = async (part: GraphDocument) => {
    try {
      const { version, jobs: wanted } = part;
      const graph = request<{ jobs: Record<string, Job> }>("POST", "/v1/graphs", { version, jobs: wanted });
      const [{ jobs: made }] = await Promise.all([
        graph,
        liveJobs.take(graph.then(({ jobs }) => Object.values(jobs))),
      ]);
      const now = Object.entries(made).map(([key, { id }]) => [key, { id, from: madeFrom(part, key) }]);
      setStarted((known) => ({ ...known, ...(Object.fromEntries(now) as Record<string, Started>) }));
    } catch (error) {
      const { message, hint } = error as ApiError;
      notifications.show({ color: "red", title: message, message: hint, autoClose: 10_000 });
    }
  };
  return { runs, run };
}

/** Return how many things the last run of a node left at an output; undefined if it has not run to its end. */
export function countMade(runs: ReadonlyMap<string, Run>) {
  return (key: string, port: string): number | undefined => {
    const run = runs.get(key);
    if (run?.job.state !== "succeeded" || run.isOld) return undefined;
    return (run.job.outputs as Record<string, Artifact[]>)[port]?.length;
  };
}
