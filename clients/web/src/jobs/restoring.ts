// From a file back to the job that made it: read here if this project wrote it, else by a job that is announced for that.

import { request } from "../api/http";
import { artifactUrl, upload } from "../api/queries";
import { type Job, type Signature, isFinal } from "../api/types";
import { isRecord } from "../forms/schema";
import { type Provenance, provenanceOf } from "./provenance";

/** How long one question may stay open; it is asked until the job has ended. */
const WAIT_SECONDS = 30;

export interface Restored extends Provenance {
  /** What could not be taken over, in sentences. */
  notes: string[];
}

/** Return the job that reads from a file how it was made, if there is one: its params say so with `x-restores`. */
export const restorerOf = (signatures: readonly Signature[]): Signature | undefined =>
  signatures.find(
    ({ params, inputs }) => (params as Record<string, unknown>)["x-restores"] === true && inputs.length === 1,
  );

/** Return what made a file, or null if nobody can tell. */
export async function restored(file: File, signatures: readonly Signature[]): Promise<Restored | null> {
  const own = provenanceOf(await file.arrayBuffer());
  if (own) return { ...own, notes: [] };
  const restorer = restorerOf(signatures);
  const port = restorer?.inputs[0];
  if (!restorer || !port) return null;
  const { id } = await upload(file);
  let job = await request<Job>("POST", "/v1/jobs", {
    job: restorer.name,
    inputs: { [port.name]: { artifact: id } },
  });
  while (!isFinal(job)) job = await request<Job>("GET", `/v1/jobs/${job.id}?wait=${WAIT_SECONDS}`);
  const [answer] = Object.values(job.outputs).flat();
  if (!answer) return null;
  return requestOf(answer.value ?? (await request<unknown>("GET", artifactUrl(answer.id))));
}

/** Return the request in what such a job answers; one without any value says that there was nothing to read. */
export function requestOf(answer: unknown): Restored | null {
  if (!isRecord(answer) || typeof answer["job"] !== "string") return null;
  const { job, inputs, params, notes } = answer;
  const found = {
    job,
    inputs: isRecord(inputs) ? inputs : {},
    params: isRecord(params) ? params : {},
    notes: Array.isArray(notes) ? notes.map(String) : [],
  };
  const isEmpty = !Object.keys(found.params).length && !Object.values(found.inputs).some(Boolean);
  return isEmpty ? null : found;
}
