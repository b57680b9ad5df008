// The newest jobs, kept up to date by the event stream, for every part of the page that shows them. It draws nothing.
//
// Events may come a thousand a second: they are applied as they come, and the page is told ten times a second at most.

import { useMemo, useSyncExternalStore } from "react";

import { request } from "./http";
import { type Artifact, type Job, type ServerEvent, UNFINISHED_STATES, isFinal } from "./types";

const PAGE = 200;
/** How many unfinished jobs of each state are known; the server may have more. */
const UNFINISHED = 1000;
/** How many jobs are kept; of more, the oldest that have ended are forgotten. */
const KEPT = 5000;
const TELL_EVERY_MS = 100;
const START_AGAIN_MS = 1000;
/** How many jobs are fetched by one request. */
const BATCH = 100;

export interface LiveJob extends Job {
  /** A data URL of the last preview, while the job runs. */
  preview?: string;
}

export interface Snapshot {
  /** Newest first. */
  jobs: readonly LiveJob[];
  connection: "connecting" | "live" | "lost";
}

export class LiveJobs {
  private readonly jobs = new Map<string, LiveJob>();
  private readonly listeners = new Set<() => void>();
  private readonly followers = new Set<(event: ServerEvent) => void>();
  /** For each answer that is on its way, what has happened since it was asked for. */
  private readonly records = new Set<ServerEvent[]>();
  /** The jobs that are being fetched. */
  private readonly wanted = new Set<string>();
  private asking: string[] = [];
  private snapshot: Snapshot = { jobs: [], connection: "connecting" };
  private connection: Snapshot["connection"] = "connecting";
  private isTelling = false;
  private told = -Infinity;
  private source: EventSource | null = null;

  start(): void {
    if (this.source) return;
    const source = new EventSource("/v1/events");
    this.source = source;
    source.onopen = () => {
      // Whatever happened before the stream began is in the list; what happens from now on comes as events.
      this.setConnection("live");
      void this.load(source);
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) this.startAgain();
      else this.setConnection("lost");
    };
    source.onmessage = (message: MessageEvent<string>) => this.apply(JSON.parse(message.data) as ServerEvent);
  }

  private startAgain(): void {
    this.setConnection("lost");
    this.source?.close();
    this.source = null;
    setTimeout(() => this.start(), START_AGAIN_MS);
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Call `follower` with every event, whether it is of a job that is known here or not. */
  readonly follow = (follower: (event: ServerEvent) => void): (() => void) => {
    this.followers.add(follower);
    return () => this.followers.delete(follower);
  };

  readonly getSnapshot = (): Snapshot => this.snapshot;

  /**
   * Take the jobs that a request answers with, whose promise was made just now; gives the answer.
   *
   * It may be older than events that came before it, so what happened since it was asked for is applied to it again.
   */
  async take<Answer extends Job | readonly Job[]>(answer: Promise<Answer>): Promise<Answer> {
    const since = this.record();
    try {
      const jobs = await answer;
      this.merge([jobs].flat(), since);
      return jobs;
    } finally {
      this.records.delete(since);
    }
  }

  apply(event: ServerEvent): void {
    for (const follower of this.followers) follower(event);
    if (!event.job) return;
    const isKnown = this.jobs.has(event.job);
    if (!isKnown && event.type !== "job.progress" && event.type !== "job.preview") this.need(event.job);
    for (const record of this.records) record.push(event);
    if (isKnown) this.happened(event.job, event);
  }

  private happened(id: string, event: ServerEvent): void {
    const job = this.jobs.get(id);
    if (!job) return;
    this.jobs.set(id, afterEvent(job, event));
    this.changed();
  }

  private record(): ServerEvent[] {
    const since: ServerEvent[] = [];
    this.records.add(since);
    return since;
  }

  private merge(jobs: readonly Job[], since: readonly ServerEvent[]): void {
    const told = new Set(jobs.map(({ id }) => id));
    for (const job of jobs) this.jobs.set(job.id, { ...job, preview: this.jobs.get(job.id)?.preview });
    for (const event of since) if (event.job && told.has(event.job)) this.happened(event.job, event);
    this.changed();
  }

  private async load(source: EventSource): Promise<void> {
    const since = this.record();
    try {
      const queries = [
        `limit=${PAGE}`,
        ...UNFINISHED_STATES.map((state) => `state=${state}&limit=${UNFINISHED}`),
      ];
      const lists = await Promise.all(queries.map((query) => request<Job[]>("GET", `/v1/jobs?${query}`)));
      this.merge(lists.flat(), since);
      // What ended while nothing was heard, and is too old to be among the newest.
      const told = new Set(lists.flat().map(({ id }) => id));
      const silent = [...this.jobs.values()].filter((job) => !isFinal(job) && !told.has(job.id));
      await this.fetch(
        silent.map(({ id }) => id),
        since,
      );
    } catch {
      // One that has been lost meanwhile opens again by itself.
      if (source.readyState === EventSource.OPEN) this.startAgain();
    } finally {
      this.records.delete(since);
    }
  }

  /** Fetch a job that is not among the newest, or of which only an event is known. */
  need(id: string): void {
    if (this.jobs.has(id) || this.wanted.has(id)) return;
    this.wanted.add(id);
    this.asking.push(id);
    if (this.asking.length > 1) return;
    const since = this.record();
    setTimeout(() => {
      const ids = this.asking;
      this.asking = [];
      void this.fetch(ids, since).finally(() => this.records.delete(since));
    }, TELL_EVERY_MS / 2);
  }

  private async fetch(ids: readonly string[], since: readonly ServerEvent[]): Promise<void> {
    for (let at = 0; at < ids.length; at += BATCH) {
      const batch = ids.slice(at, at + BATCH);
      const answer = request<Job[]>("GET", `/v1/jobs?limit=${BATCH}&ids=${batch.join(",")}`);
      this.merge(await answer.catch(() => []), since);
      for (const id of batch) this.wanted.delete(id);
    }
  }

  private setConnection(connection: Snapshot["connection"]): void {
    if (this.connection === connection) return;
    this.connection = connection;
    this.changed();
  }

  private changed(): void {
    if (this.isTelling) return;
    this.isTelling = true;
    const pause = Math.max(0, this.told + TELL_EVERY_MS - performance.now());
    setTimeout(() => requestAnimationFrame(() => this.tell()), pause);
  }

  private tell(): void {
    this.isTelling = false;
    this.told = performance.now();
    const jobs = [...this.jobs.values()].sort((a, b) => b.created - a.created || (a.id < b.id ? 1 : -1));
    for (const job of jobs.slice(KEPT)) if (isFinal(job)) this.jobs.delete(job.id);
    this.snapshot = { jobs, connection: this.connection };
    for (const listener of this.listeners) listener();
  }

  /** Return a function that finds the jobs of some ids: the same array as long as none of them has changed. */
  chooser(ids: readonly string[]): () => readonly LiveJob[] {
    let last: readonly LiveJob[] = [];
    return () => {
      const now = ids.flatMap((id) => this.jobs.get(id) ?? []);
      if (now.length !== last.length || now.some((job, at) => job !== last[at])) last = now;
      return last;
    };
  }
}

