// Asks how long a text is while it is typed: after a pause, one question at a time, and old ones are taken back.

import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { use } from "react";

import { request } from "../api/http";
import { cancelJob, useSignatures } from "../api/queries";
import type { Hints, Job, JobRequest } from "../api/types";
import { isFinal } from "../api/types";
import { Beside } from "./Beside";
import { type Count, countOf, countRequest } from "./counting";

const PAUSE_MS = 400;
const BEFORE_OTHERS = 1000;
const WAIT_SECONDS = 30;

/** Return how long a text is, as the job says that the hint names; null until that is known. */
export function useCount(counter: Hints["counter"], text: string): Count | null {
  const { data: signatures } = useSignatures();
  const counting = signatures?.find(({ name }) => name === counter?.job);
  const beside = use(Beside);
  const wanted = counter && counting && text.trim() ? countRequest(counter, counting, text, beside) : null;
  const [settled] = useDebouncedValue(JSON.stringify(wanted), PAUSE_MS);
  const { data = null } = useQuery({
    queryKey: ["count", settled],
    enabled: settled !== "null",
    staleTime: Infinity,
    retry: false,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => ask(JSON.parse(settled) as JobRequest, signal),
  });
  return wanted ? data : null;
}

/** Run a counting job before all others and return its count; when nobody wants it any more it is cancelled. */
async function ask(wanted: JobRequest, signal: AbortSignal): Promise<Count | null> {
  let job = await request<Job>("POST", "/v1/jobs", { ...wanted, priority: BEFORE_OTHERS });
  const takeBack = () => void cancelJob(job.id).catch(() => undefined);
  signal.addEventListener("abort", takeBack);
  if (signal.aborted) takeBack();
  while (!isFinal(job) && !signal.aborted) {
    job = await request<Job>("GET", `/v1/jobs/${job.id}?wait=${WAIT_SECONDS}`);
  }
  signal.removeEventListener("abort", takeBack);
  const [answer] = Object.values(job.outputs).flat();
  return countOf(answer?.value);
}
