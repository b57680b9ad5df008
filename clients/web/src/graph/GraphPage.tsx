// The page on which jobs are wired together and run as one graph.

import { Box, Drawer, ScrollArea, Stack, Text, useComputedColorScheme } from "@mantine/core";
import { useDisclosure, useHotkeys, useMediaQuery } from "@mantine/hooks";
import { ReactFlowProvider } from "@xyflow/react";
import { type ReactNode, useEffect, useMemo, useState } from "react";
import { useLocation, useParams } from "wouter";

import { useSignatures } from "../api/queries";
import type { Port } from "../api/types";
import { AddJob } from "./AddJob";
import { Board } from "./Board";
import { type CanvasNode, type Graph, isJob, upTo, wire } from "./document";
import { type LooseEnd, framed, portType, renamed, whyNot, withJob } from "./editing";
import { timesOf } from "./fanOut";
import { Canvas } from "./JobNode";
import { laidOut } from "./layout";
import { NodePanel } from "./NodePanel";
import { Program } from "./Program";
import { Toolbar } from "./Toolbar";
import { chooseFile, saveFile, useArrivals } from "./useArrivals";
import { useClipboard } from "./useClipboard";
import { useGraph } from "./useGraph";
import { countMade, useRuns } from "./useRuns";
import { useView } from "./useView";

interface Adding {
  /** Where on the canvas the new job goes. */
  at: { x: number; y: number };
  /** The wire that was let go there. */
  from?: LooseEnd;
}

export default function GraphPage() {
  return (
    <ReactFlowProvider>
      <Editor />
    </ReactFlowProvider>
  );
}

function Editor() {
  const canvas = useGraph();
  const { graph, document, edit, history } = canvas;
  const { runs, run } = useRuns(document);
  const { data: list = [] } = useSignatures();
  const signatures = useMemo(() => new Map(list.map((signature) => [signature.name, signature])), [list]);
  const times = useMemo(() => timesOf(document, signatures, countMade(runs)), [document, signatures, runs]);
  const [adding, setAdding] = useState<Adding | null>(null);
  const [isProgram, program] = useDisclosure();
  const { fit, placeFor, reveal } = useView();
  const arrivals = useArrivals(canvas.open, fit);
  useAsked(arrivals.openJob);
  useClipboard(graph, edit);

  const isDark = useComputedColorScheme("light") === "dark";
  const group = () => edit((now) => framed(now, placeFor()));
  useHotkeys([
    ["mod+Enter", () => void run(document)],
    ["mod+Z", () => history.undo(document)],
    ["mod+shift+Z", () => history.redo(document)],
    ["mod+Y", () => history.redo(document)],
    ["mod+A", () => canvas.choose(() => true)],
    ["mod+G", group],
  ]);
  const looseType =
    adding?.from && portType(graph, signatures, adding.from.node, adding.from.side, adding.from.port);
  return (
    <Canvas
      value={{
        signatures,
        runs,
        times,
        onTitle: (id, title) => edit((now) => withData(now, id, { title }), `title ${id}`),
      }}
    >
      <Box className="scroll-column" style={{ display: "flex", overflow: "hidden" }}>
        <Box
          flex={1}
          pos="relative"
          style={{ minWidth: 0 }}
          onDragOver={(event) => event.preventDefault()}
          onDrop={arrivals.onDrop}
        >
          <Board
            graph={graph}
            signatures={signatures}
            runs={runs}
            isDark={isDark}
            handlers={canvas.handlers}
            edit={edit}
            onLoose={(at, from) => setAdding({ at, from })}
          />
          <Toolbar
            isEmpty={!graph.nodes.some(isJob)}
            canUndo={history.canUndo}
            canRedo={history.canRedo}
            onRun={() => void run(document)}
            onAdd={() => setAdding({ at: placeFor(graph.nodes.findLast(({ selected }) => selected)) })}
            onUndo={() => history.undo(document)}
            onRedo={() => history.redo(document)}
            onLayout={() => {
              edit(({ nodes, edges }) => ({ nodes: laidOut(nodes, edges), edges }));
              fit();
            }}
            onFrame={group}
            onSave={() => saveFile(document)}
            onOpen={() => chooseFile(arrivals.openFile)}
            onProgram={program.open}
            onClear={() => edit(() => ({ nodes: [], edges: [] }))}
          />
          {!graph.nodes.length && <EmptyCanvas />}
        </Box>
        <Side canvas={canvas} signatures={signatures} runs={runs} run={run} />
      </Box>
      {adding && (
        <AddJob
          signatures={list}
          from={adding.from && { type: looseType, side: adding.from.side }}
          onAdd={(signature) => {
            edit((now) => withJob(now, signatures, signature, adding.at, adding.from));
            setAdding(null);
            reveal(adding.at);
          }}
          onClose={() => setAdding(null)}
        />
      )}
      {isProgram && <Program document={document} onClose={program.close} />}
    </Canvas>
  );
}

