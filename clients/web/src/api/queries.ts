// What pages read from the server and send to it, cached by the query library. Jobs in an answer are shown at once.

import { type QueryClient, queryOptions, useMutation, useQuery } from "@tanstack/react-query";

import { request } from "./http";
import { liveJobs } from "./liveJobs";
import type { Artifact, Job, JobRequest, Signature } from "./types";

export const SIGNATURES = queryOptions({
  queryKey: ["signatures"],
  queryFn: () => request<Signature[]>("GET", "/v1/signatures"),
});
export const useSignatures = () => useQuery(SIGNATURES);

export const useModels = (kind: string) =>
  useQuery({ queryKey: ["models", kind], queryFn: () => request<string[]>("GET", `/v1/models/${kind}`) });

/** Ask again for lists of models and plugins when the server says that they have changed, while the page is open. */
export function keepListsInStep(queries: QueryClient): void {
  const affected: Record<string, string[]> = {
    "models.changed": ["models"],
    "plugins.changed": ["plugins", "signatures"],
  };
  liveJobs.follow(({ type }) => {
    for (const list of affected[type] ?? []) void queries.invalidateQueries({ queryKey: [list] });
  });
}

/** Ask what the server says of params; nothing runs. */
export const checkParams = (job: string, params: Record<string, unknown>) =>
  request<Record<string, unknown>>("POST", `/v1/signatures/${job}/check`, params);

export const useSubmit = () =>
  useMutation({ mutationFn: (body: JobRequest) => liveJobs.take(request<Job>("POST", "/v1/jobs", body)) });

const act = (id: string, how: string) => liveJobs.take(request<Job>("POST", `/v1/jobs/${id}/${how}`, {}));
export const cancelJob = (id: string) => act(id, "cancel");
export const interruptJob = (id: string) => act(id, "interrupt");
export const retryJob = (id: string) => act(id, "retry");
export const cancelAll = () => request<{ cancelled: number }>("POST", "/v1/jobs/cancel", {});
export const cancelGraph = (graph: string) =>
  request<{ cancelled: number }>("POST", "/v1/jobs/cancel", { graph });
export const setPriorities = (priorities: Record<string, number>) =>
  liveJobs.take(request<Job[]>("POST", "/v1/jobs/priorities", { priorities }));
export const fetchJob = (id: string) => request<Job>("GET", `/v1/jobs/${id}`);
export const deleteArtifact = (id: string) => request<Artifact>("DELETE", `/v1/artifacts/${id}`);
export const upload = (file: File) =>
  request<Artifact>("POST", `/v1/artifacts?filename=${encodeURIComponent(file.name)}`, file);

export const artifactUrl = (id: string) => `/v1/artifacts/${id}`;
