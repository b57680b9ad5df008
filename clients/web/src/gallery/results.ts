// The results of all jobs, page by page, newest first, as the server finds them. It draws nothing.

import { type InfiniteData, type QueryClient, useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";

import { request } from "../api/http";
import { liveJobs, useLiveJobs } from "../api/liveJobs";
import type { Artifact, Job } from "../api/types";
import { promptOf } from "../queue/JobCard";
import { differenceOf, variationsOf } from "../queue/variations";

const PAGE = 200;
const SHOWN_TYPES: readonly string[] = ["image", "mask", "audio", "video"];

export interface Result {
  /** Unlike the artifact's id, unique: the same pixels can be made twice. */
  key: string;
  artifact: Artifact;
  /** What made it, with the inputs and knobs of its own run. */
  job: Job;
  port: string;
  /** What it differs by from the others of a sweep. */
  label: string;
  /** What it is called: the words of its prompt, and its label. */
  name: string;
}

export interface Filter {
  /** Words of the inputs, in any order. */
  text: string;
  job: string;
  /** The first and the last day, as YYYY-MM-DD; empty means any. */
  from: string;
  to: string;
  /** The only jobs to look at, or null for all. */
  among: readonly string[] | null;
}

export const EVERYTHING: Filter = { text: "", job: "", from: "", to: "", among: null };

type Pages = InfiniteData<Job[], string>;

export const useResults = (filter: Filter | null) =>
  useInfiniteQuery({
    queryKey: ["results", filter ?? EVERYTHING],
    initialPageParam: "",
    queryFn: ({ pageParam }) => request<Job[]>("GET", `/v1/jobs?${queryOf(filter ?? EVERYTHING, pageParam)}`),
    getNextPageParam: (page: Job[], _, last: string) => {
      const among = filter?.among;
      if (!among) return page.length === PAGE ? page.at(-1)?.id : undefined;
      const next = Number(last) + PAGE;
      return next < among.length ? String(next) : undefined;
    },
  });

/** Return the query of a page: what comes after a job or, among given jobs, after so many of them. */
export function queryOf({ text, job, from, to, among }: Filter, after: string): URLSearchParams {
  const query = new URLSearchParams({ state: "succeeded", limit: String(PAGE) });
  if (text.trim()) query.set("text", text.trim());
  if (job) query.set("job", job);
  if (from) query.set("since", String(midnight(from)));
  if (to) query.set("until", String(midnight(to, 1)));
  if (among) query.set("ids", among.slice(Number(after), Number(after) + PAGE).join(","));
  else if (after) query.set("before", after);
  return query;
}

/** Return when a day begins here, in seconds since 1970. */
export function midnight(day: string, later = 0): number {
  const [year = 0, month = 1, date = 1] = day.split("-").map(Number);
  return new Date(year, month - 1, date + later).getTime() / 1000;
}

/** Return all results that were loaded and those that were made since, and the query to load more with. */
export function useGallery(filter: Filter) {
  const query = useResults(filter);
  const { jobs: live } = useLiveJobs();
  const loaded = useMemo(() => query.data?.pages.flat() ?? [], [query.data]);
  const known = useMemo(() => new Set(loaded.map(({ id }) => id)), [loaded]);
  const oldest = query.hasNextPage ? (loaded.at(-1)?.created ?? Infinity) : 0;
  const isNew = (job: Job) =>
    job.state === "succeeded" && job.created > oldest && !known.has(job.id) && isFound(job, filter);
  const fresh = query.data ? live.filter(isNew) : [];
  // Progress comes many times a second; what there is to show changes when a job ends.
  const freshKey = fresh.map(({ id }) => id).join();
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const results = useMemo(() => resultsOf(byAge([...fresh, ...loaded]), live), [freshKey, loaded]);
  return { query, results };
}

const byAge = (jobs: Job[]): Job[] => jobs.sort((a, b) => b.created - a.created || (a.id < b.id ? 1 : -1));

/** Tell whether the server would find a job too. */
export function isFound(job: Job, { text, job: name, from, to, among }: Filter): boolean {
  const prompt = promptOf(job).toLowerCase();
  return (
    (!name || job.job === name) &&
    text
      .toLowerCase()
      .split(/\s+/)
      .every((word) => prompt.includes(word)) &&
    (!from || job.created >= midnight(from)) &&
    (!to || job.created < midnight(to, 1)) &&
    (!among || among.includes(job.id))
  );
}

/** Return the pictures, sounds and films that jobs made; a job that was split is shown by its parts, which others may tell
 * apart. */
export function resultsOf(jobs: readonly Job[], others: readonly Job[] = []): Result[] {
  const byId = new Map([...others, ...jobs].map((job) => [job.id, job]));
  const parents = new Set(jobs.map(({ parent }) => parent));
  return jobs
    .filter(({ id }) => !parents.has(id))
    .flatMap((job) => {
      const label = differenceOf(job, (id) => byId.get(id));
      return Object.entries(job.outputs).flatMap(([port, made]) => ofPort(job, port, made, label));
    });
}

function ofPort(job: Job, port: string, made: readonly Artifact[], label: string): Result[] {
  const runs = variationsOf(job, made.length);
  return made.flatMap((artifact, at) => {
    if (!SHOWN_TYPES.includes(artifact.type)) return [];
    const run = runs[Math.floor((at * runs.length) / made.length)];
    const own = run ? { ...job, inputs: run.inputs, params: run.params } : job;
    const difference = run?.label ?? label;
    const name = [promptOf(own) || job.job, difference].filter(Boolean).join(", ");
    return [{ key: `${job.id}/${port}/${artifact.id}`, artifact, job: own, port, label: difference, name }];
  });
}

/** Keep what was loaded in step with results that are deleted, here or elsewhere, for as long as the page is open. */
export function keepResultsInStep(queries: QueryClient): void {
  liveJobs.follow(({ type, job: id, data }) => {
    if (type !== "job.outputs" || !id) return;
    const outputs = (data as { outputs: Job["outputs"] }).outputs;
    const mended = (job: Job) => (job.id === id ? { ...job, outputs } : job);
    queries.setQueriesData<Pages>(
      { queryKey: ["results"] },
      (known) => known && { ...known, pages: known.pages.map((page) => page.map(mended)) },
    );
  });
}
