// What the runs of a swept or mapped job differ by: the knob and its value. It draws nothing and fetches nothing.

import type { Job } from "../api/types";
import { canonical, isRecord, isSweep } from "../forms/schema";

type Place = (string | number)[];
type Given = Pick<Job, "inputs" | "params">;

/** One knob or input that has several values. */
interface Varied {
  of: "inputs" | "params";
  place: Place;
  values: unknown[];
}

/** One run of a job that was split: with what it ran, and what of it is its own. */
export interface Variation extends Given {
  label: string;
}

/** The server splits a job into no more. */
const MOST = 10_000;

/** Return what varies, in the order in which the server combines it: inputs first, then knobs. */
function variedIn({ inputs, params }: Given): Varied[] {
  const mapped = Object.entries(inputs).flatMap(([name, value]: [string, unknown]): Varied[] => {
    const values = isSweep(value) ? value.each : isListOfTexts(value) ? value : [];
    return values.length ? [{ of: "inputs", place: [name], values }] : [];
  });
  return [...mapped, ...sweepsIn(params)];
}

const isListOfTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.length > 1 && value.every((one) => typeof one === "string");

function sweepsIn(values: object, before: Place = []): Varied[] {
  const entries: [string | number, unknown][] = Array.isArray(values)
    ? [...values.entries()]
    : Object.entries(values);
  return entries.flatMap(([name, value]): Varied[] => {
    const place = [...before, name];
    if (isSweep(value)) return [{ of: "params", place, values: value.each }];
    return typeof value === "object" && value !== null ? sweepsIn(value, place) : [];
  });
}

/** Return the runs of a job by which a port got so many results; none if it ran once, or nobody can tell from here. */
export function variationsOf(job: Given, made: number): Variation[] {
  const varied = variedIn(job);
  const counts = varied.map(({ values }) => values.length);
  const [first = 0] = counts;
  const whole = counts.reduce((all, count) => all * count, 1);
  if (!first || !made || whole > MOST) return [];
  const isPaired = counts.every((count) => count === first);
  // Pairs are usual, all combinations possible; of how many it was tells only how much was made.
  const fitting = [...new Set(isPaired ? [first, whole] : [whole])].filter((count) => made % count === 0);
  const count = fitting.find((one) => one === made) ?? (fitting.length === 1 ? fitting[0] : undefined);
  if (!count) return [];
  return Array.from({ length: count }, (_, run) => {
    let step = run;
    const steps = varied.map(() => run);
    if (count !== first) {
      for (let at = varied.length - 1; at >= 0; at--) {
        const { length } = varied[at]?.values ?? [];
        steps[at] = step % length;
        step = Math.floor(step / length);
      }
    }
    return chosen(job, varied, steps);
  });
}

function chosen({ inputs, params }: Given, varied: readonly Varied[], steps: readonly number[]): Variation {
  const given: Given = { inputs, params };
  varied.forEach(({ of, place, values }, at) => {
    given[of] = withValue(given[of], place, values[steps[at] ?? 0]) as Given["params"];
  });
  return { ...given, label: labelOf(varied, given) };
}

/** Return what a part of a job differs from its other parts by, as far as the jobs that it is a part of are known. */
export function differenceOf(part: Job, find: (id: string) => Job | undefined): string {
  const parent = part.parent === null ? undefined : find(part.parent);
  if (!parent) return "";
  const own = parent.job === part.job ? labelOf(variedIn(parent), part) : "";
  return [differenceOf(parent, find), own].filter(Boolean).join(" · ");
}

const labelOf = (varied: readonly Varied[], given: Given): string =>
  varied
    .map(({ of, place, values }) => {
      const value = place.reduce<unknown>(inside, given[of]);
      return `${titleOf(place)} ${isRecord(value) ? placeAmong(values, value) : asText(value)}`;
    })
    .join(" · ");

/** Pictures and the like have no name: they are counted. */
const placeAmong = (values: readonly unknown[], value: unknown): number =>
  values.findIndex((one) => canonical(one) === canonical(value)) + 1;

const asText = (value: unknown): string => {
  if (typeof value === "boolean") return value ? "on" : "off";
  return typeof value === "string" ? value || "none" : JSON.stringify(value ?? "none");
};

function titleOf(place: Place): string {
  const words = place
    .filter((one) => typeof one === "string")
    .join(" ")
    .replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const inside = (value: unknown, name: string | number): unknown =>
  typeof value === "object" && value !== null ? (value as Record<string | number, unknown>)[name] : undefined;

function withValue(values: unknown, [name, ...rest]: Place, value: unknown): unknown {
  if (name === undefined) return value;
  const inner = withValue(inside(values, name), rest, value);
  if (Array.isArray(values)) return values.map((one: unknown, at) => (at === name ? inner : one));
  return { ...(values as object), [name]: inner };
}
