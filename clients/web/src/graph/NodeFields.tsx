// What can be typed at a node itself: the texts that no wire brings, and its knobs. It knows no job and starts nothing.

import { UnstyledButton } from "@mantine/core";
import { IconChevronDown, IconChevronUp } from "@tabler/icons-react";
import { useNodeConnections, useStore } from "@xyflow/react";
import { type ComponentProps, memo, use, useDeferredValue, useMemo, useState } from "react";

import type { Job, Port, Signature } from "../api/types";
import { KnobRow } from "../forms/KnobRow";
import { type Row, placeOf, rowsOf } from "../forms/rows";
import { changed, inlined, isSweep, isWide, setAt, titleOf, valueAt } from "../forms/schema";
import { useProblems } from "../forms/useProblems";
import { Canvas } from "./canvas";
import type { JobData } from "./document";
import { useView } from "./useView";

/** From which zoom on knobs can be read, and are drawn as what they are. */
const READABLE = 0.5;
/** How far from the part that is seen they are drawn already, in pixels. */
const AHEAD = 200;

/** So many knobs that nobody changed are worth a button that hides them. */
const WORTH_FOLDING = 3;

interface Props {
  id: string;
  data: JobData;
  signature: Signature;
  /** The params of its last run. */
  lastParams: Job["params"] | undefined;
}

export const NodeFields = memo(function NodeFields({ id, data, signature, lastParams = {} }: Props) {
  const { onData } = use(Canvas);
  const { bringIntoView } = useView();
  const schema = useMemo(() => inlined(signature.params), [signature]);
  const params = useMemo(() => changed(data.params, schema), [data.params, schema]);
  const wires = useNodeConnections({ id, handleType: "target" });
  // Many knobs take long to draw: a hundred nodes have only those that somebody sees.
  const isLive = useDeferredValue(useIsReadable(id));
  const problems = useProblems(isLive ? signature.name : undefined, params);
  // A knob that is being typed stays, also while it has its default.
  const [touched, setTouched] = useState<ReadonlySet<string>>(new Set());

  const texts = signature.inputs.filter(
    ({ name, type }) =>
      type === "text" &&
      !wires.some(({ targetHandle }) => targetHandle === name) &&
      ["string", "undefined"].includes(typeof data.inputs[name]),
  );
  const all = rowsOf(schema, params);
  const isKept = ({ path, isChanged }: Row) => isChanged || touched.has(placeOf(path));
  const rows = data.isFolded ? all.filter(isKept) : all;
  const hidden = all.filter((row) => !isKept(row)).length;
  if (!texts.length && !all.length) return null;

  const setText = (port: Port, text: unknown) =>
    onData(id, { inputs: { ...data.inputs, [port.name]: text } }, `${id}: ${port.name}`);
  const setKnob = ({ path }: Row, value: unknown) => {
    setTouched((known) => new Set([...known, placeOf(path)]));
    onData(id, { params: changed(setAt(params, path, value), schema) }, `${id}: ${placeOf(path)}`);
  };
  return (
    <div
      className="node-fields nodrag nokey"
      onClick={(event) => event.stopPropagation()}
      onFocus={(event) => event.target.matches(":focus-visible") && bringIntoView(event.target)}
    >
      {texts.map((port) => (
        <Field
          key={port.name}
          isLive={isLive}
          row={rowOf(port)}
          value={data.inputs[port.name]}
          onChange={(text) => setText(port, text)}
        />
      ))}
      {rows.map((row) => (
        <Field
          key={placeOf(row.path)}
          isLive={isLive}
          row={row}
          value={valueAt(params, row.path)}
          lastValue={valueAt(lastParams, row.path)}
          problem={problems[placeOf(row.path)]}
          onChange={(next) => setKnob(row, next)}
        />
      ))}
      {(hidden >= WORTH_FOLDING || (data.isFolded && hidden > 0)) && (
        <UnstyledButton
          className="node-fold"
          aria-expanded={!data.isFolded}
          onClick={() => {
            setTouched(new Set());
            onData(id, { isFolded: !data.isFolded });
          }}
        >
          {data.isFolded ? (
            <IconChevronDown size={14} aria-hidden />
          ) : (
            <IconChevronUp size={14} aria-hidden />
          )}
          {data.isFolded ? `${hidden} more` : "Less"}
        </UnstyledButton>
      )}
    </div>
  );
});

const rowOf = ({ name, optional }: Port): Row => ({
  path: [name],
  label: titleOf(name, {}) + (optional ? " (optional)" : ""),
  knob: { type: "string", "x-ui": { component: "textarea" } },
  isChanged: false,
});

/** A row: a field, or what that looks like from afar. */
function Field({ isLive, ...shown }: ComponentProps<typeof KnobRow> & { isLive: boolean }) {
  const { label, knob } = shown.row;
  const isText = isWide(knob);
  if (isLive) {
    // The wheel moves a text, not the canvas.
    return (
      <div className={isText ? "nowheel" : undefined}>
        <KnobRow {...shown} />
      </div>
    );
  }
  const value = shown.value ?? knob.default;
  return (
    <div className="knob-row" data-wide={isText || undefined}>
      <span className="knob-still-label">{label}</span>
      <span className="knob-still">
        {(isSweep(value) ? value.each : [value].flat()).map(textOf).join(", ")}
      </span>
    </div>
  );
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value ?? ""));

/** Tell whether a node is in sight, or nearly so, and large enough to be read. */
const useIsReadable = (id: string): boolean =>
  useStore(({ transform: [x, y, zoom], nodeLookup, width, height }) => {
    const node = nodeLookup.get(id);
    if (zoom < READABLE || !node) return false;
    const left = node.internals.positionAbsolute.x * zoom + x;
    const top = node.internals.positionAbsolute.y * zoom + y;
    const right = left + (node.measured.width ?? 0) * zoom;
    const bottom = top + (node.measured.height ?? 0) * zoom;
    return left < width + AHEAD && right > -AHEAD && top < height + AHEAD && bottom > -AHEAD;
  });
