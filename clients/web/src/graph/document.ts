// The graph document: what is saved, posted and run. Turns the nodes and wires of the canvas into it and back.

import type { Edge, Node } from "@xyflow/react";

import type { Job, Signature } from "../api/types";
import { isRecord } from "../forms/schema";
import type { Values } from "../forms/KnobsForm";

export interface JobData extends Record<string, unknown> {
  job: string;
  /** What is typed or dropped into ports that no wire ends in. */
  inputs: Values;
  params: Values;
}

export type JobNode = Node<JobData, "job">;

export interface GraphDocument {
  version: 1;
  jobs: Record<string, { job: string; inputs: Values; params: Values }>;
  ui?: { positions?: Record<string, { x: number; y: number }> };
}

interface Reference {
  job: string;
  output?: string;
}

const isReference = (value: unknown): value is Reference =>
  isRecord(value) && typeof value["job"] === "string";

/** Return the document of nodes and wires; several wires into one port become a list. */
export function toDocument(nodes: readonly JobNode[], edges: readonly Edge[]): GraphDocument {
  const positions: Record<string, { x: number; y: number }> = {};
  const document: GraphDocument = { version: 1, jobs: {}, ui: { positions } };
  for (const { id, data, position } of nodes) {
    const inputs: Values = { ...data.inputs };
    for (const port of new Set(
      edges.filter(({ target }) => target === id).map((edge) => edge.targetHandle ?? ""),
    )) {
      const wired = edges
        .filter(({ target, targetHandle }) => target === id && targetHandle === port)
        .map(({ source, sourceHandle }) => ({ job: source, output: sourceHandle ?? undefined }));
      inputs[port] = wired.length === 1 ? wired[0] : wired;
    }
    document.jobs[id] = { job: data.job, inputs, params: data.params };
    positions[id] = { x: Math.round(position.x), y: Math.round(position.y) };
  }
  return document;
}

/** Return the nodes and wires of a document; those without a place are laid out. Throws an Error that says what is wrong. */
export function fromDocument(document: unknown): { nodes: JobNode[]; edges: Edge[] } {
  if (!isRecord(document) || document["version"] !== 1 || !isRecord(document["jobs"])) {
    throw new Error("This is no graph document: it needs a version 1 and jobs.");
  }
  const { jobs, ui = {} } = document as unknown as GraphDocument;
  const nodes: JobNode[] = [];
  const edges: Edge[] = [];
  for (const [key, { job, inputs = {}, params = {} }] of Object.entries(jobs)) {
    const typed: Values = {};
    for (const [port, value] of Object.entries(inputs)) {
      const references = [value].flat().filter(isReference);
      for (const { job: source, output } of references) edges.push(wire(source, output ?? null, key, port));
      if (!references.length) typed[port] = value;
    }
    nodes.push({
      id: key,
      type: "job",
      position: ui.positions?.[key] ?? { x: NaN, y: NaN },
      data: { job, inputs: typed, params },
    });
  }
  return {
    nodes: nodes.some(({ position }) => Number.isNaN(position.x)) ? laidOut(nodes, edges) : nodes,
    edges,
  };
}

export const wire = (source: string, output: string | null, target: string, port: string): Edge => ({
  id: `${source}.${output ?? ""}>${target}.${port}`,
  source,
  sourceHandle: output,
  target,
  targetHandle: port,
});

/** Return the part of a document that one job needs: the job itself and all before it. */
export function upTo(document: GraphDocument, key: string): GraphDocument {
  const needed = new Set<string>();
  const visit = (name: string) => {
    const job = document.jobs[name];
    if (!job || needed.has(name)) return;
    needed.add(name);
    for (const value of Object.values(job.inputs)) {
      for (const reference of [value].flat().filter(isReference)) visit(reference.job);
    }
  };
  visit(key);
  const jobs = Object.entries(document.jobs).filter(([name]) => needed.has(name));
  return { ...document, jobs: Object.fromEntries(jobs) };
}

/** Return the document of a graph that ran, from its jobs. */
export function fromJobs(jobs: readonly (Job & { key?: string | null })[]): GraphDocument {
  const keyed = jobs.filter((job) => job.key && job.parent === null);
  const keys = new Map(keyed.map((job) => [job.id, job.key ?? job.id]));
  const named = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(named);
    return isReference(value) ? { ...value, job: keys.get(value.job) ?? value.job } : value;
  };
  const document: GraphDocument = { version: 1, jobs: {}, ui: {} };
  for (const job of keyed) {
    const inputs = Object.fromEntries(
      Object.entries(job.inputs).map(([port, value]) => [port, named(value)]),
    );
    document.jobs[job.key ?? job.id] = { job: job.job, inputs, params: job.params };
  }
  return document;
}

/** Tell whether what comes out of one port may go into another. */
export function fits(from: string | undefined, to: string | undefined): boolean {
  if (!from || !to) return false;
  return from === to || (from === "image" && to === "mask") || (from === "mask" && to === "image");
}

/** Return a key for a new node: the job's own name, with a number where that is taken. */
export function freshKey(name: string, taken: ReadonlySet<string>): string {
  const base = name.slice(name.lastIndexOf(".") + 1);
  if (!taken.has(base)) return base;
  let number = 2;
  while (taken.has(`${base}_${number}`)) number++;
  return `${base}_${number}`;
}

const COLUMN = 300;
const ROW = 230;

/** Return the nodes in columns: each one to the right of all it needs. */
export function laidOut(nodes: readonly JobNode[], edges: readonly Edge[]): JobNode[] {
  const depths = new Map<string, number>();
  const depthOf = (id: string, before: ReadonlySet<string>): number => {
    const known = depths.get(id);
    if (known !== undefined) return known;
    if (before.has(id)) return 0;
    const sources = edges.filter(({ target }) => target === id).map(({ source }) => source);
    const depth = sources.length
      ? 1 + Math.max(...sources.map((source) => depthOf(source, new Set([...before, id]))))
      : 0;
    depths.set(id, depth);
    return depth;
  };
  const filled = new Map<number, number>();
  return nodes.map((node) => {
    const column = depthOf(node.id, new Set());
    const row = filled.get(column) ?? 0;
    filled.set(column, row + 1);
    return { ...node, position: { x: column * COLUMN, y: row * ROW } };
  });
}

/** Return the command and the program that run a document. */
export function snippets(document: GraphDocument, origin: string): { curl: string; python: string } {
  const { jobs, version } = document;
  const text = JSON.stringify({ version, jobs }, null, 2);
  return {
    curl: `curl -s ${origin}/v1/graphs -d '${text.replaceAll("'", "'\\''")}'`,
    python: [
      "import json",
      "",
      "from stable_core.client import Client",
      "",
      `graph = json.loads(${JSON.stringify(text)})`,
      `client = Client(${JSON.stringify(origin)})`,
      "print(client.graph(graph))",
    ].join("\n"),
  };
}

export const portType = (signature: Signature | undefined, side: "inputs" | "outputs", name: string | null) =>
  signature?.[side].find((port) => port.name === name)?.type ??
  (name ? undefined : signature?.[side][0]?.type);
