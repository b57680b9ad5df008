// The canvas itself: nodes, frames and wires as React Flow shows them, and what the mouse does with them.

import "@xyflow/react/dist/style.css";
import "./graph.css";

import { MantineThemeProvider, createTheme } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import {
  Background,
  Controls,
  type Edge,
  type FinalConnectionState,
  MiniMap,
  ReactFlow,
  SelectionMode,
  useReactFlow,
} from "@xyflow/react";
import { useState } from "react";

import type { CanvasNode, Graph } from "./document";
import { type LooseEnd, type Signatures, portType, whyNot, withWire } from "./editing";
import { FrameNode } from "./FrameNode";
import { JobNode } from "./JobNode";
import { keeping } from "./keeping";
import { PORT_COLORS } from "./portColors";
import type { useGraph } from "./useGraph";
import type { Run } from "./useRuns";
import { FIT, useIsNarrow } from "./useView";

const nodeTypes = { job: JobNode, frame: FrameNode };

/** Fields at nodes are smaller than those of forms. */
const FIELDS = ["Autocomplete", "ColorInput", "NumberInput", "PasswordInput", "Select", "Slider", "Switch"];
const small = createTheme({
  components: Object.fromEntries(
    [...FIELDS, "TagsInput", "TextInput", "Textarea"].map((name) => [name, { defaultProps: { size: "xs" } }]),
  ),
});

const DELETE_KEYS = ["Delete", "Backspace"];

interface Props {
  graph: Graph;
  signatures: Signatures;
  runs: ReadonlyMap<string, Run>;
  isDark: boolean;
  /** Whether a window lies over it, to which the keys belong. */
  isCovered: boolean;
  handlers: ReturnType<typeof useGraph>["handlers"];
  edit: ReturnType<typeof useGraph>["edit"];
  /** A wire was let go over the empty canvas. */
  onLoose: (at: { x: number; y: number }, from: LooseEnd) => void;
}

export function Board({ graph, signatures, runs, isDark, isCovered, handlers, edit, onLoose }: Props) {
  const flow = useReactFlow();
  const isNarrow = useIsNarrow();

  const onConnectEnd = (
    event: MouseEvent | TouchEvent,
    { fromHandle, toHandle, isValid }: FinalConnectionState,
  ) => {
    if (isValid || !fromHandle?.id) return;
    if (toHandle) {
      const [out, into] = fromHandle.type === "source" ? [fromHandle, toHandle] : [toHandle, fromHandle];
      const why =
        fromHandle.type === toHandle.type
          ? "A wire leads from an output to an input."
          : whyNot(graph, signatures, {
              source: out.nodeId,
              sourceHandle: out.id ?? null,
              target: into.nodeId,
              targetHandle: into.id ?? null,
            });
      if (why) notifications.show({ color: "orange", message: why });
      return;
    }
    const point = "changedTouches" in event ? event.changedTouches[0] : event;
    if (!point || (event.target as Element | null)?.closest(".react-flow__node-job")) return;
    const at = flow.screenToFlowPosition({ x: point.clientX, y: point.clientY });
    onLoose(at, { node: fromHandle.nodeId, port: fromHandle.id, side: fromHandle.type });
  };
  // What has not changed stays the same object: the canvas draws only what is another one.
  const [{ named, coloured }] = useState(() => ({
    named: keeping<CanvasNode>(),
    coloured: keeping<Edge>(),
  }));
  const shown = (node: CanvasNode) => {
    const ariaLabel = labelOf(node, runs);
    return named(node, ariaLabel, () => ({ ...node, ariaLabel }));
  };
  const drawn = (edge: Edge): Edge => {
    const stroke = PORT_COLORS[portType(graph, signatures, edge.source, "source", edge.sourceHandle) ?? ""];
    const animated = runs.get(edge.source)?.job.state === "running";
    return coloured(edge, `${stroke ?? ""} ${animated}`, () => ({
      ...edge,
      style: { stroke, strokeWidth: edge.selected ? 4 : 2 },
      animated,
      ariaLabel: `Wire from ${edge.source} to ${edge.target}`,
    }));
  };
  return (
    <MantineThemeProvider theme={small}>
      <ReactFlow<CanvasNode>
        nodes={graph.nodes.map(shown)}
        edges={graph.edges.map(drawn)}
        nodeTypes={nodeTypes}
        {...handlers}
        onSelectionDragStart={handlers.onNodeDragStart}
        onSelectionDragStop={handlers.onNodeDragStop}
        onConnect={(wanted) => edit((now) => ({ ...now, edges: withWire(now, signatures, wanted) }))}
        onConnectEnd={onConnectEnd}
        isValidConnection={(wanted) => !whyNot(graph, signatures, wanted)}
        colorMode={isDark ? "dark" : "light"}
        deleteKeyCode={isCovered ? null : DELETE_KEYS}
        selectionMode={SelectionMode.Partial}
        minZoom={0.2}
        fitView={!isNarrow}
        fitViewOptions={FIT}
        proOptions={{ hideAttribution: true }}
      >
        <Background gap={20} />
        <Controls
          showInteractive={false}
          fitViewOptions={FIT}
          position={isNarrow ? "bottom-right" : "bottom-left"}
        />
        {!isNarrow && graph.nodes.length > 0 && <MiniMap pannable zoomable ariaLabel="Map of the graph" />}
      </ReactFlow>
    </MantineThemeProvider>
  );
}

function labelOf(node: CanvasNode, runs: ReadonlyMap<string, Run>): string {
  if (node.type === "frame") return `Group ${node.data.title}`;
  const run = runs.get(node.id);
  return [node.id, node.data["job"], run?.job.state].filter(Boolean).join(", ");
}
