// The results of all jobs, page by page, newest first, and which of them are shown. It draws nothing.

import { useInfiniteQuery } from "@tanstack/react-query";

import { request } from "../api/http";
import type { Artifact, Job } from "../api/types";
import { promptOf } from "../queue/JobCard";

const PAGE = 200;

export interface Result {
  /** Unlike the artifact's id, unique: the same pixels can be made twice. */
  key: string;
  artifact: Artifact;
  job: Job;
  port: string;
}

export const useResults = (name: string | null) =>
  useInfiniteQuery({
    queryKey: ["results", name],
    initialPageParam: "",
    queryFn: ({ pageParam }) => {
      const query = new URLSearchParams({ state: "succeeded", limit: String(PAGE) });
      if (name) query.set("job", name);
      if (pageParam) query.set("before", pageParam);
      return request<Job[]>("GET", `/v1/jobs?${query}`);
    },
    getNextPageParam: (page) => (page.length === PAGE ? page.at(-1)?.id : undefined),
  });

/** Return the pictures, sounds and films that jobs made; a job that was split is shown by its parts. */
export function resultsOf(jobs: readonly Job[]): Result[] {
  const parents = new Set(jobs.map(({ parent }) => parent));
  return jobs
    .filter(({ id }) => !parents.has(id))
    .flatMap((job) =>
      Object.entries(job.outputs).flatMap(([port, made]) =>
        (made as Artifact[])
          .filter(({ type }) => ["image", "mask", "audio", "video"].includes(type))
          .map((artifact, index) => ({ key: `${job.id}/${port}/${index}`, artifact, job, port })),
      ),
    );
}

export interface Filter {
  text: string;
  day: string;
  favourites: ReadonlySet<string> | null;
}

/** Return the results that hold every word in their prompt, were made on the day, and are favourites if only those are asked for. */
export function filtered(results: readonly Result[], { text, day, favourites }: Filter): Result[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return results.filter(({ job, artifact }) => {
    const prompt = promptOf(job).toLowerCase();
    return (
      words.every((word) => prompt.includes(word)) &&
      (!day || dayOf(job) === day) &&
      (!favourites || favourites.has(artifact.id))
    );
  });
}

/** Return the day a job was made on here, as YYYY-MM-DD. */
export function dayOf({ created }: Pick<Job, "created">): string {
  const date = new Date(created * 1000);
  const two = (number: number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}