/** Return the job as it is after one event. */
export function afterEvent(job: LiveJob, event: ServerEvent): LiveJob {
  const data = event.data as Record<string, unknown>;
  switch (event.type) {
    case "job.progress":
      return { ...job, progress: data as unknown as Job["progress"] };
    case "job.preview":
      return { ...job, preview: `data:${String(data["media_type"])};base64,${String(data["data"])}` };
    case "job.output": {
      const port = String(data["port"]);
      const artifact = data["artifact"] as Artifact;
      const known = job.outputs[port] ?? [];
      // An answer may have told of it already; where a job makes the same twice, its end says so.
      if (known.some(({ id }) => id === artifact.id)) return job;
      return { ...job, outputs: { ...job.outputs, [port]: [...known, artifact] } };
    }
    case "job.outputs":
      return { ...job, outputs: data["outputs"] as Job["outputs"] };
    case "job.priority":
      return { ...job, priority: Number(data["priority"]) };
    case "job.waiting":
    case "job.queued":
      return {
        ...job,
        state: event.type === "job.queued" ? "queued" : "waiting",
        error: null,
        preview: undefined,
      };
    case "job.running":
      return { ...job, state: "running", started: event.time, outputs: {}, progress: null };
    case "job.succeeded":
      return {
        ...job,
        state: "succeeded",
        finished: event.time,
        preview: undefined,
        cached: data["cached"] === true,
        outputs: (data["outputs"] as Job["outputs"] | undefined) ?? job.outputs,
      };
    case "job.failed":
      return {
        ...job,
        state: "failed",
        finished: event.time,
        error: (data["error"] ?? data) as Job["error"],
      };
    case "job.cancelled":
      return { ...job, state: "cancelled", finished: event.time, preview: undefined };
    default:
      return job;
  }
}

export const liveJobs = new LiveJobs();
export const useLiveJobs = (): Snapshot => useSyncExternalStore(liveJobs.subscribe, liveJobs.getSnapshot);

/** Return the jobs of some ids; the page is drawn again only when one of them has changed. */
export function useJobsById(ids: readonly string[]): readonly LiveJob[] {
  const choose = useMemo(() => liveJobs.chooser(ids), [ids]);
  return useSyncExternalStore(liveJobs.subscribe, choose);
}

/** Return the params of the newest run of a job. */
export const useLastParams = (name: string): Job["params"] | undefined =>
  useSyncExternalStore(
    liveJobs.subscribe,
    () => liveJobs.getSnapshot().jobs.find(({ job }) => job === name)?.params,
  );
