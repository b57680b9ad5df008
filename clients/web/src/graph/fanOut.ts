// How often each job of a graph will run: sweeps and lists at single ports run it once for each value.

import type { Port } from "../api/types";
import { isRecord, isSweep } from "../forms/schema";
import { type GraphDocument, isReference } from "./document";
import type { Signatures } from "./editing";

/** How many; null when that is known only once the jobs before have run. */
export type Times = number | null;

/** Return how often each job runs. `made` tells how many things an earlier run left at an output, if there was one. */
export function timesOf(
  document: GraphDocument,
  signatures: Signatures,
  made: (key: string, port: string) => number | undefined = () => undefined,
): Map<string, Times> {
  const known = new Map<string, Times>();
  const times = (key: string): Times => {
    const found = known.get(key);
    if (found !== undefined) return found;
    known.set(key, 1); // a circle, which the server refuses, ends here
    const { inputs = {}, params = {}, ...options } = document.jobs[key] ?? {};
    const ports = new Map(
      signatures.get(document.jobs[key]?.job ?? "")?.inputs.map((port) => [port.name, port]),
    );
    const counts = [
      ...Object.entries(inputs).map(([name, value]) => arriving(value, ports.get(name))),
      ...sweepsIn(params),
    ].filter((count) => count !== 1);
    const isProduct = (options as { map?: unknown }).map === "product";
    const whole = counts.reduce<Times>(
      (all, count) =>
        all === null || count === null ? null : isProduct ? all * count : Math.max(all, count),
      1,
    );
    known.set(key, whole);
    return whole;
  };
  /** Return how many values arrive at a port that takes one; a list is one value for a port that takes lists. */
  const arriving = (value: unknown, port: Port | undefined): Times => {
    if (port?.list) return isSweep(value) ? value.each.length : 1;
    const parts = isSweep(value) ? value.each.flat() : [value].flat();
    return parts
      .map(leaving)
      .reduce<Times>((all, count) => (all === null || count === null ? null : all + count), 0);
  };
  const leaving = (value: unknown): Times => {
    if (!isReference(value)) return 1;
    const outputs = signatures.get(document.jobs[value.job]?.job ?? "")?.outputs ?? [];
    const port = value.output ? outputs.find(({ name }) => name === value.output) : outputs[0];
    return (port && made(value.job, port.name)) ?? (port?.list ? null : times(value.job));
  };
  for (const key of Object.keys(document.jobs)) times(key);
  return known;
}

function sweepsIn(params: unknown): number[] {
  if (isSweep(params)) return [params.each.length];
  if (Array.isArray(params)) return params.flatMap(sweepsIn);
  return isRecord(params) ? Object.values(params).flatMap(sweepsIn) : [];
}
