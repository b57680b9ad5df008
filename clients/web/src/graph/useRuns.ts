// What the nodes of the canvas did when they last ran, and starting them. Kept over a reload of the page.

import { useLocalStorage } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { useEffect, useMemo, useState } from "react";

import { type ApiError, request } from "../api/http";
import { type LiveJob, liveJobs, useJobsById } from "../api/liveJobs";
import { cancelGraph } from "../api/queries";
import { type Artifact, type Job, isFinal } from "../api/types";
import { canonical } from "../forms/schema";
import { told } from "../ui/told";
import { type GraphDocument, upTo } from "./document";
import { type Refusal, refusalOf } from "./refusals";

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

  const [refused, setRefused] = useState<{ refusal: Refusal; jobs: string } | null>(null);
  // What was said of a graph holds until it is another one.
  const isSame = useMemo(() => refused?.jobs === canonical(document.jobs), [refused, document]);

  /** Run a graph; returns why the server refused it, if that is about one of its nodes. */
  const run = async (part: GraphDocument): Promise<Refusal | null> => {
    setRefused(null);
    try {
      const { version, jobs: wanted } = part;
      const graph = request<{ jobs: Record<string, Job> }>("POST", "/v1/graphs", { version, jobs: wanted });
      const [{ jobs: made }] = await Promise.all([
        graph,
        liveJobs.take(graph.then(({ jobs }) => Object.values(jobs))),
      ]);
      const now = Object.entries(made).map(([key, { id }]) => [key, { id, from: madeFrom(part, key) }]);
      setStarted((known) => ({ ...known, ...(Object.fromEntries(now) as Record<string, Started>) }));
      return null;
    } catch (error) {
      const { message, hint } = error as ApiError;
      const refusal = refusalOf({ message, hint }, part);
      if (refusal) setRefused({ refusal, jobs: canonical(document.jobs) });
      else notifications.show({ color: "red", title: message, message: hint, autoClose: 10_000 });
      return refusal;
    }
  };
  const unfinished = [...runs.values()].map(({ job }) => job).filter((job) => !isFinal(job));
  return {
    runs,
    run,
    refusal: (isSame && refused?.refusal) || null,
    isRunning: unfinished.length > 0,
    /** Cancel all that runs or waits of the graph, what no node shows any more too. */
    cancel: told(async () => {
      for (const graph of new Set(unfinished.map((job) => job.graph))) if (graph) await cancelGraph(graph);
    }),
  };
}

/** Return how many things the last run of a node left at an output; undefined if it has not run to its end. */
export function countMade(runs: ReadonlyMap<string, Run>) {
  return (key: string, port: string): number | undefined => {
    const run = runs.get(key);
    if (run?.job.state !== "succeeded" || run.isOld) return undefined;
    return (run.job.outputs as Record<string, Artifact[]>)[port]?.length;
  };
}
