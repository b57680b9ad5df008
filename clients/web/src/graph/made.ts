// From a result back to the graph that made it: asks the server for its jobs and for what their inputs came from.

import { request } from "../api/http";
import { fetchJob } from "../api/queries";
import type { Job } from "../api/types";
import { isRecord } from "../forms/schema";
import type { Provenance } from "../jobs/provenance";
import { type GraphDocument, fromJobs, isReference } from "./document";
import { freshKey } from "./editing";

const MOST = 200;

/** Return the graph of a job: the one it ran in, or else itself and all that its inputs were made by. */
export async function graphOfJob(id: string): Promise<GraphDocument> {
  let job = await fetchJob(id);
  // A part of a job that was split into several stands for the whole.
  while (job.parent) job = await fetchJob(job.parent);
  if (job.graph) return fromJobs(await request<Job[]>("GET", `/v1/jobs?graph=${job.graph}&limit=1000`));
  return traced(job, fetchJob, async (artifact) => {
    const { jobs = [] } = await request<{ jobs?: string[] }>("GET", `/v1/artifacts/${artifact}/meta`);
    return jobs;
  });
}

/** Return the graph that made an artifact. Throws an Error if no job did. */
export async function graphOfArtifact(artifact: string): Promise<GraphDocument> {
  const { jobs = [] } = await request<{ jobs?: string[] }>("GET", `/v1/artifacts/${artifact}/meta`);
  const maker = await makerOf(artifact, jobs, fetchJob);
  if (!maker) throw new Error("No job made this: it was uploaded.");
  return graphOfJob(maker.id);
}

/** Return the graph that a saved picture tells of; on another server, where its job is not known, the job alone. */
export async function graphOfPicture({ id, job, inputs, params }: Provenance): Promise<GraphDocument> {
  const alone: GraphDocument = { version: 1, jobs: { [freshKey(job, new Set())]: { job, inputs, params } } };
  return id ? graphOfJob(id).catch(() => alone) : alone;
}

type Fetch = (id: string) => Promise<Job>;

/** Return a job and all that its inputs were made by, as far as anyone knows, wired. */
export async function traced(
  last: Job,
  fetch: Fetch,
  jobsOf: (artifact: string) => Promise<string[]>,
): Promise<GraphDocument> {
  const document: GraphDocument = { version: 1, jobs: {}, ui: {} };
  const keys = new Map<string, string>();
  const take = async (job: Job): Promise<string> => {
    const known = keys.get(job.id);
    if (known) return known;
    const key = freshKey(job.job, new Set(keys.values()));
    keys.set(job.id, key);
    const inputs: Record<string, unknown> = {};
    for (const [port, value] of Object.entries(job.inputs)) inputs[port] = await wired(value, job);
    document.jobs[key] = { job: job.job, inputs, params: job.params };
    return key;
  };
  const wired = async (value: unknown, job: Job): Promise<unknown> => {
    if (Array.isArray(value)) {
      const all: unknown[] = [];
      for (const item of value) all.push(await wired(item, job));
      return all;
    }
    if (isReference(value)) return { ...value, job: await take(await fetch(value.job)) };
    if (!isRecord(value) || typeof value["artifact"] !== "string" || keys.size >= MOST) return value;
    const artifact = value["artifact"];
    const maker = await makerOf(artifact, await jobsOf(artifact), fetch, job);
    const port = maker && outputOf(maker, artifact);
    // One of several is no output of its own: a wire would bring all of them.
    if (!maker || port?.count !== 1) return value;
    return { job: await take(maker), output: port.name };
  };
  await take(last);
  return document;
}

/** Return the job that made an artifact, of those that have to do with it: the first that was not given it. */
async function makerOf(
  artifact: string,
  ids: readonly string[],
  fetch: Fetch,
  before?: Job,
): Promise<Job | null> {
  const found: Job[] = [];
  for (const id of ids.slice(0, MOST)) {
    const job = await fetch(id);
    if (job.id !== before?.id && outputOf(job, artifact)) found.push(job);
  }
  found.sort((a, b) => a.created - b.created);
  return found.find(({ created }) => !before || created <= before.created) ?? null;
}

function outputOf(job: Job, artifact: string): { name: string; count: number } | null {
  for (const [name, made] of Object.entries(job.outputs as Record<string, { id: string }[]>)) {
    if (made.some(({ id }) => id === artifact)) return { name, count: made.length };
  }
  return null;
}