/** Open the graph of the job that the address names: `#/graph/<job>`. */
function useAsked(openJob: (id: string) => void) {
  const asked = useParams()["*"];
  const [, navigate] = useLocation();
  useEffect(() => {
    if (!asked) return;
    openJob(asked);
    navigate("/graph", { replace: true });
  });
}

function EmptyCanvas() {
  return (
    <Stack
      pos="absolute"
      top="35%"
      left={0}
      right={0}
      px="md"
      align="center"
      gap={4}
      style={{ pointerEvents: "none", textAlign: "center" }}
    >
      <Text fw={600}>An empty canvas</Text>
      <Text size="sm" c="dimmed" maw={420}>
        Add a job with +, then pull wires from its ports. Or drop a result here to get the graph that made it.
      </Text>
    </Stack>
  );
}

const withData = ({ nodes, edges }: Graph, id: string, data: Record<string, unknown>): Graph => ({
  nodes: nodes.map((node) =>
    node.id === id ? ({ ...node, data: { ...node.data, ...data } } as CanvasNode) : node,
  ),
  edges,
});

type SideProps = Pick<Parameters<typeof Board>[0], "signatures" | "runs"> & {
  canvas: ReturnType<typeof useGraph>;
  run: ReturnType<typeof useRuns>["run"];
};

/** The chosen node, beside the canvas or, where it is narrow, below it. */
function Side({ canvas, signatures, runs, run }: SideProps) {
  const { graph, document, edit, choose } = canvas;
  const chosen = graph.nodes.filter(({ selected }) => selected);
  const node = chosen.length === 1 && chosen[0] && isJob(chosen[0]) ? chosen[0] : undefined;
  if (!node) return null;
  const into = (port: Port) =>
    graph.edges.filter(({ target, targetHandle }) => target === node.id && targetHandle === port.name);
  const possible = (port: Port) =>
    graph.nodes.filter(isJob).flatMap(({ id, data }) =>
      (signatures.get(data.job)?.outputs ?? [])
        .map((output) => wire(id, output.name, node.id, port.name))
        .filter((wanted) => !whyNot(graph, signatures, wanted))
        .map((wanted) => ({ value: wanted.id, label: `${id} · ${wanted.sourceHandle ?? ""}`, wanted })),
    );
  return (
    <Sheet title={node.id} onClose={() => choose(() => false)}>
      <NodePanel
        node={node}
        signature={signatures.get(node.data.job)}
        sources={(port) => ({ wired: into(port).map(({ id }) => id), possible: possible(port) })}
        lastParams={runs.get(node.id)?.job.params}
        isTaken={(key) => graph.nodes.some(({ id }) => id === key)}
        onRename={(key) => edit((now) => renamed(now, node.id, key))}
        onWire={(port, ids) => {
          const known = new Map(possible(port).map(({ value, wanted }) => [value, wanted]));
          const added = ids.flatMap((id) => known.get(id) ?? into(port).find((edge) => edge.id === id) ?? []);
          edit(({ nodes, edges }) => ({
            nodes,
            edges: [
              ...edges.filter((edge) => edge.target !== node.id || edge.targetHandle !== port.name),
              ...added,
            ],
          }));
        }}
        onChange={(data) => edit((now) => withData(now, node.id, data), `knobs of ${node.id}`)}
        onRun={() => void run(upTo(document, node.id))}
      />
    </Sheet>
  );
}

function Sheet({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const isNarrow = useMediaQuery("(max-width: 62em)", window.innerWidth < 992);
  if (isNarrow) {
    return (
      <Drawer opened onClose={onClose} position="bottom" size="60%" title={title}>
        {children}
      </Drawer>
    );
  }
  return (
    <ScrollArea
      component="section"
      aria-label={`Node ${title}`}
      w={380}
      style={{ borderLeft: "1px solid var(--mantine-color-default-border)" }}
    >
      <Box p="md">{children}</Box>
    </ScrollArea>
  );
}
